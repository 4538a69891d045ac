"""Groups: the members of a shared subscription, section 4.8.2, and whose turn it is.

A group is a share name with a filter. Of all its members, in all rooms, one gets a message. The room of the
publisher chooses a room, which chooses one of its members. Rooms have turns by how many members they have:
each is due again after one part in so many, so that their shares are right over any stretch of messages. A
room joins at a moment drawn by lot; else all publishers' rooms would begin with the same one.
"""

from heapq import heappop, heappush
from random import random
from typing import Final, final

from longline.room.pubsub.message import FanoutMessage, Held
from longline.room.pubsub.subscriptions import Subscriber
from longline.room.session.inflight import ExactlyOnce, InFlight
from longline.room.session.session import Session

HERE: Final = ""  # instead of the name of another room


@final
class OtherRoom:
    """Another room, as groups see it. `gone`: there is no such room any more."""

    __slots__ = ("gone", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.gone = False


@final
class Party:
    """A room with so many members of a group: another, or None for this one."""

    __slots__ = ("lined_up", "members", "room")

    def __init__(self, room: OtherRoom | None) -> None:
        self.room = room
        self.members = 0
        self.lined_up = False

    @property
    def name(self) -> str:
        """That of the other room, or HERE."""
        return HERE if self.room is None else self.room.name


@final
class Group:
    """One group of an app. `key` is its filter as it is subscribed to, `$share/{name}/{filter}`.

    `turn` is the place, among the `members` here, of whom a message is offered to next.
    """

    __slots__ = (
        "_due",
        "_line",
        "_number",
        "_seats",
        "app",
        "filter",
        "here",
        "key",
        "members",
        "parties",
        "rooms",
        "turn",
    )

    def __init__(self, app: int, key: str, filter: str) -> None:
        self.app = app
        self.key = key
        self.filter = filter
        self.members: list[Subscriber[Session]] = []
        self.turn = 0
        self.here = Party(None)
        self.parties: dict[OtherRoom, Party] = {}  # those without members go when it would be their turn
        self.rooms = 0  # others with members
        self._seats: dict[Session, int] = {}  # where each member is
        self._line: list[tuple[float, int, Party]] = []  # a heap: when each room is due
        self._due = 0.0  # when the latest was
        self._number = 0

    # --- who there is -----------------------------------------------------------------------------

    def join(self, member: Subscriber[Session]) -> bool:
        """Enters or replaces a member; True when it is new."""
        seat = self._seats.get(member.who)
        if seat is not None:
            self.members[seat] = member
            return False
        self._seats[member.who] = len(self.members)
        self.members.append(member)
        self._count(self.here, len(self.members))
        return True

    def part(self, session: Session) -> bool:
        """Takes a member out; False when it was none."""
        seat = self._seats.pop(session, None)
        if seat is None:
            return False
        last = self.members.pop()
        if last.who is not session:
            self.members[seat] = last
            self._seats[last.who] = seat
        self._count(self.here, len(self.members))
        return True

    def has(self, session: Session) -> bool:
        """Whether it is a member."""
        return session in self._seats

    def tell(self, room: OtherRoom, members: int) -> None:
        """Another room has about so many members."""
        party = self.parties.get(room)
        if party is None:
            if not members:
                return
            party = self.parties[room] = Party(room)
        self.rooms += int(members > 0) - int(party.members > 0)
        self._count(party, members)
        if not members and not party.lined_up:
            del self.parties[room]

    def empty(self) -> bool:
        """Whether it has no members anywhere."""
        return not self.members and not self.rooms

    def _count(self, party: Party, members: int) -> None:
        party.members = members
        if members and not party.lined_up:
            party.lined_up = True
            self._line_up(party, self._due + random() / members)

    def _line_up(self, party: Party, due: float) -> None:
        self._number += 1
        heappush(self._line, (due, self._number, party))

    # --- whose turn it is -------------------------------------------------------------------------

    def next_room(self, passed: list[str]) -> Party | None:
        """The room whose turn it is; None when there is none but those `passed` over, which lose theirs."""
        line = self._line
        over: list[tuple[float, int, Party]] = []
        found: Party | None = None
        while line and found is None:
            item = heappop(line)
            party = item[2]
            room = party.room
            if not party.members or (room is not None and room.gone):
                party.lined_up = False
                if room is not None and not party.members:
                    del self.parties[room]
                continue
            self._due = item[0]
            if passed and party.name in passed:
                over.append(item)
            else:
                found = party
                self._line_up(party, self._due + 1.0 / party.members)
        for due, _, party in over:
            self._line_up(party, due + 1.0 / party.members)
        return found


@final
class Handed(InFlight):
    """A message with QoS 1 that was written to a member of a group, for the whole group."""

    __slots__ = ("group", "message", "session")

    def __init__(self, group: Group, session: Session, message: FanoutMessage) -> None:
        super().__init__(None, 0, False)
        self.group = group
        self.session = session
        self.message = message


@final
class HeldForGroup(Held):
    """A message for a group that waits for the window of a member, or is for the queue of its session.

    Of the latter kind, `refused` are the members whose queues have not taken it, `place` is where it is in
    the queue once it is there, and `left` what it was as it waited for another, who has gone. `identifier`:
    the subscription's, 0 for none.
    """

    __slots__ = ("group", "identifier", "left", "place", "refused", "session")

    def __init__(
        self,
        group: Group,
        session: Session,
        message: FanoutMessage,
        prefix: str,
        qos: int,
        identifiers: bytes,
        size: int,
    ) -> None:
        super().__init__(message, prefix, qos, identifiers, size)
        self.group = group
        self.session = session
        self.identifier = 0
        self.place = 0
        self.left: HeldForGroup | None = None
        self.refused: list[Session] = []

    def entry(self) -> InFlight | None:
        # [MQTT-4.8.2-5] what was begun with QoS 2 never goes to another member: nothing is to be remembered
        return Handed(self.group, self.session, self.message) if self.qos == 1 else ExactlyOnce()


@final
class ForQueues:
    """What of a publication is for the queues of sessions, as far as groups have a say.

    `given`: what is for the queues of members that were chosen. `served`: the groups of which rooms have
    members that can take it; for the others the store chooses, and `unserved` are those of them that are
    known here. `asks`: it may choose for groups that nobody knows here.
    """

    __slots__ = ("asks", "given", "served", "unserved")

    def __init__(self, given: list[HeldForGroup]) -> None:
        self.given = given
        self.served: list[str] = []
        self.unserved: list[str] = []
        self.asks = True


@final
class Offer:
    """A message as a group's members are offered it: not those that have `refused` it.

    A member whose session is kept gets it from its queue in the store: what is for such queues is gathered in
    `given`, where that is not None. `left`: as it waits for a member that has gone. `put_off`, where that is
    not None, hears whom else it is for, who gets it later.
    """

    __slots__ = ("given", "left", "message", "put_off", "refused")

    def __init__(self, message: FanoutMessage, given: list[HeldForGroup] | None = None) -> None:
        self.message = message
        self.given = given
        self.left: HeldForGroup | None = None
        self.put_off: list[tuple[Group, Subscriber[Session]]] | None = None
        self.refused: list[Session] | None = None


@final
class Allotment:
    """What a publication's groups have come to. `reason` is what is said of those served here.

    `rooms` has the groups that other rooms are to serve, by their names; `all`, every group that was served
    or is to be. `put_off` are the members here that get it once it is committed.
    """

    __slots__ = ("all", "put_off", "reason", "rooms")

    def __init__(self, reason: int) -> None:
        self.reason = reason
        self.all: list[str] = []
        self.rooms: dict[str, list[str]] = {}
        self.put_off: list[tuple[Group, Subscriber[Session]]] = []
