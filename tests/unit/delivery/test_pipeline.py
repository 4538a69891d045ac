"""Whoever has a message sends it the same way, without an HTTP request and without the API."""

import ast
import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
import pytest

import longline.delivery
from longline.bus.local import LocalBus
from longline.delivery.counters import DeliveryCounters
from longline.delivery.draft import Draft
from longline.delivery.pipeline import Pipeline
from longline.delivery.routing import route
from longline.delivery.slices import SLICE, sliced
from longline.errors import (
    AppNotFound,
    IdempotencyInFlight,
    IdempotencyMismatch,
    LonglineError,
    NoTarget,
    Unavailable,
    ValidationFailed,
)
from longline.model.apps import App
from longline.model.audience import Devices, Everyone, way_of
from longline.model.commands import Broadcast, Command, Unicast
from longline.model.devices import Profile
from longline.register.memory import MemoryRegister
from longline.register.port import Bind
from longline.saver.port.devices import Registration
from longline.saver.port.messages import Accepted, IdempotencyConflict, Outcome, Submission
from longline.saver.sql.engine import SqliteSaver
from tests.waiting import until

NOW: Final = 1_800_000_000_000  # ms


class Caller:
    """What a process has that is no API: a room, a coordinator. Its pipeline, and a room to send to."""

    def __init__(self, saver: SqliteSaver, register: MemoryRegister, bus: LocalBus, app: App) -> None:
        self.saver = saver
        self.register = register
        self.bus = bus
        self.app = app
        self.counters = DeliveryCounters()
        self.pipeline = Pipeline(
            audiences=saver.audiences,
            devices=saver.devices,
            messages=saver.messages,
            routing=saver.routing,
            inboxes=saver.inboxes,
            bus=bus,
            counters=self.counters,
            default_ttl=60,
            online_grace=30.0,
            idempotency_ttl=3600,
        )

    async def device(self, *names: str, connected: bool = True) -> None:
        await self.saver.devices.put(self.app.number, [Registration(name, Profile()) for name in names], NOW)
        if connected:
            await self.register.bind([Bind(self.app.number, name, "room-1", NOW) for name in names])

    async def commands(self) -> list[Command]:
        return await self.bus.receive("room-1") if self.bus.waiting("room-1") else []


@pytest.fixture
async def caller(tmp_path: Path) -> AsyncIterator[Caller]:
    register, bus = MemoryRegister(), LocalBus(1000)
    await bus.open("room-1")
    saver = await SqliteSaver.open(tmp_path / "longline.db", locate=register.locate_now)
    app = await saver.apps.create(
        App(
            app="news",
            number=0,
            name="news",
            server_key_hash=b"h" * 32,
            device_secret="secret",
            pubsub=False,
            created_at=NOW,
        )
    )
    made = Caller(saver, register, bus, app)
    yield made
    await made.pipeline.close()
    await saver.close()


def draft(*devices: str, payload: bytes = b"hi") -> Draft:
    audience = Devices(devices) if devices else Everyone()
    return Draft(audience=audience, payload=payload, content_type="text/plain")


# --- who sends -----------------------------------------------------------------------------------------


async def test_a_room_sends_on_what_a_device_of_its_said(caller: Caller) -> None:
    """As a group, or a device, will: one draft, no key, no request."""
    await caller.device("a", "b")
    sent = await caller.pipeline.send(caller.app, [draft("a", "b", payload=b"\x00\x01")], NOW)
    (result,) = sent.results
    assert isinstance(result, Accepted)
    assert result.targeted == 2
    (command,) = await caller.commands()
    assert isinstance(command, Unicast)
    assert (command.message.id, command.message.payload) == (result.message_id, b"\x00\x01")
    assert command.message.expires_at == NOW + 60_000, "as the settings say, since the draft does not"
    assert [target.device for target in command.targets] == ["a", "b"]


async def test_a_coordinator_sends_what_a_schedule_says_once_however_often_it_tries(caller: Caller) -> None:
    """One that dies between the commit and its note of it comes again with the same key."""
    await caller.device("a")
    first = await caller.pipeline.send(caller.app, [draft()], NOW, key="schedule/7/42", digest=b"d")
    again = await caller.pipeline.send(caller.app, [draft()], NOW + 9, key="schedule/7/42", digest=b"d")
    assert (first.replayed, again.replayed) == (False, True)
    assert first.results == again.results
    assert [type(command) for command in await caller.commands()] == [Broadcast]


