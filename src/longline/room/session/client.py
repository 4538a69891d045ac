"""What a client says: each packet to who deals with it.

One object for a connection and what is said on it: the transport is the business of `wire/connection.py`,
which this derives from.
"""

from collections.abc import Callable
from typing import Final, cast, final

from longline.flow.bucket import Bucket
from longline.flow.unread import unread
from longline.model.times import wall_clock
from longline.model.topics import ATTACHED_MARK
from longline.mqtt.link import Phase
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
from longline.mqtt.topics import byte_length, is_shared
from longline.mqtt.wire import PROTOCOL_ERROR
from longline.room.counters import RoomCounters
from longline.room.kept.closings import Closings
from longline.room.kept.deposits import Deposits
from longline.room.kept.filings import Filings
from longline.room.kept.steps import Steps
from longline.room.kept.withheld import Withheld
from longline.room.platform.handlers import Platform
from longline.room.pubsub.fanout import SUCCESS, Fanout
from longline.room.pubsub.groups import ForQueues
from longline.room.pubsub.retainer import Retainer
from longline.room.pubsub.rooms import NOT_YET
from longline.room.pubsub.rules import (
    ALIAS,
    ALIAS_BYTES,
    ALIAS_UNKNOWN,
    ALIASES_TOO_LONG,
    NOT_ATTACHED,
    PACKET_ID_IN_USE,
    RECEIVE_MAXIMUM,
    RESERVED_TOPIC,
    Refusal,
    Rules,
    reserved,
)
from longline.room.push.pushes import REFUSED, TAKEN, UNKNOWN, Pushes
from longline.room.session.attached import ENDED, answer_frame, inner_publish, inner_subscription, told
from longline.room.session.inflight import NOTHING, QUEUED, PacketIds
from longline.room.session.session import Attachment, Gone, Plain, Session, Sharing
from longline.room.session.sessions import Sessions
from longline.room.turn import FILTER, Turn
from longline.room.wire.answers import OWED, Answer, Answers
from longline.room.wire.connection import (
    AGAIN,
    GO_ON,
    HOLD,
    LAST,
    WAIT,
    Connection,
    ListenerShare,
    Wire,
    WireLimits,
)
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

    __slots__ = (
        "admit",
        "closings",
        "deposits",
        "fanout",
        "filings",
        "platform",
        "pushes",
        "redirect",
        "retainer",
        "rules",
        "sessions",
        "steps",
    )

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
        deposits: Deposits,
        filings: Filings,
        steps: Steps,
        closings: Closings,
        pushes: Pushes,
        platform: Platform,
        rules: Rules,
        admit: "Callable[[ClientConnection, Connect], None]",
    ) -> None:
        super().__init__(
            limits, counters, turn, wheel, faults, admits=admits, released=released, report=report
        )
        self.sessions = sessions
        self.fanout = fanout
        self.retainer = retainer
        self.deposits = deposits
        self.filings = filings
        self.steps = steps
        self.closings = closings
        self.pushes = pushes
        self.platform = platform
        self.rules = rules
        self.admit = admit
        self.redirect: Callable[[str, str, str], str | None] | None = None


