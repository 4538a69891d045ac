"""What a registered device costs the store, and calls that are cut off in the middle."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from longline.model.apps import App
from longline.model.audience import Everyone
from longline.model.devices import Profile
from longline.model.events import DELETED, DEVICE, REGISTERED, DeviceData
from longline.model.messages import MAX_TTL, Envelope, Message
from longline.register.port import Bind
from longline.register.redis import RedisRegister
from longline.saver.bounds import SaverBounds
from longline.saver.kv import devices
from longline.saver.kv.apps import APPS, DELETE, DIRECTORY, NAMES, NUMBERS, PURGES, RETENTIONS
from longline.saver.kv.changes import Changes, ChangeStreams, GoneDevice
from longline.saver.kv.engine import RedisSaver
from longline.saver.kv.events import KvEvents
from longline.saver.kv.partitions import Partitions
from longline.saver.port.devices import Registration
from longline.saver.port.inboxes import Arrive
from longline.saver.port.messages import Accepted, Outcome, Submission
from longline.settings import StoreSettings
from longline.store.redis import Reply, Store
from tests.servers.redis_server import RedisServer
from tests.servers.shared import shared

NOW = 1_800_000_000_000
PARTITIONS = 4
DEVICES = 10_000
COST = 700  # bytes of the store's memory for a device that is registered and connected, and has no message


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    with shared("redis") as server:
        store = await Store.open(StoreSettings(url=server.url, partitions=PARTITIONS))
        yield store
        await store.close()


@pytest.fixture
async def saver(store: Store) -> RedisSaver:
    return await RedisSaver.open(store, bounds=SaverBounds(ledger_retention_ms=60_000))


async def an_app(saver: RedisSaver, name: str = "news") -> int:
    app = App(
        app=name,
        number=0,
        name=name,
        server_key_hash=b"k" * 32,
        device_secret="secret",
        pubsub=False,
        created_at=NOW,
    )
    return (await saver.apps.create(app)).number


async def used(store: Store) -> int:
    reply = await store.call(b"p0", "MEMORY", "STATS")
    assert isinstance(reply, list)
    figures = dict(zip(reply[::2], reply[1::2], strict=True))
    total, clients = figures[b"total.allocated"], figures[b"clients.normal"]
    assert isinstance(total, int)
    assert isinstance(clients, int)
    return total - clients


async def test_a_connected_device_without_messages_costs_little(store: Store, saver: RedisSaver) -> None:
    app = await an_app(saver)
    register = RedisRegister(store)
    names = [f"device-{n * 7919:013d}" for n in range(DEVICES)]
    await saver.inboxes.arrive([Arrive(app, "first", NOW)])
    await register.bind([Bind(app, "first", "room-1", NOW)])
    before = await used(store)
    for start in range(0, DEVICES, 1000):
        part = names[start : start + 1000]
        await saver.inboxes.arrive([Arrive(app, name, NOW + start) for name in part])
        await register.bind([Bind(app, name, "room-7f3a9c21d4", NOW + start) for name in part])
    while transitions := await register.transitions(DEVICES):
        await register.forget(transitions)
    for partition in range(PARTITIONS):  # what a bind leaves for its repetition lives for seconds
        tag = b"p%d" % partition
        kept = await store.call(tag, "KEYS", b"{%b}bound:*" % tag)
        assert isinstance(kept, list)
        for key in kept:
            assert isinstance(key, bytes)
            await store.call(tag, "DEL", key)
    assert (await used(store) - before) / DEVICES < COST
    await register.close()


async def test_a_deletion_that_was_interrupted_is_carried_on(store: Store, saver: RedisSaver) -> None:
    """Whoever deleted the app died before it could tell the partitions."""
    app = await an_app(saver)
    await saver.devices.put(app, [Registration(f"d{n}", Profile(tags=("red",))) for n in range(50)], NOW)
    await store.run(APPS, DELETE, [DIRECTORY, NAMES, NUMBERS, PURGES, RETENTIONS], [app])
    assert await saver.expiry.purging()
    await saver.expiry.purge(1000)
    assert await saver.devices.count(app) == 0
    assert await saver.devices.find(app, ["d1"]) == [None]


async def test_devices_are_purged_in_slices_once_the_apps_messages_are(
    store: Store, saver: RedisSaver
) -> None:
    app = await an_app(saver)
    profile = Profile(tags=("red", "blue"))
    await saver.devices.put(app, [Registration(f"d{n}", profile) for n in range(100)], NOW)
    await saver.apps.delete(app)
    assert await saver.expiry.purge(1000) == 0
    for partition in range(PARTITIONS):
        await store.call(b"p%d" % partition, "ZREM", b"{p%d}due" % partition, app)
    slices = []
    while removed := await saver.expiry.purge(20):
        slices.append(removed)
    assert max(slices) <= 20
    assert sum(slices) > 200, "labels count, too"
    assert not await saver.expiry.purging()
    assert await saver.events.carry(1000) == 100, "what became of devices is carried on by another duty"
    for partition in range(PARTITIONS):
        tag = b"p%d" % partition
        left = await store.call(tag, "KEYS", b"{%b}*" % tag)
        assert isinstance(left, list)
        # `dn`: numbers of changes never begin again, as whoever was told of them would take no other
        assert set(map(str, left)) == {str(b"{%b}%b" % (tag, kind)) for kind in (b"gone", b"last", b"dn")}


async def test_two_that_purge_at_once_do_not_disturb_each_other(store: Store, saver: RedisSaver) -> None:
    app = await an_app(saver)
    await saver.devices.put(app, [Registration(f"d{n}", Profile()) for n in range(200)], NOW)
    await saver.apps.delete(app)
    for partition in range(PARTITIONS):
        await store.call(b"p%d" % partition, "ZREM", b"{p%d}due" % partition, app)
    while sum(await asyncio.gather(saver.expiry.purge(30), saver.expiry.purge(30))):
        pass
    assert not await saver.expiry.purging()


async def test_a_label_that_few_have_is_found_without_looking_at_everybody(
    saver: RedisSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each partition is asked once, also beside a label that many have, and for one that nobody has."""
    monkeypatch.setattr(devices, "STEPS", 1)  # 64 places of a label that many have
    app = await an_app(saver)
    batch = [
        Registration(f"d{n}", Profile(tags=("all", "rare") if n % 1000 == 7 else ("all",)))
        for n in range(2000)
    ]
    found = await saver.devices.put(app, batch, NOW)
    asked = 0
    run = Partitions.run

    def counted(self: Partitions, *args: Any, **options: Any) -> Awaitable[Reply]:
        nonlocal asked
        asked += 1
        return run(self, *args, **options)

    monkeypatch.setattr(Partitions, "run", counted)

    async def listed(tag: str, alias: str | None = None, after: int = -1) -> list[str]:
        nonlocal asked
        asked = 0
        page = await saver.devices.list(app, tag=tag, alias=alias, after=after, limit=50)
        return [device.device for device in page]

    rare = sorted((found[7], found[1007]), key=lambda device: device.ordinal)
    assert await listed("rare") == [device.device for device in rare]
    assert asked == PARTITIONS
    assert await listed("rare", after=rare[0].ordinal) == [rare[1].device]
    assert asked == PARTITIONS
    for tag, alias in (("nobody", None), ("all", "nobody")):
        assert await listed(tag, alias) == []
        assert asked == PARTITIONS
    assert len(await listed("all")) == 50
    await saver.devices.delete(app, "d7", NOW)
    assert await listed("rare") == ["d1007"]


