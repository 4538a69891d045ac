"""For how long threads had a processor."""

import hashlib
import threading

from longline.profiling import threads
from longline.profiling.content import ThreadTime
from longline.profiling.threads import Used, between
from tests.waiting import until


async def test_a_thread_that_works_without_the_interpreters_lock_is_in_the_times() -> None:
    """Samples do not have it: hashing lets go of the lock."""
    ended = threading.Event()

    def hash_on() -> None:
        while not ended.is_set():
            hashlib.sha256(bytes(1 << 22))

    before = threads.used_by_all()
    thread = threading.Thread(target=hash_on, name="hashing")
    waiting = threading.Thread(target=ended.wait, name="waiting")
    thread.start()
    waiting.start()

    def found() -> dict[str, float]:
        return {each.name: each.seconds for each in between(before, threads.used_by_all())}

    try:
        await until(lambda: found().get("hashing", 0.0) > 0.1, tell=found)
        assert found().get("waiting", 0.0) < 0.05
    finally:
        ended.set()
        thread.join()
        waiting.join()


def test_the_busiest_comes_first_and_who_did_nothing_is_left_out() -> None:
    before = {1: Used("main", 5.0), 2: Used("idle", 1.0)}
    after = {1: Used("main", 5.5), 2: Used("idle", 1.0), 3: Used("new", 0.75)}
    assert between(before, after) == [ThreadTime("new", 0.75), ThreadTime("main", 0.5)]


def test_there_is_a_bound_on_how_many_are_told() -> None:
    after = {number: Used("many", 1.0) for number in range(1000)}
    assert len(between({}, after)) == 32
