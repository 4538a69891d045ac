"""The duties of the session table.

A device is bound to at most one node. Each bind gets an epoch higher than every earlier epoch of
that device; whoever acts for a session names its epoch, so an old owner can be told from the new one.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from longline.model import Binding


class Bind(msgspec.Struct, frozen=True, gc=False):
    """A device has connected to `node`; `now` in ms."""

    app: int
    device: str
    node: str
    now: int


class Bound(msgspec.Struct, frozen=True, gc=False):
    """The new binding, and the one that it replaced."""

    binding: Binding
    previous: Binding | None


class Unbind(msgspec.Struct, frozen=True, gc=False):
    """The session with this epoch is over."""

    app: int
    device: str
    epoch: int


class Register(Protocol):
    """The port. Batches are answered in order; each item is atomic by itself."""

    async def bind(self, batch: Sequence[Bind]) -> list[Bound]:
        """Makes `node` the owner of each device's session, under a new epoch."""
        ...

    async def unbind(self, batch: Sequence[Unbind]) -> list[bool]:
        """Removes bindings. False where a newer epoch owns the session, or nobody does."""
        ...

    async def locate(self, app: int, devices: Sequence[str]) -> list[Binding | None]:
        """Where each device is now."""
        ...

    async def count(self, app: int) -> int:
        """How many devices of an app are bound."""
        ...
