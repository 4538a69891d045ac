"""Shared subscriptions, section 4.8.2: one member of each group gets a message, whichever room it is in.

Nothing here waits. The publisher's room chooses a room for each group that wants the message (`groups.py`),
itself or another, which is sent it with the names of the groups (`ForGroups`). In the room members have
turns. One that cannot take the message (its connection holds too much, its queue is full, the message is over
its Maximum Packet Size) is passed over; so is one with half a queue before it, while another has less. When
none here can take it, other rooms are tried, each at most once.

What a member leaves behind without having acknowledged it is handed out again. With QoS 2 that is only what
was not written yet: a client may have what was [MQTT-4.8.2-5]. What it refused is done with [MQTT-4.8.2-6].

A member whose session is kept gets messages with QoS 1 and 2 from the queue of its session [MQTT-4.8.2-4],
which `give` has the store put them into; of one that did not take it `refused` is told, and the next is
offered it. With QoS 1, others get what such a member leaves behind, if there are any; else it waits in the
queue for the member to be back. With QoS 2 it always does.

Where no room has a member that can take a message with QoS 1 or 2, the store chooses one of the group's
sessions that are kept (`GroupChoice`): of a publication in the step that brings it to all queues, else by
`leave_to_store`.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, final

from longline.model.commands import ForGroups
from longline.mqtt.packets import Publish, Subscription
from longline.mqtt.properties import pack_subscription_identifier
from longline.mqtt.topics import is_shared, split_shared
from longline.room.counters import RoomCounters
from longline.room.pubsub.fanout import NO_SUBSCRIBERS, QUOTA_EXCEEDED, SUCCESS, Fanout
from longline.room.pubsub.groups import (
    HERE,
    Allotment,
    ForQueues,
    Group,
    Handed,
    HeldForGroup,
    Offer,
    OtherRoom,
)
from longline.room.pubsub.message import FanoutMessage, Held
from longline.room.pubsub.sharer import Sharer
from longline.room.pubsub.subscriptions import Subscriber, Subscriptions
from longline.room.session.inflight import queue_identifier
from longline.room.session.session import Gone, Session
from longline.telemetry.faults import Faults

PLACE: Final = "room.shared"
SLICE: Final = 500  # messages handed out again in one turn
QUEUES: Final = 8  # of members that are tried for a message, each of which costs a call of the store


@final
class Returned:
    """A message that comes back to its group; `left`: as it still waits in a queue."""

    __slots__ = ("app", "key", "left", "message")

    def __init__(self, group: Group, message: FanoutMessage, left: HeldForGroup | None = None) -> None:
        self.app = group.app
        self.key = group.key
        self.left = left
        self.message = message


@final
class Groups(Sharer):
    """One for a room, whose name among the others is `node`. A message is for `most` groups at most.

    `give` has the store queue a message for a member, and says whether there is room for more of the kind;
    `settle` has a place of a queue settled. `leave_to_store` has the store choose for a group, or, with None,
    for all but those named; False where there is no room for more of the kind.
    """

    __slots__ = (
        "_back",
        "_counters",
        "_fanout",
        "_faults",
        "_groups",
        "_here",
        "_index",
        "_most",
        "give",
        "leave_to_store",
        "node",
        "settle",
    )

    def __init__(
        self, node: str, fanout: Fanout, counters: RoomCounters, faults: Faults, most: int = 1000
    ) -> None:
        super().__init__()
        self.node = node
        self._fanout = fanout
        self._counters = counters
        self._faults = faults
        self._most = most
        self._groups: dict[tuple[int, str], Group] = {}
        self._index: dict[int, Subscriptions[Group]] = {}  # by app
        self._here: dict[int, dict[str, None]] = {}  # the groups with members here
        self._back: deque[Returned] = deque()
        self.give: Callable[[HeldForGroup], bool] | None = None
        self.leave_to_store: Callable[[int, FanoutMessage, str | None, list[str]], bool] | None = None
        self.settle: Callable[[Session, int], None] | None = None
        fanout.shares = self

    # --- who is in which group --------------------------------------------------------------------

    def concerns(self, session: Session, filter: str) -> bool:
        if not is_shared(filter):
            return False
        attachment = session.attachment
        return attachment is not None and attachment.outlet.mqtt5  # in 3.1.1 a filter like any other

    def groups(self, app: int) -> int:
        return len(self._here.get(app, ()))

    def levels(self, app: int) -> int:
        index = self._index.get(app)
        return 0 if index is None else index.levels

    def members(self, app: int, key: str) -> int:
        group = self._groups.get((app, key))
        return 0 if group is None else len(group.members)

    def here(self) -> list[tuple[int, str]]:
        """The groups that have members here, by app and filter."""
        return [(app, key) for app, keys in self._here.items() for key in keys]

    def join(self, session: Session, wanted: Subscription, identifier: int) -> bool:
        group = self._group(session.tenant.app, wanted.filter)
        identifiers = pack_subscription_identifier(identifier) if identifier else b""
        if not group.join(Subscriber(session, wanted.qos, False, wanted.retain_as_published, identifiers)):
            return False
        self._counters.shared_members += 1
        self._changed(group)
        return True

    def leave(self, session: Session, filter: str) -> bool:
        group = self._groups.get((session.tenant.app, filter))
        if group is None or not group.part(session):
            return False
        self._counters.shared_members -= 1
        self._changed(group)
        self._tidy(group)
        return True

    def told(self, room: OtherRoom, app: int, key: str, members: int) -> None:
        """Another room has about so many members of a group."""
        if members:
            self._group(app, key).tell(room, members)
        else:
            group = self._groups.get((app, key))
            if group is not None:
                group.tell(room, 0)
                self._tidy(group)

    def _group(self, app: int, key: str) -> Group:
        group = self._groups.get((app, key))
        if group is None:
            group = self._groups[app, key] = Group(app, key, split_shared(key)[1])
            index = self._index.get(app)
            if index is None:
                index = self._index[app] = Subscriptions()
            index.add(group.filter, Subscriber(group, 2))
            self.present = True
        return group

    def _tidy(self, group: Group) -> None:
        if group.empty():
            del self._groups[group.app, group.key]
            index = self._index[group.app]
            index.remove(group.filter, group)
            if not index.size:
                del self._index[group.app]
            self.present = bool(self._groups)

    def _changed(self, group: Group) -> None:
        """It has another number of members here."""
        count = len(group.members)
        keys = self._here.get(group.app)
        if not count:
            if keys is not None:
                del keys[group.key]
                if not keys:
                    del self._here[group.app]
            self._counters.shared_groups -= 1
        elif keys is None or group.key not in keys:
            if keys is None:
                keys = self._here[group.app] = {}
            keys[group.key] = None
            self._counters.shared_groups += 1
        rooms = self._fanout.rooms
        if rooms is not None:
            rooms.shared(group.app, group.key, count)

    # --- messages ---------------------------------------------------------------------------------

    def match(self, app: int, topic: str) -> list[Group] | None:
        index = self._index.get(app)
        if index is None:
            return []
        members = index.match(topic, self._fanout.match_limit)
        self._fanout.turn.spent += index.visited
        if members is None or len(members) > self._most:
            return None
        self._fanout.turn.spent += len(members)
        return [subscriber.who for subscriber in members]

    def publish(
        self,
        session: Session,
        packet: Publish,
        id: str,
        groups: list[Group],
        queues: ForQueues | None = None,
    ) -> Allotment:
        message = FanoutMessage(session, packet, self._fanout.clock, id)
        message.queued = queues is not None
        given = None if queues is None else queues.given
        return self._allot(Offer(message, given), groups, packet.qos > 0, queues)

    def allot(
        self, session: Session, packet: Publish, id: str, groups: list[Group], queues: ForQueues
    ) -> Allotment:
        message = FanoutMessage(session, packet, self._fanout.clock, id)
        message.queued = True
        offer = Offer(message, queues.given)
        offer.put_off = []
        allotted = self._allot(offer, groups, True, queues)
        allotted.put_off = offer.put_off
        return allotted

    def committed(
        self, session: Session, packet: Publish, id: str, allotted: Allotment, others: list[Group]
    ) -> None:
        app = session.tenant.app
        message = FanoutMessage(session, packet, self._fanout.clock, id)
        message.queued = True
        offer = Offer(message)
        served = False
        for group, member in allotted.put_off:
            if (
                group.has(member.who)
                and self._takes(member, packet, True)
                and self._hand(group, member, offer)
            ):
                served = True
            else:
                served = self._serve(app, group.key, offer, []) or served
        for group in others:
            allotted.all.append(group.key)
            served = self._serve(app, group.key, offer, []) or served
        if served:
            allotted.reason = SUCCESS
        elif allotted.put_off:
            allotted.reason = QUOTA_EXCEEDED

    def _allot(self, offer: Offer, groups: list[Group], waits: bool, says: ForQueues | None) -> Allotment:
        """Serves each group here, or says which room is to; `says` hears for which the store is to choose."""
        given = offer.given
        allotted = Allotment(NO_SUBSCRIBERS)
        for group in groups:
            allotted.all.append(group.key)
            queues = 0 if given is None else len(given)
            room = self._choose(group, offer, [], waits)
            if room is None and says is not None:
                says.unserved.append(group.key)
            elif says is not None:
                says.served.append(group.key)
            if room is None:
                if says is None:
                    self._counters.shared_dropped += 1
                if group.members and allotted.reason != SUCCESS:
                    allotted.reason = QUOTA_EXCEEDED  # nobody has it: the publisher may try again
            elif room == HERE:
                if given is None or len(given) == queues:  # else the queue has a say
                    allotted.reason = SUCCESS
            else:
                keys = allotted.rooms.get(room)
                if keys is None:
                    keys = allotted.rooms[room] = []
                keys.append(group.key)
        return allotted

    def arrived(self, app: int, packet: Publish, id: str, share: ForGroups, queued: bool = False) -> None:
        """Another room's message, for groups that this one is to serve. `queued`: as in `Forward`."""
        message = FanoutMessage(None, packet, self._fanout.clock, id)
        message.queued = queued
        offer = Offer(message)
        for key in share.groups:
            self._serve(app, key, offer, list(share.tried))
        rooms = self._fanout.rooms
        if share.decides:
            says = ForQueues([]) if queued and packet.qos else None
            allotted = self._allot(offer, self.match(app, packet.topic) or [], False, says)
            if rooms is not None:
                rooms.share(app, message, allotted)
            leave = self.leave_to_store
            if says is not None and (leave is None or not leave(app, message, None, says.served)):
                self._counters.shared_dropped += len(says.unserved)
        elif share.unsure:
            known = {*share.groups, *share.served}
            for group in self.match(app, packet.topic) or ():
                if group.members and group.key not in known and self._is_first(group, share.unsure):
                    self._serve(app, group.key, offer, [])

    def _is_first(self, group: Group, unsure: tuple[str, ...]) -> bool:
        """Whether none of the rooms that are asked, and come before this one, has members."""
        for room, party in group.parties.items():
            if party.members and not room.gone and room.name < self.node and room.name in unsure:
                return False
        return True

    def _serve(self, app: int, key: str, offer: Offer, tried: list[str]) -> bool:
        """Serves a group here, for which this room was chosen, or has another do it; False: nobody does."""
        group = self._groups.get((app, key))
        if group is not None and self._offer(group, offer):
            return True
        return self._pass_on(app, key, offer, [*tried, HERE]) or self._leave(app, key, offer.message)

    def _leave(self, app: int, key: str, message: FanoutMessage) -> bool:
        """No room has a member that can take a message: a session that is kept may have it."""
        leave = self.leave_to_store
        if message.packet.qos and message.queued and leave is not None and leave(app, message, key, []):
            return True
        self._counters.shared_dropped += 1
        return False

    def _pass_on(self, app: int, key: str, offer: Offer, passed: list[str]) -> bool:
        """Has a room that is not `passed` over serve a group; False when there is none."""
        group = self._groups.get((app, key))
        rooms = self._fanout.rooms
        room = None if group is None else self._choose(group, offer, passed, False)
        if room is None:
            return False
        if room != HERE and rooms is not None:
            tried = tuple([self.node if name == HERE else name for name in passed])
            rooms.hand_on(room, app, offer.message, ForGroups((key,), tried, True))
            self._taken_over(offer.left)
        return True

    def _choose(self, group: Group, offer: Offer, passed: list[str], waits: bool) -> str | None:
        """Serves a group here, or says which room is to; None when none can. Those that cannot are `passed`.

        `waits`: its publisher would wait for a room that has no place for more messages.
        """
        rooms = self._fanout.rooms
        full: str | None = None
        party = group.next_room(passed)
        while party is not None:
            name = party.name
            if party.room is None:
                if self._offer(group, offer):
                    return HERE
            elif rooms is not None:
                if not rooms.full(name):
                    return name
                if waits and full is None:
                    full = name
            passed.append(name)
            party = group.next_room(passed)
        return full

    def _offer(self, group: Group, offer: Offer) -> bool:
        """Gives a message to the member whose turn it is, or to the next that can take it; False: to none."""
        fanout = self._fanout
        message = offer.message
        members = group.members
        count = len(members)
        for patient in (False, True):
            for step in range(count):
                seat = (group.turn + step) % count
                fanout.turn.spent += 1
                try:
                    member = members[seat]
                    if not self._takes(member, message.packet, patient):
                        continue
                    if message.queued and self._has_queue(member, message):
                        taken = self._queue(group, member, offer)
                    elif offer.put_off is not None:
                        offer.put_off.append((group, member))
                        taken = True
                    else:
                        taken = self._hand(group, member, offer)
                    if taken:
                        group.turn = (seat + 1) % count
                        return True
                except Exception as error:
                    self._faults.note(PLACE, error)
        return False

    def _hand(self, group: Group, member: Subscriber[Session], offer: Offer) -> bool:
        """Writes a message to a member's connection, or has it wait there; False when it cannot take it."""
        if not self._fanout.give(member, offer.message, group):
            return False
        self._counters.shared_routed += 1
        self._counters.messages_routed += 1
        self._taken_over(offer.left)
        return True

    def _takes(self, member: Subscriber[Session], packet: Publish, patient: bool) -> bool:
        """Whether a member is offered a message. `patient`: also one that has to deal with others first."""
        session = member.who
        attachment = session.attachment
        if attachment is None or attachment.outlet.ended:
            return False
        if session.tenant.sifting and not self._fanout.may_receive(session, packet.topic):
            return False  # a member by rules that do not hold any more
        if not packet.qos or not member.qos:
            return not attachment.outlet.blocked
        if patient:
            return True
        if attachment.outlet.blocked:
            return False
        kept = session.kept
        if kept is not None and kept.more and attachment.spare() <= 0:
            return False
        plain = session.plain
        if plain is None or plain.queue is None:
            return True
        fanout = self._fanout
        return (
            2 * len(plain.queue) < fanout.session_queue and 2 * plain.queue_bytes < fanout.session_queue_bytes
        )

    # --- queues of members ------------------------------------------------------------------------

    def _has_queue(self, member: Subscriber[Session], message: FanoutMessage) -> bool:
        """Whether a member gets a message from the queue of its session."""
        if not message.packet.qos or not member.qos:
            return False
        kept = member.who.kept
        return self.give is not None and kept is not None and kept.durable and kept.number > 0

    def _queue(self, group: Group, member: Subscriber[Session], offer: Offer) -> bool:
        """Has a message put into the queue of a member; False when it is not tried."""
        session = member.who
        refused = offer.refused
        if refused is not None and session in refused:
            return False
        message = offer.message.as_published() if member.as_published else offer.message
        qos = min(message.packet.qos, member.qos)
        held = HeldForGroup(group, session, message, "", qos, member.identifiers, 0)
        subscriptions = session.subscriptions
        if subscriptions is not None:
            held.identifier = subscriptions.get(group.key, 0) >> 8
        if refused is not None:
            held.refused = refused
        held.left = offer.left
        if offer.given is not None:
            offer.given.append(held)
            return True
        give = self.give
        return give is not None and give(held)

    def queued(self, held: HeldForGroup, place: int) -> None:
        """A message is at a place of the queue of the member that was chosen for it."""
        self._counters.shared_routed += 1
        self._counters.messages_routed += 1
        self._taken_over(held.left)
        session = held.session
        kept = session.kept
        if held.qos != 1 or kept is None:
            return
        held.left = None
        held.place = place
        if session.attachment is None:
            self._give_back([Returned(held.group, held.message, held)])
            return
        inflight = session.window.inflight
        if place <= kept.read and (inflight is None or inflight.place(queue_identifier(place)) != place):
            return  # it is acknowledged already
        if kept.given is None:
            kept.given = {}
        kept.given[place] = held

    def refused(self, held: HeldForGroup, given: list[HeldForGroup]) -> bool:
        """The queue of a member has not taken a message: others are offered it; False when no room has one.

        `given` gets what is for another queue.
        """
        held.refused.append(held.session)
        if len(held.refused) < QUEUES:
            offer = Offer(self._as_it_came(held.message), given)
            offer.refused = held.refused
            offer.left = held.left
            if self._pass_on(held.group.app, held.group.key, offer, []):
                return True
        return False

    def _taken_over(self, left: HeldForGroup | None) -> None:
        """Somebody else has a message that waits in the queue of a member that has gone."""
        settle = self.settle
        if left is not None and settle is not None:
            settle(left.session, left.place)

    # --- what comes back --------------------------------------------------------------------------

    def take_back(self, session: Session, queue: deque[Held] | None) -> None:
        back: list[Returned] = []
        inflight = session.window.inflight
        if inflight is not None:
            for packet_id, entry in inflight.each():
                if isinstance(entry, Handed) and entry.session is session:
                    inflight.forget(packet_id)
                    back.append(Returned(entry.group, entry.message))
        if queue is not None:
            back += [Returned(held.group, held.message) for held in queue if isinstance(held, HeldForGroup)]
        kept = session.kept
        if kept is not None and kept.given is not None:
            if session.gone != Gone.TAKEN_OVER:  # else the next connection has the queue
                back += [
                    Returned(held.group, held.message, held)
                    for held in kept.given.values()
                    if isinstance(held, HeldForGroup)
                ]
            kept.given = None
        if back:
            self._give_back(back)

    def _give_back(self, returned: list[Returned]) -> None:
        waiting = len(self._back)
        self._back.extend(returned)
        if not waiting:
            self._fanout.turn.slice(self._hand_out)

    def coming_back(self) -> int:
        """How many messages wait to be handed out again."""
        return len(self._back)

    def _hand_out(self) -> bool:
        """Hands out the next ones again; False when they were the last."""
        back = self._back
        now = self._fanout.clock()
        for _ in range(min(SLICE, len(back))):
            returned = back.popleft()
            try:
                message = self._as_it_came(returned.message)
                left = returned.left
                if not message.renew(now):
                    self._fanout.expired(1)
                    continue
                offer = Offer(message)
                offer.left = left
                if self._pass_on(returned.app, returned.key, offer, []):
                    self._counters.shared_returned += 1
                elif left is None:
                    self._counters.shared_returned += 1
                    self._leave(returned.app, returned.key, message)
            except Exception as error:
                self._faults.note(PLACE, error)
        return bool(back)

    def _as_it_came(self, message: FanoutMessage) -> FanoutMessage:
        """A message whose receiver is yet to be chosen: not with the retain flag that one was to see."""
        if not message.retain:
            return message
        found = FanoutMessage(None, message.packet, self._fanout.clock, message.id)
        found.ends = message.ends
        found.queued = message.queued
        return found
