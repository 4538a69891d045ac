"""What apps do, as it is told of the busiest, and of all others as one."""

import msgspec
import pytest

from longline.model.figures import AppSample
from longline.telemetry.traffic import BUSIEST, NOBODY, Traffic

NOTHING = AppSample("", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, None)


def test_what_an_app_did_is_told_by_the_second_and_then_counted_anew() -> None:
    traffic = Traffic()
    app = traffic.of(7, "news")
    app.connects, app.accepted, app.sent, app.acked, app.upstream = 2, 4, 6, 8, 10
    app.requests, app.refused, app.errors, app.seconds = 4, 1, 2, 0.5
    traffic.connections = lambda number: 30
    (load,) = traffic.take(2.0)
    assert load == AppSample("news", 1, 30, 1, 2, 3, 4, 5, 2, 0.5, 1, 0.125)
    (load,) = traffic.take(2.0)
    assert load == msgspec.structs.replace(NOTHING, app="news", connections=30)
    assert traffic.of(7, "news") is app


def test_an_app_that_does_nothing_and_has_nobody_here_is_forgotten() -> None:
    traffic = Traffic()
    here = {1: 0, 2: NOBODY, 3: NOBODY}
    traffic.connections = lambda number: here[number]
    apps = [traffic.of(number, f"a{number}") for number in here]
    apps[2].refused = apps[2].requests = 1
    assert [load.app for load in traffic.take(1.0)] == ["a3"]
    assert traffic.take(1.0) == []
    kept = [traffic.of(number, f"a{number}") is apps[place] for place, number in enumerate(here)]
    assert kept == [True, False, False]


@pytest.mark.parametrize("apps", [BUSIEST, BUSIEST + 1, 10_000])
def test_as_much_is_told_however_many_apps_there_are(apps: int) -> None:
    traffic = Traffic()
    traffic.connections = lambda number: number
    for number in range(1, apps + 1):
        app = traffic.of(number, f"a{number}")
        app.sent = app.requests = 1
        app.seconds = 0.25
    loads = traffic.take(1.0)
    busiest = [f"a{number}" for number in range(apps, apps - BUSIEST, -1)]
    assert [load.app for load in loads[:BUSIEST]] == busiest
    left = apps - BUSIEST
    assert [(load.app, load.apps) for load in loads[BUSIEST:]] == ([(None, left)] if left else [])
    assert sum(load.connections for load in loads) == apps * (apps + 1) // 2
    assert sum(load.sent for load in loads) == sum(load.requests for load in loads) == apps
    assert {load.request_seconds for load in loads} == {0.25}
    assert len(msgspec.json.encode(loads)) < 5_000
    assert all(load.sent == 0 for load in traffic.take(1.0))


def test_who_does_much_is_told_of_before_who_has_many() -> None:
    traffic = Traffic()
    traffic.connections = lambda number: 10
    for number in range(BUSIEST + 5):
        traffic.of(number, f"a{number}")
    traffic.of(0, "a0").upstream = 100
    assert traffic.take(1.0)[0].app == "a0"
