"""A store that fails again and again is left alone for a while, and callers are told at once."""

import asyncio
from collections.abc import Sequence

import pytest

from longline.center.circuit import FAILURES, FIRST_PAUSE, LONGEST_PAUSE, SPREAD, Circuit
from longline.center.counters import CenterCounters
from longline.errors import LonglineError, NoTarget, Overloaded, Unavailable
from longline.model.devices import JsonObject
from longline.saver.port.messages import IdempotencyConflict, Outcome, Submission
from tests.unit.center.conftest import House

MESSAGE: JsonObject = {"audience": {"devices": ["d1"]}, "payload": "hi"}


class Store:
    """A circuit, what it guards, and a clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.chance = 0.5
        self.asked = 0
        self.counters = CenterCounters()
        self.circuit = Circuit(self.counters, monotonic=lambda: self.now, chance=lambda: self.chance)

    def ask(self, failure: LonglineError | None = None) -> None:
        with self.circuit.watched():
            self.asked += 1
            if failure is not None:
                raise failure

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            with pytest.raises(Unavailable):
                self.ask(Unavailable())

    def refused(self) -> float:
        """How long the caller is told to wait, without the store being asked."""
        asked = self.asked
        with pytest.raises(Overloaded) as caught:
            self.ask()
        assert self.asked == asked
        assert caught.value.retry_after is not None
        return caught.value.retry_after


def test_a_few_failures_are_told_and_nothing_more() -> None:
    store = Store()
    for _ in range(5):
        store.fail(FAILURES - 1)
        store.ask()
    assert store.counters.circuit_opened == 0


def test_what_is_the_callers_own_fault_is_no_failure_of_the_store() -> None:
    store = Store()
    for _ in range(2 * FAILURES):
        with pytest.raises(NoTarget):
            store.ask(NoTarget())
    store.ask()


def test_failures_in_a_row_open_the_circuit_for_a_pause() -> None:
    store = Store()
    store.fail(FAILURES)
    assert store.refused() == FIRST_PAUSE + SPREAD * 0.5
    store.now += FIRST_PAUSE
    store.ask()
    store.ask()
    assert (store.counters.circuit_opened, store.counters.refused_early) == (1, 1)


def test_callers_are_told_different_times() -> None:
    store = Store()
    store.fail(FAILURES)
    told = []
    for store.chance in (0.0, 0.25, 1.0):
        told.append(store.refused())
    assert told == [FIRST_PAUSE, FIRST_PAUSE + SPREAD / 4, FIRST_PAUSE + SPREAD]


def test_one_request_finds_out_and_each_pause_is_longer_up_to_a_bound() -> None:
    store = Store()
    store.fail(FAILURES)
    pause = FIRST_PAUSE
    for _ in range(10):
        store.now += pause
        store.fail()
        pause = min(2 * pause, LONGEST_PAUSE)
        store.now += pause - 0.001
        store.refused()
        store.now += 0.001
    store.ask()
    store.fail(FAILURES)
    store.now += FIRST_PAUSE
    store.ask()


def test_while_one_request_finds_out_the_others_are_refused() -> None:
    store = Store()
    store.fail(FAILURES)
    store.now += FIRST_PAUSE
    with store.circuit.watched():
        store.refused()
    store.ask()


def test_a_request_that_is_cancelled_while_it_finds_out_leaves_it_to_the_next() -> None:
    store = Store()
    store.fail(FAILURES)
    store.now += FIRST_PAUSE
    with pytest.raises(asyncio.CancelledError), store.circuit.watched():
        raise asyncio.CancelledError
    store.ask()


def test_failures_of_requests_from_before_do_not_prolong_the_pause() -> None:
    store = Store()
    old = store.circuit.watched()
    old.__enter__()
    store.fail(FAILURES)
    assert old.__exit__(Unavailable, Unavailable(), None) is False
    store.now += FIRST_PAUSE
    store.ask()


async def test_messages_are_refused_at_once_while_the_store_fails(
    house: House, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def enqueue(batch: Sequence[Submission]) -> list[Outcome | IdempotencyConflict]:
        nonlocal asked
        asked += 1
        raise Unavailable("the store is gone")

    now = 100.0
    monkeypatch.setattr(house.center.sender.circuit, "_monotonic", lambda: now)
    await house.device(news, "d1")
    with monkeypatch.context() as patch:
        patch.setattr(house.saver.messages, "enqueue", enqueue)
        for _ in range(FAILURES):
            answer = await house.http.post(f"{news}/messages", json=MESSAGE)
            assert answer.json()["error"]["code"] == "unavailable"
    for path in (f"{news}/messages", f"{news}/messages:batch"):
        answer = await house.http.post(path, content=b"not even read")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")
        assert 1 <= int(answer.headers["retry-after"]) <= 3
    assert asked == FAILURES
    assert (await house.http.get(news)).status_code == 200
    now += FIRST_PAUSE
    assert (await house.http.post(f"{news}/messages", json=MESSAGE)).status_code == 202
