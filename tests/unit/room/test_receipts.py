import asyncio

import pytest

from longline.errors import Unavailable
from longline.flow.batcher import Retry
from longline.model.ledger import State
from longline.room.counters import RoomCounters
from longline.room.push import receipts as module
from longline.room.push.pace import LATE, BulkPace
from longline.room.push.receipts import Receipts
from longline.room.push.sent import SentPush
from longline.telemetry.faults import Faults
from longline.testing.clock import settle
from tests.unit.room.fixture import RoomFixture
from tests.unit.room.running import Store


class Office:
    """Receipts above a store, with a clock that the test moves and retries that do not wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, limit: int = 100) -> None:
        monkeypatch.setattr(module, "RETRY", Retry(0, 0))
        self.store = Store()
        self.counters = RoomCounters()
        self.monotonic = 0.0
        self.pace = BulkPace(500, monotonic=lambda: self.monotonic)
        self.receipts = Receipts(self.store.inboxes, self.counters, Faults(), self.pace, delay=0, limit=limit)
        self.now = 1_000_000
        room = RoomFixture()
        self.session = room.session("d")
        self.session.ordinal = 3
        monkeypatch.setattr(module, "wall_clock", lambda: self.now)

    def entry(self, position: int) -> SentPush:
        return SentPush(self.session, position, False, "id", False, self.now)

    def committed(self) -> list[tuple[int, State]]:
        return [(receipt.position, receipt.state) for batch in self.store.settled for receipt in batch]


@pytest.fixture
def office(monkeypatch: pytest.MonkeyPatch) -> Office:
    return Office(monkeypatch)


async def running(office: Office) -> asyncio.Task[None]:
    task = asyncio.create_task(office.receipts.run())
    await settle()
    return task


async def test_what_comes_together_and_what_comes_during_a_commit_are_committed_together(
    office: Office,
) -> None:
    hold = office.store.hold("settle")
    task = await running(office)
    for position in (1, 2, 3):
        office.receipts.acknowledged(office.entry(position))
    await settle()
    for position in (4, 5):
        office.receipts.acknowledged(office.entry(position))
    await settle()
    assert len(office.store.settled) == 1
    hold.set()
    await settle()
    assert [len(batch) for batch in office.store.settled] == [3, 2]
    assert office.committed() == [(n, State.ACKED) for n in range(1, 6)]
    task.cancel()


async def test_after_a_failed_commit_everything_is_tried_again_in_order(office: Office) -> None:
    office.store.faults["settle"] = [Unavailable(), Unavailable()]
    task = await running(office)
    office.receipts.acknowledged(office.entry(1))
    await settle()
    office.receipts.acknowledged(office.entry(2))
    await settle()
    assert [r.position for r in office.store.settled[-1]][-1] == 2
    assert office.counters.receipts_lost == 0
    assert {position for position, _ in office.committed()} == {1, 2}
    assert office.receipts.waiting() == 0
    task.cancel()


async def test_beyond_the_bound_the_newest_receipts_are_forgotten_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    office = Office(monkeypatch, limit=3)
    for position in range(1, 6):
        office.receipts.acknowledged(office.entry(position))
    assert office.receipts.waiting() == 3
    assert office.counters.receipts_lost == 2
    task = await running(office)
    assert [position for position, _ in office.committed()] == [1, 2, 3]
    task.cancel()


async def test_a_failed_batch_comes_back_within_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office(monkeypatch, limit=3)
    office.store.faults["settle"] = [Unavailable()]
    hold = office.store.hold("settle")
    task = await running(office)
    for position in (1, 2, 3):
        office.receipts.acknowledged(office.entry(position))
    await settle()
    office.receipts.acknowledged(office.entry(4))  # while the first three fail
    hold.set()
    await settle()
    assert office.counters.receipts_lost == 1
    assert [r.position for r in office.store.settled[-1]] == [1, 2, 3]
    task.cancel()


async def test_an_ack_that_comes_soon_costs_one_write_and_not_two(office: Office) -> None:
    entry = office.entry(1)
    office.receipts.written(entry)
    office.receipts.acknowledged(entry)
    office.now += 5000
    office.receipts.tick()
    task = await running(office)
    assert office.committed() == [(1, State.ACKED)]
    task.cancel()


async def test_a_push_that_stays_unacknowledged_is_noted_as_sent_after_a_second_once(office: Office) -> None:
    task = await running(office)
    office.receipts.written(office.entry(1))
    office.now += 999
    office.receipts.tick()
    await settle()
    assert office.committed() == []
    office.now += 1
    office.receipts.tick()
    office.receipts.tick()
    await settle()
    assert office.committed() == [(1, State.PENDING)]
    assert office.store.settled[0][0].sent_at == 1_000_000
    task.cancel()


async def test_while_the_store_is_late_nothing_is_noted_that_may_yet_be_acknowledged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    office = Office(monkeypatch)
    office.receipts.written(office.entry(1))
    office.receipts.written(office.entry(2))
    with office.pace.asking():
        office.monotonic += LATE + 0.01  # and still no answer
        office.now += module.NOTE_AFTER
        office.receipts.tick()
    office.receipts.acknowledged(office.entry(1))
    task = await running(office)
    assert office.committed() == [(1, State.ACKED)]
    office.now += module.NOTE_LATE
    office.receipts.tick()
    await settle()
    assert (2, State.PENDING) in office.committed()
    task.cancel()


async def test_receipts_that_all_come_at_once_are_given_to_the_store_little_by_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    office = Office(monkeypatch, limit=100_000)
    for position in range(5000):
        office.receipts.acknowledged(office.entry(position))
    task = await running(office)
    assert [len(batch) for batch in office.store.settled][:3] == [500, 1000, 2000]
    assert len(office.committed()) == 5000
    task.cancel()


async def test_the_unnoted_are_bounded_and_the_oldest_is_noted_early(monkeypatch: pytest.MonkeyPatch) -> None:
    office = Office(monkeypatch, limit=2)
    for position in (1, 2, 3):
        office.receipts.written(office.entry(position))
    task = await running(office)
    assert office.committed() == [(1, State.PENDING)]
    task.cancel()


async def test_noting_everything_does_not_wait(office: Office) -> None:
    task = await running(office)
    acked = office.entry(1)
    office.receipts.written(acked)
    office.receipts.written(office.entry(2))
    office.receipts.acknowledged(acked)
    office.receipts.note_all()
    await settle()
    assert office.committed() == [(1, State.ACKED), (2, State.PENDING)]
    task.cancel()


async def test_a_drop_is_told_with_its_reason(office: Office) -> None:
    task = await running(office)
    office.receipts.dropped(office.session, 4, True, "busy")
    await settle()
    (receipt,) = office.store.settled[0]
    assert (receipt.app, receipt.ordinal, receipt.position, receipt.broadcast) == (7, 3, 4, True)
    assert (receipt.state, receipt.reason, receipt.sent_at) == (State.DROPPED, "busy", 0)
    task.cancel()


async def test_settled_with_nothing_gathered_returns_at_once(office: Office) -> None:
    await office.receipts.settled()


async def test_settled_waits_for_the_commit_under_way(office: Office) -> None:
    """Who reads an inbox behind an acknowledgement must not read it in front of that commit."""
    hold = office.store.hold("settle")
    task = await running(office)
    office.receipts.acknowledged(office.entry(1))
    await settle()
    assert len(office.store.settled) == 1
    waiting = asyncio.create_task(office.receipts.settled())
    await settle()
    assert not waiting.done()
    hold.set()
    await settle()
    assert waiting.done()
    assert len(office.store.settled) == 1  # nothing more was there to commit
    task.cancel()


async def test_settled_waits_through_failures(office: Office) -> None:
    office.store.faults["settle"] = [Unavailable(), Unavailable()]
    office.receipts.acknowledged(office.entry(1))
    waiting = asyncio.create_task(office.receipts.settled())
    task = await running(office)
    await settle()
    assert waiting.done()
    assert len(office.store.settled) == 3
    task.cancel()


async def test_who_stops_waiting_does_not_disturb_the_others(office: Office) -> None:
    hold = office.store.hold("settle")
    office.receipts.acknowledged(office.entry(1))
    first = asyncio.create_task(office.receipts.settled())
    second = asyncio.create_task(office.receipts.settled())
    task = await running(office)
    first.cancel()
    hold.set()
    await settle()
    assert second.done()
    assert not second.cancelled()
    task.cancel()


async def test_a_receipt_names_the_session_that_it_speaks_for(office: Office) -> None:
    task = await running(office)
    office.session.epoch = 77
    office.receipts.acknowledged(office.entry(1))
    office.receipts.written(office.entry(2))
    office.receipts.dropped(office.session, 3, False, "busy")
    office.receipts.note_all()
    await settle()
    receipts = [receipt for batch in office.store.settled for receipt in batch]
    assert receipts[0].message_id == "id", "by which a store finds it that has ended it meanwhile"
    assert [(receipt.state, receipt.epoch) for receipt in receipts] == [
        (State.ACKED, 77),
        (State.DROPPED, 77),
        (State.PENDING, 77),
    ]
    task.cancel()


async def test_what_was_written_is_noted_at_once_when_somebody_looks(office: Office) -> None:
    """Not a second later; and of the app that is looked at alone."""
    task = await running(office)
    other = office.entry(3)
    other.session = RoomFixture().session("e", app=8)
    for push in (office.entry(1), office.entry(2), other):
        office.receipts.written(push)
    await settle()
    assert office.committed() == []
    office.receipts.note(office.session.tenant.app)
    await settle()
    assert sorted(office.committed()) == [(1, State.PENDING), (2, State.PENDING)]
    office.receipts.note(office.session.tenant.app)
    await settle()
    assert len(office.committed()) == 2, "once is enough"
    task.cancel()


async def test_a_look_notes_the_latest_and_costs_no_more_than_so_much(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "NOTE_AT_ONCE", 5)
    monkeypatch.setattr(module, "LOOK_BACK", 8)
    task = await running(office)
    for position in range(20):
        office.receipts.written(office.entry(position))
    for expected in (
        [15, 16, 17, 18, 19],
        [12, 13, 14, 15, 16, 17, 18, 19],
        [12, 13, 14, 15, 16, 17, 18, 19],
    ):
        office.receipts.note(office.session.tenant.app)
        await settle()
        assert sorted(position for position, _ in office.committed()) == expected
    task.cancel()
