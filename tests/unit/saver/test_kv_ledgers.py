"""What a list of messages asks of the partitions."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from longline.model.apps import App
from longline.model.audience import Devices
from longline.model.devices import Profile
from longline.model.messages import Envelope, Message
from longline.saver.kv.engine import RedisSaver
from longline.saver.kv.ledgers import LIST
from longline.saver.kv.partitions import Partitions
from longline.saver.port.devices import Registration
from longline.saver.port.ledgers import MessagesAsked
from longline.saver.port.messages import Submission
from longline.settings import StoreSettings
from longline.store.redis import Reply, Store
from tests.servers.shared import shared

NOW = 1_800_000_000_000
PARTITIONS = 16
DEVICES = 200
LIMIT = 20


@pytest.fixture
async def saver() -> AsyncIterator[RedisSaver]:
    with shared("redis") as server:
        store = await Store.open(StoreSettings(url=server.url, partitions=PARTITIONS))
        yield await RedisSaver.open(store)
        await store.close()


@pytest.fixture
async def app(saver: RedisSaver) -> int:
    app = App(
        app="news",
        number=0,
        name="news",
        server_key_hash=b"k" * 32,
        device_secret="secret",
        pubsub=False,
        created_at=NOW,
    )
    number = (await saver.apps.create(app)).number
    await saver.devices.put(number, [Registration(f"d{n}", Profile()) for n in range(DEVICES)], NOW)
    return number


async def sent(saver: RedisSaver, app: int, *names: str) -> list[str]:
    """Ids of one message to each of these, a millisecond apart, the latest first."""
    messages = [
        Message(
            id=str(UUID(int=(NOW + n << 80) | (7 << 76) | (2 << 62))),
            app="news",
            payload=b"x",
            content_type="text/plain",
            created_at=NOW + n,
            expires_at=NOW + 60_000,
        )
        for n in range(len(names))
    ]
    pairs = zip(messages, names, strict=True)
    envelopes = tuple([Envelope(message, Devices((name,))) for message, name in pairs])
    await saver.messages.enqueue([Submission(app, envelopes, NOW)])
    return [message.id for message in messages][::-1]


async def test_partitions_tell_a_share_of_a_page_each(
    saver: RedisSaver, app: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not as much as the whole page has, which most of it would be left out of."""
    ids = await sent(saver, app, *[f"d{n * 7 % DEVICES}" for n in range(800)])
    told = []
    run = Partitions.run

    async def counted(self: Partitions, partition: int, script: object, *args: Any, **rest: Any) -> Reply:
        reply = await run(self, partition, script, *args, **rest)  # type: ignore[arg-type]
        if script is LIST:
            assert isinstance(reply, list)
            assert isinstance(reply[1], list)
            told.append(len(reply[1]))
        return reply

    monkeypatch.setattr(Partitions, "run", counted)
    page = await saver.ledgers.latest(app, MessagesAsked(limit=LIMIT))
    assert [each.message_id for each in page.messages] == ids[:LIMIT]
    assert sum(told) < PARTITIONS * LIMIT / 2


async def test_a_partition_that_has_most_of_a_page_is_asked_again(saver: RedisSaver, app: int) -> None:
    """Nothing is left out, however messages lie in partitions."""
    runs = [["d1"] * 150, [f"d{n}" for n in range(30)], ["d2"] * 90, ["d3", "d4"] * 20]
    ids = await sent(saver, app, *[name for run in runs for name in run])
    for limit in (1, LIMIT, 100):
        found: list[str] = []
        before = None
        while True:
            page = await saver.ledgers.latest(app, MessagesAsked(before=before, limit=limit))
            found += [each.message_id for each in page.messages]
            before = page.rest
            if before is None:
                break
            assert len(page.messages) == limit
        assert found == ids
