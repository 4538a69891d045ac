from longline.flow.breaker import Breaker


class Times:
    def __init__(self) -> None:
        self.now = 0.0
        self.breaker = Breaker(3, 1.0, 4.0, lambda: self.now)

    def fail(self) -> bool:
        assert self.breaker.ask()
        return self.breaker.failed()


def test_it_opens_after_failures_in_a_row() -> None:
    times = Times()
    assert [times.fail(), times.fail()] == [False, False]
    assert times.breaker.ask()
    times.breaker.answered()
    assert [times.fail(), times.fail(), times.fail()] == [False, False, True]
    assert not times.breaker.ask()


def test_one_finds_out_when_the_pause_is_over_and_the_next_pause_is_twice_as_long() -> None:
    times = Times()
    for _ in range(3):
        times.fail()
    for pause in (1.0, 2.0, 4.0, 4.0):
        times.now += pause - 0.01
        assert not times.breaker.ask()
        times.now += 0.01
        assert times.breaker.ask()
        assert not times.breaker.ask()  # nobody else, while it does
        times.breaker.failed()
    times.now += 4.0
    assert times.breaker.ask()
    times.breaker.answered()
    assert times.breaker.ask()
    assert times.breaker.ask()


def test_those_that_were_under_way_when_it_opened_make_no_pause_longer() -> None:
    times = Times()
    for _ in range(10):
        assert times.breaker.ask()
    assert [times.breaker.failed() for _ in range(10)].count(True) == 1
    times.now = 1.0
    assert times.breaker.ask()


def test_who_did_not_wait_for_the_answer_leaves_it_to_the_next() -> None:
    times = Times()
    for _ in range(3):
        times.fail()
    times.now = 1.0
    assert times.breaker.ask()
    times.breaker.unknown()
    assert times.breaker.ask()
