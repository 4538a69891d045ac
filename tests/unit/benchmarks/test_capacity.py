"""The page on capacity says what its program works out, and the simulated storms behave like storms."""

import subprocess
import sys

import pytest
from benchmarks import capacity
from benchmarks.storm import Crowd, simulate

CROWD = Crowd(
    clients=100_000,
    noticed_within=0.0,
    rooms=4,
    connect=200e-6,
    refuse=50e-6,
    stores=1e9,
    queue=10_000,
    dispatchers=2,
    look_up=50e-6,
    hint_rate=4000.0,
    hinted=False,
)


def test_the_page_has_exactly_the_tables_that_are_printed() -> None:
    page = capacity.PAGE.read_text("utf-8")
    assert capacity.rewritten(page) == page
    for block in capacity.blocks().values():
        assert page.count(block) == 1
    assert page.count("<!-- end -->") == len(capacity.TABLES)


def test_the_program_prints_these_tables() -> None:
    found = subprocess.run([sys.executable, capacity.__file__], capture_output=True, text=True, check=True)
    assert found.stdout == "\n".join(capacity.blocks().values())


def test_a_page_without_a_place_for_a_table_is_told() -> None:
    with pytest.raises(ValueError, match="costs"):
        capacity.rewritten("")


def test_every_cost_says_whether_it_was_measured() -> None:
    kinds = {kind for _, _, _, kind, _ in capacity.INPUTS.costs.values()}
    assert {"measured", "estimate"} <= kinds <= {"measured", "estimate", "required"}


@pytest.mark.parametrize("hinted", [True, False])
def test_nearly_all_are_back_and_not_before_the_rooms_could_take_them(hinted: bool) -> None:
    end = simulate(CROWD._replace(hinted=hinted))
    soonest = CROWD.clients * CROWD.connect / CROWD.rooms
    assert 0.99 * soonest <= end.nearly_all < 10 * soonest
    assert end.half <= end.nearly_all
    assert end.attempts >= 0.99


def test_no_room_has_more_waiting_than_its_queue_holds() -> None:
    assert simulate(CROWD).peak_waiting <= CROWD.rooms * CROWD.queue + 1


def test_dispatchers_spare_rooms_the_crowd_that_back_off_alone_lets_in() -> None:
    alone, told = simulate(CROWD), simulate(CROWD._replace(hinted=True))
    assert told.peak_rate < alone.peak_rate
    assert told.peak_waiting < alone.peak_waiting
    assert told.attempts < alone.attempts


def test_who_notices_late_comes_late() -> None:
    late = simulate(CROWD._replace(noticed_within=300.0))
    assert late.nearly_all == pytest.approx(0.99 * 300.0, rel=0.02)
    assert late.peak_rate == pytest.approx(CROWD.clients / 300.0, rel=0.02)


def test_a_store_that_is_slower_than_the_rooms_sets_the_pace() -> None:
    end = simulate(CROWD._replace(stores=5000.0))
    assert end.nearly_all >= 0.99 * CROWD.clients / 5000.0


def test_twice_the_clients_with_twice_of_everything_come_back_alike() -> None:
    double = CROWD._replace(
        clients=2 * CROWD.clients, rooms=2 * CROWD.rooms, dispatchers=2 * CROWD.dispatchers,
        hint_rate=2 * CROWD.hint_rate,
    )  # fmt: skip
    assert simulate(double).nearly_all == pytest.approx(simulate(CROWD).nearly_all)
