"""Shared subscriptions, as the fan-out and the rules see them."""

from collections import deque

from longline.mqtt.packets import Publish, Subscription
from longline.room.pubsub.groups import Allotment, ForQueues, Group
from longline.room.pubsub.message import Held
from longline.room.session.session import Session


class Sharer:
    """Who knows the groups. `present`: whether there are any, of any app, here or in other rooms.

    An abstract class and no Protocol: compiled code calls it by a table, as fast as itself.
    """

    __slots__ = ("present",)

    def __init__(self) -> None:
        self.present = False

    def concerns(self, session: Session, filter: str) -> bool:
        """Whether a filter of this session's is that of a shared subscription."""
        raise NotImplementedError

    def groups(self, app: int) -> int:
        """How many groups of an app have members here."""
        raise NotImplementedError

    def levels(self, app: int) -> int:
        """How many levels the filters of an app's groups have in the index, those of other rooms, too."""
        raise NotImplementedError

    def members(self, app: int, key: str) -> int:
        """How many members a group has here."""
        raise NotImplementedError

    def join(self, session: Session, wanted: Subscription, identifier: int) -> bool:
        """Makes a session a member, with the QoS that is granted, or changes that; True when it is new."""
        raise NotImplementedError

    def leave(self, session: Session, filter: str) -> bool:
        """A session is no member of a group any more; False when it was none."""
        raise NotImplementedError

    def match(self, app: int, topic: str) -> list[Group] | None:
        """The groups that want a topic; None when they are more than a message may be for."""
        raise NotImplementedError

    def publish(
        self,
        session: Session,
        packet: Publish,
        id: str,
        groups: list[Group],
        queues: ForQueues | None = None,
    ) -> Allotment:
        """Hands a device's message to one member of each of these groups, or allots it to other rooms.

        Where it goes to the queues of sessions, too, `queues` hears what is for them.
        """
        raise NotImplementedError

    def allot(
        self, session: Session, packet: Publish, id: str, groups: list[Group], queues: ForQueues
    ) -> Allotment:
        """Chooses for each of these groups who gets a device's message, and hands it to nobody yet: what is
        for queues, `queues` hears, and `committed` does the rest.
        """
        raise NotImplementedError

    def committed(
        self, session: Session, packet: Publish, id: str, allotted: Allotment, others: list[Group]
    ) -> None:
        """Hands out, to those who were chosen for it, a message that the store has by now; and to members of
        the `others`, groups that were not known when these were chosen.
        """
        raise NotImplementedError

    def take_back(self, session: Session, queue: deque[Held] | None) -> None:
        """A session is over: what it did not get, others of its groups do."""
        raise NotImplementedError
