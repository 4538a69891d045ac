"""Each rule on a cluster on which what it looks for is so, and on one on which nothing is wrong."""

from collections.abc import Mapping, Sequence

import msgspec
import pytest

from longline.center.figures.capacity import Fullness
from longline.center.figures.finding_tables import HIGH, RISING
from longline.center.figures.findings import (
    FAR_APART,
    SETTLED,
    SILENT,
    Cluster,
    DrainDue,
    NodeTold,
    Problem,
    problems_of,
)
from longline.keeper.port import Node
from longline.model.figures import Sample
from longline.model.times import rfc3339
from longline.saver.bundle import Durability

NOW = 1_800_000_000_000
DAY = 86_400_000


def a_sample(node: str, *, version: str = "1.0", at: int = NOW, **figures: float) -> Sample:
    return Sample(node, node, ("room",), version, rfc3339(NOW - DAY), rfc3339(at), figures, [])


def told(
    sample: Sample, *, heard: int = NOW, recent: Mapping[str, Sequence[float | None]] | None = None
) -> NodeTold:
    points = recent or {}
    count = max(map(len, points.values()), default=0)
    return NodeTold(sample, heard, [NOW - 10_000 * (count - n) for n in range(count)], points)


def a_member(
    node: str,
    *,
    since: int = NOW - DAY,
    settings_version: int = 0,
    weight: float = 1.0,
    draining: bool = False,
) -> Node:
    return Node(
        node=node,
        roles=("room",),
        addresses={},
        since=since,
        version="1.0",
        settings_version=settings_version,
        weight=weight,
        draining=draining,
    )


def a_cluster(
    *each: NodeTold,
    members: Sequence[Node] | None = None,
    settings: tuple[int, int] = (0, 0),
    orders: Sequence[DrainDue] = (),
    bounds: Sequence[Fullness] = (),
    durability: Durability | None = None,
) -> Cluster:
    return Cluster(
        now=NOW,
        told=each,
        members=[a_member(one.sample.node) for one in each] if members is None else members,
        settings=settings,
        orders=orders,
        bounds=bounds,
        durability=durability or Durability("fsync"),
    )


def codes(cluster: Cluster) -> list[tuple[str, str, str | None]]:
    return [(each.code, each.severity, each.node) for each in problems_of(cluster)]


def only(cluster: Cluster) -> Problem:
    (found,) = problems_of(cluster)
    return found


def test_nothing_is_wrong_with_a_cluster_that_is_well() -> None:
    """Figures rise and are busy, and one room has a little more to do than the other."""
    busy: dict[str, list[float | None]] = {
        "loop_lag_seconds_p99": [0.01, 0.2, 0.01, None],
        "store_call_seconds_p99": [0.02, 0.03, 0.02, 0.01],
        "room_pushes_sent": [1, 2, 3, 4],
        "bus_dropped": [5, 5, 5, 5],
        "faults{room}": [2, 2, 2, 2],
    }
    cluster = a_cluster(
        told(a_sample("n1", room_connections=1000, http_tls_certificate_seconds=90 * 86_400), recent=busy),
        told(a_sample("n2", room_connections=900)),
        bounds=[Fullness("room_connections", "n1", "n1", 1000, 2000, 10.0, NOW + 100 * DAY)],
        durability=Durability("memory", appended=True),
    )
    assert problems_of(cluster) == []


def test_a_process_that_tells_nothing_is_silent() -> None:
    cluster = a_cluster(told(a_sample("n1"), heard=NOW - SILENT), told(a_sample("n2")))
    assert codes(cluster) == [("node_silent", "critical", "n1")]
    assert only(cluster).since == NOW - SILENT


def test_a_member_that_never_told_anything_is_told() -> None:
    old, new = a_member("n2"), a_member("n3", since=NOW - 1000)
    cluster = a_cluster(told(a_sample("n1")), members=[a_member("n1"), old, new])
    assert codes(cluster) == [("node_untold", "warning", "n2")]


def test_versions_that_differ_are_told_with_how_many_have_them() -> None:
    cluster = a_cluster(*(told(a_sample(f"n{n}", version="1.1" if n else "1.0")) for n in range(3)))
    assert codes(cluster) == [("versions_differ", "warning", None)]
    assert "1.0 on 1, 1.1 on 2" in only(cluster).message


@pytest.mark.parametrize(
    ("apart", "severity", "word"),
    [(2500, "warning", "ahead"), (-2500, "warning", "behind"), (FAR_APART + 1, "critical", "ahead")],
)
def test_clocks_that_are_apart_are_told(apart: int, severity: str, word: str) -> None:
    cluster = a_cluster(told(a_sample("n1", at=NOW + apart)), told(a_sample("n2", at=NOW + 1500)))
    assert codes(cluster) == [("clocks_apart", severity, "n1")]
    assert word in only(cluster).message


def test_a_node_with_old_settings_is_told_once_it_has_had_the_time() -> None:
    members = [a_member("n1", settings_version=4), a_member("n2", settings_version=3)]
    both = told(a_sample("n1")), told(a_sample("n2"))
    assert codes(a_cluster(*both, members=members, settings=(4, NOW - SETTLED + 1))) == []
    cluster = a_cluster(*both, members=members, settings=(4, NOW - SETTLED))
    assert codes(cluster) == [("settings_behind", "warning", "n2")]


