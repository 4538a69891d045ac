"""What a platform should do, as far as one can know: devices, groups, messages, what may become of these."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from tests.platform.sessions import Session
from tests.platform.shadows import Shadow

DEVICES: Final = ("d0", "d1", "d2", "d3")
TAGS: Final = ("t1", "t2")
ALIASES: Final = ("ann", "bob")

Who = tuple[str, int]  # a device, and how often one of its name was deleted before


@dataclass
class Phone:
    """A device as it should be. `life`: how often one of its name was deleted."""

    name: str
    life: int = 0
    registered: bool = False
    tags: frozenset[str] = frozenset()
    aliases: frozenset[str] = frozenset()
    number: int | None = None  # its attribute `n`
    session: Session = field(default_factory=Session)
    shadow: Shadow = field(default_factory=Shadow)

    @property
    def who(self) -> Who:
        return self.name, self.life

    def matches(self, audience: Any) -> bool:
        """Whether an expression of the API describes it."""
        if audience == "all":
            return True
        if "any" in audience:
            return any(self.matches(part) for part in audience["any"])
        if "every" in audience:
            return all(self.matches(part) for part in audience["every"])
        if "not" in audience:
            return not self.matches(audience["not"])
        return (
            (not self.tags.isdisjoint(audience["tag"]) if "tag" in audience else True)
            and self.tags.issuperset(audience.get("tag_and", ()))
            and self.tags.isdisjoint(audience.get("tag_not", ()))
            and ("attributes" not in audience or self._is_above(audience["attributes"]["n"]["gte"]))
        )

    def _is_above(self, least: int) -> bool:
        return self.number is not None and self.number >= least


@dataclass
class Chat:
    """A group. `members` are those that were taken in and neither left nor were deleted; `said`, in order."""

    name: str
    members: set[Who] = field(default_factory=set)
    said: list["Sent"] = field(default_factory=list)

    def leaves(self, who: Who) -> None:
        """A member leaves; what waits of the group for it is dropped."""
        self.members.discard(who)
        for sent in self.said:
            sent.left.add(who)

    def ends(self) -> None:
        """The group is deleted."""
        for sent in self.said:
            sent.group_deleted = True


@dataclass
class Sent:
    """A message that was accepted. `order`: its place among all; None for one that is sent later.

    Of one that was said in a group: its `sequence` there, and the member that is its `sender`.
    """

    id: str
    payload: str
    options: dict[str, Any]
    targets: frozenset[Who]
    missing: int
    order: int | None
    later: bool = False
    cancelled: bool = False
    sequence: int = 0
    sender: str | None = None
    left: set[Who] = field(default_factory=set)  # who have left its group since
    group_deleted: bool = False
    acked: set[Who] = field(default_factory=set)  # by their devices
    known: set[Who] = field(default_factory=set)  # of whom the ledger said so

    @property
    def priority(self) -> str:
        return str(self.options.get("priority", "normal"))

    @property
    def fleeting(self) -> bool:
        """For who is connected."""
        return bool(self.options.get("online_only"))

    @property
    def short(self) -> bool:
        """Whether it may end during a test."""
        return "ttl" in self.options

    def is_over(self, who: Who) -> bool:
        """Whether it was taken back for a device: it does not come by a connection that begins now.

        What is taken back at the moment that it is sent at may be on its way.
        """
        return (self.cancelled and not self.later) or self.group_deleted or who in self.left

    def may_be_dropped(self, device: str, reason: str | None) -> bool:
        """Whether a drop for this reason is right for a device."""
        return {
            "cancelled": self.cancelled,
            "offline": self.fleeting,
            "busy": self.fleeting,
            "late": self.fleeting,
            "disconnected": self.fleeting,
            "left_group": any(device == name for name, _ in self.left),
            "group_deleted": self.group_deleted,
            "device_deleted": True,
            "device_not_found": self.missing > 0,
        }.get(reason or "", False)


class Expected:
    """Devices, groups and messages of an app."""

    def __init__(self, names: Iterable[str]) -> None:
        self.phones = {name: Phone(name) for name in names}
        self.chats: dict[str, Chat] = {}
        self.asked: dict[str, Who] = {}  # by the word for its answer, who asked something
        self.sent: dict[str, Sent] = {}
        self.by_payload: dict[str, Sent] = {}
        self.accepted = 0

    def is_there(self, who: Who) -> bool:
        """Whether a device is registered, and has not been deleted since."""
        phone = self.phones[who[0]]
        return phone.registered and phone.life == who[1]

    def delete(self, name: str) -> None:
        """What a device had goes with it, and it is in no group any more."""
        phone = self.phones[name]
        for chat in self.chats.values():
            chat.members.discard(phone.who)
        self.phones[name] = Phone(name, phone.life + 1)

    def audience(self, asked: Any) -> tuple[frozenset[Who], int]:
        """Whom a message is for, and how many names nobody has."""
        if isinstance(asked, dict) and "group" in asked:
            chat = self.chats.get(asked["group"])
            return frozenset(chat.members if chat else ()), 0
        if isinstance(asked, dict) and "reply" in asked:
            who = self.asked[asked["reply"]]
            return frozenset([who] if self.is_there(who) else []), 0
        if isinstance(asked, dict) and "devices" in asked:
            names = list(dict.fromkeys(asked["devices"]))
            there = [self.phones[name] for name in names if self.phones[name].registered]
            return frozenset(phone.who for phone in there), len(names) - len(there)
        registered = [phone for phone in self.phones.values() if phone.registered]
        if isinstance(asked, dict) and "aliases" in asked:
            wanted = set(asked["aliases"])
            known = {alias for phone in registered for alias in phone.aliases}
            found = frozenset(phone.who for phone in registered if not wanted.isdisjoint(phone.aliases))
            return found, len(wanted - known)
        return frozenset(phone.who for phone in registered if phone.matches(asked)), 0

    def accept(
        self, id: str, body: dict[str, Any], *, later: bool = False, sender: str | None = None
    ) -> Sent:
        """A message was accepted now."""
        targets, missing = self.audience(body["audience"])
        order = None if later else self.accepted
        self.accepted += 1
        sent = Sent(id, body["payload"], body.get("options", {}), targets, missing, order, later)
        self.sent[id] = self.by_payload[sent.payload] = sent
        if isinstance(body["audience"], dict) and "group" in body["audience"]:
            chat = self.chats[body["audience"]["group"]]
            chat.said.append(sent)
            sent.sequence, sent.sender = len(chat.said), sender
        return sent

    def newer(self, sent: Sent, who: Who) -> bool:
        """Whether something followed for a device that may stand for a message."""
        key = sent.options.get("collapse_key")
        return key is not None and any(
            other is not sent
            and other.options.get("collapse_key") == key
            and who in other.targets
            and (other.order is None or sent.order is None or other.order > sent.order)
            for other in self.sent.values()
        )
