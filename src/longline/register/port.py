"""The duties of the session table.

A device is bound to at most one node. Each bind gets an epoch higher than every earlier epoch of
that device; whoever acts for a session names its epoch, so an old owner can be told from the new one.

A session whose connection broke *lingers*: to everybody else the device is still there, until it is back or
its time is over. What others see of all this is told by transitions, which are kept until they were read:
where they are too many, the latest of each device, so that one that comes and goes all the time costs no
other's.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from longline.model.devices import Binding


class Bind(msgspec.Struct, frozen=True, gc=False):
    """A device has connected to `node`; `now` in ms."""

    app: int
    device: str
    node: str
    now: int


class Bound(msgspec.Struct, frozen=True, gc=False):
    """The new binding, and the one that it replaced, be it connected or lingering."""

    binding: Binding
    previous: Binding | None


class Rebind(msgspec.Struct, frozen=True, gc=False):
    """A device is still connected, to a node that goes by another name now: `node`.

    `epoch` is that of its session so far; `now` in ms.
    """

    app: int
    device: str
    node: str
    epoch: int
    now: int


class Unbind(msgspec.Struct, frozen=True, gc=False):
    """The session with this epoch has lost its connection at `now` (ms).

    It lingers for `linger` ms; with 0 it is over at once. `reason`: why, for the history of its device.
    """

    app: int
    device: str
    epoch: int
    now: int
    linger: int = 0
    reason: str = ""


class Transition(msgspec.Struct, frozen=True, gc=False):
    """What others see of a device has changed; `state` is `online`, `moved` or `offline`.

    `online`: it was not there before. `moved`: it was, on another node. `offline`: it is over, and was not
    replaced. `epoch` and `node` are those of the session that began, or ended. A session that takes the
    place of another on the same node, or of one that lingered there, is no transition. Of one `source`,
    `sequence` rises; the transitions of a device are all of one source, in order. `missed`: too many waited
    to be read, and earlier ones of this device were left out.
    """

    app: int
    device: str
    state: str
    epoch: int
    node: str
    at: int
    source: str
    sequence: int
    missed: bool = False


class Register(Protocol):
    """The port. Batches are answered in order; each item is atomic by itself.

    Every method raises `Unavailable` when the engine cannot be reached.
    """

    async def bind(self, batch: Sequence[Bind]) -> list[Bound]:
        """Makes `node` the owner of each device's session, under a new epoch.

        Raises `Fenced` when the node was declared dead; none of its devices is bound then.
        """
        ...

    async def rebind(self, batch: Sequence[Rebind]) -> list[int | None]:
        """Gives sessions to another name of their node, each under a new epoch, which is the answer.

        None for one whose device has a newer session somewhere: that one stays as it is. One that lingers,
        because its node was taken for dead, is connected again; one that is over begins anew, as it does
        where the table has forgotten it. What others see is what `bind` shows them, but that a session which
        goes on keeps its `since`. Doing it again, with the epoch of before, answers the same and changes
        nothing.

        Raises `Fenced` as `bind` does.
        """
        ...

    async def unbind(self, batch: Sequence[Unbind]) -> list[bool]:
        """Lets sessions linger, or ends them. False where a newer epoch owns the session, or nobody does."""
        ...

    async def locate(self, app: int, devices: Sequence[str]) -> list[Binding | None]:
        """Where each device is now; where it was last, while it lingers."""
        ...

    async def count(self, app: int) -> int:
        """How many devices of an app are bound."""
        ...

    async def end_lingering(self, now: int, limit: int) -> int:
        """Ends sessions that have lingered for long enough, at most `limit`; how many it ended."""
        ...

    async def declare_dead(self, node: str) -> None:
        """From now on the node can bind no device, ever: a node that comes back takes another name."""
        ...

    async def release(self, node: str, now: int, linger: int, limit: int) -> int:
        """Lets the sessions of a node that is dead linger, at most `limit`; how many it found."""
        ...

    async def doubted(self, seen: int) -> int:
        """Returns when sessions may have been forgotten since `seen`: 0, then the last answer.

        An engine whose process lives as long as its nodes forgets none, and never returns.
        """
        ...

    async def transitions(self, limit: int) -> list[Transition]:
        """The oldest transitions that were not forgotten; those of one source in order."""
        ...

    async def forget(self, transitions: Sequence[Transition]) -> None:
        """Of each source named, forgets everything up to the latest of its transitions given."""
        ...

    def statistics(self) -> Mapping[str, int]:
        """Plain figures for the metrics: transitions that wait to be read, and what else is kept."""
        ...