async def test_the_name_of_a_deleted_device_is_kept_as_long_as_its_ledgers(
    store: Store, saver: RedisSaver
) -> None:
    app = await an_app(saver)
    (device,) = await saver.devices.put(app, [Registration("phone", Profile())], NOW)
    await saver.devices.delete(app, "phone", NOW)
    place, partition = divmod(device.ordinal, PARTITIONS)
    key = b"{p%d}d:%d:%d" % (partition, app, place)
    assert await store.call(b"p%d" % partition, "HGETALL", key) == [b"n", b"phone"]
    left = await store.call(b"p%d" % partition, "PTTL", key)
    assert isinstance(left, int)
    assert MAX_TTL * 1000 < left <= MAX_TTL * 1000 + 60_000


async def test_a_server_that_forgot_its_latest_devices_gives_their_ordinals_to_nobody(tmp_path: Path) -> None:
    """Rooms have sessions under them, and would take what they say for what another device says."""
    with RedisServer(tmp_path) as server:
        store = await Store.open(StoreSettings(url=server.url, partitions=2))
        saver = await RedisSaver.open(store)
        app = await an_app(saver)
        kept = await saver.devices.put(app, [Registration(f"kept{n}", Profile()) for n in range(20)], NOW)
        server.command("SAVE")
        forgotten = await saver.devices.put(
            app, [Registration(f"forgotten{n}", Profile()) for n in range(20)], NOW
        )
        server.kill()
        server.start()
        new = await saver.devices.put(app, [Registration(f"new{n}", Profile()) for n in range(20)], NOW)
        later = await saver.devices.put(app, [Registration(f"later{n}", Profile()) for n in range(20)], NOW)
        ordinals = [device.ordinal for device in (*kept, *forgotten, *new, *later)]
        assert len(set(ordinals)) == 80
        assert max(ordinals) < 2 * 5000, "and skips no more than it has to, once"
        everyone = Submission(app, (Envelope(a_message(), Everyone()),), NOW)
        (outcome,) = await saver.messages.enqueue([everyone])
        assert isinstance(outcome, Outcome)
        assert outcome.results == (Accepted(a_message().id, 60),)
        listed = await saver.devices.list(app, tag=None, alias=None, after=-1, limit=100)
        assert {device.device for device in listed} == {device.device for device in (*kept, *new, *later)}
        assert await saver.devices.count(app) == 60
        await store.close()


