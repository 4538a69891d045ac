"""One Prometheus collector over all counters of a node.

Nothing is registered when something is counted. A scrape walks the slots of each part's counter object: an
integer becomes a counter or a gauge, a mapping becomes one series for each label, a `Histogram` a histogram.
So a new counter is a new slot and nothing else.
"""

import platform
from collections.abc import Callable, Collection, Iterator, Mapping
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Final

from msgspec import Struct
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from longline.telemetry.counters import LABELS, OTHER, Histogram
from longline.telemetry.process import ProcessFigures
from longline.version import VERSION

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
"""Of `NodeCollector.exposition`: the Prometheus text format."""

MAX_LABELS: Final = LABELS
"""Series of one metric in one scrape; the rarest labels beyond it are added up as `other`."""


PREFIX: Final = "longline_"


class _Part(Struct, frozen=True):
    """`slots`: of the counters, each with the name of its figure."""

    name: str
    counters: object
    gauges: frozenset[str]
    labels: Mapping[str, str]
    slots: tuple[tuple[str, str], ...]


class NodeCollector(Collector):
    """Everything a node exports, as `longline_{part}_{slot}`; counters get Prometheus's `_total`.

    By these names, but without `_total`: `about` says what each is (its name in words unless there), and
    `rising` which of the `figures` only rise.
    """

    def __init__(
        self, *, compiled: bool, about: Mapping[str, str] | None = None, rising: Collection[str] = ()
    ) -> None:
        self._about = about or {}
        self._rising = rising
        self._build = {
            "version": VERSION,
            "python": platform.python_version(),
            "hot_path": "compiled" if compiled else "interpreted",
        }
        self._parts: list[_Part] = []
        self._gauges: list[tuple[str, str, Callable[[], float]]] = []
        self._tallies: list[tuple[str, str, str, Mapping[str, int]]] = []
        self._figures: list[tuple[str, Callable[[], Mapping[str, float]]]] = []
        # Not the library's global registry: tests and tools hold several nodes in one process.
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._process = ProcessFigures()

    def add(
        self,
        part: str,
        counters: object,
        *,
        gauges: Collection[str] = (),
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """Export the slots of `counters`.

        `gauges` names the slots that go up and down; all others only rise. `labels` gives the label's name of
        a slot that is a mapping (`kind` unless given).
        """
        slots = tuple((slot, f"{part}_{slot}") for slot in _slots(counters))
        self._parts.append(_Part(part, counters, frozenset(gauges), labels or {}, slots))

    def gauge(self, name: str, doc: str, read: Callable[[], float]) -> None:
        """Export what `read` returns at the moment of a scrape, as `longline_{name}`."""
        self._gauges.append((f"longline_{name}", doc, read))

    def tally(self, name: str, doc: str, label: str, counts: Mapping[str, int]) -> None:
        """Export counts by a label, as `longline_{name}_total`."""
        self._tallies.append((f"longline_{name}", doc, label, counts))

    def figures(self, part: str, read: Callable[[], Mapping[str, float]]) -> None:
        """Export what `read` returns at the moment of a scrape, as `longline_{part}_{name}`.

        For parts behind a port, whose engines differ in what they have to tell. Gauges, but for those that
        only rise.
        """
        self._figures.append((part, read))

    def numbers(self) -> Iterator[tuple[str, float | Histogram]]:
        """All figures under their names in `/metrics`, without `longline_` and `_total`; one that has a label
        as `room_closed{kicked}`. To be called on the event loop's thread, and cheap: no family is made.
        """
        for name, _, read in self._gauges:
            yield name.removeprefix(PREFIX), read()
        for name, _, _, counts in self._tallies:
            yield from _by_label(name.removeprefix(PREFIX), counts)
        for part_name, read_all in self._figures:
            for figure, value in read_all().items():
                yield f"{part_name}_{figure}", value
        for part in self._parts:
            for slot, name in part.slots:
                found: object = getattr(part.counters, slot)
                if isinstance(found, Mapping):
                    yield from _by_label(name, found)
                elif isinstance(found, (int, float, Histogram)):
                    yield name, found
        yield from self._process.read().items()

    def gauges_ending(self, end: str) -> dict[str, float]:
        """What gauges say now whose names end so, such as `_waiting`; without `longline_`."""
        found = {name.removeprefix(PREFIX): read() for name, _, read in self._gauges if name.endswith(end)}
        for part in self._parts:
            for slot, name in part.slots:
                if slot in part.gauges and name.endswith(end):
                    found[name] = float(getattr(part.counters, slot))
        return found

    def exposition(self) -> bytes:
        """All metrics in the text format, for `/metrics`. To be called on the event loop's thread."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("longline_build", "What this node runs.", value=self._build)
        for name, doc, read in self._gauges:
            yield GaugeMetricFamily(name, doc, value=read())
        for name, doc, label, counts in self._tallies:
            yield _labelled(CounterMetricFamily(name, doc, labels=[label]), counts)
        for part_name, read_all in self._figures:
            for figure, value in read_all().items():
                name = f"longline_{part_name}_{figure}"
                family = CounterMetricFamily if name in self._rising else GaugeMetricFamily
                yield family(name, self._doc(part_name, figure), value=value)
        for part in self._parts:
            for slot, _ in part.slots:
                doc = self._doc(part.name, slot)
                yield _family(part, slot, doc, getattr(part.counters, slot))
        yield from self._process.families()

    def _doc(self, part: str, name: str) -> str:
        return self._about.get(f"longline_{part}_{name}") or in_words(part, name)


def in_words(part: str, name: str) -> str:
    """The text of a figure that nothing is said of."""
    return f"{part}: {name.replace('_', ' ')}"


def _slots(counters: object) -> Iterator[str]:
    # By their descriptors, because a compiled class has its slots but no `__slots__` to list them.
    for cls in reversed(type(counters).__mro__):
        for name, member in vars(cls).items():
            if isinstance(member, (MemberDescriptorType, GetSetDescriptorType)) and not name.startswith("_"):
                yield name


def _family(part: _Part, slot: str, doc: str, value: object) -> Metric:
    name = f"longline_{part.name}_{slot}"
    if isinstance(value, Histogram):
        return HistogramMetricFamily(name, doc, buckets=value.cumulative(), sum_value=value.total)
    family = GaugeMetricFamily if slot in part.gauges else CounterMetricFamily
    if isinstance(value, Mapping):
        return _labelled(family(name, doc, labels=[part.labels.get(slot, "kind")]), value)
    if isinstance(value, (int, float)):
        return family(name, doc, value=value)
    raise TypeError(f"{name} is a {type(value).__name__}; it cannot be exported")


def _by_label(name: str, counts: Mapping[str, int]) -> Iterator[tuple[str, float]]:
    for label, count in _bounded(counts):
        yield f"{name}{{{label}}}", count


def _labelled(family: CounterMetricFamily | GaugeMetricFamily, counts: Mapping[str, int]) -> Metric:
    for label, count in _bounded(counts):
        family.add_metric([label], count)
    return family


def _bounded(counts: Mapping[str, int]) -> Iterator[tuple[str, int]]:
    if len(counts) <= MAX_LABELS:
        yield from counts.items()
        return
    ranked = sorted(counts.items(), key=lambda item: item[1], reverse=True)
    common = dict(ranked[: MAX_LABELS - 1])
    rest = sum(count for _, count in ranked[MAX_LABELS - 1 :])
    common[OTHER] = common.get(OTHER, 0) + rest
    yield from common.items()
