"""Waits spread a crowd; budgets keep retries from multiplying an overload."""

import pytest

from longline.sdk.backoff import Backoff, RetryBudget


def test_waits_are_drawn_below_a_limit_that_doubles_up_to_the_cap() -> None:
    backoff = Backoff(base=1.0, cap=5.0, random=lambda: 0.5)
    assert [backoff.next() for _ in range(5)] == [0.5, 1.0, 2.0, 2.5, 2.5]


def test_jitter_is_full_so_a_wait_may_be_nothing() -> None:
    assert Backoff(base=1.0, cap=5.0, random=lambda: 0.0).next() == 0.0


def test_after_a_success_waits_are_short_again() -> None:
    backoff = Backoff(base=1.0, cap=60.0, random=lambda: 1.0)
    for _ in range(4):
        backoff.next()
    backoff.reset()
    assert backoff.next() == 1.0


def test_thousands_of_failures_do_not_overflow_the_limit() -> None:
    backoff = Backoff(base=1.0, cap=60.0, random=lambda: 1.0)
    assert [backoff.next() for _ in range(5000)][-1] == 60.0


@pytest.mark.parametrize(("base", "cap"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0)])
def test_a_limit_that_cannot_grow_is_refused(base: float, cap: float) -> None:
    with pytest.raises(ValueError, match="0 < base <= cap"):
        Backoff(base=base, cap=cap)


def test_a_spent_budget_allows_only_what_successes_have_earned() -> None:
    budget = RetryBudget(capacity=2.0, refill=0.125)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    for _ in range(7):
        budget.succeeded()
    assert not budget.take()
    budget.succeeded()
    assert budget.take()
    assert not budget.take()


def test_a_budget_never_saves_up_more_than_its_capacity() -> None:
    budget = RetryBudget(capacity=1.0, refill=1.0)
    for _ in range(100):
        budget.succeeded()
    assert [budget.take() for _ in range(2)] == [True, False]
