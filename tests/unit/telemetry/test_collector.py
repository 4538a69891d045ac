"""One collector turns the parts' plain numbers into Prometheus's text."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from longline.telemetry.collector import MAX_LABELS, NodeCollector
from longline.telemetry.counters import OTHER, Histogram, Tally
from longline.version import VERSION


class RoomNumbers:
    __slots__ = ("_private", "connections", "lag", "refused", "sent")

    def __init__(self) -> None:
        self._private = "never exported"
        self.connections = 3
        self.sent = 7
        self.refused = Tally(limit=MAX_LABELS * 2)
        self.lag = Histogram((0.01,))


@pytest.fixture
def numbers() -> RoomNumbers:
    return RoomNumbers()


@pytest.fixture
def collector(numbers: RoomNumbers) -> NodeCollector:
    collector = NodeCollector(
        compiled=True, about={"longline_room_sent": "Packets sent."}, rising={"longline_bus_dropped"}
    )
    collector.add("room", numbers, gauges=("connections",), labels={"refused": "code"})
    return collector


def samples(collector: NodeCollector) -> dict[tuple[str, str], float]:
    """What a scraper reads: (name, its labels' values) to the value."""
    families = text_string_to_metric_families(collector.exposition().decode())
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def test_slots_become_counters_and_gauges(collector: NodeCollector) -> None:
    read = samples(collector)
    assert read["longline_room_sent_total", ""] == 7
    assert read["longline_room_connections", ""] == 3
    assert not any("private" in name for name, _ in read)
    assert "# HELP longline_room_sent_total Packets sent." in collector.exposition().decode()


def test_a_scrape_reads_the_numbers_of_that_moment(collector: NodeCollector, numbers: RoomNumbers) -> None:
    samples(collector)
    numbers.sent += 1
    assert samples(collector)["longline_room_sent_total", ""] == 8


def test_a_mapping_becomes_one_series_a_label(collector: NodeCollector, numbers: RoomNumbers) -> None:
    numbers.refused.add("bad_token", 5)
    read = samples(collector)
    assert read["longline_room_refused_total", "bad_token"] == 5
    assert 'longline_room_refused_total{code="bad_token"}' in collector.exposition().decode()


def test_the_rarest_labels_beyond_the_bound_are_added_up(
    collector: NodeCollector, numbers: RoomNumbers
) -> None:
    for index in range(MAX_LABELS + 10):
        numbers.refused.add(f"code{index:03}", 1000 - index)
    series = {
        labels: value
        for (name, labels), value in samples(collector).items()
        if name == "longline_room_refused_total"
    }
    assert len(series) == MAX_LABELS
    assert sum(series.values()) == sum(numbers.refused.values())
    assert series[OTHER] == sum(1000 - index for index in range(MAX_LABELS - 1, MAX_LABELS + 10))


def test_a_histogram_becomes_buckets_a_sum_and_a_count(
    collector: NodeCollector, numbers: RoomNumbers
) -> None:
    numbers.lag.observe(0.005)
    numbers.lag.observe(0.5)
    read = samples(collector)
    assert read["longline_room_lag_bucket", "0.01"] == 1
    assert read["longline_room_lag_bucket", "+Inf"] == 2
    assert read["longline_room_lag_sum", ""] == 0.505


def test_what_waits_is_read_alone_of_all_figures(collector: NodeCollector) -> None:
    class Traces:
        __slots__ = ("sent", "waiting")

        def __init__(self) -> None:
            self.sent, self.waiting = 9, 4

    collector.add("traces", Traces(), gauges=("waiting",))
    collector.gauge("room_receipts_waiting", "Receipts that wait.", lambda: 5.0)
    collector.gauge("tasks", "Tasks alive.", lambda: 6.0)
    assert collector.gauges_ending("_waiting") == {"room_receipts_waiting": 5.0, "traces_waiting": 4.0}


def test_a_gauge_is_read_at_the_scrape(collector: NodeCollector) -> None:
    depth = [4.0]
    collector.gauge("bus_depth", "Commands waiting.", lambda: depth[0])
    assert samples(collector)["longline_bus_depth", ""] == 4
    depth[0] = 5.0
    assert samples(collector)["longline_bus_depth", ""] == 5


def test_figures_of_an_engine_that_only_rise_are_counters(collector: NodeCollector) -> None:
    collector.figures("bus", lambda: {"waiting": 2, "dropped": 3})
    text = collector.exposition().decode()
    assert "# TYPE longline_bus_waiting gauge" in text
    assert "# TYPE longline_bus_dropped_total counter" in text
    assert samples(collector)["longline_bus_dropped_total", ""] == 3


def test_the_build_says_its_version_and_whether_it_is_compiled(collector: NodeCollector) -> None:
    text = collector.exposition().decode()
    assert f'version="{VERSION}"' in text
    assert 'hot_path="compiled"' in text
    assert "process_resident_memory_bytes" in text


def test_two_nodes_in_one_process_do_not_clash(collector: NodeCollector) -> None:
    other = NodeCollector(compiled=False)
    assert "longline_room_sent_total" not in other.exposition().decode()


def test_what_cannot_be_exported_is_a_mistake_of_ours(collector: NodeCollector, numbers: RoomNumbers) -> None:
    class Wrong:
        __slots__ = ("name",)

        def __init__(self) -> None:
            self.name = "text"

    collector.add("wrong", Wrong())
    with pytest.raises(TypeError, match="longline_wrong_name is a str"):
        collector.exposition()
