"""Figures of a process as they are told to the store, and kept there for a time."""

import zlib
from typing import Final

import msgspec

FINE: Final = 10_000  # ms between two fine points
COARSE: Final = 300_000  # ms between two coarse ones


_QUICK: Final = 1  # of zlib's levels: a sample is a quarter of its size in a tenth of a millisecond
_encode = msgspec.json.Encoder().encode


class TaskKind(msgspec.Struct, frozen=True):
    """Tasks with one name: how many there are, and for how many seconds the oldest has been seen."""

    name: str
    count: int
    oldest_seconds: float


def node_of(life: str) -> str:
    """The name of the node whose life this is."""
    return life.rpartition("@")[0]


class FiguresTold(msgspec.Struct, frozen=True, kw_only=True):
    """What a process tells of itself at one moment.

    `life` names the process: its node's name, "@", and its start in ms, since whoever starts again counts
    from 0. `sample` is what it is like now. `about` says what the values of its points are; it is empty
    unless that has changed. `fine` and `coarse` are points to be kept, in JSON; empty for none.
    """

    life: str
    sample: bytes
    about: bytes = b""
    fine: bytes = b""
    coarse: bytes = b""


class Asked(msgspec.Struct, frozen=True):
    """What a process learns when it tells: whether somebody watches, and whether the store has its
    `about`.
    """

    watched: bool
    known: bool


class FiguresHeard(msgspec.Struct, frozen=True):
    """The latest sample of a life, and when it came, in ms by the store's clock."""

    life: str
    at: int
    sample: bytes


class FiguresNow(msgspec.Struct, frozen=True):
    """What the store has of all processes, at `at` in ms by its clock."""

    at: int
    heard: list[FiguresHeard]


class LifePoints(msgspec.Struct, frozen=True):
    """Points of a life, the first first: when each came, in ms by the store's clock, and the point."""

    life: str
    about: bytes
    points: list[tuple[int, bytes]]


class FigureBounds(msgspec.Struct, frozen=True):
    """What is kept: points of `fine_age` and `coarse_age` ms, so many of each life and no more should it tell
    more often than it should; so many `lives`, of which those told longest ago go first; and the latest
    sample of one that has been silent for at most `silence` ms. Who has said once that he watches does so for
    `watched` ms.

    A point has at most `MAX_FIGURES` values, so all of it is bounded in bytes.
    """

    fine_age: int = 3 * 3_600_000
    fine_points: int = 3 * 3_600_000 // FINE + 1
    coarse_age: int = 8 * 86_400_000
    coarse_points: int = 8 * 86_400_000 // COARSE + 1
    lives: int = 256
    silence: int = 900_000
    watched: int = 5_000


MAX_FIGURES: Final = 1000
"""Figures of one process; beyond it, those that come up last are left out."""

MAX_TASKS: Final = 100
"""Kinds of tasks of one process; beyond it, the rarest are told as `other`."""


class AppSample(msgspec.Struct, frozen=True):
    """What an app does in a process, so much in a second, or `apps` apps together that have no name here:
    `app` is None then. `request_seconds`: what its requests took on the average; None without any.
    """

    app: str | None
    apps: int
    connections: int
    connects: float
    accepted: float
    sent: float
    acked: float
    upstream: float
    requests: float
    refused: float
    errors: float
    request_seconds: float | None


class Sample(msgspec.Struct, frozen=True):
    """What a process is like at one moment, as the API tells it; times are RFC 3339. `apps`: the busiest
    first, and those without a name last.
    """

    node: str
    host: str
    roles: tuple[str, ...]
    version: str
    since: str
    at: str
    figures: dict[str, float]
    tasks: list[TaskKind]
    apps: list[AppSample] = []


class AboutPoints(msgspec.Struct, frozen=True):
    """Whose points they are, and the names of the values in them."""

    node: str
    host: str
    names: list[str]


def packed(sample: Sample) -> bytes:
    """A sample as the store has it: what is told every second is written to its disks, and copied."""
    return zlib.compress(_encode(sample), _QUICK)


def unpacked(sample: bytes) -> bytes | None:
    """The JSON of a sample; None for what another version has told in another form."""
    try:
        return zlib.decompress(sample)
    except zlib.error:
        return None
