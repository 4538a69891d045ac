"""Groups for chat, end to end: who hears what, in which order, and what becomes of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import pytest_asyncio

from longline import Center, Device, Push, errors
from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Connect,
    Puback,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
)
from longline.mqtt.properties import PropertyId, get_int, user_properties
from tests.integration.live_node import RawClient
from tests.integration.shapes import Server
from tests.waiting import WITHIN


@pytest_asyncio.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        await center.create_app("news")
        yield center


async def team(center: Center, *names: str, group: str = "team") -> None:
    for name in names:
        await center.put_device("news", name)
    await center.put_group("news", group, names)


def device(server: Server, center: Center, name: str, **options: Any) -> Device:
    async def token() -> str:
        return (await center.token("news", name)).password

    return Device("127.0.0.1", server.mqtt_port, app="news", device=name, token=token, **options)


async def entered(server: Server, center: Center, name: str, version: int = MQTT_5_0) -> RawClient:
    token = (await center.token("news", name)).password
    client = await RawClient.open(server.mqtt_port, version)
    assert (await client.enter(name, "news", token)).reason == 0
    return client


async def hear(device: Device, count: int) -> list[tuple[int, str | None, str]]:
    """The next messages of a group: sequence, sender and text."""
    got = []
    async with asyncio.timeout(WITHIN):
        for _ in range(count):
            message = await device.receive()
            assert message.topic == "group/team"
            got.append((message.sequence, message.sender, message.text))
            await message.ack()
    return got


class Http:
    """The API without our SDK, as others have it."""

    def __init__(self, server: Server) -> None:
        self.client = httpx.AsyncClient(
            base_url=f"{server.url}/v1/apps/news/",
            headers={"Authorization": f"Bearer {server.admin_key}"},
            timeout=WITHIN,
            trust_env=False,
        )

    async def __aenter__(self) -> httpx.AsyncClient:
        return self.client

    async def __aexit__(self, *error: object) -> None:
        await self.client.aclose()


# --- the API ---------------------------------------------------------------------------------------------


async def test_groups_by_the_api(server: Server, center: Center) -> None:
    for name in ("ann", "bob", "cat"):
        await center.put_device("news", name)
    async with Http(server) as http:
        made = await http.put("groups/team", json={"members": ["bob", "ann", "bob"]})
        assert made.status_code == 201
        assert (made.json()["members"], made.json()["online"], made.json()["size"]) == (["ann", "bob"], [], 2)
        assert (await http.put("groups/team")).status_code == 200
        added = await http.post("groups/team/members:add", json={"members": ["cat", "ann"]})
        assert (added.status_code, added.json()) == (200, {"added": 1, "size": 3})
        removed = await http.post("groups/team/members:remove", json={"members": ["bob", "nobody"]})
        assert removed.json() == {"removed": 1, "size": 2}
        assert (await http.get("groups/team")).json()["members"] == ["ann", "cat"]
        assert (await http.put("groups/team", json={"members": ["bob"]})).json()["members"] == ["bob"]
        missing = await http.post("groups/team/members:add", json={"members": ["ann", "nobody"]})
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "device_not_found")
        assert (await http.get("groups/team")).json()["members"] == ["bob"]
        await http.put("groups/b")
        listed = (await http.get("groups", params={"limit": 1})).json()
        assert [group["group"] for group in listed["groups"]] == ["b"]
        listed = (await http.get("groups", params={"cursor": listed["next_cursor"]})).json()
        assert ([group["group"] for group in listed["groups"]], listed["next_cursor"]) == (["team"], None)
        assert (await http.delete("groups/team")).status_code == 204
        for answer in (
            await http.get("groups/team"),
            await http.delete("groups/team"),
            await http.get("groups/team/messages"),
            await http.post("groups/team/members:add", json={"members": ["ann"]}),
            await http.post("groups/team/members:remove", json={"members": ["ann"]}),
            await http.post("messages", json={"audience": {"group": "team"}, "payload": "x"}),
        ):
            assert (answer.status_code, answer.json()["error"]["code"]) == (404, "group_not_found"), (
                answer.text
            )
        for name in ("+", "a%23", "$x", "x" * 129):
            assert (await http.put(f"groups/{name}")).status_code == 422


async def test_what_no_group_takes_is_refused(server: Server, center: Center) -> None:
    """What would overtake, wait, go, or be at several moments; and a group beside another audience."""
    await team(center, "ann")
    async with Http(server) as http:
        for options in (
            {"priority": "high"},
            {"collapse_key": "k"},
            {"spread_over": 5},
            {"send_at": (datetime.now(UTC) + timedelta(days=9)).strftime("%Y-%m-%dT%H:%M:%S")},
        ):
            body = {"audience": {"group": "team"}, "payload": "x", "options": options}
            answer = await http.post("messages", json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid"), options
            assert answer.json()["error"]["details"][0]["field"] == f"options.{next(iter(options))}"
        for other in ({"devices": ["ann"]}, {"tag": ["a"]}, {"aliases": ["a"]}):
            body = {"audience": {"group": "team", **other}, "payload": "x"}
            assert (await http.post("messages", json=body)).status_code == 422
        body = {"audience": {"any": [{"group": "team"}]}, "payload": "x"}
        assert (await http.post("messages", json=body)).status_code == 422
        body = {
            "message": {"audience": {"group": "team"}, "payload": "x"},
            "cron": "* * * * *",
            "timezone": "device",
        }
        assert (await http.post("schedules", json=body)).status_code == 422


async def test_an_audience_of_a_group_is_counted_and_sent_to_in_every_way(
    server: Server, center: Center
) -> None:
    """Alone, in a batch, repeated by its key, checked only, estimated, and by a schedule."""
    await team(center, "ann", "bob")
    async with device(server, center, "ann") as ann:
        await ann.wait_connected()
        size = await center.estimate("news", {"group": "team"})
        assert (size.devices, size.online) == (2, 1)
        assert (await center.estimate("news", {"group": "other"})).devices == 0
        accepted = await center.send("news", "one", group="team", idempotency_key="k")
        again = await center.send("news", "one", group="team", idempotency_key="k")
        assert (accepted.message_id, accepted.targeted) == (again.message_id, 2)
        results = await center.send_batch(
            "news", [Push(payload=f"{n}", group="team") for n in range(3)] + [Push(payload="x", group="no")]
        )
        assert isinstance(results[3], errors.GroupNotFound)
        assert await hear(ann, 4) == [(1, None, "one"), (2, None, "0"), (3, None, "1"), (4, None, "2")]
        status = await center.message("news", accepted.message_id)
        assert status.ledger.targeted == 2
        made = await center.schedule("news", Push(payload="tick", group="team"), "* * * * *")
        assert made.message["audience"] == {"group": "team"}
        group = await center.group("news", "team")
        assert (group.members, group.online, group.sequence) == (("ann", "bob"), ("ann",), 4)


# --- what is said ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", [4, 5])
async def test_a_member_speaks_and_all_members_hear_it_with_its_place(
    server: Server, center: Center, protocol: Any
) -> None:
    """The sender too; who is no member hears nothing."""
    await team(center, "ann", "bob")
    await center.put_device("news", "eve")
    async with AsyncExitStack() as stack:
        ann, bob, eve = [
            await stack.enter_async_context(device(server, center, name, protocol=protocol))
            for name in ("ann", "bob", "eve")
        ]
        for each in (ann, bob, eve):
            await each.wait_connected()
        await ann.say("team", "hello")
        await bob.say("team", {"a": 1})
        sent = await center.send("news", "from the server", group="team")
        expected = [(1, "ann", "hello"), (2, "bob", '{"a":1}'), (3, None, "from the server")]
        if protocol == 4:  # whose packets have no place for it
            expected = [(0, None, text) for _, _, text in expected]
        assert await hear(ann, 3) == expected
        assert await hear(bob, 3) == expected
        await center.send("news", "only you", devices=["eve"])
        message = await eve.receive()
        assert message.text == "only you"
        status = await center.wait("news", sent.message_id, within=WITHIN)
        assert (status.ledger.targeted, status.ledger.acked) == (2, 2)
    said = [
        (m.sequence, m.sender, m.payload) async for m in center.group_messages("news", "team", page_size=2)
    ]
    assert said == [(1, "ann", b"hello"), (2, "bob", b'{"a":1}'), (3, None, b"from the server")]
    assert [m.sequence async for m in center.group_messages("news", "team", after=2)] == [3]


async def test_who_is_no_member_is_answered_as_where_there_is_no_group(
    server: Server, center: Center
) -> None:
    """Not one bit of difference between the two: neither to publish nor to subscribe."""
    await team(center, "ann")
    await center.put_device("news", "eve")
    eve = await entered(server, center, "eve")
    answers = []
    for topic in ("group/team", "group/nothing"):
        eve.send(Publish(topic, b"psst", 1, packet_id=7))
        answer = await eve.receive()
        assert isinstance(answer, Puback)
        answers.append((answer.reason, eve.reasons.pop()))
        eve.send(Subscribe(8, [Subscription(topic, 1)]))
        granted = await eve.receive()
        assert isinstance(granted, Suback)
        answers.append((granted.reasons[0], ""))
    assert answers[:2] == answers[2:]
    assert answers[0][0] == 0x87
    await center.send("news", "secret", group="team")
    await center.send("news", "for eve", devices=["eve"])
    packet = await eve.receive()
    assert isinstance(packet, Publish)
    assert packet.payload == b"for eve"
    await eve.close()


async def test_what_a_message_carries_on_the_wire(server: Server, center: Center) -> None:
    await team(center, "ann", "bob")
    ann = await entered(server, center, "ann")
    sent = await center.send("news", {"x": 1}, group="team", ttl=100)
    packet = await ann.receive()
    assert isinstance(packet, Publish)
    told = dict(user_properties(packet.properties))
    assert told.pop("sent-at").isdigit()
    assert told == {"message-id": sent.message_id, "sequence": "1"}
    assert packet.properties is not None
    assert packet.properties[PropertyId.CONTENT_TYPE] == "application/json"
    ann.send(Puback(packet.packet_id))
    ann.send(
        Publish(
            "group/team",
            b"caf\xc3\xa9",
            1,
            packet_id=3,
            properties={
                PropertyId.CONTENT_TYPE: "text/x-mine",
                PropertyId.MESSAGE_EXPIRY_INTERVAL: 50,
                PropertyId.USER_PROPERTY: [("sender", "somebody else"), ("sequence", "99")],
            },
        )
    )
    got = [await ann.receive(), await ann.receive()]
    (packet,) = [one for one in got if isinstance(one, Publish)]
    told = dict(user_properties(packet.properties))
    assert (told["sender"], told["sequence"], packet.payload) == ("ann", "2", b"caf\xc3\xa9")
    assert packet.properties is not None
    assert packet.properties[PropertyId.CONTENT_TYPE] == "text/x-mine"
    assert 0 < (get_int(packet.properties, PropertyId.MESSAGE_EXPIRY_INTERVAL) or 0) <= 50
    await ann.close()


async def test_qos_0_is_said_and_qos_2_exactly_once(server: Server, center: Center) -> None:
    await team(center, "ann", "bob")
    ann = await entered(server, center, "ann", MQTT_3_1_1)
    async with device(server, center, "bob") as bob:
        await bob.wait_connected()
        ann.send(Publish("group/team", b"zero", 0))
        assert await hear(bob, 1) == [(1, "ann", "zero")]
        ann.send(Publish("group/team", b"two", 2, packet_id=5))
        ann.send(Publish("group/team", b"two", 2, packet_id=5, dup=True))
        assert await hear(bob, 1) == [(2, "ann", "two")]
        packets = await _until_pubrec(ann)
        assert packets
        ann.send(Pubrel(5))
        ann.send(Publish("group/team", b"other", 2, packet_id=5))
        assert await hear(bob, 1) == [(3, "ann", "other")]
    await ann.close()


async def _until_pubrec(client: RawClient) -> bool:
    """Acknowledges what comes until there is a PUBREC."""
    while True:
        packet = await client.receive()
        if isinstance(packet, Pubrec):
            return True
        if isinstance(packet, Publish) and packet.qos == 1:
            client.send(Puback(packet.packet_id))


async def test_a_kept_session_says_qos_2_once_also_when_it_has_to_say_it_again(
    server: Server, center: Center
) -> None:
    """The connection breaks before PUBREC; the publication comes again on the next one, in whatever room."""
    await team(center, "ann", "bob")
    token = (await center.token("news", "ann")).password

    async def kept() -> RawClient:
        client = await RawClient.open(server.mqtt_port, MQTT_5_0)
        client.send(
            Connect(
                MQTT_5_0,
                "ann",
                clean_start=False,
                keep_alive=600,
                username="news",
                password=token.encode(),
                properties={PropertyId.SESSION_EXPIRY_INTERVAL: 600},
            )
        )
        await client.receive()
        return client

    async with device(server, center, "bob") as bob:
        await bob.wait_connected()
        ann = await kept()
        ann.send(Publish("group/team", b"once", 2, packet_id=9))
        assert await hear(bob, 1) == [(1, "ann", "once")]
        ann.abort()
        ann = await kept()
        ann.send(Publish("group/team", b"once", 2, packet_id=9, dup=True))
        assert await _until_pubrec(ann)
        ann.send(Pubrel(9))
        ann.send(Publish("group/team", b"next", 1, packet_id=10))
        assert await hear(bob, 1) == [(2, "ann", "next")]
        await ann.close()


async def test_a_member_that_returns_reads_on_in_order(server: Server, center: Center) -> None:
    """Also what was sent to it alone meanwhile, each where it was sent; and nothing of before it came."""
    await team(center, "ann", "bob")
    await center.send("news", "early", group="team")
    await center.put_device("news", "cat")
    await center.add_members("news", "team", ["cat"])
    async with device(server, center, "ann") as ann:
        assert await hear(ann, 1) == [(1, None, "early")]
    for n in range(20):
        await center.send("news", f"{n}", group="team")
        if n == 10:
            await center.send("news", "yours", devices=["cat"])
    for name, first in (("ann", 2), ("cat", 2), ("bob", 1)):
        async with device(server, center, name) as back, asyncio.timeout(WITHIN):
            sequences: list[int] = []
            texts: list[str] = []
            while len(sequences) < 22 - first:
                message = await back.receive()
                await message.ack()
                texts.append(message.text)
                if message.group:
                    sequences.append(message.sequence)
            assert sequences == list(range(first, 22))
            if name == "cat":
                assert texts.index("yours") == texts.index("10") + 1


async def test_who_leaves_gets_nothing_more_and_the_ledger_says_why(server: Server, center: Center) -> None:
    await team(center, "ann", "bob")
    sent = await center.send("news", "hi", group="team")
    assert await center.remove_members("news", "team", ["bob"]) == 1
    ledger = (await center.message("news", sent.message_id)).ledger
    assert (ledger.targeted, ledger.pending, dict(ledger.dropped)) == (2, 1, {"left_group": 1})
    await center.delete_group("news", "team")
    ledger = (await center.message("news", sent.message_id)).ledger
    assert (ledger.pending, dict(ledger.dropped)) == (0, {"left_group": 1, "group_deleted": 1})
    async with device(server, center, "bob") as bob:
        await bob.wait_connected()
        with pytest.raises(errors.Forbidden):
            await bob.say("team", "let me in")
        await center.send("news", "alone", devices=["bob"])
        assert (await bob.receive()).text == "alone"


async def test_many_speak_at_once_and_all_hear_all_of_it_in_one_order(server: Server, center: Center) -> None:
    """Devices in whichever rooms, and app servers at whichever centers; each speaker's own order is kept."""
    names = [f"d{n}" for n in range(8)]
    await team(center, *names)
    async with AsyncExitStack() as stack:
        devices = [await stack.enter_async_context(device(server, center, name)) for name in names]
        for each in devices:
            await each.wait_connected()

        async def speak(who: Device, name: str) -> None:
            for n in range(10):
                await who.say("team", f"{name} {n}")

        async def send() -> None:
            for n in range(10):
                await center.send("news", f"server {n}", group="team")

        listening = [asyncio.create_task(hear(each, 100)) for each in devices]
        await asyncio.gather(
            *(speak(each, name) for each, name in zip(devices, names, strict=True)), send(), send()
        )
        heard = await asyncio.gather(*listening)
    assert [sequence for sequence, _, _ in heard[0]] == list(range(1, 101))
    assert all(each == heard[0] for each in heard)
    for name in names:
        own = [text for _, sender, text in heard[0] if sender == name]
        assert own == [f"{name} {n}" for n in range(10)]


async def test_a_device_without_a_group_is_not_held_up_by_those_of_others(
    server: Server, center: Center
) -> None:
    """Between messages to a group, its own come at once, and need no look into the store."""
    await team(center, "ann")
    await center.put_device("news", "eve")
    async with device(server, center, "ann") as ann, device(server, center, "eve") as eve:
        await ann.wait_connected()
        await eve.wait_connected()
        for n in range(30):
            await center.send("news", f"{n}", group="team")
            await center.send("news", f"own {n}", devices=["eve"])
        async with asyncio.timeout(WITHIN):
            texts = []
            for _ in range(30):
                message = await eve.receive()
                await message.ack()
                texts.append(message.text)
        assert texts == [f"own {n}" for n in range(30)]
        assert [sequence for sequence, _, _ in await hear(ann, 30)] == list(range(1, 31))
