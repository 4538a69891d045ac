"""What the doctor says of a running cluster: each check, when it is well and when it is not."""

from datetime import UTC, datetime

import pytest

from longline.center.figures.finding_tables import HIGH, RISING
from longline.cli.doctor_cluster import CHECKS, of_cluster
from longline.cli.finding import Finding
from longline.sdk.figures import BoundInfo, ClusterFigures, NodeSample, ProblemInfo, Severity

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
WELL = ClusterFigures(
    at=NOW,
    nodes=(
        NodeSample(
            node="n1",
            host="h1",
            roles=("room", "center"),
            version="1.0",
            since=NOW,
            at=NOW,
            figures={"room_connections": 30, "http_tls_certificate_seconds": 40 * 86_400},
        ),
        NodeSample(
            node="n2",
            host="h2",
            roles=("room",),
            version="1.0",
            since=NOW,
            at=NOW,
            figures={"room_connections": 40},
        ),
    ),
)
BOUND = BoundInfo(name="room_connections", node="n2", host="h2", used=40, limit=80, share=0.5)


def a_problem(code: str, severity: Severity = "warning", node: str | None = "n1") -> ProblemInfo:
    return ProblemInfo(code=code, severity=severity, message="So it is.", hint="Do this.", node=node)


def test_of_a_cluster_that_is_well_each_check_says_so() -> None:
    found = {each.check: each for each in of_cluster(WELL, [], [BOUND])}
    assert set(found) == set(CHECKS)
    assert {each.status for each in found.values()} == {"ok"}
    assert found["versions"].found == "1.0 on 2 processes"
    assert found["limits"].found == "the fullest is room_connections at 50%"
    assert found["certificates"].found == "good for 40 days or more"
    assert found["rooms"].found == "2, with 30 to 40 connections"


@pytest.mark.parametrize(
    ("check", "code"), [(check, code) for check, codes in CHECKS.items() for code in codes]
)
def test_a_problem_is_found_by_the_check_that_looks_for_it(check: str, code: str) -> None:
    found = [each for each in of_cluster(WELL, [a_problem(code)], []) if each.status != "ok"]
    assert found == [Finding(check, "warn", "n1: So it is.", "Do this.")]


def test_what_is_critical_is_bad_and_what_is_not_known_is_told_all_the_same() -> None:
    found = [
        each
        for each in of_cluster(WELL, [a_problem("new_one", "critical", node=None)], [])
        if each.status != "ok"
    ]
    assert found == [Finding("other", "bad", "So it is.", "Do this.")]


def test_a_cluster_without_processes_breaks_nothing() -> None:
    assert list(of_cluster(ClusterFigures(at=NOW, nodes=()), [], []))


def test_each_code_of_the_tables_has_its_check() -> None:
    named = {code for codes in CHECKS.values() for code in codes}
    high = {f"{name.removesuffix('_p99').removesuffix('_seconds')}_high" for name in HIGH}
    assert high | {row.code for row in RISING.values()} <= named
