"""One thing in the store that is not what it should be: what is asked together with it goes on."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import pytest
import structlog

from longline.errors import StoreError, Unavailable
from longline.model.audience import Devices, Everyone
from longline.model.devices import Profile
from longline.model.events import Event
from longline.model.ledger import State
from longline.model.messages import Envelope, Message
from longline.saver.bounds import SaverBounds
from longline.saver.kv import layout
from longline.saver.kv.engine import RedisSaver
from longline.saver.kv.event_lanes import EventLanes
from longline.saver.kv.journal import Plan
from longline.saver.kv.partitions import Partitions
from longline.saver.port.devices import Registration
from longline.saver.port.inboxes import Arrival, Arrive, Cursor, Fetch, Page, Receipt
from longline.saver.port.messages import Accepted, Outcome, Refused, Submission
from longline.settings import StoreSettings
from longline.store.redis import Reply, Script, Store, Word
from longline.telemetry.faults import Faults
from tests.contract.store_fixture import START, an_app
from tests.servers.shared import shared

PARTITIONS = 2
NAMES = [f"d{n}" for n in range(8)]
BAD, GOOD = "d0", NAMES[1:]
MINUTE = 60_000
RETENTION = 3_600_000


@dataclass
class Planted:
    """An engine with an app and devices, and ways to make what the store has of one of them wrong."""

    store: Store
    saver: RedisSaver
    faults: Faults
    app: int
    ordinals: dict[str, int]
    count: int = 0

    def message(self, text: str = "x", ttl: int = MINUTE) -> Message:
        self.count += 1
        return Message(
            id=f"{START >> 16:08x}-{START & 0xFFFF:04x}-7000-8000-{self.count:012x}",
            app="news",
            payload=text.encode(),
            content_type="text/plain",
            created_at=START,
            expires_at=START + ttl,
        )

    def submission(self, *names: str, key: str | None = None, ttl: int = MINUTE) -> Submission:
        audience = Devices(names) if names else Everyone()
        return Submission(self.app, (Envelope(self.message(ttl=ttl), audience),), START, key)

    async def send(self, *names: str, ttl: int = MINUTE) -> str:
        (outcome,) = await self.saver.messages.enqueue([self.submission(*names, ttl=ttl)])
        assert isinstance(outcome, Outcome)
        (result,) = outcome.results
        assert isinstance(result, Accepted)
        return result.message_id

    def fetch(self, *names: str) -> list[Fetch]:
        return [Fetch(self.app, self.ordinals[name], 0, 0, 100, START) for name in names]

    def home(self, device: str) -> int:
        """The partition of a device's events."""
        lanes = EventLanes(Partitions(self.store))
        return lanes.home(self.app, lanes.of(self.app, device))

    async def spoil(self, kind: str, name: str = BAD) -> None:
        """Puts something of another kind where the store has something of a device."""
        place, partition = divmod(self.ordinals[name], PARTITIONS)
        await self._spoil(partition, f"{kind}:{self.app}:{place}")

    async def _spoil(self, partition: int, key: str) -> None:
        whole = b"{p%d}%b" % (partition, key.encode())
        await self.store.call(b"p%d" % partition, "DEL", whole)
        await self.store.call(b"p%d" % partition, "SADD", whole, "x")


@pytest.fixture
async def planted() -> AsyncIterator[Planted]:
    with shared("redis") as server:
        store = await Store.open(StoreSettings(url=server.url, partitions=PARTITIONS))
        faults = Faults()
        saver = await RedisSaver.open(store, bounds=SaverBounds(ledger_retention_ms=RETENTION), faults=faults)
        app = (await saver.apps.create(an_app("news"))).number
        devices = await saver.devices.put(app, [Registration(name, Profile()) for name in NAMES], START)
        yield Planted(store, saver, faults, app, {device.device: device.ordinal for device in devices})
        await store.close()


async def test_submissions_beside_one_that_the_store_refuses_are_stored(planted: Planted) -> None:
    await planted.spoil("i")
    batch = [planted.submission(name) for name in NAMES]
    batch += [
        planted.submission(*GOOD),
        planted.submission(BAD, GOOD[0], key="k"),
        planted.submission(key="l"),
    ]
    with structlog.testing.capture_logs() as logs:
        outcomes = await planted.saver.messages.enqueue(batch)
    refused = [
        isinstance(outcome, Outcome) and outcome.results == (Refused(StoreError.code),)
        for outcome in outcomes
    ]
    assert refused == [True, *[False] * 7, False, True, False]
    pages = await planted.saver.inboxes.fetch(planted.fetch(*GOOD[1:]))
    assert [len(page.pushes) for page in pages] == [3] * 6
    assert planted.faults.counts == {"saver.messages": 2}
    assert [entry["event"] for entry in logs].count("fault") <= 2
    again = planted.submission(BAD)
    with pytest.raises(StoreError):
        await planted.saver.messages.enqueue([again])


