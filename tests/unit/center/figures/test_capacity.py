"""How full bounds are, and when they will be full."""

import pytest

from longline.center.figures.capacity import DAY, LEAST_SPAN, Capacity, fullness, slope
from longline.model.figures import FiguresTold, Sample
from tests.unit.center.conftest import Api

NOW = 1_800_000_000_000


def a_sample(node: str = "n1", **figures: float) -> Sample:
    return Sample(node, "h1", ("room",), "1.0", "", "", figures, [])


def test_each_bound_is_told_with_what_it_bounds_the_fullest_first() -> None:
    samples = [
        a_sample(room_connections=30, bound_room_connections=100, bound_absent=5),
        a_sample("n2", room_connections=60, bound_room_connections=100, x=1, bound_x=0),
    ]
    found = fullness(samples, {}, NOW)
    assert [(each.name, each.node, each.share) for each in found] == [
        ("room_connections", "n2", 0.6),
        ("room_connections", "n1", 0.3),
    ]
    assert found[0].growth is None
    assert found[0].full_at is None


@pytest.mark.parametrize(
    ("growth", "days"), [(10.0, 7), (70.0, 1), (0.0, None), (-5.0, None), (0.001, None), (None, None)]
)
def test_it_is_full_when_it_has_grown_for_long_enough(growth: float | None, days: int | None) -> None:
    known = {} if growth is None else {("h1", "x"): growth}
    (found,) = fullness([a_sample(x=30, bound_x=100)], known, NOW)
    assert found.full_at == (None if days is None else NOW + days * DAY)


def test_what_is_full_is_so_now() -> None:
    (found,) = fullness([a_sample(x=100, bound_x=100)], {}, NOW)
    assert (found.share, found.full_at) == (1.0, NOW)


def test_growth_is_that_of_the_nearest_line() -> None:
    hour = DAY // 24
    points = [(NOW + n * hour, 100 + 2.0 * n + (-1) ** n) for n in range(48)]
    assert slope(points) == pytest.approx(48, rel=0.02)


def test_of_too_short_a_time_no_growth_is_told() -> None:
    assert slope([]) is None
    assert slope([(NOW, 1.0), (NOW + DAY, 2.0)]) is None
    assert slope([(NOW, 1.0), (NOW + 1, 2.0), (NOW + LEAST_SPAN - 1, 3.0)]) is None


async def test_growth_is_that_of_all_lives_of_a_host(api: Api) -> None:
    """A process that starts again has another name, and its figures go on where they were."""
    now = NOW
    figures = api.saver.figures
    figures._clock = lambda: now
    about = b'{"node": "n", "host": "h1", "names": ["x"]}'
    for hour in range(48):
        now = NOW + hour * DAY // 24
        told = b"[%d]" % (10 * hour)
        await figures.tell(FiguresTold(life=f"n@{hour // 20}", sample=b"{}", about=about, coarse=told))
    (found,) = await Capacity(figures).of([a_sample(x=480, bound_x=960)], now + 1)
    assert found.growth is not None
    assert found.growth == pytest.approx(240, rel=0.1)
    assert found.full_at == pytest.approx(now + 2 * DAY, abs=DAY / 4)
