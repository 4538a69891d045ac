"""Plain publish/subscribe: who subscribes to what, and how a message reaches them.

Nothing here waits. A message is encoded once for each protocol version, QoS and topic prefix. One with more
subscribers than a turn may serve is served in slices, a turn each; those of the moment it came get it.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, final

from longline.model.times import wall_clock
from longline.mqtt.codec import PublishFrame
from longline.mqtt.packets import Publish, Subscription
from longline.mqtt.properties import pack_subscription_identifier
from longline.mqtt.topics import byte_length
from longline.room.counters import RoomCounters
from longline.room.pubsub.groups import Allotment, ForQueues, Group, Handed, HeldForGroup
from longline.room.pubsub.message import FanoutMessage, Held
from longline.room.pubsub.replays import Live, Replay, Replays
from longline.room.pubsub.rooms import LATER, NOT_YET, Publisher, RemoteRooms
from longline.room.pubsub.rules import TOO_COSTLY
from longline.room.pubsub.sharer import Sharer
from longline.room.pubsub.subscriptions import Subscriber
from longline.room.session.inflight import ExactlyOnce, InFlight
from longline.room.session.outlet import Outlet
from longline.room.session.session import Attachment, Plain, Session, Tenant
from longline.room.turn import ENDING, FILTER, Turn
from longline.telemetry.faults import Faults

SUCCESS: Final = 0x00  # as numbers: in compiled code a member of an enum costs a look-up
NO_SUBSCRIBERS: Final = 0x10
QUOTA_EXCEEDED: Final = 0x97

QUEUED: Final = 64  # retained messages that may wait for a session's window
AT_LEAST: Final = 32  # for which there has to be room before more are read, or half of what there can be
MUCH: Final = 1 << 30
AT_MOST_ONCE: Final = 4  # deliveries at QoS 0 are the work of one that has a packet identifier of its own


@final
class Slices:
    """A message with more subscribers than one turn may serve.

    A slice is as many of them as a turn's budget, also at QoS 0, where these deliveries are a quarter of its
    work: each is to another connection, and all of these are flushed before anybody who was put off goes on.
    """

    __slots__ = ("_done", "_fanout", "_lost", "_message", "_reached", "_served", "_subscribers")

    def __init__(
        self,
        fanout: "Fanout",
        message: FanoutMessage,
        subscribers: list[Subscriber[Session]],
        done: Callable[[int], None],
    ) -> None:
        self._fanout = fanout
        self._message = message
        self._subscribers = subscribers
        self._done = done  # called with the reason code for the publisher
        self._served = 0
        self._reached = 0
        self._lost = 0

    def serve(self) -> bool:
        """Serves the next slice; False when it was the last."""
        end = self._served + self._fanout.turn.budget
        fanout = self._fanout
        if self._message.renew(fanout.clock()):
            some = fanout.still_allowed(self._message, self._subscribers[self._served : end])
            self._reached += fanout.spread(self._message, some)
            self._lost += fanout.lost
            self._served = end
            if end < len(self._subscribers):
                return True
        else:
            fanout.expired(len(self._subscribers) - self._served)
        self._done(QUOTA_EXCEEDED if self._lost and not self._reached else SUCCESS)
        return False


@final
class Fanout:
    """One for a room. `session_queue`: plain messages with QoS 1 or 2 that may wait for a session's window,
    which have no more than `session_queue_bytes` together, but for a single one. `match_limit`: looks that it
    may take to find whom a message is for.

    `clock` in ms. Of what was spread last, `lost` says how many subscribers had no room in their queue, and
    `left` how many get it from the queue of their session in the store. `reader` has that read, for a session
    that may have room.
    """

    __slots__ = (
        "_counters",
        "_faults",
        "_held",
        "_replaying",
        "clock",
        "keeper",
        "left",
        "lost",
        "match_limit",
        "reader",
        "replayer",
        "rooms",
        "session_queue",
        "session_queue_bytes",
        "shares",
        "turn",
        "unfile",
    )

    def __init__(
        self,
        counters: RoomCounters,
        turn: Turn,
        faults: Faults,
        session_queue: int,
        session_queue_bytes: int,
        clock: Callable[[], int] = wall_clock,
        *,
        match_limit: int = 10_000,
    ) -> None:
        self._counters = counters
        self._faults = faults
        self.match_limit = match_limit
        self._held: Held | None = None  # what of the message being spread was put into a queue last
        self.clock = clock
        self.left = 0
        self.lost = 0
        self.turn = turn
        self.session_queue = session_queue
        self.session_queue_bytes = session_queue_bytes
        self.rooms: RemoteRooms | None = None  # while there are others
        self.shares: Sharer | None = None
        self.unfile: Callable[[Session, list[str]], None] | None = None  # takes filters out of the store
        self.replayer: Callable[[Session], None] | None = None  # reads what is retained, if anything is
        # Puts a retained message into the queue of a session that is kept; False when it cannot.
        self.keeper: Callable[[Session, FanoutMessage, int, int], bool] | None = None
        self.reader: Callable[[Session], None] | None = None
        self._replaying = 0  # sessions to which retained messages are on their way

    # --- who wants what ---------------------------------------------------------------------------

    def subscribe(self, session: Session, wanted: Subscription, identifier: int = 0) -> bool:
        """Enters or replaces a session's subscription, with the QoS that is granted; 0: no identifier.

        Whether it is new.
        """
        tenant = session.tenant
        filter = wanted.filter
        plain = session.plain
        if plain is None:
            plain = session.plain = Plain()
        if plain.subscriptions is None:
            plain.subscriptions = {}
        if filter not in plain.subscriptions:
            plain.filter_bytes += byte_length(filter)
        plain.subscriptions[filter] = identifier << 8 | wanted.options
        shares = self.shares
        if shares is not None and shares.concerns(session, filter):
            return shares.join(session, wanted, identifier)
        rooms = self.rooms
        if rooms is not None and not tenant.subscriptions.wanted(filter):
            rooms.wanted(tenant.app, filter)
        return tenant.subscriptions.add(
            filter,
            Subscriber(
                session,
                wanted.qos,
                wanted.no_local,
                wanted.retain_as_published,
                pack_subscription_identifier(identifier) if identifier else b"",
                session.durable,
            ),
        )

    def unsubscribe(self, session: Session, filter: str) -> bool:
        """Takes a subscription away; False when there was none."""
        plain = session.plain
        if plain is None or plain.subscriptions is None or filter not in plain.subscriptions:
            return False
        del plain.subscriptions[filter]
        plain.filter_bytes -= byte_length(filter)
        replay = None if plain.replays is None else plain.replays.find(filter)
        if replay is not None and plain.replays is not None:
            plain.replays.end(replay)
            self.replayed(session)
        if not plain.subscriptions:
            plain.subscriptions = None
            session.tidy()
        self._withdraw(session, filter)
        return True

    def leave(self, session: Session) -> None:
        """The session is over: takes all its subscriptions away, and what waits for it."""
        plain = session.plain
        session.plain = None
        self.turn.spent += ENDING
        shares = self.shares
        sharing = shares is not None and shares.present
        if plain is not None and plain.replays is not None:
            self._replaying -= 1
        if plain is not None and plain.subscriptions is not None:
            self.turn.spent += FILTER * len(plain.subscriptions)
            for filter in plain.subscriptions:
                self._withdraw(session, filter)
        if shares is not None and sharing:
            shares.take_back(session, None if plain is None else plain.queue)

    def _withdraw(self, session: Session, filter: str) -> None:
        tenant = session.tenant
        shares = self.shares
        if shares is not None and shares.present and shares.leave(session, filter):
            return
        rooms = self.rooms
        had = tenant.subscriptions.remove(filter, session)
        if had and rooms is not None and not tenant.subscriptions.wanted(filter):
            rooms.unwanted(tenant.app, filter)

    # --- messages ---------------------------------------------------------------------------------

    def publish(
        self,
        publisher: Publisher,
        session: Session,
        packet: Publish,
        id: str = "",
        queued: bool = False,
        queues: ForQueues | None = None,
    ) -> int:
        """Hands a device's message to whom wants it in its app; returns the reason code for its publisher.

        `id` is that under which it is retained, if it is. `queued`: it goes to the queues of sessions, too;
        `queues` hears what groups have for these.
        NOT_YET when there are too many for one turn: `publisher.published` is told when all are served.
        With other rooms, also what `RemoteRooms.relay` says.
        """
        tenant = session.tenant
        subscribers = self._match(tenant, packet)
        if subscribers is None:
            publisher.report(TOO_COSTLY.code, TOO_COSTLY.message)
            return QUOTA_EXCEEDED
        allotted: Allotment | None = None
        shares = self.shares
        if shares is not None and shares.present:
            groups = shares.match(tenant.app, packet.topic)
            if groups is None:
                publisher.report(TOO_COSTLY.code, TOO_COSTLY.message)
                return QUOTA_EXCEEDED
            if groups:
                allotted = shares.publish(session, packet, id, groups, queues)
        rooms = self.rooms
        if queues is not None and packet.qos == 2 and rooms is not None and rooms.unsure():
            queues.asks = False  # a room may serve groups that we have not heard of, and it comes once
        return self._hand_round(publisher, session, packet, subscribers, id, queued, allotted)

    def allot(self, session: Session, packet: Publish, id: str, queues: ForQueues) -> Allotment | None:
        """Chooses for each group who gets a message that nobody is to get before the store has it: as
        `publish`, which does that and the rest in one; here the rest is that of `publish_committed`.
        """
        rooms = self.rooms
        if rooms is not None and rooms.unsure():
            queues.asks = False  # as in `publish`
        shares = self.shares
        if shares is None or not shares.present:
            return None
        groups = shares.match(session.tenant.app, packet.topic)
        return shares.allot(session, packet, id, groups, queues) if groups else None

    def publish_committed(
        self,
        publisher: Publisher,
        session: Session,
        packet: Publish,
        id: str,
        allotted: Allotment | None,
        queues: ForQueues,
        chosen: Sequence[str],
    ) -> int:
        """Hands a device's message that the store has by now to whom wants it; returns what `publish` does.

        `allotted` is what `allot` has said, and `chosen` the groups for which the store has found somebody.
        """
        app = session.tenant.app
        subscribers = self._match(session.tenant, packet)
        shares = self.shares
        groups: list[Group] | None = []
        if shares is not None and shares.present:
            groups = shares.match(app, packet.topic)
        if subscribers is None or groups is None:
            publisher.report(TOO_COSTLY.code, TOO_COSTLY.message)
            return QUOTA_EXCEEDED
        if chosen and allotted is None:
            allotted = Allotment(NO_SUBSCRIBERS)
        if allotted is not None:
            allotted.all += [key for key in chosen if key not in allotted.all]
        # Of groups that nobody here knew, the store chose for none: they were another room's to serve.
        others = [] if queues.asks else groups
        if allotted is not None and others:
            others = [group for group in others if group.key not in allotted.all]
        if shares is not None and (allotted is not None or others):
            if allotted is None:
                allotted = Allotment(NO_SUBSCRIBERS)
            shares.committed(session, packet, id, allotted, others)
        return self._hand_round(publisher, session, packet, subscribers, id, True, allotted)

    def _hand_round(
        self,
        publisher: Publisher,
        session: Session,
        packet: Publish,
        subscribers: list[Subscriber[Session]],
        id: str,
        queued: bool,
        allotted: Allotment | None,
    ) -> int:
        """Hands a device's message to its subscribers here, and to other rooms."""
        reason = NO_SUBSCRIBERS if allotted is None else allotted.reason
        if subscribers:
            if len(subscribers) > self.turn.budget:
                self._publish_in_slices(publisher, session, packet, subscribers, id, queued, allotted)
                return NOT_YET
            message = FanoutMessage(session, packet, self.clock, id)
            if queued:
                message.queued = True
            reached = self.spread(message, subscribers)
            if reached:
                reason = SUCCESS
            elif self.lost and reason != SUCCESS:
                reason = QUOTA_EXCEEDED  # nobody has it: the publisher may try again
            elif self.left == len(subscribers):
                pass  # as far as is known here: the queues say more
            elif len(subscribers) > 1 or subscribers[0].who is not session:
                reason = SUCCESS  # it was too large for them
        rooms = self.rooms
        if rooms is None:
            return reason
        return rooms.relay(publisher, session.tenant.app, packet, reason, id, queued, allotted)

    def _publish_in_slices(
        self,
        publisher: Publisher,
        session: Session,
        packet: Publish,
        subscribers: list[Subscriber[Session]],
        id: str,
        queued: bool,
        allotted: Allotment | None,
    ) -> None:
        def done(reason: int) -> None:
            if allotted is not None and allotted.reason == SUCCESS:
                reason = SUCCESS
            rooms = self.rooms
            if rooms is not None:
                app = session.tenant.app
                reason = rooms.relay(publisher, app, packet, reason, id, queued, allotted)
            if reason == LATER:
                publisher.go_on()
            elif reason != NOT_YET:
                publisher.published(packet, reason)

        message = FanoutMessage(session, packet, self.clock, id)
        message.queued = queued
        self.turn.slice(Slices(self, message, subscribers, done).serve)

    def distribute(
        self,
        tenant: Tenant,
        packet: Publish,
        done: Callable[[int], None],
        id: str = "",
        queued: bool = False,
        sender: str = "",
    ) -> bool:
        """Hands another room's message to the subscribers here. `id` as it is retained, `queued` as above.

        `sender`: the device that it is from, where it may be here [MQTT-3.8.3-3]. False when there are too
        many for one turn: `done` is called when all are served.
        """
        subscribers = self._match(tenant, packet)
        if subscribers is None:
            self._counters.refused.add(TOO_COSTLY.code)
        elif subscribers:
            message = FanoutMessage(tenant.sessions.get(sender), packet, self.clock, id)
            message.queued = queued
            if len(subscribers) > self.turn.budget:
                self.turn.slice(Slices(self, message, subscribers, done).serve)
                return False
            self.spread(message, subscribers)
        return True

    def expired(self, count: int) -> None:
        """A message is over before it was written to so many subscribers, or reached this room."""
        self._counters.messages_dropped_expired += count

    def _match(self, tenant: Tenant, packet: Publish) -> list[Subscriber[Session]] | None:
        """Who wants a message; None when that takes too many looks. They are work of this turn, too."""
        index = tenant.subscriptions
        subscribers = index.match(packet.topic, self.match_limit)
        self.turn.spent += index.visited
        if subscribers and tenant.sifting:  # some are subscribed by rules that do not hold any more
            self.turn.spent += len(subscribers)
            return [who for who in subscribers if self.may_receive(who.who, packet.topic)]
        return subscribers

    def still_allowed(
        self, message: FanoutMessage, subscribers: list[Subscriber[Session]]
    ) -> list[Subscriber[Session]]:
        """Those to whom a message may still go that was on its way to them: rules may have changed."""
        topic = message.packet.topic
        return [who for who in subscribers if self.may_receive(who.who, topic)]

    def may_receive(self, session: Session, topic: str) -> bool:
        """Whether the rules of its app let a session have a message by now; counts it where they do not."""
        acl = session.tenant.acl
        if acl is None or acl.may_receive(session.device, topic):
            return True
        self.denied(1)
        return False

    def denied(self, count: int) -> None:
        """A message is not for so many subscribers any more, whose app has other rules by now."""
        self._counters.messages_dropped_denied += count

    def spread(self, message: FanoutMessage, subscribers: list[Subscriber[Session]]) -> int:
        """Delivers a message to each of these; returns how many of them it has reached."""
        self.lost = 0
        self.left = 0
        packet_qos = message.packet.qos
        sender = message.sender
        reached = 0
        written = 0  # at QoS 0, the same bytes to all
        frame: PublishFrame | None = None  # as it went to the one before
        frame_qos = 0
        frame_mqtt5 = False
        whole = b""
        for subscriber in subscribers:
            receiver = subscriber.who
            attachment = receiver.attachment
            if attachment is None:
                continue
            if subscriber.no_local and receiver is sender:
                own = subscriber.own()
                if own is None:
                    continue
                subscriber = own
            qos = packet_qos if packet_qos < subscriber.qos else subscriber.qos
            try:
                outlet = attachment.outlet
                if (
                    subscriber.particular
                    or outlet.particular
                    or attachment.sharing is not None
                    or (self._replaying and receiver.replays is not None)
                ):
                    if qos and subscriber.kept and message.queued:
                        self.left += 1
                        continue
                    form = message.as_published() if subscriber.as_published else message
                    if self._waits(form, subscriber):
                        reached += 1
                    else:
                        reached += self._hand(receiver, attachment, form, qos, subscriber.identifiers)
                    continue
                mqtt5 = outlet.mqtt5
                if frame is None or qos != frame_qos or mqtt5 != frame_mqtt5:
                    frame = message.frame(mqtt5, qos)
                    frame_qos = qos
                    frame_mqtt5 = mqtt5
                    if not qos:
                        whole = frame.at_most_once
                if qos:
                    plain = receiver.plain
                    window = receiver.window
                    free = plain is None or plain.queue is None
                    if qos == 1 and free and not outlet.blocked and window.spare() > 0:
                        outlet.write(frame.with_id(window.identify(None), False))
                        reached += 1
                    else:
                        reached += self._deliver(message, receiver, outlet, frame, qos, "", b"")
                elif outlet.blocked:
                    self._counters.messages_dropped_slow += 1
                else:
                    outlet.write(whole)
                    written += 1
            except Exception as error:
                self._faults.note("room.fanout", error)
        self._held = None
        self.turn.spent += len(subscribers) - written + written // AT_MOST_ONCE
        reached += written
        self._counters.messages_routed += reached
        return reached

    def give(self, member: Subscriber[Session], message: FanoutMessage, group: Group) -> bool:
        """Delivers a message to a member of a group; False when it cannot take it, and another may."""
        receiver = member.who
        attachment = receiver.attachment
        if attachment is None:
            return False
        form = message.as_published() if member.as_published else message
        qos = min(message.packet.qos, member.qos)  # [MQTT-4.8.2-3]
        return self._hand(receiver, attachment, form, qos, member.identifiers, group)

    def _hand(
        self,
        receiver: Session,
        attachment: Attachment,
        message: FanoutMessage,
        qos: int,
        identifiers: bytes,
        group: Group | None = None,
    ) -> bool:
        """Delivers a message to somebody who gets it in a form of its own, or may not get it.

        What a member of a `group` does not get is not counted as dropped.
        """
        outlet = attachment.outlet
        prefix = attachment.prefix
        if qos == 2 and attachment.client_remembers():
            # What goes by no queue has an identifier that ends with the connection, while the client's memory
            # of it does not: what is sent next under one that it remembers would be lost.
            qos = 1
        if not outlet.mqtt5:
            identifiers = b""
        if not prefix:
            frame = message.frame(outlet.mqtt5, qos)
        else:
            frame = message.with_prefix(prefix, outlet.version, qos)
        if identifiers:
            frame = frame.extended(identifiers)
        if outlet.particular and not outlet.takes(frame.size):
            self._counters.messages_dropped_size += group is None
            return False
        if qos:
            return self._deliver(message, receiver, outlet, frame, qos, prefix, identifiers, group)
        if outlet.blocked:
            self._counters.messages_dropped_slow += group is None
            return False
        if outlet.particular:
            frame = outlet.abbreviated(frame, prefix + message.packet.topic)
        outlet.write(frame.at_most_once)
        return True

    def _deliver(
        self,
        message: FanoutMessage,
        receiver: Session,
        outlet: Outlet,
        frame: PublishFrame,
        qos: int,
        prefix: str,
        identifiers: bytes,
        group: Group | None = None,
    ) -> bool:
        """Writes a message with QoS 1 or 2, or puts it into the queue."""
        plain = receiver.plain
        queue = None if plain is None else plain.queue
        attachment = receiver.attachment
        if queue is None and not outlet.blocked and attachment is not None and attachment.spare() > 0:
            if outlet.particular:
                frame = outlet.abbreviated(frame, prefix + message.packet.topic)
            entry: InFlight | None = None if qos == 1 else ExactlyOnce()
            if group is not None and qos == 1:
                entry = Handed(group, receiver, message)
            outlet.write(frame.with_id(receiver.window.identify(entry), False))
            return True
        if plain is None:
            plain = receiver.plain = Plain()
        if queue is None:
            queue = plain.queue = deque()
        size = frame.size
        if len(queue) >= self.session_queue or (
            queue and plain.queue_bytes + size > self.session_queue_bytes
        ):
            if group is None:
                self._counters.messages_dropped_slow += 1
                self.lost += 1
            return False
        held = self._held
        if group is not None:
            held = HeldForGroup(group, receiver, message, prefix, qos, identifiers, size)
        elif held is None or not held.alike(message, prefix, qos, identifiers, size):
            held = self._held = Held(message, prefix, qos, identifiers, size)
        queue.append(held)
        plain.queue_bytes += size
        return True

    def drain(self, session: Session) -> None:
        """Writes plain messages that waited, as far as the window and the connection allow."""
        plain = session.plain
        attachment = session.attachment
        if attachment is None:
            return
        if plain is not None and plain.queue is not None:
            self._drain(session, plain, plain.queue, attachment)
        if plain is not None and plain.replays is not None:
            self._go_on(session, plain.replays)
        if session.kept is not None and self.reader is not None:
            self.reader(session)

    def caught_up(self, session: Session) -> None:
        """No pushes wait for a session any more: plain messages on its connection have had to, for them."""
        attachment = session.attachment
        if attachment is None or attachment.sharing is None:
            self.drain(session)
        else:
            self.drain_all(attachment if attachment.first is None else attachment.first)

    def drain_all(self, first: Attachment) -> None:
        """Writes plain messages that waited, for all that share a connection, in turn."""
        for attachment in first.in_turn():
            self.drain(attachment.session)

    def _drain(self, session: Session, plain: Plain, queue: deque[Held], attachment: Attachment) -> None:
        outlet = attachment.outlet
        window = session.window
        while queue and not outlet.blocked and attachment.spare() > 0:
            held = queue.popleft()
            plain.queue_bytes -= held.size
            if session.tenant.sifting and not self.may_receive(session, held.message.packet.topic):
                continue
            frame = held.frame(self.clock(), outlet.version)
            if frame is None:  # it waited for too long
                self.expired(1)
                continue
            if outlet.particular:
                frame = outlet.abbreviated(frame, held.topic)
            outlet.write(frame.with_id(window.identify(held.entry()), False))
        if not queue:
            plain.queue = None
            session.tidy()

    # --- retained messages ------------------------------------------------------------------------

    def begin_replay(self, session: Session, filter: str) -> None:
        """A subscription gets what is retained, from the next call of `replayed` on."""
        plain = session.plain
        if plain is None or self.replayer is None:
            return
        replays = plain.replays
        if replays is None:
            replays = plain.replays = Replays()
            self._replaying += 1
        replays.add(Replay(filter))

    def replayed(self, session: Session) -> None:
        """Something has changed for what a session has still to get: goes on with what this allows."""
        plain = session.plain
        replays = None if plain is None else plain.replays
        if plain is None or replays is None:
            return
        self._give(replays.released())
        if replays.queue:
            self._go_on(session, replays)
        else:
            plain.replays = None
            self._replaying -= 1
            session.tidy()

    def _go_on(self, session: Session, replays: Replays[Subscriber[Session]]) -> None:
        """Has the store read for a session, if something is to be read and there is room for it."""
        replayer = self.replayer
        if replayer is None or replays.asked or not replays.queue:
            return
        if not replays.ahead:
            at_least = min(AT_LEAST, (session.window.size + min(QUEUED, self.session_queue)) // 2)
            if self.room(session, self.options(session, replays.queue[0].filter) & 3) < max(1, at_least):
                return  # until it acknowledges something, or takes bytes again
        replays.asked = True
        replayer(session)

    def options(self, session: Session, filter: str) -> int:
        """Those of a session's subscription, as `Plain.subscriptions` has them; 0 for none."""
        plain = session.plain
        if plain is None or plain.subscriptions is None:
            return 0
        return plain.subscriptions.get(filter, 0)

    def room(self, session: Session, qos: int) -> int:
        """How many retained messages with a QoS a session may be given now."""
        attachment = session.attachment
        if attachment is None or not attachment.outlet.ready():
            return 0
        if qos == 0:
            return MUCH
        kept = session.kept
        if kept is not None and kept.durable and self.keeper is not None:
            return max(0, QUEUED - kept.replaying)
        plain = session.plain
        queue = None if plain is None else plain.queue
        if plain is None or queue is None:
            waiting = 0
        elif 2 * plain.queue_bytes > self.session_queue_bytes:
            return 0
        else:
            waiting = len(queue)
        return max(0, attachment.spare()) + max(0, min(QUEUED, self.session_queue) - waiting)

    def replay(self, session: Session, message: FanoutMessage, qos: int, identifier: int) -> None:
        """Delivers a retained message to a session for which there is room.

        Where that is kept, and with QoS 1 or 2, it goes by its queue, like any other: so what is
        unacknowledged when the connection ends comes again [MQTT-4.4.0-1].
        """
        attachment = session.attachment
        if attachment is None:
            return
        self.turn.spent += 1
        if session.tenant.sifting and not self.may_receive(session, message.packet.topic):
            return
        if not message.renew(self.clock()):
            self.expired(1)
        elif qos and self.keeper is not None and session.durable:
            if self.keeper(session, message, qos, identifier):
                self._counters.retained_sent += 1
            else:
                self.replay_directly(session, message, qos, identifier)
        else:
            self.replay_directly(session, message, qos, identifier)

    def replay_directly(self, session: Session, message: FanoutMessage, qos: int, identifier: int) -> None:
        """The same, written to the connection or waiting for it, and gone with it."""
        attachment = session.attachment
        identifiers = pack_subscription_identifier(identifier) if identifier else b""
        if attachment is not None and self._hand(session, attachment, message, qos, identifiers):
            self._counters.retained_sent += 1

    def give_up(self, session: Session) -> None:
        """What a session has still to get is not sent."""
        replays = session.replays
        if replays is not None:
            for replay in list(replays.queue):
                replays.end(replay)
            self.replayed(session)

    def let_go(self, session: Session) -> None:
        """The store does not answer: what is held does not wait for it."""
        replays = session.replays
        if replays is not None:
            self._give(replays.let_go())

    def _waits(self, message: FanoutMessage, subscriber: Subscriber[Session]) -> bool:
        """Whether a message waits for what is retained of its topic to go to the same receiver first."""
        receiver = subscriber.who
        replays = receiver.replays
        if replays is None:
            return False
        self.turn.spent += len(replays.queue)
        if not replays.awaits(message.packet.topic):
            return False
        live = Live(message, subscriber, self.clock())
        if not replays.hold(live, self.session_queue, self.session_queue_bytes):
            self._give(replays.let_go())
            return False
        self._go_on(receiver, replays)
        return True

    def _give(self, lives: list[Live[Subscriber[Session]]]) -> None:
        """Delivers messages that were held."""
        lost = self.lost  # is said of another message
        for live in lives:
            message, subscriber = live.message, live.receiver
            attachment = subscriber.who.attachment
            if attachment is None:
                continue
            qos = min(message.packet.qos, subscriber.qos)
            try:
                if not self.may_receive(subscriber.who, message.packet.topic):
                    continue
                if not message.renew(self.clock()):
                    self.expired(1)
                else:
                    self._hand(subscriber.who, attachment, message, qos, subscriber.identifiers)
            except Exception as error:
                self._faults.note("room.fanout", error)
        self._held = None
        self.lost = lost
