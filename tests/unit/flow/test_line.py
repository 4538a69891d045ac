"""The law of a queue whose clients give up: in order while nobody waits for long, else the newest first."""

from longline.flow.line import Line, Portion


def test_while_nobody_waits_for_long_they_are_served_in_the_order_in_which_they_came() -> None:
    line: Line[str] = Line(5.0)
    for second, name in enumerate("abc"):
        line.add(name, float(second))
    assert line.take(2.5, 2) == [("a", 0.0), ("b", 1.0)]
    assert line.take(60.0, 2) == [("c", 2.0)], "and always when all can be served at once"
    assert not len(line)


def test_when_somebody_has_waited_for_long_the_newest_are_served_and_also_those_in_order() -> None:
    line: Line[str] = Line(5.0)
    for second, name in enumerate("abcde"):
        line.add(name, float(second))
    assert line.take(4.0, 2) == [("d", 3.0), ("e", 4.0)]
    line.add("f", 5.0)
    assert line.take(5.0, 2) == [("c", 2.0), ("f", 5.0)]
    assert line.take(5.0, 2) == [("a", 0.0), ("b", 1.0)]


def test_where_clients_are_known_to_wait_for_less_the_newest_are_served_at_once() -> None:
    line: Line[str] = Line(5.0)
    for name in "abc":
        line.add(name, 0.0)
    line.newest_first = True
    assert line.take(0.0, 2) == [("b", 0.0), ("c", 0.0)]
    line.newest_first = False
    line.add("d", 0.0)
    assert line.take(0.0, 2) == [("a", 0.0), ("d", 0.0)]


def test_who_has_waited_for_longer_than_clients_do_is_given_up() -> None:
    line: Line[str] = Line(5.0)
    for second, name in enumerate("abc"):
        line.add(name, float(second))
    assert line.overdue(5.0, 10) == []
    assert line.overdue(6.5, 1) == [("a", 0.0)]
    assert line.overdue(6.5, 10) == [("b", 1.0)]
    assert line.overdue(6.5, 10) == []
    assert line.take(6.5, 10) == [("c", 2.0)]


def test_however_many_more_come_than_can_be_served_those_served_have_time_left() -> None:
    """In each tenth of a second 100 come and 10 can be served. First come, first served, everyone served
    would have waited for ever longer: after three seconds, longer than a client does.
    """
    line: Line[int] = Line(3.0)
    longest = 0.0
    for tenth in range(600):
        now = tenth / 10
        for number in range(100):
            line.add(number, now)
        longest = max([longest] + [now - came for _, came in line.take(now, 10)])
        line.overdue(now, 1000)
        assert len(line) <= 31 * 100  # and what is left behind does not grow
    assert longest <= 1.5


def test_a_slow_process_serves_fewer_together_and_more_again_when_it_is_not() -> None:
    portion = Portion(256, 16, 0.1)
    portion.took(0.1)
    assert portion.size == 256
    portion.took(0.4)
    assert portion.size == 64
    portion.took(60.0)
    assert portion.size == 16
    for size in (32, 64, 128, 256, 256):
        portion.took(0.01)
        assert portion.size == size
