"""Messages end when their time is over, and nothing is asked of the store before."""

from longline.coordinator.expiry import Expiry
from longline.model.times import wall_clock
from tests.fakes.saver import FakeSaver


def a_store(due: int | None, work: int = 0) -> FakeSaver:
    """A store whose next work falls due at `due`, with so much of it."""
    store = FakeSaver()
    store.due, store.work = due, work
    return store


async def test_nothing_is_done_before_it_is_due() -> None:
    for store in (a_store(None), a_store(wall_clock() + 60_000)):
        assert not await Expiry(store.expiry).round()
        assert "end" not in store.calls


async def test_what_is_due_is_done_in_batches_until_there_is_no_more() -> None:
    store = a_store(wall_clock() - 1, work=2500)
    expiry = Expiry(store.expiry)
    while await expiry.round():
        pass
    assert (store.work, store.calls.count("end")) == (0, 4)
