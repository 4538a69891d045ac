"""What figures were: points of all processes as series by name.

Points are read from the store as they were told, and taken apart here, a life at a time with a turn of the
loop in between: a life has at most a few thousand.
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from longline.center.figures.shapes import HistoryView, NodeHistory
from longline.center.requests.times import rfc3339
from longline.errors import ValidationFailed
from longline.model.figures import COARSE, FINE, AboutPoints, FigureBounds, LifePoints
from longline.saver.port.figures import FigureStore

MOST_NUMBERS: Final = 500_000  # in one answer
MOST_POINTS: Final = 1_100  # of one life in one answer: beyond, points are left out
ALL_POINTS: Final = 4_000  # of all lives in one answer, about, as long as each has
LEAST_POINTS: Final = 100
BOUNDS: Final = FigureBounds()
OVERVIEW: Final = (
    "room_connections",
    "room_accepted",
    "center_messages_accepted",
    "center_request_seconds_p99",
    "room_pushes_sent",
    "room_pushes_acked",
    "room_upstream_stored",
    "room_messages_in",
    "room_messages_routed",
    "loop_lag_seconds_p99",
    "store_call_seconds_p99",
    "saver_write_seconds_p99",
    "saver_read_seconds_p99",
    "process_cpu_seconds",
    "process_resident_memory_bytes",
)
"""What is told unless somebody asks for others."""

Values = Sequence[float | None]

_about = msgspec.json.Decoder(AboutPoints)
_point = msgspec.json.Decoder(list[float | None])


def step_of(since: int, now: int) -> int:
    """ms between two points where those from `since` on are asked for."""
    return FINE if since >= now - BOUNDS.fine_age else COARSE


async def series(
    store: FigureStore, node: str, since: int, until: int, *, step: int, names: Sequence[str]
) -> HistoryView:
    """These figures of a node, or of all ("")."""
    count = 1 if node else max(1, len((await store.latest()).heard))
    most = min(MOST_POINTS, max(LEAST_POINTS, ALL_POINTS // count))
    thin = max(1, -(-(until - since) // (step * most)))
    lives = await store.history(node, since, until, coarse=step == COARSE, thin=thin)
    if sum(len(life.points) for life in lives) * len(names) > MOST_NUMBERS:
        rule = f"at most {MOST_NUMBERS} numbers: one node, fewer names, or a shorter time"
        raise ValidationFailed("that is too much for one answer", details=[("names", rule)])
    nodes = []
    for life in lives:
        about, rows = read(life)
        columns = columns_of(about, rows, names)
        at = [rfc3339(at) for at, _ in life.points]
        nodes.append(NodeHistory(about.node, about.host, at, columns))
        await asyncio.sleep(0)
    return HistoryView(step * thin / 1000, nodes)


def read(life: LifePoints) -> tuple[AboutPoints, list[Values]]:
    """What the points of a life are, and their values; one that another version told may have none."""
    try:
        about = _about.decode(life.about)
        return about, [_point.decode(body) for _, body in life.points]
    except msgspec.DecodeError:
        return AboutPoints("", "", []), [() for _ in life.points]


def columns_of(
    about: AboutPoints, rows: Sequence[Values], names: Sequence[str]
) -> dict[str, list[float | None]]:
    """The values of these figures, of those that the life has told."""
    places = {name: place for place, name in enumerate(about.names)}
    return {name: list(_column(rows, places[name], name)) for name in names if name in places}


def _column(rows: Sequence[Values], place: int, name: str) -> Iterator[float | None]:
    # A figure that was told later on was 0 until then, but for what histograms have seen nothing of.
    absent = None if name.endswith(("_p50", "_p99")) else 0
    for row in rows:
        yield row[place] if place < len(row) else absent
