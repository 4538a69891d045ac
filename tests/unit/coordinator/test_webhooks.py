"""Many apps' webhooks from one process: no target keeps another waiting, and who does not lead rests."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import msgspec
import pytest

from longline.coordinator.webhooks import LEASE, Webhooks
from longline.errors import Unavailable
from longline.flow.posting import Posting
from longline.model.events import UPSTREAM, Event
from longline.model.webhooks import Webhook
from longline.register.memory import MemoryRegister
from longline.saver.port.webhooks import WebhookChange
from longline.saver.sql.engine import SqliteSaver
from longline.settings import WebhookSettings
from longline.telemetry.faults import Faults
from tests.contract.store_fixture import an_app
from tests.unit.coordinator.hooked import SECRET
from tests.waiting import until

PLACES = 4


class CountedTransport(httpx.MockTransport):
    """Tells how many clients have closed it."""

    closed = 0

    async def aclose(self) -> None:
        self.closed += 1


class Apps:
    """Apps with targets that answer at once, or never; and who leads is told by the test."""

    def __init__(self, saver: SqliteSaver) -> None:
        self.saver = saver
        self.faults = Faults()
        self.taken: defaultdict[str, list[str]] = defaultdict(list)
        self.hanging: set[str] = set()
        self.waiting: set[str] = set()
        self.now = 0.0
        self.numbers: dict[str, int] = {}
        self.webhooks = self.process()

    def process(self) -> Webhooks:
        self.transport = CountedTransport(self._handle)
        posting = Posting(private=False, timeout=60.0, resolve=self._resolve, transport=self.transport)
        return Webhooks(
            WebhookSettings(concurrency=PLACES),
            *(self.saver.events, self.saver.webhooks, self.faults),
            posting=posting,
            monotonic=lambda: self.now,
        )

    async def _resolve(self, host: str, port: int) -> Sequence[str]:
        return ["93.184.216.34"]

    async def _handle(self, request: httpx.Request) -> httpx.Response:
        told = json.loads(request.content)
        if told["app"] in self.hanging:
            self.waiting.add(told["app"])
            await asyncio.Event().wait()
        self.taken[told["app"]] += [event["payload"] for event in told["events"]]
        return httpx.Response(200, stream=httpx.ByteStream(b""))

    async def add(self, name: str) -> None:
        app = await self.saver.apps.create(an_app(name))
        self.numbers[name] = app.number
        webhook = Webhook(
            app=app.number,
            name=name,
            url=f"https://{name}.example.org/",
            secret=SECRET,
            events=("upstream",),
            created_at=1,
            version=1,
        )
        assert await self.saver.webhooks.change(WebhookChange(webhook, 0))

    async def happen(self, name: str, *payloads: str) -> None:
        events = [
            Event(self.numbers[name], UPSTREAM, "d1", 1, b"{}", "", 0, payload=payload.encode())
            for payload in payloads
        ]
        await self.saver.events.append(events)

    async def round(self, seconds: float = 1.0) -> None:
        self.now += seconds
        assert not await self.webhooks.round()


@pytest.fixture
async def apps(tmp_path: Path) -> AsyncIterator[Apps]:
    saver = await SqliteSaver.open(tmp_path / "db", locate=MemoryRegister().locate_now)
    yield Apps(saver)
    await saver.close()


@asynccontextmanager
async def running(webhooks: Webhooks) -> AsyncIterator[None]:
    task = asyncio.create_task(webhooks.run(), name="webhooks")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_targets_that_hang_keep_nobody_waiting_but_once(apps: Apps) -> None:
    """Each takes a place of those that are quick until it is known, and then one of the others'."""
    for number in range(PLACES - 1):
        await apps.add(f"bad{number}")
        apps.hanging.add(f"bad{number}")
    await apps.add("good")
    async with running(apps.webhooks):
        for number in range(PLACES - 1):
            await apps.happen(f"bad{number}", "x")
        await apps.round()
        await until(lambda: apps.waiting == apps.hanging)
        for number in range(20):
            await apps.happen("good", str(number))
            await apps.round()
            await until(lambda: len(apps.taken["good"]) == number + 1)  # noqa: B023  # in this round
    assert apps.taken["good"] == [str(number) for number in range(20)]
    assert apps.faults.counts == {}


