"""Devices are told apart by their aliases, tags, attributes and platforms, and messages find them by these.

On every shape: several centers and rooms, one store.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import jwt
import pytest

from longline import Center, Device, errors
from longline.model.ledger import Ledger
from tests.integration.shapes import Server

WITHIN = 30.0  # s

PEOPLE: dict[str, dict[str, object]] = {
    "ann-phone": {"aliases": ["ann"], "tags": ["red", "new"], "attributes": {"age": 17, "plan": "pro"}},
    "ann-tablet": {"aliases": ["ann", "home"], "tags": ["red"], "attributes": {"age": 18}},
    "bob": {"aliases": ["bob"], "tags": ["blue"], "platform": "ios", "attributes": {"age": 40}},
    "cyd": {"platform": "android", "attributes": {"age": 70, "muted": True}},
    "dan": {},
}


@pytest.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        yield center


@pytest.fixture
async def secret(center: Center) -> str:
    """Of the app "news", in which the people are registered."""
    secret = (await center.create_app("news")).device_secret
    results = await center.register_batch("news", [{"device": name, **who} for name, who in PEOPLE.items()])
    assert results == [None] * len(PEOPLE)
    return secret


@asynccontextmanager
async def connected(server: Server, secret: str, name: str) -> AsyncIterator[Device]:
    token = jwt.encode({"sub": name}, secret, algorithm="HS256")
    async with Device("127.0.0.1", server.mqtt_port, app="news", device=name, token=token) as device:
        await device.wait_connected()
        yield device


async def received(device: Device, count: int) -> list[str]:
    """The texts of the next messages, acknowledged."""
    texts: list[str] = []
    async with asyncio.timeout(WITHIN):
        while len(texts) < count:
            message = await device.receive()
            await message.ack()
            texts.append(message.text)
    return texts


def balanced(ledger: Ledger) -> Ledger:
    ended = ledger.acked + ledger.expired + ledger.collapsed + sum(ledger.dropped.values())
    assert ledger.targeted == ended + ledger.pending, ledger
    return ledger


async def test_what_is_known_of_a_device_is_replaced_merged_shown_and_listed(
    center: Center, secret: str
) -> None:
    shown = await center.device("news", "bob")
    assert (shown.aliases, shown.tags, shown.platform) == (("bob",), ("blue",), "ios")
    assert shown.attributes == {"age": 40}
    changed = {"attributes": {"age": None, "plan": "pro"}, "tags": ["green"], "timezone": "Europe/Berlin"}
    merged = await center.patch_device("news", "bob", changed)
    assert (merged.aliases, merged.tags, merged.platform) == (("bob",), ("green",), "ios")
    assert (merged.attributes, merged.timezone) == ({"plan": "pro"}, "Europe/Berlin")
    assert await center.device("news", "bob") == await center.device("news", "bob")
    replaced = await center.put_device("news", "bob", tags=["blue"])
    assert (replaced.aliases, replaced.tags, replaced.platform, replaced.timezone) == (
        (),
        ("blue",),
        None,
        None,
    )

    async def listed(tag: str | None = None, alias: str | None = None) -> set[str]:
        return {found.device async for found in center.devices("news", tag=tag, alias=alias, page_size=1)}

    assert await listed(tag="red") == {"ann-phone", "ann-tablet"}
    assert await listed(tag="green") == set()
    assert await listed(alias="ann") == {"ann-phone", "ann-tablet"}
    assert await listed(tag="red", alias="home") == {"ann-tablet"}
    assert await listed(alias="bob") == set()
    assert await listed() == set(PEOPLE)


async def test_changes_of_one_device_that_meet_are_all_kept(server: Server, secret: str) -> None:
    """Each through a client of its own, which may reach another center."""

    async def change(n: int) -> None:
        async with server.center() as center:
            while True:
                try:
                    await center.patch_device("news", "dan", {"attributes": {f"a{n}": n}})
                except errors.Conflict:
                    continue
                return

    await asyncio.gather(*(change(n) for n in range(12)))
    async with server.center() as center:
        shown = await center.device("news", "dan")
        assert shown.attributes == {f"a{n}": n for n in range(12)}
        every = {"attributes": {f"a{n}": {"eq": n} for n in range(12)}}
        assert (await center.estimate("news", every)).devices == 1


async def test_an_audience_is_counted_beforehand(server: Server, center: Center, secret: str) -> None:
    nested: dict[str, object] = {
        "any": [{"tag": ["red"]}, {"attributes": {"age": {"gte": 60}}}],
        "not": {"any": [{"attributes": {"muted": {"eq": True}}}, {"tag": ["new"]}]},
    }
    audiences: list[tuple[str | dict[str, object], int]] = [
        ({"tag": ["red", "blue"]}, 3),
        ({"tag_and": ["red", "new"]}, 1),
        ({"tag_not": ["red"]}, 3),
        ({"platform": ["ios", "android"]}, 2),
        ({"attributes": {"age": {"gt": 17, "lte": 40}}}, 2),
        ({"attributes": {"age": {"exists": False}}}, 1),
        ({"aliases": ["ann", "bob", "nobody"]}, 3),
        ({"devices": ["bob", "nobody"]}, 1),
        ("all", 5),
        (nested, 1),
    ]
    for audience, devices in audiences:
        size = await center.estimate("news", audience)
        assert (size.devices, size.online) == (devices, 0), audience
    async with connected(server, secret, "ann-tablet"):
        size = await center.estimate("news", nested)
        assert (size.devices, size.online) == (1, 1)


async def test_a_message_to_a_tag_reaches_who_is_there_and_who_comes_back(
    server: Server, center: Center, secret: str
) -> None:
    async with connected(server, secret, "ann-phone") as phone, connected(server, secret, "bob") as bob:
        first = await center.send("news", "to red", tags=["red"], ttl=3600)
        assert first.targeted == 2
        assert await received(phone, 1) == ["to red"]
        assert (await center.estimate("news", {"tag": ["red", "blue"]})).online == 2
        # Who is tagged, untagged or registered afterwards changes nothing of it.
        await center.patch_device("news", "bob", {"tags": ["red"]})
        await center.patch_device("news", "ann-tablet", {"tags": []})
        await center.put_device("news", "eve", tags=["red"])
        second = await center.send("news", "to red again", tags=["red"], ttl=3600)
        assert second.targeted == 3
        assert await received(bob, 1) == ["to red again"]
        assert await received(phone, 1) == ["to red again"]
    async with connected(server, secret, "ann-tablet") as tablet, connected(server, secret, "eve") as eve:
        assert await received(tablet, 1) == ["to red"]
        assert await received(eve, 1) == ["to red again"]
    for message in (first, second):
        ledger = balanced((await center.wait("news", message.message_id, within=WITHIN)).ledger)
        assert (ledger.targeted, ledger.acked) == (message.targeted, message.targeted)


async def test_a_nested_expression_reaches_those_that_it_describes(
    server: Server, center: Center, secret: str
) -> None:
    audience = {
        "attributes": {"age": {"gte": 18}},
        "any": [{"tag": ["red"]}, {"platform": ["ios", "android"]}],
        "not": {"attributes": {"muted": {"eq": True}}},
    }
    async with connected(server, secret, "bob") as bob, connected(server, secret, "cyd") as cyd:
        sent = await center.send("news", "grown up", audience=audience, ttl=3600)
        after = await center.send("news", "to all", everyone=True, ttl=3600)
        assert sent.targeted == 2
        assert await received(bob, 2) == ["grown up", "to all"]
        assert await received(cyd, 1) == ["to all"]
    async with connected(server, secret, "ann-tablet") as tablet:
        assert await received(tablet, 2) == ["grown up", "to all"]
    ledger = balanced((await center.wait("news", sent.message_id, within=WITHIN)).ledger)
    assert (ledger.acked, ledger.pending) == (2, 0)
    balanced((await center.message("news", after.message_id)).ledger)


async def test_a_message_to_an_alias_reaches_all_its_devices(
    server: Server, center: Center, secret: str
) -> None:
    async with connected(server, secret, "ann-phone") as phone:
        sent = await center.send("news", "hello ann", aliases=["ann", "nobody"], ttl=3600)
        assert sent.targeted == 3
        assert await received(phone, 1) == ["hello ann"]
    async with connected(server, secret, "ann-tablet") as tablet:
        assert await received(tablet, 1) == ["hello ann"]
    ledger = balanced((await center.wait("news", sent.message_id, within=WITHIN)).ledger)
    assert (ledger.targeted, ledger.acked, dict(ledger.dropped)) == (3, 2, {"device_not_found": 1})
    rows = {row.device: row.state async for row in center.deliveries("news", sent.message_id)}
    assert rows == {"ann-phone": "acked", "ann-tablet": "acked"}
    with pytest.raises(errors.NoTarget):
        await center.send("news", "hello", aliases=["nobody"])


async def test_a_device_of_the_same_name_inherits_nothing(
    server: Server, center: Center, secret: str
) -> None:
    sent = await center.send("news", "to red", tags=["red"], ttl=3600)
    await center.delete_device("news", "ann-phone")
    assert (await center.estimate("news", {"tag": ["red"]})).devices == 1
    async with connected(server, secret, "ann-phone") as phone:
        shown = await center.device("news", "ann-phone")
        assert (shown.aliases, shown.tags, shown.attributes) == ((), (), {})
        assert (await center.estimate("news", {"tag": ["red"]})).devices == 1
        await center.send("news", "to all", everyone=True)
        assert await received(phone, 1) == ["to all"]
    ledger = balanced((await center.message("news", sent.message_id)).ledger)
    assert (ledger.targeted, ledger.pending, dict(ledger.dropped)) == (2, 1, {"device_deleted": 1})


async def test_a_message_to_a_tag_for_who_is_connected_is_over_for_the_others(
    server: Server, center: Center, secret: str
) -> None:
    async with connected(server, secret, "ann-phone") as phone:
        sent = await center.send("news", "now", tags=["red"], online_only=True)
        assert await received(phone, 1) == ["now"]
        ledger = balanced((await center.wait("news", sent.message_id, within=WITHIN)).ledger)
        assert (ledger.targeted, ledger.acked, dict(ledger.dropped)) == (2, 1, {"offline": 1})
