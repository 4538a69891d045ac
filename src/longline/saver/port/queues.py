"""The duties of the queues of MQTT sessions that are kept: plain messages with QoS 1 and 2.

Every such session has a queue, whether its client is connected or not; a message with QoS 1 or 2 enters the
queues of all sessions whose filters match its topic, and its publisher is answered after that. The room that
has the client reads the queue; commands only tell it that there is something to read.

*Places* in a queue rise by one. A packet identifier is derived from its message's place, so that it is the
same on every connection [MQTT-4.4.0-1] without a write before each message.

A QoS 2 message goes from the queue in two steps: PUBREC *releases* it, which drops the message and keeps its
place, and PUBCOMP settles the place. The first is durable before PUBREL is sent: a client that has completed
it will never be sent the message again.

A message that is over is not read any more; `ExpiryStore.end` takes it out of its queues.

Of a *group* (section 4.8.2) one member gets each message. Which members are connected is known to rooms, and
they choose one of these (`Given`). For the groups of which they have none, the store chooses among the
sessions that are kept and have its filter (`GroupChoice`): of the first that can take it, the one with
the fewest messages in its queue. A place knows which group it is for; what a session that is over has left of
groups goes to others of these (`hand_over`).
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Protocol

import msgspec

from longline.model.devices import Binding
from longline.model.events import Event
from longline.model.pubsub import Publication


class Received(msgspec.Struct, frozen=True, gc=False):
    """The session that a QoS 2 message came from, and the packet identifier that it had there."""

    ordinal: int
    number: int
    epoch: int
    packet_id: int


class Given(msgspec.Struct, frozen=True, gc=False):
    """The session with this number, which is given a message for its group (section 4.8.2), and what its
    subscription there asks for."""

    ordinal: int
    number: int
    qos: int
    as_published: bool = False
    identifier: int = 0
    share: str = ""  # its filter there, `$share/{name}/{filter}`; empty for what is for no group


class GroupChoice(msgspec.Struct, frozen=True):
    """The groups for which the store is to choose: all whose filters match but the `served`, or `only` these.

    Each by its filter as it is subscribed to, `$share/{name}/{filter}`.
    """

    served: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None


class QueuePublication(msgspec.Struct, frozen=True):
    """A publication to be queued. `sender`: the device that published it, for subscriptions with no local.

    It is for the sessions in `given`, with `matching` for all whose filters match, and with `shares` for one
    of each group; one that it is for in several ways has it in its queue for each. Those given go first.

    With `received`, the identifier is kept together with the message until `QueueStore.complete`, also where
    nobody wants the message: the same identifier again is the same message, and is queued nowhere twice.
    `event`: what was published is this, for the app server. It is appended to the app's events, as if by
    `EventStore.append`, and enters no queue; of the publication only the id counts.
    """

    app: int
    publication: Publication
    now: int
    sender: str | None = None
    received: Received | None = None
    given: tuple[Given, ...] = ()
    matching: bool = True
    event: Event | None = None
    shares: GroupChoice | None = None

    @property
    def matches(self) -> bool:
        """Whether it is for the sessions whose filters match."""
        return self.matching and self.event is None


class Queued(msgspec.Struct, frozen=True, gc=False):
    """A session that has a message in its queue, and where its device is bound (read after the commit).

    `place`: that of the message, where the answer is about one.
    """

    device: str
    ordinal: int
    binding: Binding | None
    place: int = 0


class Published(msgspec.Struct, frozen=True):
    """What became of a publication. `full`: how many sessions did not take it, having as much as they may.

    `id`: that of the message, which is an earlier one's where `again` says that its packet identifier was
    known: then that one was taken, and is queued everywhere. `queued` are then those of its sessions that
    have it only now, because whoever took it was interrupted. `groups`: those of `GroupChoice` of which a
    session was chosen; one has it unless its queue was filled in that very moment.
    """

    id: str
    queued: tuple[Queued, ...] = ()
    full: int = 0
    again: bool = False
    groups: tuple[str, ...] = ()


class Declined(msgspec.Struct, frozen=True, gc=False):
    """Nothing was queued: `code` is that of a `LonglineError`: `app_not_found`, `fenced` (another epoch or
    number has the session that it came from, or it is over), or `topic_too_costly`."""

    code: str


class Read(msgspec.Struct, frozen=True, gc=False):
    """Asks for a queue's messages after a place: at most `limit`, and `limit_bytes` of payloads in all, but
    one always."""

    app: int
    ordinal: int
    number: int
    after: int
    limit: int
    now: int
    limit_bytes: int = 1024 * 1024


class QueueEntry(msgspec.Struct, frozen=True):
    """A message in a queue. `qos` is what it is delivered with, `retain` what the subscription made of it:
    as published if one of the filters that matched asks for that, else False (section 3.3.1.3).

    `identifiers`: those of all filters that matched, in rising order; of several filters with the same one,
    it is there for each (section 3.3.4).
    """

    place: int
    publication: Publication
    qos: int
    retain: bool
    identifiers: tuple[int, ...] = ()


class QueuePage(msgspec.Struct, frozen=True):
    """Messages by rising place, those that are over or released left out; `complete`: no more were queued
    behind them."""

    entries: tuple[QueueEntry, ...]
    complete: bool


class Step(IntEnum):
    """What has become of a queued message."""

    SENT = 0  # it, and all before it, were written to a connection
    RELEASED = 1  # QoS 2: PUBREC has come
    SETTLED = 2  # PUBACK has come, or PUBCOMP; or it cannot be sent


class Settle(msgspec.Struct, frozen=True, gc=False):
    """A step of the message at a place."""

    app: int
    ordinal: int
    number: int
    place: int
    step: Step


class Complete(msgspec.Struct, frozen=True, gc=False):
    """PUBREL has come for a packet identifier of `Received`."""

    app: int
    ordinal: int
    number: int
    packet_id: int


class LeftForGroup(msgspec.Struct, frozen=True):
    """A message for a group, of which no session that is kept can take it; its QoS is what is left of it."""

    app: int
    group: str
    publication: Publication


class HandedOver(msgspec.Struct, frozen=True):
    """What sessions that are over have left of groups: who has it now, with its app, and what nobody has.

    `more`: there may be more.
    """

    queued: tuple[tuple[int, Queued], ...] = ()
    left: tuple[LeftForGroup, ...] = ()
    more: bool = False


class QueueBounds(msgspec.Struct, frozen=True):
    """What the queue of a session may hold, and how much a topic may cost to match: see `QueueStore`."""

    messages: int = 1000
    bytes: int = 4 * 1024 * 1024
    match_limit: int = 10_000


class QueueStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    A queue has at most `QueueBounds.messages`, places that wait for PUBCOMP among them, and `bytes` of
    topics, properties and payloads, but for a single message. What does not fit is not taken, and has no
    place: sessions that have room get it.

    To match a topic, an engine may look at `match_limit` beginnings of filters, and filters that match; one
    that keeps sessions in parts, at so many in each. A publication that needs more is declined.
    """

    async def publish(self, batch: Sequence[QueuePublication]) -> list[Published | Declined]:
        """Queues publications for every session whose filters match, in the order given.

        Each of these gets it once, with the highest QoS of the filters that match, at most the publication's
        [MQTT-3.3.4-2]; a session whose best is QoS 0 is not given it here. Filters with no local do not count
        for their own device. Whom a publication was given is in `Published.queued`, unless the queue is full,
        or the session is over or another.

        A batch that fails may have been done in part: repeating it may queue a message with QoS 1 again, and
        never one that has `received`.
        """
        ...

    async def read(self, batch: Sequence[Read]) -> list[QueuePage]:
        """Reads what is queued; nothing for a session that is over."""
        ...

    async def settle(self, batch: Sequence[Settle]) -> None:
        """Takes messages on. A step that was taken before changes nothing, nor does one of a message that is
        not there any more, or of a session that is over."""
        ...

    async def untold(self, before: int, limit: int) -> list[tuple[int, Queued]]:
        """Sessions, with their app, that are connected and have had something in their queues since `before`
        (ms) which nobody said was sent: whoever was to tell their rooms may have died.

        Each is returned once in a while only. An engine whose rooms die together has none.
        """
        ...

    async def hand_over(self, now: int, limit: int) -> HandedOver:
        """Moves at most `limit` messages of groups out of the queues of sessions that are over.

        Each enters the queue of another session of its group, once, before it is out of this one; where none
        can have it, it is returned, and gone. Dropped is what is over, and with QoS 2 what was sent
        [MQTT-4.8.2-5]. Safe to be done by several at once.
        """
        ...

    async def complete(self, batch: Sequence[Complete]) -> None:
        """Forgets packet identifiers: the same may stand for another message from now on."""
        ...
