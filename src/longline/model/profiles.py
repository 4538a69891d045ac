"""Profiles of processes as they are kept."""

from typing import Final, Literal, get_args

from msgspec import Struct

ProfileKind = Literal["cpu", "heap", "tasks", "loop", "queues"]
KINDS: Final[tuple[ProfileKind, ...]] = get_args(ProfileKind)

LONGEST: Final = 60  # s


class ProfileHead(Struct, frozen=True, kw_only=True):
    """A profile without what is in it.

    `id`: a UUIDv7, of when it was asked for. `at` in ms: when it was begun; `seconds`: for how long. `size`:
    bytes that `content` takes up.
    """

    id: str
    node: str
    host: str
    version: str
    kind: ProfileKind
    at: int
    seconds: float
    size: int


class ProcessProfile(Struct, frozen=True):
    """A profile. `content`: what `longline.profiling.content` packs."""

    head: ProfileHead
    content: bytes


class ProfileChoice(Struct, frozen=True, kw_only=True):
    """Which profiles: of a node, of a kind ("": all), from the id `least` on, before the id `before`."""

    node: str = ""
    kind: ProfileKind | Literal[""] = ""
    least: str = ""
    before: str = ""


class ProfileBounds(Struct, frozen=True):
    """How many are kept, and what their contents may take up in all; the oldest go first."""

    entries: int = 200
    size: int = 64 * 1024 * 1024