async def test_a_coordinator_routes_what_was_left_undone(caller: Caller) -> None:
    await caller.device("a")
    await caller.pipeline.send(caller.app, [draft("a")], NOW)
    (command,) = await caller.commands()
    assert isinstance(command, Unicast)
    lost = await route(
        [command], NOW, bus=caller.bus, routing=caller.saver.routing, inboxes=caller.saver.inboxes
    )
    assert lost == 0
    assert await caller.commands() == [command]


# --- what comes of it ----------------------------------------------------------------------------------


async def test_each_draft_has_its_own_result_and_one_that_is_wrong_costs_the_others_nothing(
    caller: Caller,
) -> None:
    await caller.device("a")
    broken = ValidationFailed("it could not even be read")
    sent = await caller.pipeline.send(
        caller.app, [draft("a"), broken, draft("a", payload=b""), draft("ghost"), draft("a")], NOW
    )
    first, second, third, fourth, fifth = sent.results
    assert isinstance(first, Accepted)
    assert second is broken
    assert isinstance(third, LonglineError)
    assert third.code == "payload_empty"
    assert isinstance(fourth, NoTarget)
    assert isinstance(fifth, Accepted)
    assert first.message_id < fifth.message_id
    assert (caller.counters.messages_accepted, caller.counters.messages_refused) == (2, 1)


async def test_nothing_is_stored_of_a_request_in_which_all_is_wrong(caller: Caller) -> None:
    sent = await caller.pipeline.send(caller.app, [draft("/")], NOW, key="k", digest=b"1")
    assert [type(result) for result in sent.results] == [ValidationFailed]
    assert not sent.replayed
    await caller.device("a")
    repaired = await caller.pipeline.send(caller.app, [draft("a")], NOW, key="k", digest=b"2")
    assert isinstance(repaired.results[0], Accepted), "the key was not used up"


async def test_a_key_is_for_one_request(caller: Caller) -> None:
    await caller.device("a")
    await caller.pipeline.send(caller.app, [draft("a")], NOW, key="k", digest=b"1")
    with pytest.raises(IdempotencyMismatch):
        await caller.pipeline.send(caller.app, [draft("a")], NOW, key="k", digest=b"2")


async def test_an_app_that_was_deleted_meanwhile_gets_nothing_stored(caller: Caller) -> None:
    await caller.device("a")
    await caller.saver.apps.delete(caller.app.number)
    with pytest.raises(AppNotFound):
        await caller.pipeline.send(caller.app, [draft("a"), draft()], NOW)