@final
class ClientConnection(Connection):
    """A connected client. `attachment` is the first of its connection, once it was let in.

    `asked_at`: when its CONNECT came, in seconds, rising.
    """

    __slots__ = ("asked_at", "attachment")

    def __init__(self, services: Services, share: ListenerShare, origin: str | None = None) -> None:
        super().__init__(services, share, origin)
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
            return AGAIN if self._too_fast() else self._publish(cast(Publish, packet))
        if kind == PUBACK:
            return self._acknowledge(cast(Puback, packet))
        if kind == PINGREQ:
            self.send(Pingresp())
        elif kind == SUBSCRIBE:
            return self._subscribe(cast(Subscribe, packet))
        elif kind == UNSUBSCRIBE:
            return self._unsubscribe(cast(Unsubscribe, packet))
        elif kind == CONNECT:
            self._connect(cast(Connect, packet))
        elif kind == DISCONNECT:
            return self._disconnect(cast(Disconnect, packet))
        elif kind in (PUBREC, PUBCOMP):
            return self._step(cast(Acknowledgement, packet))
        elif kind == PUBREL:
            self._pubrel(cast(Pubrel, packet))
        return GO_ON

    def flowing(self) -> None:
        first = self.attachment
        if first is not None:
            for attachment in first.in_turn():
                self.services.fanout.drain(attachment.session)
                self.services.pushes.made_room(attachment.session)

    def lost(self) -> None:
        first = self.attachment
        if first is not None:
            self.attachment = None
            self.services.sessions.lost(first)

    def who(self) -> str:
        session = self.session
        return "" if session is None else f" (device {session.device} of app {session.tenant.name})"

    # --- coming and going -------------------------------------------------------------------------

    def _connect(self, packet: Connect) -> None:
        if not self.hear_out(packet):
            return
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
            kept = first.session.kept
            if kept is not None:
                kept.will = packet.reason != SUCCESS  # [MQTT-3.14.4-3]
                if expiry is not None:
                    kept.expires_in = expiry
                self.services.closings.add(first.session)  # it may be back before its transport is gone
            for attachment in first.every():
                attachment.session.gone = Gone.LEFT
        self.link.close()
        self.finish()
        return GO_ON

    # --- the apps that share it -------------------------------------------------------------------

    def enter(self, session: Session) -> None:
        """Its session is bound: it has it from now on."""
        self.attachment = self.services.sessions.attach(session, self)

    def renew(self, until: int) -> bool:
        """Whether it was let in before: who sends CONNECT never was."""
        return False

    def unanswered(self) -> bool:
        """Whether its CONNECT has no answer yet."""
        return self.link.phase is Phase.CONNECTING

    def says_more(self) -> bool:
        """Whether something came behind its CONNECT, where it has hung up."""
        transport = self.transport
        return self.link.held > 0 or (transport is not None and unread(transport) > 0)

    def give_up(self) -> None:
        """It has hung up before it was let in. Its transport is not read from, and would not notice."""
        self.wire.counters.closed.add("hung_up")
        self.abort()

    def ending(self, code: str) -> None:
        first = self.attachment
        if first is not None:
            for attachment in first.every():
                if not attachment.session.why:
                    attachment.session.why = code

    def tell(self, payload: bytes, correlation: bytes | None = None) -> None:
        """Says something on `$link/reply`; nothing to a client that takes no packet as large."""
        frame = answer_frame(payload, correlation, self.version)
        if self.particular and not self.takes(frame.size):  # [MQTT-3.1.2-25]
            self.services.counters.link_answers_too_large += 1
        else:
            self.write(frame.at_most_once)

    def parted(self, app: str, device: str, reason: ReasonCode, code: str, let_in: bool) -> None:
        first = self.attachment
        if first is None:
            return
        asking = None if let_in or first.sharing is None else first.sharing.asking.get(app)
        if asking is not None:
            asking(reason, code)
        else:
            self.tell(told(ENDED, app, device, code=code, reason=int(reason)))

    def shared(self) -> Sharing | None:
        """How the connection is shared, from now on; None when it is over."""
        first = self.attachment
        if first is None or self.ended:
            return None
        if first.sharing is None:
            first.shared().ends_at = 0 if self._extras is None else self._extras.ends_at
        return first.sharing

    def ends_with(self, attachment: Attachment, moment: int) -> None:
        """An attached session is to leave the connection at a moment, in ms of Unix time; 0: never."""
        sharing = attachment.sharing
        if sharing is not None:
            sharing.ends_at = moment
            self._look_for_ends()

    def time_over(self) -> bool:
        """What something on the connection was let in with has run out: it ends. Whether all of it did."""
        first = self.attachment
        sharing = None if first is None else first.sharing
        if first is None or sharing is None:
            return super().time_over()
        now = wall_clock()
        if sharing.ends_at and sharing.ends_at <= now:
            return super().time_over()
        for other in list(sharing.others):
            ends_at = 0 if other.sharing is None else other.sharing.ends_at
            if ends_at and ends_at <= now:
                sessions = self.services.sessions
                sessions.close(other.session, Gone.BROKEN, ReasonCode.MAXIMUM_CONNECT_TIME, "token_expired")
        self._look_for_ends()
        return False

    def _look_for_ends(self) -> None:
        """Has the wheel come by when the first of those on this connection is to end."""
        first = self.attachment
        if first is None or self.ended or self.transport is None:
            return
        soonest = 0
        for each in first.every():
            moment = 0 if each.sharing is None else each.sharing.ends_at
            if moment and (moment < soonest or not soonest):
                soonest = moment
        self.extras.ends_at = soonest
        if soonest:
            self._look_in(max(1, self.keep_alive - int(self.wire.wheel.now - self.link.last_heard)))

    # --- publishing -------------------------------------------------------------------------------

    def _publish(self, packet: Publish, attached: Session | None = None) -> int:
        """`attached`: whose publication it is, where it is not the first session's."""
        first = self.attachment
        if first is None:
            return GO_ON
        session = first.session
        services = self.services
        qos = packet.qos
        if attached is not None:
            session = attached
        elif qos and (self._extras is not None or session.plain is not None):
            follows = self._unasked(session, packet)
            if follows >= 0:
                return follows
        # What is to be exactly once survives the connection also where nobody has a queue.
        queued = qos > 0 and (session.tenant.queues or (qos == 2 and session.durable))
        if qos and (queued or packet.retain) and self._held_up(packet, queued):
            return AGAIN
        refused = None if packet.properties is None else self._named(packet)
        if refused is None:
            refused = services.rules.publication(session, packet)
        if refused is None:
            services.counters.messages_in += 1
            if qos == 2:
                self._hold(first.session, packet.packet_id)
                if session.durable:
                    return self._withhold(session, packet)
            id = self._retain(session, packet) if packet.retain else ""
            queues: ForQueues | None = None
            if queued:
                queues = services.deposits.add(self, session, packet, self._share(packet)).queues
            reason = services.fanout.publish(self, session, packet, id, queued, queues)
            if reason == NOT_YET:
                return WAIT
            if qos and reason >= 0:
                self._answer(packet.packet_id, qos, reason)
            return HOLD if services.turn.pressed else GO_ON
        if refused is RESERVED_TOPIC:
            return self._to_platform(session, packet)
        return self._refuse(packet, refused)

    def _withhold(self, session: Session, packet: Publish) -> int:
        """Publishes with QoS 2 for a session that is kept: nobody gets it before the store has it."""
        services = self.services
        answer = self.owe(packet)
        deposit = services.deposits.add(self, session, packet, answer)
        deposit.withheld = Withheld(services.fanout, services.retainer, self, session, packet, deposit)
        return HOLD if services.turn.pressed else GO_ON

    def spreading(self, count: int) -> None:
        """So many more, or fewer, of what was withheld are on their way: the next one waits for them."""
        extras = self.extras
        extras.spreading += count
        if extras.held_back and not extras.spreading:
            extras.held_back = False
            self.go_on()

    def _to_platform(self, session: Session, packet: Publish) -> int:
        """A publication on a topic of the platform's: what devices have to say to it goes to its handler."""
        services = self.services
        first = self.attachment
        if first is None:
            return GO_ON
        if packet.topic.startswith(ATTACHED_MARK):
            other = self._other(session, packet.topic)
            if other is None:
                return self._refuse(packet, NOT_ATTACHED)
            return self._publish(inner_publish(packet, other.prefix), other.session)
        handler = services.platform.find(packet.topic)
        if handler is None:
            return self._refuse(packet, RESERVED_TOPIC)
        refused = services.rules.handed_over(session, packet) or handler.refusal(session, packet)
        if refused is not None:
            return self._refuse(packet, refused)
        answer: Answer | None = None
        if packet.qos:
            if handler.full():
                handler.hold_up(self.go_on)
                return AGAIN
            if packet.qos == 2:
                self._hold(first.session, packet.packet_id)
            answer = self.owe(packet)
        services.counters.messages_up += 1
        handler.take(self, session, packet, answer)
        return HOLD if services.turn.pressed else GO_ON

    def _refuse(self, packet: Publish, refused: Refusal) -> int:
        if refused.fatal and self.mqtt5:  # CONNACK has told it so, which that of 3.1.1 cannot
            return self.accuse(refused.reason, refused.code, refused.message)
        # Who is cut off for it comes back and does the same again, and gets no pushes meanwhile. Where the
        # answer cannot say no (QoS 0, and 3.1.1, [MQTT-3.3.5-2] there), only we know of it.
        self.report(refused.code, refused.message)
        session = self.session
        if packet.qos and session is not None:
            if packet.qos == 2:
                self._hold(session, packet.packet_id)
            self._answer(packet.packet_id, packet.qos, refused.reason, refused.message)
        return HOLD if self.services.turn.pressed else GO_ON

    def _named(self, packet: Publish) -> Refusal | None:
        """Gives a publication its topic, where that was said by an alias; or why it has none."""
        properties = packet.properties
        return self._resolve(packet) if properties is not None and TOPIC_ALIAS in properties else None

    def _held_up(self, packet: Publish, queued: bool) -> bool:
        """Whether a publication has to wait until the store has taken those before it."""
        services = self.services
        if packet.retain and services.retainer.full():
            services.retainer.hold_up(self.go_on)
            return True
        extras = self._extras
        if queued and extras is not None and extras.spreading:
            extras.held_back = True
            return True
        if queued and services.deposits.full():
            services.deposits.hold_up(self.go_on)
            return True
        return False

    def _too_fast(self) -> bool:
        """Whether the client has published as much as it may in this second: it goes on in the next.

        Of one that is gone, the rest of what was read is taken at once: it must not outlive it for long.
        """
        services = self.services
        rate = services.rules.publish_rate
        if not rate or self.transport is None:
            return False
        now = self.wire.wheel.now
        extras = self.extras
        if extras.published is None:
            extras.published = Bucket(rate, now)
        if extras.published.take(rate, now):
            return False
        services.counters.publishers_slowed += 1
        services.turn.next_second(self.go_on)
        return True

    def _unasked(self, session: Session, packet: Publish) -> int:
        """What follows a publication that is not taken: known already, or one too many; -1 for any other."""
        answers = self._answers()
        received = session.received
        if received is not None and packet.packet_id in received:
            if packet.properties is not None and TOPIC_ALIAS in packet.properties:
                refused = self._resolve(packet)  # those behind it may go by its alias
                if refused is not None:
                    return self.accuse(refused.reason, refused.code, refused.message)
            if packet.qos == 2:  # [MQTT-4.3.3-10]
                if answers is not None and answers.owes(packet.packet_id):
                    return GO_ON
                if packet.dup and session.durable and self.services.platform.takes_again(packet.topic):
                    return -1
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
                return self.accuse(refusal.reason, refusal.code, refusal.message)
        elif answers is not None and len(answers) >= most:
            answers.awaited = True  # 3.1.1 knows no such bound
            return AGAIN
        return -1

    def _retain(self, session: Session, packet: Publish) -> str:
        """Has a publication kept; returns its id. Its answer waits for that, and for who gets it now."""
        answer = self._share(packet) if packet.qos else None
        retainer = self.services.retainer
        id = retainer.name()
        retainer.keep(self, session, packet, answer, id)
        return id

    def _share(self, packet: Publish) -> Answer:
        """The answer to a publication in which somebody else has a say, besides who gets it now."""
        extras = self.extras
        if extras.answers is None:
            extras.answers = Answers()
        return extras.answers.share(packet.packet_id, packet.qos)

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
        return extras is not None and (extras.answers is not None or extras.owed > 0)

    def _answers(self) -> Answers | None:
        extras = self._extras
        return None if extras is None else extras.answers

    def _pubrel(self, packet: Pubrel) -> None:
        session = self.session
        received = None if session is None or not session.durable else session.received
        if session is not None and received is not None and packet.packet_id in received:
            self.extras.owed += 1
            self.services.steps.completed(self, session, packet.packet_id)
        elif self._let_go(packet.packet_id):
            self.send(Pubcomp(packet.packet_id))  # [MQTT-4.3.3-11]
        else:
            # Left from a session that the client had elsewhere: answered, so that it ends.
            self.report(STRAY, "PUBREL for what was not taken")
            self.send(Pubcomp(packet.packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND))

    def completed(self, packet_id: int) -> None:
        """The store has forgotten an identifier: only now may the client use it for something else."""
        self._let_go(packet_id)
        self.send(Pubcomp(packet_id))
        self._paid()

    def _paid(self) -> None:
        """An answer that had to wait is sent."""
        extras = self._extras
        if extras is not None:
            extras.owed -= 1
            if not self.owes():
                self.answered()

    # --- acknowledging ----------------------------------------------------------------------------

    def _acknowledge(self, packet: Puback) -> int:
        first = self.attachment
        if first is None:
            return GO_ON
        if packet.packet_id >= QUEUED and first.session.durable:
            return self._step(packet)
        session = first.session if first.sharing is None else first.next_turn().session
        outcome = self.services.pushes.acknowledge(session, packet.packet_id, packet.reason)
        if outcome == TAKEN:
            self._made_room(first)
        elif outcome == UNKNOWN:
            # A client may answer late, for a connection before this one: told of, not punished.
            self.report(STRAY, "an answer to what was not sent")
        else:
            return self._wrong()
        return GO_ON

    def _step(self, packet: Acknowledgement) -> int:
        """PUBREC or PUBCOMP, of what we have sent with QoS 2; or an answer to what came from the queue."""
        first = self.attachment
        if first is None:
            return GO_ON
        packet_id = packet.packet_id
        inflight = first.session.window.inflight
        awaited = NOTHING if inflight is None else inflight.awaits(packet_id)
        place = 0 if inflight is None else inflight.place(packet_id)
        received = packet.kind == PUBREC
        if inflight is None or awaited == NOTHING:
            self.report(STRAY, "an answer to what was not sent")
            if received and packet.reason < REFUSED:
                self.send(Pubrel(packet_id, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND))
        elif (packet.kind == PUBACK) != (awaited == PUBACK) or (awaited == PUBREC and not received):
            return self._wrong()
        elif received and packet.reason < REFUSED:
            # The store knows first, so that it is never sent as a PUBLISH again.
            if place:
                inflight.release(packet_id)
                self.services.steps.released(self, first.session, place)
            elif self.services.pushes.receive(self, first.session, packet_id):
                inflight.release(packet_id)
                self.send(Pubrel(packet_id))  # [MQTT-4.3.3-4]
        else:  # it is completed, or refused [MQTT-4.4.0-2]
            if place:
                self.services.steps.settled(first.session, place)
            session = first.session if first.sharing is None else first.next_turn().session
            self.services.pushes.complete(session, packet_id)
            self._made_room(first)
        return GO_ON

    def released(self, session: Session, packet_id: int) -> None:
        """The store knows that the client has a message with QoS 2 from its queue, or a push."""
        if self.session is session:
            self.send(Pubrel(packet_id))

    def _made_room(self, first: Attachment) -> None:
        """A message has had its last answer."""
        services = self.services
        if first.sharing is None:
            services.fanout.drain(first.session)
        else:
            for attachment in first.in_turn():
                services.pushes.freed(attachment.session)
                services.fanout.drain(attachment.session)

    def _wrong(self) -> int:
        # [MQTT-3.3.4-1]
        return self.accuse(
            ReasonCode.PROTOCOL_ERROR, "protocol_error", "an answer to a message of another QoS, or too early"
        )

    # --- subscribing ------------------------------------------------------------------------------

    def _subscribe(self, packet: Subscribe) -> int:
        session = self.session
        if session is None:
            return GO_ON
        self.wire.turn.spent += FILTER * len(packet.subscriptions)
        if self._in_use(session, packet.packet_id):
            refused = [int(PACKET_ID_IN_USE.reason)] * len(packet.subscriptions)
            self.send(Suback(packet.packet_id, refused, self.explanation(PACKET_ID_IN_USE.message)))
            return GO_ON
        identifier = 0
        if packet.properties is not None and SUBSCRIPTION_IDENTIFIER in packet.properties:
            identifier = subscription_identifiers(packet.properties)[0]
        why: list[str] = []
        if session.durable and self.services.filings.full():
            self.services.filings.hold_up(self.go_on)
            return AGAIN
        reasons = [self._enter(session, wanted, identifier, why) for wanted in packet.subscriptions]
        suback = Suback(packet.packet_id, reasons, self.explanation("; ".join(dict.fromkeys(why))))
        rooms = self.services.fanout.rooms
        if session.durable:
            self.extras.owed += 1
            self.services.filings.subscribe(self, session, packet.subscriptions, identifier, suback)
        elif rooms is None or not rooms.told_first(self, suback):
            self._send_suback(suback)
        else:
            self.extras.owed += 1
        return GO_ON

    def _send_suback(self, suback: Suback) -> None:
        """What is retained follows the answer."""
        self.send(suback)
        first = self.attachment
        if first is not None:
            for attachment in first.every():
                self.services.fanout.replayed(attachment.session)

    def subscribed(self, suback: Suback) -> None:
        """The other rooms have heard of a subscription, or cannot."""
        self._send_suback(suback)
        self._paid()

    def filed(self, answer: Packet) -> None:
        """The store has what a client has subscribed to, or unsubscribed from."""
        if isinstance(answer, Suback):
            rooms = self.services.fanout.rooms
            if rooms is None or not rooms.told_first(self, answer):
                self.subscribed(answer)
        else:
            self.send(answer)
            self._paid()

    def _enter(self, session: Session, wanted: Subscription, identifier: int, why: list[str]) -> int:
        """Enters a subscription; returns the reason code for SUBACK: the QoS granted, or a refusal."""
        refusal = self.services.rules.subscription(session, wanted, self.mqtt5)
        if refusal is not None and wanted.filter.startswith(ATTACHED_MARK):
            other = self._other(session, wanted.filter)
            if other is not None:
                inner = inner_subscription(wanted, other.prefix)
                if inner.qos == 2 and other.client_remembers():
                    inner.qos = 1  # as its messages are sent
                return self._enter(other.session, inner, identifier, why)
            refusal = NOT_ATTACHED
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
            # A shared subscription gets none, section 4.8.2.
            if (handling == 0 or (handling == 1 and new)) and not is_shared(wanted.filter):
                fanout.begin_replay(session, wanted.filter)
        return wanted.qos

    def _unsubscribe(self, packet: Unsubscribe) -> int:
        session = self.session
        if session is None:
            return GO_ON
        self.wire.turn.spent += FILTER * len(packet.filters)
        if self._in_use(session, packet.packet_id):
            refused = [int(PACKET_ID_IN_USE.reason)] * len(packet.filters)
            self.send(Unsuback(packet.packet_id, refused, self.explanation(PACKET_ID_IN_USE.message)))
            return GO_ON
        if session.durable and self.services.filings.full():
            self.services.filings.hold_up(self.go_on)
            return AGAIN
        reasons: list[int] = [
            ReasonCode.SUCCESS if self._withdraw(session, filter) else ReasonCode.NO_SUBSCRIPTION_EXISTED
            for filter in packet.filters
        ]
        unsuback = Unsuback(packet.packet_id, reasons)
        if session.durable:
            self.extras.owed += 1
            self.services.filings.unsubscribe(self, session, packet.filters, unsuback)
        else:
            self.send(unsuback)
        return GO_ON

    def _withdraw(self, session: Session, filter: str) -> bool:
        """Takes a subscription away; False when there was none."""
        if filter.startswith(ATTACHED_MARK):
            other = self._other(session, filter)
            if other is None:
                return False
            return self.services.fanout.unsubscribe(other.session, filter[len(other.prefix) :])
        return self.services.fanout.unsubscribe(session, filter)

    def _other(self, session: Session, topic: str) -> Attachment | None:
        """Whose a topic or filter is that `session`, the first on the connection, has named."""
        first = self.attachment
        return first.at(topic) if first is not None and session is first.session else None

    def _in_use(self, session: Session, packet_id: int) -> bool:
        """Whether MQTT 5 has to say that an identifier stands for something else [MQTT-2.2.1-3]."""
        received = session.received
        if received is None or not self.mqtt5 or packet_id not in received:
            return False
        self.report(PACKET_ID_IN_USE.code, PACKET_ID_IN_USE.message)
        return True