def a_message() -> Message:
    return Message(
        id="01890a5d-ac96-774b-bcce-b302099a8057",
        app="news",
        payload=b"x",
        content_type="text/plain",
        created_at=NOW,
        expires_at=NOW + 60_000,
    )


async def test_a_device_that_is_deleted_while_its_beginning_is_carried_has_no_beginning(
    saver: RedisSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was read from its partition, and comes into the queue after all that was told of it was hidden."""
    app = await an_app(saver)
    waiting = ChangeStreams.waiting

    async def and_then_deleted(self: ChangeStreams, limit: int) -> list[Changes]:
        found = await waiting(self, limit)
        assert await saver.devices.delete(app, "d1", NOW)
        return found

    for _ in range(2):  # the first of its app, and one behind others
        await saver.devices.put(app, [Registration("d1", Profile())], NOW)
        with monkeypatch.context() as patched:
            patched.setattr(ChangeStreams, "waiting", and_then_deleted)
            await saver.events.carry(1000)
        while await saver.events.carry(1000):
            pass
        assert await told_of(saver, app, "d1") == [DELETED]
    await saver.devices.put(app, [Registration("d1", Profile())], NOW)
    while await saver.events.carry(1000):
        pass
    assert await told_of(saver, app, "d1") == [DELETED, REGISTERED]


async def test_a_device_whose_beginning_is_carried_while_it_is_deleted_has_none(
    saver: RedisSaver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes into the queue when the device is gone, and before what was told of that is hidden."""
    app = await an_app(saver)
    hide = KvEvents.hide

    async def carried_before(self: KvEvents, gone: Sequence[GoneDevice]) -> None:
        monkeypatch.undo()
        await self.append(beginning[0].events)
        await hide(self, gone)

    for _ in range(2):  # the first of its app, and one behind others
        await saver.devices.put(app, [Registration("d1", Profile())], NOW)
        beginning = await saver.events._changes.waiting(1000)
        monkeypatch.setattr(KvEvents, "hide", carried_before)
        assert await saver.devices.delete(app, "d1", NOW)
        assert await told_of(saver, app, "d1") == []
        while await saver.events.carry(1000):
            pass
        assert await told_of(saver, app, "d1") == [DELETED]
    await saver.devices.put(app, [Registration("d1", Profile())], NOW)
    while await saver.events.carry(1000):
        pass
    assert await told_of(saver, app, "d1") == [DELETED, REGISTERED]


async def told_of(saver: RedisSaver, app: int, device: str) -> list[str]:
    events = (await saver.events.read(app, "", 100)).events
    return [
        msgspec.json.decode(event.data, type=DeviceData).state
        for _, event in events
        if (event.kind, event.device) == (DEVICE, device)
    ]
