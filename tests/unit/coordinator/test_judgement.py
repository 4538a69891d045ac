"""Who is silent is taken for dead in good time, but not by a judge that was late, nor among too many."""

from collections.abc import Sequence

import pytest

from longline.coordinator.judgement import LATE, NEWS, PACE, WAIT, WITHHELD, Judgement

EVERY = 0.5  # s between looks


class Court:
    """A judgement that looks twice a second, at rooms that are silent or not."""

    def __init__(self, *rooms: str) -> None:
        self.judgement = Judgement()
        self.living = list(rooms)
        self.silent: list[str] = []
        self.dead: list[tuple[float, str]] = []  # and when
        self.now = 0.0
        self.age = 0.0
        self.passes(5)

    def falls_silent(self, *rooms: str) -> None:
        self.living = [room for room in self.living if room not in rooms]
        self.silent += rooms
        self.now = 0.0
        self.judgement.resume(0.0)
        self.look()

    def speaks(self, *rooms: str) -> None:
        self.silent = [room for room in self.silent if room not in rooms]
        self.living += rooms

    def look(self) -> None:
        while dead := self.judgement.look(self.silent, self.living, now=self.now, age=self.age):
            self.dead.append((self.now, dead))
            self.silent.remove(dead)

    def passes(self, seconds: float, every: float = EVERY) -> None:
        for _ in range(round(seconds / every)):
            self.now += every
            self.look()


def hosts(count: int, rooms: int) -> list[str]:
    return [f"host{host}-{room:08x}" for host in range(count) for room in range(rooms)]


@pytest.mark.parametrize(
    ("rooms", "silent"),
    [
        (hosts(1, 1), 1),  # alone: whoever comes in its place is told apart by its name
        (hosts(1, 2), 1),
        (hosts(1, 8), 4),
        (hosts(3, 1), 1),
        (hosts(3, 4), 1),
        (hosts(3, 4), 4),  # one host of three, with all its rooms
        (hosts(2, 4), 4),
        (hosts(5, 2), 4),
    ],
)
def test_a_room_that_is_dead_or_a_host_with_all_its_rooms_is_noticed_at_once(
    rooms: Sequence[str], silent: int
) -> None:
    court = Court(*rooms)
    court.falls_silent(*rooms[:silent])
    court.passes(NEWS)
    assert court.dead == [(NEWS, room) for room in rooms[:silent]]
    assert court.judgement.withheld == 0


@pytest.mark.parametrize(("rooms", "silent"), [(hosts(1, 8), 5), (hosts(1, 3), 3), (hosts(3, 4), 8)])
def test_when_more_than_half_fall_silent_at_once_nobody_is_dead_for_a_while_and_then_one_a_second(
    rooms: Sequence[str], silent: int
) -> None:
    court = Court(*rooms)
    court.falls_silent(*rooms[:silent])
    court.passes(WAIT - EVERY)
    assert court.dead == []
    assert court.judgement.withheld == silent
    court.passes(EVERY)
    assert court.dead[0] == (WAIT, rooms[0])
    court.passes(PACE)
    assert court.dead[1][0] == WAIT + PACE


def test_rooms_silent_here_and_there_on_every_host_are_as_many_as_hosts() -> None:
    rooms = hosts(4, 4)
    court = Court(*rooms)
    court.falls_silent(*(room for room in rooms if room[-1] in "012"))  # three of four on each
    court.passes(WAIT - EVERY)
    assert court.dead == []


def test_a_large_host_that_dies_is_one_host_though_it_has_most_of_the_rooms() -> None:
    large, small = hosts(1, 10), ["other-00000001", "other-00000002"]
    court = Court(*large, *small)
    court.falls_silent(*large)
    court.passes(NEWS)
    assert [room for _, room in court.dead] == large


def test_who_is_heard_again_meanwhile_is_not_dead() -> None:
    rooms = hosts(1, 8)
    court = Court(*rooms)
    court.falls_silent(*rooms)
    court.passes(WAIT - 1)
    court.speaks(*rooms[1:])
    court.passes(2)
    assert [room for _, room in court.dead] == [rooms[0]]
    court.passes(200)
    assert len(court.dead) == 1


def test_nobody_is_withheld_for_longer_than_two_minutes() -> None:
    rooms = hosts(1, 200)
    court = Court(*rooms)
    court.falls_silent(*rooms)
    court.passes(WITHHELD - EVERY)
    assert len(court.dead) == WITHHELD - WAIT
    court.passes(EVERY)
    assert len(court.dead) == 200


def test_a_judge_that_was_late_begins_its_observation_anew() -> None:
    court = Court(*hosts(3, 1))
    court.falls_silent("host0-00000000")
    court.passes(NEWS - EVERY)
    court.now += 2 * LATE
    court.look()
    court.passes(NEWS - EVERY)
    assert court.dead == []
    court.passes(EVERY)
    assert len(court.dead) == 1


def test_a_judge_that_is_late_all_the_time_declares_nobody_dead_for_two_minutes() -> None:
    court = Court(*hosts(3, 1))
    court.falls_silent("host0-00000000")
    court.passes(WITHHELD - 2 * LATE, every=2 * LATE)
    assert court.dead == []
    court.passes(2 * LATE, every=2 * LATE)
    assert len(court.dead) == 1


def test_a_judge_that_was_away_knows_nothing_of_who_was_silent_before() -> None:
    court = Court(*hosts(3, 1))
    court.falls_silent("host0-00000000")
    court.passes(1)
    court.now += 2 * WITHHELD
    court.look()
    assert court.dead == []


@pytest.mark.parametrize("age", [0.0, 2.0])
def test_news_must_be_newer_than_the_silence(age: float) -> None:
    court = Court(*hosts(3, 1))
    court.age = age
    court.falls_silent("host0-00000000")
    court.passes(NEWS)
    assert len(court.dead) == 1, "as fast as with the latest news"
    court.falls_silent("host1-00000000")
    court.age = 2 * NEWS
    court.passes(2 * NEWS - EVERY)
    assert len(court.dead) == 1
    court.passes(EVERY)
    assert len(court.dead) == 2
