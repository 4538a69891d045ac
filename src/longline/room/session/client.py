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
from longline.mqtt.properties import SESSION_EXPIRY_INTERVAL, SUBSCRIPTION_IDENTIFIER, TOPIC_ALIAS, get_int
from longline.mqtt.reasons import ReasonCode
from longline.mqtt.wire import PROTOCOL_ERROR
from longline.room.counters import RoomCounters
from longline.room.pubsub.fanout import Fanout
from longline.room.pubsub.retainer import Retainer
from longline.room.pubsub.rooms import NOT_YET
from longline.room.pubsub.rules import ALIAS, ALIAS_UNKNOWN, RECEIVE_MAXIMUM, Refusal, Rules, reserved
from longline.room.push.pushes import REFUSED, Pushes
from longline.room.session.session import Attachment, Gone, Session
from longline.room.session.sessions import Sessions
from longline.room.turn import Turn
from longline.room.wire.answers import Answer, Answers
from longline.room.wire.connection import AGAIN, GO_ON, HOLD, LAST, WAIT, Connection, Wire, WireLimits
from longline.room.wire.wheel import Wheel
from longline.telemetry.faults import Faults

NO_SUBSCRIBERS: Final = 0x10  # as a number: in compiled code a member of an enum costs a look-up


@final
class Services(Wire):
    """What all clients of a room share. `admit` answers a CONNECT, then or later.

    `redirect`, while nobody is let in, names the server (`host:port`) for a client by the names of its app
    and device, or None where it should come back by the address that it knows.
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
        self.redirect: Callable[[str, str], str | None] | None = None


@final
class ClientConnection(Connection):
    """A connected client. `attachment` is the first of its connection, once it was let in.

    `asked_at`: when its CONNECT came, in seconds, rising.
    """

    __slots__ = ("asked_at", "attachment")

    def __init__(self, services: Services) -> None:
        super().__init__(services)
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
        elif kind in (PUBREC, PUBREL, PUBCOMP):
            self._stray(cast(Acknowledgement, packet))
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
            self.move(ReasonCode.USE_ANOTHER_SERVER, redirect(packet.username or "", packet.client_id), 0)

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
        answers = self._answers()
        if answers is not None and packet.qos and len(answers) >= services.rules.receive_maximum:
            if self.mqtt5:  # [MQTT-3.3.4-9]
                refusal = RECEIVE_MAXIMUM
                self.fault(refusal.reason, refusal.code, refusal.message)
                return GO_ON
            answers.awaited = True  # 3.1.1 knows no such bound
            return AGAIN
        if packet.retain and packet.qos and services.retainer.full():
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
                id = self._retain(session, packet) if packet.retain else ""
                reached = services.fanout.publish(self, session, packet, id)
                if reached == NOT_YET:
                    return WAIT
                if packet.qos == 1 and reached >= 0:
                    self._puback(packet.packet_id, 0 if reached else NO_SUBSCRIBERS)
                return HOLD if services.turn.pressed else GO_ON
        refusal = refused
        if refusal.fatal and self.mqtt5:  # CONNACK has told it so, which that of 3.1.1 cannot
            self.fault(refusal.reason, refusal.code, refusal.message)
            return GO_ON
        # Who is cut off for it comes back and does the same again, and gets no pushes meanwhile. Where the
        # answer cannot say no (QoS 0, and 3.1.1, [MQTT-3.3.5-2] there), only we know of it.
        self.report(refusal.code, refusal.message)
        if packet.qos == 1:
            self._puback(packet.packet_id, refusal.reason)
        elif packet.qos:
            self.send(Pubrec(packet.packet_id, refusal.reason))
        return HOLD if services.turn.pressed else GO_ON

    def _retain(self, session: Session, packet: Publish) -> str:
        """Has a publication kept; returns its id. Its answer waits for that, and for who gets it now."""
        answer = self._owe(packet.packet_id, 2) if packet.qos else None
        return self.services.retainer.keep(self, session, packet, answer)

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
            aliases[alias] = packet.topic
        elif aliases is None or alias not in aliases:
            return ALIAS_UNKNOWN
        else:
            packet.topic = aliases[alias]
        return None

    def published(self, packet: Publish, reached: int) -> None:
        """A publication with very many subscribers has reached them: the packets behind it are next."""
        if packet.qos == 1 and self.transport is not None:
            self._puback(packet.packet_id, 0 if reached else NO_SUBSCRIBERS)
        self.go_on()

    def owe(self, packet_id: int) -> Answer:
        """A PUBACK that `settle` sends."""
        answers = self._answers()
        answer = None if answers is None else answers.latest(packet_id)
        return self._owe(packet_id, 1) if answer is None else answer

    def _owe(self, packet_id: int, owing: int) -> Answer:
        """One that so many have a say in."""
        extras = self.extras
        if extras.answers is None:
            extras.answers = Answers()
        return extras.answers.add(packet_id, owing)

    def owing(self) -> int:
        """How many PUBACKs the client waits for."""
        answers = self._answers()
        return len(answers) if answers is not None else 0

    def settle(self, answer: Answer, reason: int) -> None:
        """Sends a PUBACK that was owed, once those before it are out [MQTT-4.6.0-2]."""
        answer.say(reason)
        answers = self._answers()
        if answers is None:
            return
        for due in answers.due():
            self.send(Puback(due.packet_id, max(0, due.reason)))
        if not len(answers):
            self.extras.answers = None
        if answers.awaited and len(answers) < self.services.rules.receive_maximum:
            answers.awaited = False
            self.go_on()
        if not self.owes():
            self.answered()

    def _puback(self, packet_id: int, reason: int) -> None:
        answers = self._answers()
        if answers is None:
            self.send(Puback(packet_id, reason))
            return
        answer = answers.latest(packet_id)
        if answer is None:
            answer = answers.add(packet_id, 1)
        self.settle(answer, reason)

    def owes(self) -> bool:
        extras = self._extras
        return extras is not None and (extras.answers is not None or extras.subacks > 0)

    def _answers(self) -> Answers | None:
        extras = self._extras
        return None if extras is None else extras.answers

    # --- acknowledging ----------------------------------------------------------------------------

    def _acknowledge(self, packet: Puback) -> None:
        first = self.attachment
        if first is None:
            return
        services = self.services
        if not services.pushes.acknowledge(first.session, packet.packet_id, packet.reason):
            # A client may answer late, for a connection before this one: told of, not punished.
            self.report("unknown_packet_id", "PUBACK for what was not sent")
        elif first.others is None:
            services.fanout.drain(first.session)
        else:
            for attachment in first.every():
                services.pushes.freed(attachment.session)
                services.fanout.drain(attachment.session)

    def _stray(self, packet: Acknowledgement) -> None:
        """A step of QoS 2, left from a session that the client had elsewhere: answered, so that it ends."""
        self.report("unknown_packet_id", "a step of QoS 2 for what was not sent")
        if packet.kind == PUBREC:
            if packet.reason >= REFUSED:
                return  # it has ended already [MQTT-4.3.3-4]
            self.send(Pubrel(packet.packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND))
        elif packet.kind == PUBREL:
            self.send(Pubcomp(packet.packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND))

    # --- subscribing ------------------------------------------------------------------------------

    def _subscribe(self, packet: Subscribe) -> None:
        session = self.session
        if session is None:
            return
        if packet.properties is not None and SUBSCRIPTION_IDENTIFIER in packet.properties:
            self.fault(
                ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
                "subscription_identifiers_not_supported",
                "CONNACK said that subscription identifiers are not available",
            )
            return
        self.wire.turn.spent += len(packet.subscriptions)
        suback = Suback(packet.packet_id, [self._enter(session, wanted) for wanted in packet.subscriptions])
        rooms = self.services.fanout.rooms
        if rooms is None or not rooms.told_first(self, suback):
            self._send_suback(suback)
        else:
            self.extras.subacks += 1

    def subscribed(self, suback: Suback) -> None:
        """The other rooms have heard of a subscription, or cannot."""
        self._send_suback(suback)
        extras = self._extras
        if extras is not None:
            extras.subacks -= 1
            if not self.owes():
                self.answered()

    def _send_suback(self, suback: Suback) -> None:
        """What is retained follows the answer."""
        self.send(suback)
        session = self.session
        if session is not None:
            self.services.fanout.replayed(session)

    def _enter(self, session: Session, wanted: Subscription) -> int:
        """Enters a subscription; returns the reason code for SUBACK: the QoS granted, or a refusal."""
        refusal = self.services.rules.subscription(session, wanted, self.mqtt5)
        if refusal is not None:
            self.report(refusal.code, refusal.message)
            # Section 3.9.3 of 3.1.1 knows one failure only
            return refusal.reason if self.mqtt5 else ReasonCode.UNSPECIFIED_ERROR
        qos = min(wanted.qos, 1)
        # A device gets what is its own on the platform's topics without asking; asking does no harm.
        if not reserved(wanted.filter):
            fanout = self.services.fanout
            new = fanout.subscribe(session, wanted.filter, qos, wanted.no_local)
            handling = wanted.retain_handling
            # [MQTT-3.3.1-9], [MQTT-3.3.1-10], [MQTT-3.3.1-11]. In 3.1.1 it is the first: [MQTT-3.8.4-3].
            if handling == 0 or (handling == 1 and new):
                fanout.begin_replay(session, wanted.filter, qos, wanted.no_local)
        return qos

    def _unsubscribe(self, packet: Unsubscribe) -> None:
        session = self.session
        if session is None:
            return
        reasons: list[int] = [
            ReasonCode.SUCCESS
            if self.services.fanout.unsubscribe(session, filter)
            else ReasonCode.NO_SUBSCRIPTION_EXISTED
            for filter in packet.filters
        ]
        self.send(Unsuback(packet.packet_id, reasons))