async def test_many_events_are_sent_without_waiting_for_a_round(apps: Apps) -> None:
    await apps.add("news")
    for part in range(40):
        await apps.happen("news", *(str(part * 500 + number) for number in range(500)))
    async with running(apps.webhooks):
        await apps.round()
        await until(lambda: len(apps.taken["news"]) == 20_000)
    assert apps.taken["news"] == [str(number) for number in range(20_000)]
    assert apps.webhooks.counters.events_taken == 20_000


async def test_a_process_that_ends_leaves_no_connection_to_a_target(apps: Apps) -> None:
    for name in ("news", "shop"):
        await apps.add(name)
    async with running(apps.webhooks):
        for name in ("news", "shop"):
            await apps.happen(name, "x")
        await apps.round()
        await until(lambda: apps.taken["news"] == apps.taken["shop"] == ["x"])
        assert apps.transport.closed == 0
    assert apps.transport.closed == 2


async def test_who_does_not_lead_any_more_calls_nobody_and_knows_nothing(apps: Apps) -> None:
    """When it leads again, it goes on from what is stored."""
    await apps.add("news")
    async with running(apps.webhooks):
        await apps.happen("news", "a")
        await apps.round()
        await until(lambda: apps.taken["news"] == ["a"])
        first, apps.now = apps.webhooks, apps.now + LEASE
        await apps.happen("news", "b")
        await until(lambda: first.counters.targets == 0)
        assert apps.taken["news"] == ["a"]
        apps.webhooks = apps.process()
        async with running(apps.webhooks):
            await apps.round()
            await until(lambda: apps.taken["news"] == ["a", "b"])
        apps.webhooks = first
        await apps.happen("news", "c")
        await apps.round()
        await until(lambda: apps.taken["news"] == ["a", "b", "c"])


async def test_a_webhook_that_is_changed_or_removed_is_noticed(apps: Apps) -> None:
    await apps.add("news")
    async with running(apps.webhooks):
        await apps.happen("news", "a")
        await apps.round()
        (target,) = apps.webhooks.targets
        await until(lambda: apps.taken["news"] == ["a"] and not target.queued)
        found = await apps.saver.webhooks.find(apps.numbers["news"])
        assert found is not None
        changed = msgspec.structs.replace(found[0], events=("presence",), version=found[0].version + 1)
        assert await apps.saver.webhooks.change(WebhookChange(changed, found[0].version))
        await apps.happen("news", "b")
        await apps.round()
        await until(lambda: target.version > found[0].version and not target.queued)
        assert apps.taken["news"] == ["a"]
        await apps.saver.webhooks.remove(apps.numbers["news"])
        await apps.round(2.0)
        assert list(apps.webhooks.targets) == []


async def test_a_fault_of_one_stops_no_other(apps: Apps, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither does a store that cannot be asked for one; both are tried again."""
    for name in ("odd", "away", "good"):
        await apps.add(name)
    read = apps.saver.events.read
    failing = {apps.numbers["odd"]: ValueError("nobody foresaw"), apps.numbers["away"]: Unavailable()}

    async def odd(app: int, after: str, limit: int) -> object:
        if app in failing:
            raise failing[app]
        return await read(app, after, limit)

    monkeypatch.setattr(apps.saver.events, "read", odd)
    for name in apps.numbers:
        await apps.happen(name, "x")
    async with running(apps.webhooks):
        await apps.round()
        await until(lambda: apps.taken["good"] == ["x"] and apps.faults.counts)
        assert apps.faults.counts == {"coordinator.webhooks": 1}
        failing.clear()
        await apps.round(20.0)
        await until(lambda: apps.taken["odd"] == apps.taken["away"] == ["x"])