async def test_who_gives_up_is_stored_and_routed_all_the_same(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await caller.device("a")
    asked, go_on, enqueue = asyncio.Event(), asyncio.Event(), caller.saver.messages.enqueue

    async def slow(batch: Sequence[Submission]) -> list[Outcome | IdempotencyConflict]:
        asked.set()
        await go_on.wait()
        return await enqueue(batch)

    monkeypatch.setattr(caller.saver.messages, "enqueue", slow)
    sending = asyncio.create_task(caller.pipeline.send(caller.app, [draft("a")], NOW, key="k"))
    await asked.wait()
    with pytest.raises(IdempotencyInFlight):
        await caller.pipeline.send(caller.app, [draft("a")], NOW, key="k")
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert caller.counters.sends_running == 1
    go_on.set()
    await caller.pipeline.close()
    assert caller.counters.sends_running == 0
    assert len(await caller.commands()) == 1


# --- large requests, in pieces -------------------------------------------------------------------------


def names(count: int) -> tuple[str, ...]:
    return tuple(f"d{n}" for n in range(count))


class Store:
    """Says in which order the store is asked for whom, and holds it up; `faults`: what it raises, by call."""

    def __init__(self, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []  # what the first message of each says
        self.deliveries: list[int] = []
        self.faults: dict[int, LonglineError] = {}
        self.held = asyncio.Event()
        self.held.set()
        self._enqueue = caller.saver.messages.enqueue
        monkeypatch.setattr(caller.saver.messages, "enqueue", self.enqueue)

    async def enqueue(self, batch: Sequence[Submission]) -> list[Outcome | IdempotencyConflict]:
        (submission,) = batch
        self.asked.append(submission.envelopes[0].message.payload.decode())
        self.deliveries.append(sum(len(way_of(each.audience)[0]) for each in submission.envelopes))
        await self.held.wait()
        fault = self.faults.get(len(self.asked))
        if fault is not None:
            raise fault
        return await self._enqueue(batch)


async def test_six_great_batches_do_not_stall_the_single_push_of_another(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes to the store beside what is there of them, and waits for none of their pieces."""
    await caller.device(*names(1000), connected=False)
    other = await caller.saver.apps.create(msgspec.structs.replace(caller.app, app="other"))
    await caller.saver.devices.put(other.number, [Registration("x", Profile())], NOW)
    store = Store(caller, monkeypatch)
    store.held.clear()
    batch = [draft(*names(1000), payload=b"batch")] * 20
    batches = [asyncio.create_task(caller.pipeline.send(caller.app, batch, NOW)) for _ in range(6)]
    await until(lambda: caller.pipeline.turns.waiting == 5)
    single = asyncio.create_task(caller.pipeline.send(other, [draft("x", payload=b"single")], NOW))
    await until(lambda: "single" in store.asked)
    assert store.asked == ["batch", "single"]
    store.held.set()
    (result,) = (await single).results
    assert isinstance(result, Accepted)
    for sent in await asyncio.gather(*batches):
        assert all(isinstance(each, Accepted) for each in sent.results)
    assert sum(store.deliveries) == 6 * 20 * 1000 + 1
    assert max(store.deliveries) <= SLICE


async def test_the_pieces_of_a_batch_keep_their_order(caller: Caller) -> None:
    await caller.device("a")
    drafts = [draft(*names(999), "a", payload=b"%d" % n) for n in range(9)]
    sent = await caller.pipeline.send(caller.app, drafts, NOW)
    commands = [each for each in await caller.commands() if isinstance(each, Unicast)]
    assert [each.message.payload for each in commands] == [b"%d" % n for n in range(9)]
    assert [each.message_id for each in sent.results if isinstance(each, Accepted)] == [
        each.message.id for each in commands
    ]


async def test_a_batch_that_fails_half_way_is_completed_by_its_repetition(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    await caller.device("a")
    store = Store(caller, monkeypatch)
    store.faults[2] = Unavailable("it is gone")
    drafts = [draft(*names(999), "a", payload=b"%d" % n) for n in range(6)]
    broken = ValidationFailed("it could not even be read")
    first = await caller.pipeline.send(caller.app, [broken, *drafts], NOW, key="k", digest=b"d")
    assert [type(each) for each in first.results] == [
        ValidationFailed,
        *[Accepted] * 4,
        *[Unavailable] * 2,
    ]
    again = await caller.pipeline.send(caller.app, [broken, *drafts], NOW, key="k", digest=b"d")
    assert again.results[:5] == first.results[:5]
    assert all(isinstance(each, Accepted) for each in again.results[5:])
    assert not again.replayed
    last = await caller.pipeline.send(caller.app, [broken, *drafts], NOW, key="k", digest=b"d")
    assert (last.replayed, last.results) == (True, again.results)
    sent = [each.message.payload for each in await caller.commands() if isinstance(each, Unicast)]
    assert sent == [b"%d" % n for n in range(6)]
    with pytest.raises(IdempotencyMismatch):
        await caller.pipeline.send(caller.app, drafts, NOW, key="k", digest=b"d")


async def test_a_batch_that_fails_at_once_raises(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    await caller.device("a")
    Store(caller, monkeypatch).faults[1] = Unavailable("it is gone")
    with pytest.raises(Unavailable):
        await caller.pipeline.send(caller.app, [draft(*names(999), "a")] * 6, NOW)


def test_what_is_large_is_cut_and_the_rest_is_not() -> None:
    many = [draft(*names(1000))] * 10
    assert [end - begin for begin, end, _ in sliced(many)] == [4, 4, 2]
    assert list(sliced([draft("a")] * 562)) == [(0, 562, 4496)]
    assert list(sliced([draft("a")] * 1000)) == [(0, 562, 4496), (562, 1000, 3504)]
    wrong = ValidationFailed()
    assert list(sliced([wrong, *many[:5], wrong, draft("a"), wrong])) == [(0, 5, 4028), (5, 9, 1015)]
    everyone = list(sliced([draft()] * 100))
    assert [end - begin for begin, end, _ in everyone] == [42, 42, 16]
    heavy = list(sliced([draft("a", payload=bytes(256 * 1024))] * 100))
    assert [end - begin for begin, end, _ in heavy] == [62, 38]
    assert list(sliced([])) == []


# --- the walls -----------------------------------------------------------------------------------------


def test_delivery_sees_no_role_and_no_mqtt() -> None:
    """The import linter refuses what would: `test_walls.py` plants it."""
    (folder,) = longline.delivery.__path__
    seen = set()
    for file in Path(folder).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom):
                seen.add(node.module or "")
            elif isinstance(node, ast.Import):
                seen |= {alias.name for alias in node.names}
    parts = {name.split(".")[1] for name in seen if name.startswith("longline.")}
    assert parts <= {"bus", "delivery", "errors", "flow", "model", "register", "saver", "telemetry"}
    assert {name.split(".")[0] for name in seen} & {"starlette", "uvicorn", "httpx"} == set()
