"""Messages end when their time is over, and nothing is asked of the store before."""

from longline.coordinator.expiry import Expiry
from longline.model.times import wall_clock
from longline.saver.sql.engine import SqliteSaver


class Store(SqliteSaver):
    """A store whose next work falls due at `due`, with so much of it."""

    def __init__(self, due: int | None, work: int = 0) -> None:
        self.due = due
        self.work = work
        self.asked = 0

    async def next_expiry(self) -> int | None:
        return self.due

    async def expire(self, now: int, limit: int) -> int:
        self.asked += 1
        done = min(limit, self.work)
        self.work -= done
        return done


async def test_nothing_is_done_before_it_is_due() -> None:
    for store in (Store(None), Store(wall_clock() + 60_000)):
        assert not await Expiry(store).round()
        assert store.asked == 0


async def test_what_is_due_is_done_in_batches_until_there_is_no_more() -> None:
    store = Store(wall_clock() - 1, work=2500)
    expiry = Expiry(store)
    while await expiry.round():
        pass
    assert (store.work, store.asked) == (0, 4)
