"""What a client says: each packet to who deals with it.

One object for a connection and what is said on it: the transport is the business of `wire/connection.py`,
which this derives from.
"""

from collections.abc import Callable
from typing import Final, cast, final

from longline.mqtt.packets import (
    CONNECT,
    DISCONNECT,
    PINGREQ,
    PUBACK,
    PUBCOMP,
    PUBLISH,
    PUBREC,
    PUBREL,
    SUBSCRIBE,
    UNSUBSCRIBE,
    Acknowledgement,
    Connect,
    Disconnect,
    Packet,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from longline.mqtt.properties import (
    SESSION_EXPIRY_INTERVAL,
    SUBSCRIPTION_IDENTIFIER,
    TOPIC_ALIAS,
    get_int,
    subscription_identifiers,
)
from longline.mqtt.reasons import ReasonCode
from longline.mqtt.topics import byte_length
from longline.mqtt.wire import PROTOCOL_ERROR
from longline.room.counters import RoomCounters
from longline.room.pubsub.fanout import SUCCESS, Fanout
from longline.room.pubsub.retainer import Retainer
from longline.room.pubsub.rooms import NOT_YET
from longline.room.pubsub.rules import (
    ALIAS,
    ALIAS_BYTES,
    ALIAS_UNKNOWN,
    ALIASES_TOO_LONG,
    PACKET_ID_IN_USE,
    RECEIVE_MAXIMUM,
    Refusal,
    Rules,
    reserved,
)
from longline.room.push.pushes import REFUSED, TAKEN, UNKNOWN, Pushes
from longline.room.session.inflight import NOTHING, PacketIds
from longline.room.session.session import Attachment, Gone, Plain, Session
from longline.room.session.sessions import Sessions
from longline.room.turn import Turn
from longline.room.wire.answers import OWED, Answer, Answers
from longline.room.wire.connection import AGAIN, GO_ON, HOLD, LAST, WAIT, Connection, Wire, WireLimits
from longline.room.wire.wheel import Wheel
from longline.telemetry.faults import Faults

STRAY: Final = "unknown_packet_id"


@final
class Services(Wire):
    """What all clients of a room share. `admit` answers a CONNECT, then or later.

    `redirect`, while nobody is let in, names the server (`host:port`) for a client by the names of its app
    and device and the transport that it came by, or None where it should come back by the address that it
    knows.
    """

    __slots__ = ("admit", "fanout", "pushes", "redirect", "retainer", "rules", "sessions")

    def __init__(
        self,
        limits: WireLimits,
        counters: RoomCounters,
        turn: Turn,
        wheel: Wheel,
        faults: Faults,
        *,
        admits: Callable[[Connection], bool],
        released: Callable[[str], None],
        report: Callable[[str, str, str], None],
        sessions: Sessions,
        fanout: Fanout,
        retainer: Retainer,
        pushes: Pushes,
        rules: Rules,
        admit: "Callable[[ClientConnection, Connect], None]",
    ) -> None:
        super().__init__(
            limits, counters, turn, wheel, faults, admits=admits, released=released, report=report
        )
        self.sessions = sessions
        self.fanout = fanout
        self.retainer = retainer
        self.pushes = pushes
        self.rules = rules
        self.admit = admit
        self.redirect: Callable[[str, str, str], str | None] | None = None


@final
class ClientConnection(Connection):
    """A connected client. `attachment` is the first of its connection, once it was let in.

    `asked_at`: when its CONNECT came, in seconds, rising.
    """

    __slots__ = ("asked_at", "attachment")

    def __init__(self, services: Services, origin: str | None = None) -> None:
        super().__init__(services, origin)
        self.attachment: Attachment | None = None
        self.asked_at = 0.0

    @property
    def services(self) -> Services:
        """What it shares with all clients."""
        return cast(Services, self.wire)

    @property
    def session(self) -> Session | None:
        """The session that the client was let in to."""
        attachment = self.attachment
        return None if attachment is None else attachment.session

    def received(self, packet: Packet) -> int:
        kind = packet.kind
        if kind == PUBLISH:
            return self._publish(cast(Publish, packet))
        if kind == PUBACK:
            self._acknowledge(cast(Puback, packet))
        elif kind == PINGREQ:
            self.send(Pingresp())
        elif kind == SUBSCRIBE:
            self._subscribe(cast(Subscribe, packet))
        elif kind == UNSUBSCRIBE:
            self._unsubscribe(cast(Unsubscribe, packet))
        elif kind == CONNECT:
            self._connect(cast(Connect, packet))
        elif kind == DISCONNECT:
            return self._disconnect(cast(Disconnect, packet))
        elif kind in (PUBREC, PUBCOMP):
            self._step(cast(Acknowledgement, packet))
        elif kind == PUBREL:
            self._pubrel(cast(Pubrel, packet))
        return GO_ON

    def flowing(self) -> None:
        first = self.attachment
        if first is not None:
            for attachment in first.every():
                self.services.fanout.drain(attachment.session)
                self.services.pushes.made_room(attachment.session)

    def lost(self) -> None:
        first = self.attachment
        if first is not None:
            self.attachment = None
            self.services.sessions.lost(first)

    # --- coming and going -------------------------------------------------------------------------

    def _connect(self, packet: Connect) -> None:
        self.hear_out(packet)
        services = self.services
        redirect = services.redirect
        if redirect is None:
            services.admit(self, packet)
        else:
            server = redirect(packet.username or "", packet.client_id, self.came_by)
            self.move(ReasonCode.USE_ANOTHER_SERVER, server, 0)

    def _disconnect(self, packet: Disconnect) -> int:
        if self.owes():
            return LAST  # [MQTT-4.3.2-4], [MQTT-3.8.4-1]
        first = self.attachment
        if first is not None:
            expiry = get_int(packet.properties, SESSION_EXPIRY_INTERVAL)
            if expiry and not first.session.expiry:  # section 3.14.2.2.2
                self.link.no_good_bye(PROTOCOL_ERROR, "DISCONNECT raises a session expiry of zero")
                return GO_ON
            for attachment in first.every():
                attachment.session.gone = Gone.LEFT
        self.link.close()
        self.finish()
        return GO_ON

    # --- publishing -------------------------------------------------------------------------------

    def _publish(self, packet: Publish) -> int:
        first = self.attachment
        if first is None:
            return GO_ON
        session = first.session
        services = self.services
        qos = packet.qos
        if qos and (self._extras is not None or session.plain is not None):
            follows = self._unasked(session, packet)
            if follows >= 0:
                return follows
        if packet.retain and qos and services.retainer.full():
            services.retainer.hold_up(self.go_on)
            return AGAIN
        services.counters.messages_in += 1
        properties = packet.properties
        refused: Refusal | None = None
        if properties is not None and TOPIC_ALIAS in properties:
            refused = self._resolve(packet)
        if refused is None:
            refused = services.rules.publication(session, packet)
            if refused is None:
                if qos == 2:
                    self._hold(session, packet.packet_id)
                id = self._retain(session, packet) if packet.retain else ""
                reason = services.fanout.publish(self, session, packet, id)
                if reason == NOT_YET:
                    return WAIT
                if qos and reason >= 0:
                    self._answer(packet.packet_id, qos, reason)
                return HOLD if services.turn.pressed else GO_ON
        if refused.fatal and self.mqtt5:  # CONNACK has told it so, which that of 3.1.1 cannot
            self.fault(refused.reason, refused.code, refused.message)
            return GO_ON
        # Who is cut off for it comes back and does the same again, and gets no pushes meanwhile. Where the
        # answer cannot say no (QoS 0, and 3.1.1, [MQTT-3.3.5-2] there), only we know of it.
        self.report(refused.code, refused.message)
        if qos:
            if qos == 2:
                self._hold(session, packet.packet_id)
            self._answer(packet.packet_id, qos, refused.reason, refused.message)
        return HOLD if services.turn.pressed else GO_ON

    def _unasked(self, session: Session, packet: Publish) -> int:
        """What follows a publication that is not taken: known already, or one too many; -1 for any other."""
        answers = self._answers()
        received = session.received
        if received is not None and packet.packet_id in received:
            if packet.qos == 2:  # [MQTT-4.3.3-10]
                if answers is None or not answers.owes(packet.packet_id):
                    self._answer(packet.packet_id, 2, SUCCESS)
                return GO_ON
            if self.mqtt5:
                self.report(PACKET_ID_IN_USE.code, PACKET_ID_IN_USE.message)
                self._answer(packet.packet_id, 1, PACKET_ID_IN_USE.reason, PACKET_ID_IN_USE.message)
                return GO_ON
        most = self.services.rules.receive_maximum
        if self.mqtt5:
            unanswered = (0 if answers is None else answers.acks) + (0 if received is None else len(received))
            if unanswered >= most:  # [MQTT-3.3.4-7]
                refusal = RECEIVE_MAXIMUM
                self.fault(refusal.reason, refusal.code, refusal.message)
                return GO_ON
        elif answers is not None and len(answers) >= most:
            answers.awaited = True  # 3.1.1 knows no such bound
            return AGAIN
        return -1

    def _retain(self, session: Session, packet: Publish) -> str:
        """Has a publication kept; returns its id. Its answer waits for that, and for who gets it now."""
        answer: Answer | None = None
        if packet.qos:
            extras = self.extras
            if extras.answers is None:
                extras.answers = Answers()
            answer = extras.answers.share(packet.packet_id, packet.qos)
        return self.services.retainer.keep(self, session, packet, answer)

    def _hold(self, session: Session, packet_id: int) -> None:
        """A publication with QoS 2 is ours: it is not taken again until the client has released it."""
        plain = session.plain
        if plain is None:
            plain = session.plain = Plain()
        if plain.received is None:
            plain.received = PacketIds()
        plain.received.add(packet_id)

    def _let_go(self, packet_id: int) -> bool:
        """It is released, or was not ours after all [MQTT-4.3.3-9]; False when it never was."""
        session = self.session
        plain = None if session is None else session.plain
        if session is None or plain is None or plain.received is None or packet_id not in plain.received:
            return False
        plain.received.discard(packet_id)
        if not len(plain.received):
            plain.received = None
            session.tidy()
        return True

    def _resolve(self, packet: Publish) -> Refusal | None:
        """Section 3.3.2.3.4: an alias with a topic defines it, an alias without one uses it."""
        alias = get_int(packet.properties, TOPIC_ALIAS) or 0
        if alias > self.services.rules.topic_alias_maximum:
            return ALIAS
        extras = self.extras
        aliases = extras.aliases
        if packet.topic:
            if aliases is None:
                aliases = extras.aliases = {}
            # Each may have 64 KiB: so the number alone, which CONNACK told, bounds nothing.
            extras.alias_size += byte_length(packet.topic) - byte_length(aliases.get(alias, ""))
            aliases[alias] = packet.topic
            if extras.alias_size > ALIAS_BYTES:
                return ALIASES_TOO_LONG
        elif aliases is None or alias not in aliases:
            return ALIAS_UNKNOWN
        else:
            packet.topic = aliases[alias]
        return None

    def published(self, packet: Publish, reason: int) -> None:
        """A publication with very many subscribers has reached them: the packets behind it are next."""
        if packet.qos:
            self._answer(packet.packet_id, packet.qos, reason)
        self.go_on()

    def owe(self, packet: Publish) -> Answer:
        """The PUBACK or PUBREC of a publication, which `settle` sends."""
        extras = self.extras
        if extras.answers is None:
            extras.answers = Answers()
        return extras.answers.take() or extras.answers.add(packet.packet_id, packet.qos, OWED)

    def owing(self) -> int:
        """How many PUBACKs and PUBRECs the client waits for."""
        answers = self._answers()
        return len(answers) if answers is not None else 0

    def settle(self, answer: Answer, reason: int, message: str = "") -> None:
        """Sends an answer that was owed, once those before it are out [MQTT-4.6.0-2]."""
        answer.say(reason, message)
        answers = self._answers()
        if answers is None:
            return
        for due in answers.due():
            self._send_answer(due.packet_id, due.qos, due.reason, due.message)
        if not len(answers):
            self.extras.answers = None
        if answers.awaited and len(answers) < self.services.rules.receive_maximum:
            answers.awaited = False
            self.go_on()
        if not self.owes():
            self.answered()

    def _answer(self, packet_id: int, qos: int, reason: int, message: str = "") -> None:
        answers = self._answers()
        if answers is None:
            self._send_answer(packet_id, qos, reason, message)
            return
        shared = answers.take()
        if shared is None:
            answers.add(packet_id, qos, reason, message)
        else:
            self.settle(shared, reason, message)

    def _send_answer(self, packet_id: int, qos: int, reason: int, message: str) -> None:
        why = self.explanation(message) if message else None
        if qos == 1:
            self.send(Puback(packet_id, reason, why))
            return
        if reason >= REFUSED and self.mqtt5:  # the client of 3.1.1 is not told, and goes on to PUBREL
            self._let_go(packet_id)
        self.send(Pubrec(packet_id, reason, why))

    def owes(self) -> bool:
        extras = self._extras
        return extras is not None and (extras.answers is not None or extras.subacks > 0)

    def _answers(self) -> Answers | None:
        extras = self._extras
        return None if extras is None else extras.answers

    def _pubrel(self, packet: Pubrel) -> None:
        if self._let_go(packet.packet_id):
            self.send(Pubcomp(packet.packet_id))  # [MQTT-4.3.3-11]
        else:
            # Left from a session that the client had elsewhere: answered, so that it ends.
            self.report(STRAY, "PUBREL for what was not taken")
            self.send(Pubcomp(packet.packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND))

    # --- acknowledging ----------------------------------------------------------------------------

    def _acknowledge(self, packet: Puback) -> None:
        first = self.attachment
        if first is None:
            return
        outcome = self.services.pushes.acknowledge(first.session, packet.packet_id, packet.reason)
        if outcome == TAKEN:
            self._made_room(first)
        elif outcome == UNKNOWN:
            # A client may answer late, for a connection before this one: told of, not punished.
            self.report(STRAY, "an answer to what was not sent")
        else:
            self._wrong()

    def _step(self, packet: Acknowledgement) -> None:
        """PUBREC or PUBCOMP: a step of what we have sent with QoS 2."""
        first = self.attachment
        if first is None:
            return
        packet_id = packet.packet_id
        inflight = first.session.window.inflight
        awaited = NOTHING if inflight is None else inflight.awaits(packet_id)
        received = packet.kind == PUBREC
        if inflight is None or awaited == NOTHING:
            self.report(STRAY, "an answer to what was not sent")
            if received and packet.reason < REFUSED:
                self.send(Pubrel(packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND))
        elif awaited == PUBACK or (awaited == PUBREC and not received):
            self._wrong()
        elif received and packet.reason < REFUSED:
            inflight.release(packet_id)
            self.send(Pubrel(packet_id))  # [MQTT-4.3.3-4]
        else:  # it is completed, or refused [MQTT-4.4.0-2]
            self.services.pushes.complete(first.session, packet_id)
            self._made_room(first)

    def _made_room(self, first: Attachment) -> None:
        """A message has had its last answer."""
        services = self.services
        if first.others is None:
            services.fanout.drain(first.session)
        else:
            for attachment in first.every():
                services.pushes.freed(attachment.session)
                services.fanout.drain(attachment.session)

    def _wrong(self) -> None:
        # [MQTT-3.3.4-1]
        self.fault(
            ReasonCode.PROTOCOL_ERROR, "protocol_error", "an answer to a message of another QoS, or too early"
        )

    # --- subscribing ------------------------------------------------------------------------------

    def _subscribe(self, packet: Subscribe) -> None:
        session = self.session
        if session is None:
            return
        self.wire.turn.spent += len(packet.subscriptions)
        if self._in_use(session, packet.packet_id):
            refused = [int(PACKET_ID_IN_USE.reason)] * len(packet.subscriptions)
            self.send(Suback(packet.packet_id, refused, self.explanation(PACKET_ID_IN_USE.message)))
            return
        identifier = 0
        if packet.properties is not None and SUBSCRIPTION_IDENTIFIER in packet.properties:
            identifier = subscription_identifiers(packet.properties)[0]
        why: list[str] = []
        reasons = [self._enter(session, wanted, identifier, why) for wanted in packet.subscriptions]
        suback = Suback(packet.packet_id, reasons, self.explanation("; ".join(dict.fromkeys(why))))
        rooms = self.services.fanout.rooms
        if rooms is None or not rooms.told_first(self, suback):
            self._send_suback(suback)
        else:
            self.extras.subacks += 1

    def _send_suback(self, suback: Suback) -> None:
        """What is retained follows the answer."""
        self.send(suback)
        session = self.session
        if session is not None:
            self.services.fanout.replayed(session)

    def subscribed(self, suback: Suback) -> None:
        """The other rooms have heard of a subscription, or cannot."""
        self._send_suback(suback)
        extras = self._extras
        if extras is not None:
            extras.subacks -= 1
            if not self.owes():
                self.answered()

    def _enter(self, session: Session, wanted: Subscription, identifier: int, why: list[str]) -> int:
        """Enters a subscription; returns the reason code for SUBACK: the QoS granted, or a refusal."""
        refusal = self.services.rules.subscription(session, wanted, self.mqtt5)
        if refusal is not None:
            why.append(refusal.message)
            self.report(refusal.code, refusal.message)
            # Section 3.9.3 of 3.1.1 knows one failure only
            return refusal.reason if self.mqtt5 else ReasonCode.UNSPECIFIED_ERROR
        # A device gets what is its own on the platform's topics without asking; asking does no harm.
        if not reserved(wanted.filter):
            fanout = self.services.fanout
            new = fanout.subscribe(session, wanted, identifier)
            handling = wanted.retain_handling
            # [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]. In 3.1.1 it is the first: [MQTT-3.8.4-3].
            if handling == 0 or (handling == 1 and new):
                fanout.begin_replay(session, wanted.filter)
        return wanted.qos

    def _unsubscribe(self, packet: Unsubscribe) -> None:
        session = self.session
        if session is None:
            return
        if self._in_use(session, packet.packet_id):
            refused = [int(PACKET_ID_IN_USE.reason)] * len(packet.filters)
            self.send(Unsuback(packet.packet_id, refused, self.explanation(PACKET_ID_IN_USE.message)))
            return
        reasons: list[int] = [
            ReasonCode.SUCCESS
            if self.services.fanout.unsubscribe(session, filter)
            else ReasonCode.NO_SUBSCRIPTION_EXISTED
            for filter in packet.filters
        ]
        self.send(Unsuback(packet.packet_id, reasons))

    def _in_use(self, session: Session, packet_id: int) -> bool:
        """Whether MQTT 5 has to say that an identifier stands for something else [MQTT-2.2.1-3]."""
        received = session.received
        if received is None or not self.mqtt5 or packet_id not in received:
            return False
        self.report(PACKET_ID_IN_USE.code, PACKET_ID_IN_USE.message)
        return True
