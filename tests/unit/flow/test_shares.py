"""Nobody can have all of a pool, and who has little of it is always let in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longline.flow.shares import Shares


def fill(shares: Shares[str], who: str) -> int:
    """Takes one unit after the other for somebody until no more is given; how many that were."""
    taken = 0
    while shares.take(who):
        taken += 1
    return taken


def test_one_alone_has_most_of_it_and_leaves_room_for_the_next() -> None:
    shares: Shares[str] = Shares(1000)
    assert fill(shares, "a") == 751
    assert not shares.full()
    assert fill(shares, "b") > 100


@pytest.mark.parametrize("many", [2, 3, 5, 10])
def test_those_that_want_all_get_equal_shares_as_work_ends(many: int) -> None:
    """Whoever was there first has more only until what it does ends."""
    shares: Shares[str] = Shares(1000)
    names = [f"app-{n}" for n in range(many)]
    for name in names:
        fill(shares, name)
    for _ in range(2000):  # one piece of everybody's ends, and all want more at once
        for name in names:
            if shares.held(name) > 1:
                shares.give(name)
        for name in reversed(names):
            fill(shares, name)
    held = [shares.held(name) for name in names]
    assert max(held) <= 1.5 * min(held)
    assert sum(held) > 1000 * 0.7


def test_the_reserve_is_there_for_the_privileged_when_everything_else_is_gone() -> None:
    shares: Shares[str] = Shares(100, reserve=10, privileged="admin")
    for n in range(100):
        fill(shares, f"app-{n}")
    assert shares.full()
    assert fill(shares, "admin") == 10
    assert shares.total == 100
    shares.give("admin", 10)
    assert not shares.take("app-200"), "what the privileged gave back is not the others'"


def test_a_pool_of_one_or_two_is_used_whole() -> None:
    for limit in (1, 2):
        shares: Shares[str] = Shares(limit)
        assert fill(shares, "a") == limit


def test_a_big_piece_goes_in_where_there_is_room_for_it() -> None:
    shares: Shares[str] = Shares(100)
    assert shares.take("a", 100)
    assert shares.full()
    assert not shares.take("b")
    shares.give("a", 100)
    assert shares.most() is None


def test_a_limit_that_sinks_takes_nothing_back() -> None:
    shares: Shares[str] = Shares(10)
    assert shares.take("a", 8)
    shares.limit = 4
    assert not shares.take("b")
    shares.give("a", 6)
    assert shares.take("b")
    assert shares.most() == "a"


@given(st.lists(st.tuples(st.sampled_from("abcz"), st.integers(-5, 5)), max_size=200))
def test_whatever_comes_and_goes_the_limit_holds_and_nothing_is_forgotten(
    steps: list[tuple[str, int]],
) -> None:
    shares: Shares[str] = Shares(20, reserve=3, privileged="z")
    for who, amount in steps:
        before = shares.total
        if amount > 0:
            taken = shares.take(who, amount)
            assert shares.total == before + amount * taken
            if who != "z" and taken:
                assert shares.total <= 17
        elif shares.held(who) >= -amount > 0:
            shares.give(who, -amount)
        assert shares.total == sum(shares.held(each) for each in "abcz")
        assert 0 <= shares.total <= 20