@pytest.mark.parametrize("name", HIGH)
def test_a_figure_that_is_too_high_for_a_while_is_told(name: str) -> None:
    bounds = HIGH[name]
    for level, severity in ((bounds.warning, "warning"), (bounds.critical, "critical")):
        recent = {name: [0.0, level, level, level]}
        cluster = a_cluster(told(a_sample("n1"), recent=recent))
        assert [severity] == [each.severity for each in problems_of(cluster)]
        assert only(cluster).since == NOW - 30_000
    assert codes(a_cluster(told(a_sample("n1"), recent={name: [9.0, 9.0, None, 9.0, 9.0]}))) == []


@pytest.mark.parametrize("name", [*RISING, "faults{room.turn}"])
def test_what_should_not_rise_and_has_is_told(name: str) -> None:
    recent = {name: [7.0, 7.0, 9.0, 10.0]}
    found = only(a_cluster(told(a_sample("n1"), recent=recent)))
    assert (found.node, found.since) == ("n1", NOW - 20_000)
    assert "3 " in found.message
    assert found.hint


def test_tasks_that_grow_or_are_stuck_are_told() -> None:
    figures = {"tasks_growing{center.request}": 80.0, "tasks_stuck{node.membership}": 90.0}
    sample = msgspec.structs.replace(a_sample("n1"), figures=figures)
    cluster = a_cluster(told(sample))
    assert codes(cluster) == [("task_stuck", "critical", "n1"), ("tasks_growing", "warning", "n1")]
    assert "`node.membership`" in problems_of(cluster)[0].message
    assert problems_of(cluster)[0].since == NOW - 90_000


@pytest.mark.parametrize(
    ("days", "severity", "words"),
    [
        (10, "warning", "runs out in 10 days"),
        (1, "critical", "runs out in 24 hours"),
        (-1, "critical", "has run out"),
    ],
)
def test_a_certificate_that_runs_out_is_told(days: int, severity: str, words: str) -> None:
    cluster = a_cluster(told(a_sample("n1", room_tls_certificate_seconds=days * 86_400)))
    assert codes(cluster) == [("certificate_running_out", severity, "n1")]
    assert words in only(cluster).message


def test_webhooks_that_fail_for_a_while_are_told() -> None:
    failing = {"webhooks_failing": [0.0, 2.0, 2.0, 2.0]}
    cluster = a_cluster(told(a_sample("n1", webhooks_failing=2), recent=failing))
    assert codes(cluster) == [("webhook_failing", "warning", "n1")]


def test_a_drain_that_should_be_over_is_told() -> None:
    orders = [
        DrainDue("n1", NOW - SETTLED - 1, "moving"),
        DrainDue("n2", NOW - SETTLED - 1, "finished"),
        DrainDue("n3", NOW + 1000, "moving"),
    ]
    assert codes(a_cluster(orders=orders)) == [("drain_stuck", "warning", "n1")]


def test_bounds_that_are_near_or_soon_will_be_are_told() -> None:
    bounds = [
        Fullness("room_connections", "n1", "n1", 96, 100, None, None),
        Fullness("saver_disk_bytes", "n2", "n2", 80, 100, None, None),
        Fullness("store_memory_bytes", "n3", "n3", 60, 100, 30.0, NOW + DAY),
        Fullness("process_open_fds", "n4", "n4", 60, 100, 1.0, NOW + 40 * DAY),
        Fullness("http_connections", "n5", "n5", 10, 100, 90.0, NOW + DAY),
    ]
    assert codes(a_cluster(bounds=bounds)) == [
        ("bound_near", "critical", "n1"),
        ("bound_near", "warning", "n2"),
        ("bound_near", "warning", "n3"),
    ]


def test_a_store_that_forgets_is_told() -> None:
    evicts = a_cluster(told(a_sample("n1", store_evicting=1)), told(a_sample("n2")))
    assert codes(evicts) == [("store_evicts", "critical", None)]
    forgets = a_cluster(told(a_sample("n1", store_forgetful=2)), durability=Durability("memory"))
    assert codes(forgets) == [("store_forgets", "critical", None)]
    assert codes(a_cluster(durability=Durability("memory"))) == [("store_forgets", "warning", None)]
    assert codes(a_cluster(durability=Durability("replicated", copies=1))) == []


def test_rooms_that_are_uneven_for_their_weight_are_told() -> None:
    both = told(a_sample("n1", room_connections=1000)), told(a_sample("n2", room_connections=400))
    assert codes(a_cluster(*both)) == [("rooms_uneven", "warning", "n1")]
    heavy = [a_member("n1", weight=2.0), a_member("n2")]
    assert codes(a_cluster(*both, members=heavy)) == []
    leaving = [a_member("n1"), a_member("n2", draining=True)]
    assert codes(a_cluster(*both, members=leaving)) == []
    few = told(a_sample("n1", room_connections=150)), told(a_sample("n2"))
    assert codes(a_cluster(*few)) == []


def test_the_critical_come_first() -> None:
    cluster = a_cluster(
        told(a_sample("n1", at=NOW + 5000)), told(a_sample("n2"), heard=NOW - SILENT), told(a_sample("n3"))
    )
    assert [each.severity for each in problems_of(cluster)] == ["critical", "warning"]