async def test_receipts_beside_one_that_the_store_refuses_are_settled(planted: Planted) -> None:
    message_id = await planted.send(*NAMES)
    pages = await planted.saver.inboxes.fetch(planted.fetch(*NAMES))
    await planted.spoil("i")
    receipts = [
        Receipt(planted.app, planted.ordinals[name], page.pushes[0].position, False, State.ACKED, START)
        for name, page in zip(NAMES, pages, strict=True)
    ]
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            await planted.saver.inboxes.settle(receipts)
    status = await planted.saver.ledgers.status(planted.app, message_id)
    assert status is not None
    assert (status.ledger.acked, status.ledger.pending) == (7, 1)
    assert planted.faults.counts == {"saver.inboxes": 3}
    assert [entry["event"] for entry in logs] == ["fault"], "counted each time, and told once"
    with pytest.raises(StoreError):
        await planted.saver.inboxes.settle(receipts[:1])


async def test_cursors_and_arrivals_beside_one_that_the_store_refuses_are_served(planted: Planted) -> None:
    await planted.spoil("d")
    batch = [Arrive(planted.app, name, START) for name in NAMES]
    arrivals = await planted.saver.inboxes.arrive(batch)
    assert [isinstance(arrival, Arrival) for arrival in arrivals] == [False, *[True] * 7]
    await planted.saver.inboxes.advance([Cursor(planted.app, planted.ordinals[name], 9) for name in NAMES])
    later = await planted.saver.inboxes.arrive(batch[1:])
    assert [arrival.log_after for arrival in later if arrival is not None] == [9] * 7
    found = await planted.saver.devices.find(planted.app, NAMES)
    assert [device is not None for device in found] == [False, *[True] * 7]
    assert planted.faults.counts == {"saver.inboxes": 2, "saver.devices": 1}


@pytest.mark.parametrize("nonsense", [False, True])
async def test_devices_beside_one_whose_inbox_cannot_be_read_get_theirs(
    planted: Planted, nonsense: bool
) -> None:
    await planted.send(*NAMES)
    if nonsense:
        place, partition = divmod(planted.ordinals[BAD], PARTITIONS)
        key = b"{p%d}i:%d:%d" % (partition, planted.app, place)
        await planted.store.call(b"p%d" % partition, "SET", key, b"\x00\x28" + b"\xff" * 38)
    else:
        await planted.spoil("i")
    bad, *good = await planted.saver.inboxes.fetch(planted.fetch(*NAMES))
    assert bad == Page((), 0, True)
    assert [len(page.pushes) for page in good] == [1] * 7
    counts = await planted.saver.inboxes.count(planted.app, [planted.ordinals[name] for name in NAMES], START)
    assert counts[1:] == [1] * 7


async def test_events_of_apps_beside_one_whose_queue_is_spoilt_are_kept(planted: Planted) -> None:
    other = (await planted.saver.apps.create(an_app("rain"))).number
    await planted._spoil(planted.home("a"), f"u:{planted.app}")
    events = [Event(app, "presence", "a", START, b"{}", "s", 1) for app in (planted.app, other)]
    await planted.saver.events.append(events)
    assert [event.app for _, event in (await planted.saver.events.read(other, "", 10)).events] == [other]
    assert planted.faults.counts == {"saver.events": 1}
    with pytest.raises(StoreError):
        await planted.saver.events.append(events[:1])


async def test_an_event_that_nobody_can_read_holds_up_no_reader(planted: Planted) -> None:
    events = planted.saver.events
    await events.append([Event(planted.app, "presence", "a", START, b"{}", "s", 1)])
    ((first, _),) = (await events.read(planted.app, "", 10)).events
    partition = planted.home("a")
    queue = b"{p%d}u:%d" % (partition, planted.app)
    await planted.store.call(b"p%d" % partition, "ZADD", queue, int(first) + 1, "\0\0nonsense")
    await events.append([Event(planted.app, "presence", "a", START, b"{}", "s", n) for n in (2, 3)])
    assert [event.sequence for _, event in (await events.read(planted.app, "", 10)).events] == [1, 2, 3]
    page = await events.read(planted.app, first, 1)
    assert [event.sequence for _, event in page.events] == [2]
    assert planted.faults.counts == {"saver.events": 2}


