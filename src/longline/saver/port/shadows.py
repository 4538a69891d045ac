"""The duties of the store of shadows: what a device should be like, and what it says that it is like.

The two documents are JSON objects which no engine reads. A change compares versions first, so of those who
act on one state of a shadow, one is done and the others are told. A shadow is its device's: it goes with it,
and a later device of the same name has none.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Protocol

import msgspec


class Shadow(msgspec.Struct, frozen=True):
    """What is kept of a device. `version` rises with each change; 0 for a device of which nothing was said.

    `desired` and `reported` are JSON objects. `wanted` is the version with which `desired` changed last, and
    `seen` the latest one with which the device has acknowledged it.
    """

    desired: bytes = b"{}"
    reported: bytes = b"{}"
    version: int = 0
    wanted: int = 0
    seen: int = 0

    @property
    def unseen(self) -> bool:
        """Whether the device has still to be told what is desired."""
        return self.wanted > self.seen


class ShadowChange(msgspec.Struct, frozen=True):
    """A shadow in the place of the one with the version `before`. Its `seen` says nothing: it stays."""

    app: int
    ordinal: int
    before: int
    shadow: Shadow


class ShadowSeen(msgspec.Struct, frozen=True):
    """A device has acknowledged what was desired with `version`."""

    app: int
    ordinal: int
    version: int


class Changed(IntEnum):
    """What became of a change."""

    DONE = 1
    CONFLICT = 0  # there is another version than `before`
    NO_DEVICE = -1


class ShadowStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph."""

    async def find(self, app: int, ordinals: Sequence[int]) -> list[Shadow | None]:
        """The shadows of devices; None for one that is not registered."""
        ...

    async def change(self, batch: Sequence[ShadowChange]) -> list[Changed]:
        """Puts shadows in the places of others, each compared and replaced in one step.

        No device is in a batch twice.
        """
        ...

    async def seen(self, batch: Sequence[ShadowSeen]) -> None:
        """Notes what devices have acknowledged; never less than was noted before."""
        ...
