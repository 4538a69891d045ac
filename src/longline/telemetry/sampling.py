"""Samples of all figures of a process, and of points that are kept of them.

A figure is a number under its name in `/metrics`, without `longline_` and `_total`. A histogram is told by
`name_count` and `name_sum`, and by `name_p50` and `name_p99` of what it saw since the sample, or the point,
before, which are left out when that was nothing.

A point is a JSON array of numbers, whose names are told apart from it, once, in the order in which figures
were first other than 0: most figures of most processes never are. So a point may be shorter than the names
are by now. `null` stands for what was left out.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final, final

import msgspec

from longline.model.figures import MAX_FIGURES
from longline.telemetry.counters import Histogram
from longline.telemetry.quantiles import Observed, quantile

P50: Final = "_p50"
P99: Final = "_p99"
DIGITS: Final = 6  # behind the point: microseconds

Numbers = Callable[[], Iterable[tuple[str, float | Histogram]]]

_encode = msgspec.json.Encoder().encode


@final
class Interval:
    """What histograms had counted when somebody looked last."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: dict[str, Observed] = {}

    def figures(self, numbers: Iterable[tuple[str, float | Histogram]]) -> dict[str, float]:
        """All figures by name, at most `MAX_FIGURES`; the next interval begins here."""
        figures: dict[str, float] = {}
        for name, value in numbers:
            if isinstance(value, Histogram):
                figures[f"{name}_count"] = sum(value.counts)
                figures[f"{name}_sum"] = round(value.total, DIGITS)
                before = self._seen.get(name)
                for suffix, part in ((P50, 0.5), (P99, 0.99)):
                    found = quantile(value, before, part)
                    if found is not None:
                        figures[name + suffix] = round(found, DIGITS)
                self._seen[name] = Observed.of(value)
            elif isinstance(value, float):
                figures[name] = int(value) if value.is_integer() else round(value, DIGITS)
            else:
                figures[name] = value
        if len(figures) > MAX_FIGURES:
            return dict(list(figures.items())[:MAX_FIGURES])
        return figures


@final
class Points:
    """Makes points of figures. `names`: of the values in them, so far; it only grows."""

    __slots__ = ("_place", "names")

    def __init__(self) -> None:
        self.names: list[str] = []
        self._place: dict[str, int] = {}

    def point(self, figures: Mapping[str, float]) -> bytes:
        """A point with these figures."""
        values: list[float | None] = [None] * len(self.names)
        for name, value in figures.items():
            place = self._place.get(name)
            if place is not None:
                values[place] = value
            elif (value or name.endswith((P50, P99))) and len(self.names) < MAX_FIGURES:
                self._place[name] = len(values)
                self.names.append(name)
                values.append(value)
        return _encode(values)
