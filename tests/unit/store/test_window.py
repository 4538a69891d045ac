"""How many calls may be out at once."""

from longline.store.window import IN_TIME, LEAST, MOST, Window


def test_it_grows_while_answers_come_in_time_and_more_calls_wait() -> None:
    window = Window()
    for _ in range(3):
        window.answered(window.size, IN_TIME / 2, True)
    assert window.size == 8 * LEAST
    window.answered(10 * MOST, IN_TIME / 2, True)
    assert window.size == MOST


def test_it_stays_as_it_is_while_it_holds_nobody_back() -> None:
    window = Window()
    window.answered(LEAST, IN_TIME / 2, False)
    assert window.size == LEAST


def test_it_is_halved_when_all_that_is_out_takes_too_long_and_never_closes() -> None:
    window = Window()
    window.answered(9 * LEAST, 0.0, True)
    assert window.size == 10 * LEAST
    window.answered(10 * LEAST, 2 * IN_TIME, True)
    assert window.size == 5 * LEAST
    for _ in range(10):
        window.answered(window.size, 2 * IN_TIME, True)
    assert window.size == LEAST