async def test_devices_beside_one_that_nobody_can_read_are_listed(planted: Planted) -> None:
    place, partition = divmod(planted.ordinals[BAD], PARTITIONS)
    key = b"{p%d}d:%d:%d" % (partition, planted.app, place)
    await planted.store.call(b"p%d" % partition, "HSET", key, "p", "nonsense")
    listed = await planted.saver.devices.list(planted.app, tag=None, alias=None, after=-1, limit=3)
    assert [device.device for device in listed] == sorted(GOOD, key=planted.ordinals.__getitem__)[:3]
    assert planted.faults.counts["saver.devices"] >= 1


async def test_what_is_over_beside_something_that_cannot_be_ended_is_ended(planted: Planted) -> None:
    """Also that which was due later, in its partition and in others."""
    bad = await planted.send(BAD)
    good = [await planted.send(name, ttl=MINUTE + n) for n, name in enumerate(GOOD)]
    await planted.spoil("i")
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            await planted.saver.expiry.end(START + 2 * MINUTE, 1000)
    ledgers = [await planted.saver.ledgers.status(planted.app, message_id) for message_id in good]
    assert [status.ledger.expired for status in ledgers if status is not None] == [1] * 7
    assert planted.faults.counts == {"saver.expiry": 1}, "it is not looked at again at once"
    assert [entry["event"] for entry in logs] == ["fault"]
    place, partition = divmod(planted.ordinals[BAD], PARTITIONS)
    await planted.store.call(b"p%d" % partition, "DEL", b"{p%d}i:%d:%d" % (partition, planted.app, place))
    due = await planted.saver.expiry.next_due()
    assert due is not None
    await planted.saver.expiry.end(START + 2 * MINUTE + RETENTION, 1000)
    status = await planted.saver.ledgers.status(planted.app, bad)
    assert status is None or status.ledger.expired == 1


async def test_a_partition_that_cannot_end_anything_holds_up_no_other(planted: Planted) -> None:
    ids = {name: await planted.send(name) for name in NAMES}
    await planted._spoil(0, f"due:{planted.app}")
    await planted.saver.expiry.end(START + 2 * MINUTE, 1000)
    for name, message_id in ids.items():
        status = await planted.saver.ledgers.status(planted.app, message_id)
        assert status is not None
        assert status.ledger.expired == planted.ordinals[name] % PARTITIONS


async def test_interrupted_submissions_beside_one_that_the_store_refuses_are_completed(
    planted: Planted,
) -> None:
    """The oldest is refused again each time, and the others are not kept from their end by it."""
    submissions = [planted.submission(name, key=name) for name in (BAD, GOOD[0])]
    for submission in submissions:
        results = await planted.saver.messages._decide(submission)
        await planted.saver.messages._journal.begin(Plan(submission, results))
    await planted.spoil("i")
    await planted.saver.routing.complete(START + MINUTE, 10)
    (page,) = await planted.saver.inboxes.fetch(planted.fetch(GOOD[0]))
    assert len(page.pushes) == 1
    assert planted.faults.counts == {"saver.routing": 1}


async def test_broadcasts_beside_one_whose_message_is_not_one_are_routed(planted: Planted) -> None:
    bad, good = await planted.send(), await planted.send()
    packed = layout.id_bytes(bad)
    home = layout.home_of(packed, PARTITIONS)
    await planted.store.call(b"p%d" % home, "SET", layout.body_key(home, packed), "x")
    found = await planted.saver.routing.unrouted(START + MINUTE - 1, 10)
    assert [route.message.id for route in found] == [good]
    assert planted.faults.counts == {"saver.routing": 1}


async def test_what_is_left_of_a_deleted_app_holds_up_no_other(planted: Planted) -> None:
    other = (await planted.saver.apps.create(an_app("rain"))).number
    await planted.saver.devices.put(other, [Registration(name, Profile()) for name in NAMES], START)
    for app in (planted.app, other):
        await planted.saver.apps.delete(app)
    await planted._spoil(0, f"next:{planted.app}")
    assert await planted.saver.expiry.end(START, 1000) > 0
    assert set(await planted.saver.apps.purges()) == {planted.app}
    assert planted.faults.counts == {"saver.expiry": 1}


async def test_a_store_is_well_while_any_part_of_it_takes_what_is_written(
    planted: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One server of several that is down is no reason for every process to say that it is not ready."""
    run = planted.saver._partitions.run
    dead: set[int] = {0}

    async def asked(partition: int, script: Script, args: Sequence[Word], *, durable: bool = False) -> Reply:
        if partition in dead:
            raise Unavailable("it is gone")
        return await run(partition, script, args, durable=durable)

    monkeypatch.setattr(planted.saver._partitions, "run", asked)
    await planted.saver.check()
    dead.add(1)
    with pytest.raises(Unavailable, match="gone"):
        await planted.saver.check()
    dead.clear()
    await planted.saver.check()
