"""One list of behaviours, for the Python SDK, and for the TypeScript one in Node and in Chromium.

Where they differ, the test says so, and why: see docs/sdk-js.md.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from longline import Center, UpstreamEvent
from longline.errors import LonglineError
from longline.mqtt.packets import Connect, Disconnect, Pingreq, Pingresp, Puback, Publish
from longline.mqtt.properties import Properties, PropertyId, user_properties
from longline.mqtt.reasons import ReasonCode
from longline.testing.proxy import FaultProxy
from tests.integration.browser.chromium import CHROMIUM
from tests.integration.live_node import LiveNode
from tests.integration.sdk_js.programs import (
    WRONG,
    Driven,
    InChromium,
    InNode,
    InPython,
    Refusal,
    Sdk,
)
from tests.unit.sdk.dispatching import ScriptedDispatcher
from tests.unit.sdk.scripted import ScriptedRoom
from tests.waiting import WITHIN, eventually, until

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

KINDS: dict[str, Callable[[], Sdk]] = {"python": InPython, "node": InNode, "chromium": InChromium}
needs_node = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
needs_chromium = pytest.mark.skipif(shutil.which(CHROMIUM) is None, reason="chromium is not installed")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def live(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LiveNode]:
    async with LiveNode(tmp_path_factory.mktemp("live") / "data", {"room.linger": 1}) as node:
        yield node


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def center(live: LiveNode) -> AsyncIterator[Center]:
    async with live.center() as center:
        yield center


@pytest_asyncio.fixture(
    scope="module",
    loop_scope="module",
    params=[
        "python",
        pytest.param("node", marks=needs_node),
        pytest.param("chromium", marks=[needs_node, needs_chromium]),
    ],
)
async def running(request: pytest.FixtureRequest) -> AsyncIterator[Sdk]:
    sdk = await KINDS[request.param]().start()
    try:
        yield sdk
    finally:
        await sdk.end()


@pytest_asyncio.fixture(loop_scope="module")
async def sdk(running: Sdk) -> AsyncIterator[Sdk]:
    yield running
    await running.close_all()


@pytest_asyncio.fixture(loop_scope="module")
async def app(center: Center, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    name = f"app{abs(hash(request.node.nodeid))}"
    await center.create_app(name, pubsub=True)
    yield name
    await center.delete_app(name)


class Site:
    """An app of the node, and devices of the SDK in it."""

    def __init__(self, live: LiveNode, center: Center, sdk: Sdk, app: str) -> None:
        self.live = live
        self.center = center
        self.sdk = sdk
        self.app = app

    @property
    def port(self) -> int:
        return self.live.ws_port if self.sdk.transport == "ws" else self.live.mqtt_port

    def url(self, port: int | None = None) -> str:
        scheme, path = ("ws", "/mqtt") if self.sdk.transport == "ws" else ("mqtt", "")
        return f"{scheme}://127.0.0.1:{port or self.port}{path}"

    async def token(self, device: str = "d1") -> str:
        return (await self.center.token(self.app, device)).password

    async def device(self, name: str = "d1", *, at: int | None = None, **options: Any) -> Driven:
        """One that is connected."""
        device = await self.sdk.device(self.url(at), self.app, name, [await self.token(name)], **options)
        await device.ask("connected")
        return device

    async def send(self, payload: object, device: str = "d1", **options: Any) -> str:
        return (await self.center.send(self.app, payload, devices=[device], **options)).message_id

    async def pending(self, id: str) -> int:
        return (await self.center.message(self.app, id)).ledger.pending


async def connects(device: Driven, wanted: int) -> bool:
    return bool((await device.statistics())["connects"] >= wanted)


async def failed(device: Driven, wanted: int) -> bool:
    return bool((await device.statistics())["failures"] >= wanted)


async def not_connected(device: Driven) -> bool:
    return not await device.ask("is_connected")


@pytest_asyncio.fixture(loop_scope="module")
async def site(live: LiveNode, center: Center, sdk: Sdk, app: str) -> Site:
    return Site(live, center, sdk, app)


protocols = pytest.mark.parametrize("protocol", [5, 4])


# --- messages -----------------------------------------------------------------------------------------


@protocols
async def test_a_push_arrives_and_is_acknowledged_when_it_is_done_with(site: Site, protocol: int) -> None:
    device = await site.device(protocol=protocol)
    id = await site.send({"title": "Goal!"})
    message = await device.receive()
    assert (message.push, message.topic, message.qos) == (id, f"push/{id}", 1)
    assert message.payload == b'{"title":"Goal!"}'
    assert await site.pending(id) == 1
    await device.ack(message)
    await eventually(lambda: site.pending(id), 0)


async def test_mqtt_5_says_what_a_payload_is_and_when_it_was_sent(site: Site) -> None:
    device = await site.device()
    for payload, kind, data in (
        ("text", "text/plain;charset=utf-8", b"text"),
        ([1, 2], "application/json", b"[1,2]"),
        (b"\x00\xff", "application/octet-stream", b"\x00\xff"),
    ):
        await site.send(payload)
        message = await device.receive()
        assert (message.content_type, message.payload) == (kind, data)
        assert message.sent_at is not None
        await device.ack(message)


async def test_a_loop_acknowledges_a_message_when_it_asks_for_the_next(site: Site) -> None:
    device = await site.device()
    first, second = await site.send("1"), await site.send("2")
    message = await device.next()
    assert message is not None
    assert message.push == first
    assert await site.pending(first) == 1
    message = await device.next()
    assert message is not None
    assert message.push == second
    await eventually(lambda: site.pending(first), 0)
    assert await site.pending(second) == 1


async def test_what_a_handler_publishes_is_answered_while_its_message_is_not_acknowledged(site: Site) -> None:
    device = await site.device(receive_maximum=1)
    id = await site.send("do it")
    message = await device.receive()
    await device.ask("send", name="doing", payload="it")
    assert await site.pending(id) == 1
    await device.ack(message)
    await eventually(lambda: site.pending(id), 0)


async def test_what_was_not_acknowledged_comes_again_and_what_was_handled_does_not(site: Site) -> None:
    device = await site.device()
    id = await site.send("once")
    first = await device.receive()
    await site.center.kick(site.app, "d1")
    again = await device.receive()
    assert (first.push, again.push) == (id, id)
    # The connection that brought the first is gone; it counts as handled all the same.
    await device.ack(first)
    await device.ack(again)
    await eventually(lambda: site.pending(id), 0)
    later = await site.send("later")
    assert (await device.receive()).push == later


async def test_copies_of_what_was_handled_are_dropped_and_acknowledged(site: Site) -> None:
    device = await site.device()
    id = await site.send("once")
    first = await device.receive()
    await site.center.kick(site.app, "d1")

    async def twice() -> bool:
        return bool((await device.statistics())["connects"] == 2)

    await until(twice)
    later = await site.send("later")
    await device.ack(first)  # the copy is in the device, and was not handed out
    message = await device.receive()
    assert message.push == later
    await device.ack(message)
    await eventually(lambda: site.pending(id), 0)
    counted = await device.statistics()
    assert (counted["duplicates"], counted["received"]) == (1, 2)


@pytest.mark.parametrize("session_expiry", [0, 60])
async def test_qos_2_comes_once(site: Site, session_expiry: int) -> None:
    device = await site.device(session_expiry=session_expiry)
    id = await site.send("exactly", qos=2)
    message = await device.receive()
    assert message.qos == 2
    await device.ack(message)
    await eventually(lambda: site.pending(id), 0)


async def test_qos_0_arrives(site: Site) -> None:
    device = await site.device()
    await site.send("perhaps", qos=0)
    message = await device.receive()
    assert (message.qos, message.payload) == (0, b"perhaps")
    await device.ack(message)


async def test_many_messages_come_in_their_order(site: Site) -> None:
    device = await site.device()
    for number in range(50):
        await site.send(str(number))
    got = [await device.next() for _ in range(50)]
    assert [message.text for message in got if message is not None] == [str(number) for number in range(50)]


async def test_a_large_push_arrives_whole(site: Site) -> None:
    device = await site.device()
    await site.send("x" * 250_000)
    assert len((await device.receive()).payload) == 250_000


# --- the other way ------------------------------------------------------------------------------------


async def told(site: Site, kind: str) -> list[UpstreamEvent]:
    """The events of its app, as far as there are any."""
    return [event async for event in site.center.upstream(site.app, follow=False) if event.type == kind]


@protocols
async def test_what_it_sends_is_an_event_of_its_app(site: Site, protocol: int) -> None:
    device = await site.device(protocol=protocol)
    await device.ask("send", name="rooms/7/alarm", payload={"hot": True})
    events = await told(site, "upstream")
    assert [(event.topic, event.payload) for event in events] == [("up/rooms/7/alarm", '{"hot":true}')]


async def test_what_it_says_while_it_is_away_waits_and_keeps_its_order(site: Site) -> None:
    async with FaultProxy("127.0.0.1", site.port) as network:
        device = await site.device(at=network.port)
        network.refusing = True
        network.cut()
        await until(lambda: not_connected(device))
        says = [asyncio.create_task(device.ask("send", name="n", payload=str(n))) for n in range(20)]
        failures = (await device.statistics())["failures"]
        await until(lambda: failed(device, failures + 1))
        network.refusing = False
        await asyncio.gather(*says)
        events = await told(site, "upstream")
        assert [event.payload for event in events] == [str(n) for n in range(20)]


async def test_what_is_posted_outlives_its_device_and_is_sent_by_the_next_one_in_its_order(
    site: Site, tmp_path: Path
) -> None:
    store = tmp_path / "d1"
    nowhere = site.url(9)
    away = await site.sdk.device(nowhere, site.app, "d1", [await site.token()], store=store)
    for number in range(3):
        await away.ask("post", name="n", payload=str(number))
    assert await away.ask("unsent") == 3
    await away.ask("close")
    device = await site.device(store=store)
    await device.ask("post", name="n", payload="3")

    async def unsent() -> int:
        return int(await device.ask("unsent"))

    await eventually(unsent, 0)
    events = await told(site, "upstream")
    assert [event.payload for event in events] == ["0", "1", "2", "3"]
    assert len({event.send_id for event in events} - {None}) == 4


async def test_a_receipt_of_the_application_names_its_push(site: Site) -> None:
    device = await site.device()
    id = await site.send("look")
    message = await device.receive()
    await device.ask("opened", handle=message.handle)
    receipts = await told(site, "receipt")
    assert [(event.message_id, event.name) for event in receipts] == [(id, "opened")]


async def test_a_refused_publish_says_why_and_the_connection_lives_on(site: Site) -> None:
    device = await site.device()
    with pytest.raises(Refusal) as refusal:
        await device.publish("push/nobody", b"mine")
    assert refusal.value.code == "forbidden"
    with pytest.raises(Refusal) as refusal:
        await device.publish("up/much", b"x" * 400_000)
    assert refusal.value.code == "payload_too_large"
    await device.ask("send", name="fine", payload="still")
    assert (await device.statistics())["connects"] == 1


async def test_plain_topics_come_to_who_subscribes_now_and_after_a_reconnect(site: Site) -> None:
    device, other = await site.device(), await site.device("d2")
    await device.ask("subscribe", filter="news/+")
    for connection in (1, 2):
        await until(lambda wanted=connection: connects(device, wanted))  # type: ignore[misc]
        await device.ask(
            "subscribe", filter="more"
        )  # answered after the one that it has made again by itself
        await other.publish("news/1", b"hello")
        message = await device.receive()
        assert (message.topic, message.push, message.text) == ("news/1", None, "hello")
        await device.ack(message)
        await site.center.kick(site.app, "d1")


async def test_a_refused_subscription_says_why(site: Site) -> None:
    device = await site.device()
    with pytest.raises(Refusal) as refusal:
        await device.ask("subscribe", filter="up/#")
    assert refusal.value.code == "forbidden"


async def test_a_group_hears_its_members_in_sequence(site: Site) -> None:
    device, other = await site.device(), await site.device("d2")
    await site.center.put_group(site.app, "team", ["d1", "d2"])
    await other.ask("say", group="team", payload="hello")
    await device.ask("say", group="team", payload="hello yourself")
    for speaker, sequence, text in (("d2", 1, "hello"), ("d1", 2, "hello yourself")):
        for member in (device, other):
            message = await member.receive()
            assert (message.group, message.sender, message.sequence) == ("team", speaker, sequence)
            assert message.text == text
            await member.ack(message)
    history = [said.payload async for said in site.center.group_messages(site.app, "team")]
    assert history == [b"hello", b"hello yourself"]


async def test_who_is_no_member_is_told(site: Site) -> None:
    device = await site.device()
    with pytest.raises(Refusal) as refusal:
        await device.ask("say", group="team", payload="hello")
    assert refusal.value.code == "forbidden"


async def test_its_shadow_goes_both_ways(site: Site) -> None:
    await site.center.put_device(site.app, "d1")
    await site.center.patch_shadow(site.app, "d1", desired={"light": True})
    device = await site.device()
    message = await device.receive()
    assert (message.topic, message.text) == ("shadow/desired", '{"light":true}')
    await device.ack(message)
    await device.ask("report_state", changes={"light": True, "level": 3})
    await device.ask("report_state", changes={"level": None})
    assert (await site.center.shadow(site.app, "d1")).reported == {"light": True}


async def test_a_call_is_answered(site: Site) -> None:
    device = await site.device()
    call = asyncio.create_task(site.center.call(site.app, "d1", "blink"))
    message = await device.receive()
    assert message.wants_answer
    await device.ask("answer", handle=message.handle, payload={"done": message.text})
    assert (await call).text == '{"done":"blink"}'


async def test_calls_are_answered_by_a_function(site: Site) -> None:
    device = await site.device(calls=True)
    assert (await site.center.call(site.app, "d1", "blink")).text == '{"echo":"blink"}'
    id = await site.send("no call")
    assert (await device.receive()).push == id


async def test_it_is_told_what_it_has_missed(site: Site) -> None:
    await site.center.put_device(site.app, "d1")
    for _ in range(3):
        await site.send("latest", collapse_key="k")
    await site.send("short", ttl=1)

    async def expired() -> bool:
        states = [message.state async for message in site.center.device_messages(site.app, "d1")]
        return "expired" in states

    await until(expired)
    device = await site.device()
    assert (await device.receive()).text == "latest"
    [gap] = await device.ask("gaps")
    assert (gap["collapsed"], gap["expired"], gap["dropped"]) == (2, 1, 0)


# --- other apps ---------------------------------------------------------------------------------------


async def test_another_app_shares_the_connection(site: Site) -> None:
    weather = f"{site.app}-w"
    await site.center.create_app(weather, pubsub=True)
    token = (await site.center.token(weather, "w1")).password
    device = await site.device()
    attached = await site.sdk.attach(device, weather, "w1", [token])
    id = (await site.center.send(weather, "rain", devices=["w1"])).message_id
    message = await attached.receive()
    assert (message.app, message.push, message.topic) == (weather, id, f"push/{id}")
    await attached.ack(message)
    assert (await site.center.wait(weather, id, within=WITHIN)).ledger.acked == 1
    await attached.ask("subscribe", filter="sky/#")
    await attached.publish("sky/blue", b"yes")
    message = await attached.receive()
    assert (message.app, message.topic) == (weather, "sky/blue")
    await attached.ack(message)
    await site.center.kick(site.app, "d1")  # the connection, and so both
    await until(lambda: connects(device, 2))
    await site.center.send(weather, "sun", devices=["w1"])
    message = await attached.receive()
    assert message.text == "sun"
    await attached.ack(message)
    await attached.ask("detach")
    with pytest.raises(Refusal) as refusal:
        await attached.receive()
    assert refusal.value.code == "unavailable"
    await site.center.delete_app(weather)


async def test_calls_of_an_attached_app_are_answered_by_its_function(site: Site) -> None:
    weather = f"{site.app}-w"
    await site.center.create_app(weather)
    token = (await site.center.token(weather, "w1")).password
    device = await site.device()
    await site.sdk.attach(device, weather, "w1", [token], calls=True)
    assert (await site.center.call(weather, "w1", "rain?")).text == '{"echo":"rain?"}'
    await site.center.delete_app(weather)


async def test_an_app_that_refuses_is_not_attached(site: Site) -> None:
    device = await site.device()
    with pytest.raises(Refusal) as refusal:
        await site.sdk.attach(device, "nowhere", "w1", ["no token"])
    assert refusal.value.code == "bad_token"
    id = await site.send("still here")
    assert (await device.receive()).push == id


# --- coming back, and not -----------------------------------------------------------------------------


async def test_a_device_that_is_kicked_comes_back(site: Site) -> None:
    device = await site.device()
    await site.center.kick(site.app, "d1")
    await until(lambda: connects(device, 2))
    id = await site.send("again")
    assert (await device.receive()).push == id


async def test_a_device_that_is_banned_stops(site: Site) -> None:
    device = await site.device()
    await site.center.kick(site.app, "d1", ban=60)
    with pytest.raises(Refusal) as refusal:
        await device.receive()
    assert refusal.value.code == "banned"
    with pytest.raises(Refusal) as refusal:
        await device.ask("send", name="more", payload="?")
    assert refusal.value.code == "banned"


async def test_a_device_that_connects_elsewhere_stops_here(site: Site) -> None:
    first = await site.device()
    second = await site.device()
    with pytest.raises(Refusal) as refusal:
        await first.receive()
    assert refusal.value.code == "taken_over"
    id = await site.send("there")
    assert (await second.receive()).push == id


async def test_a_token_that_is_none_stops_it(site: Site) -> None:
    device = await site.sdk.device(site.url(), site.app, "d1", ["no token"])
    with pytest.raises(Refusal) as refusal:
        await device.ask("connected")
    assert refusal.value.code == "bad_token"


async def test_another_token_is_asked_for_once_when_one_is_refused(site: Site) -> None:
    device = await site.sdk.device(site.url(), site.app, "d1", ["stale", await site.token()])
    await device.ask("connected")
    assert await device.ask("asked") == 2
    stopped = await site.sdk.device(site.url(), site.app, "d2", ["stale", "stale too"])
    with pytest.raises(Refusal) as refusal:
        await stopped.ask("connected")
    assert refusal.value.code == "bad_token"
    assert await stopped.ask("asked") == 2


async def test_a_source_of_tokens_that_fails_is_asked_again(site: Site) -> None:
    device = await site.sdk.device(
        site.url(), site.app, "d1", ["!no network", "!still none", await site.token()]
    )
    await device.ask("connected")
    assert await device.ask("asked") == 3


async def test_a_source_of_tokens_that_gives_no_text_is_asked_again(site: Site) -> None:
    device = await site.sdk.device(site.url(), site.app, "d1", ["?", "?", await site.token()])
    await device.ask("connected")
    assert await device.ask("asked") == 3


async def test_a_device_whose_app_is_deleted_stops(site: Site) -> None:
    other = f"{site.app}-x"
    await site.center.create_app(other)
    token = (await site.center.token(other, "d1")).password
    device = await site.sdk.device(site.url(), other, "d1", [token])
    await device.ask("connected")
    await site.center.delete_app(other)
    with pytest.raises(Refusal) as refusal:
        await device.receive()
    assert refusal.value.code == "bad_token"
    with pytest.raises(Refusal) as refusal:
        await device.ask("send", name="more", payload="?")
    assert refusal.value.code == "bad_token"


@pytest.mark.parametrize("functions", ["fails", "rejects"])
async def test_functions_of_the_application_that_fail_cost_what_they_were_for_and_nothing_else(
    site: Site, functions: str
) -> None:
    await site.center.put_device(site.app, "d1")
    device = await site.device(functions=functions)
    call = asyncio.create_task(site.center.call(site.app, "d1", "blink", within=1))
    await site.center.patch_shadow(site.app, "d1", desired={"light": True})
    id = await site.send("still here")
    assert (await device.receive()).push == id
    with pytest.raises(LonglineError):
        await call
    assert (await device.statistics())["failures"] == 0


async def test_functions_that_never_return_hold_up_neither_messages_nor_close(site: Site) -> None:
    await site.center.put_device(site.app, "d1")
    device = await site.device(functions="hangs")
    await site.center.patch_shadow(site.app, "d1", desired={"light": True})
    id = await site.send("still here")
    assert (await device.receive()).push == id
    await asyncio.gather(device.ask("close"), device.ask("close"))


async def test_what_cannot_be_said_is_refused_at_once_and_costs_no_connection(site: Site) -> None:
    device = await site.device()
    for topic in ("", "a/+", "#", "a\0b", "a" * 70_000):
        for asks in (
            device.publish(topic, b"x"),
            device.ask("post", name=topic or "\0", payload="x"),
            device.ask("subscribe", filter=topic if topic in ("", "a\0b") else f"{topic}+/#/{topic}"),
        ):
            with pytest.raises(Refusal) as refusal:
                await asks
            assert refusal.value.code == WRONG
    await device.ask("send", name="fine", payload="still")
    counted = await device.statistics()
    assert (counted["connects"], counted["failures"]) == (1, 0)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (200, b"<!doctype html><title>Log in to this network</title>"),
        (500, b"no"),
        (302, b""),
        (200, b"[]"),
        (200, b'{"endpoints":[]}'),
        (200, b'{"endpoints":[{"host":"x","port":0}]}'),
        (200, b'{"x":' + b"[" * 60_000),
        (200, b" " * 200_000),
    ],
    ids=["html", "500", "redirect", "list", "none", "no port", "nested", "long"],
)
async def test_what_is_no_answer_of_a_dispatcher_holds_up_nobody_who_knows_where_to_go(
    site: Site, status: int, body: bytes
) -> None:
    async with ScriptedDispatcher() as strange:
        strange.status, strange.body = status, body
        strange.headers = (
            "Location: /elsewhere\r\nRetry-After: 999999999\r\nAccess-Control-Allow-Origin: *\r\n"
        )
        given = [strange.url]
        device = await site.sdk.device(site.url(), site.app, "d1", [await site.token()], dispatchers=given)
        await device.ask("connected")
        counted = await device.statistics()
        assert (counted["failures"], counted["last_error"]) == (0, "unavailable")
        assert strange.asked


async def test_a_store_that_cannot_be_used_costs_only_what_was_to_be_kept_in_it(
    site: Site, tmp_path: Path
) -> None:
    """A folder is where its file should be."""
    if site.sdk.kind == "chromium":
        pytest.skip("a page's storage is no file")
    device = await site.device(store=tmp_path)
    with pytest.raises(Refusal) as refusal:
        await device.ask("post", name="n", payload="x")
    assert refusal.value.code == "unavailable"
    id = await site.send("still here")
    message = await device.receive()
    assert message.push == id
    await device.ack(message)
    await eventually(lambda: site.pending(id), 0)


async def test_a_closed_device_is_at_the_end_of_its_loop_and_refuses_the_rest(site: Site) -> None:
    device = await site.device()
    waits = asyncio.create_task(device.next())
    await asyncio.sleep(0)
    await device.ask("close")
    assert await waits is None
    with pytest.raises(Refusal) as refusal:
        await device.ask("send", name="late", payload="?")
    assert refusal.value.code == "unavailable"

    async def offline() -> bool:
        return not (await site.center.device(site.app, "d1")).online

    await until(offline)  # at once, as after any DISCONNECT


async def test_a_dispatcher_says_where_to_connect(site: Site) -> None:
    device = await site.sdk.device(None, site.app, "d1", [await site.token()], dispatchers=[site.live.url])
    await device.ask("connected")
    id = await site.send("found")
    assert (await device.receive()).push == id


async def test_a_dispatcher_that_is_away_is_passed_over(site: Site) -> None:
    given = [site.live.url, "http://127.0.0.1:9"]
    device = await site.sdk.device(None, site.app, "d1", [await site.token()], dispatchers=given)
    await device.ask("connected")


async def test_the_app_server_sees_which_program_it_is(site: Site) -> None:
    await site.device()
    client = (await site.center.device(site.app, "d1")).client
    assert client is not None
    assert client.name == ("longline" if site.sdk.kind == "python" else "longline-js")


async def test_statistics_count(site: Site) -> None:
    device = await site.device()
    await site.send("one")
    await device.ack(await device.receive())
    await device.ask("send", name="two", payload="2")
    counted = await device.statistics()
    assert {name: counted[name] for name in ("connects", "received", "acked", "published", "failures")} == {
        "connects": 1,
        "received": 1,
        "acked": 1,
        "published": 1,
        "failures": 0,
    }


# --- what only a room can do that says what it likes: over TCP, so not in a browser -------------------


@pytest_asyncio.fixture(loop_scope="module")
async def of_tcp(sdk: Sdk) -> Sdk:
    if sdk.transport != "tcp":
        pytest.skip("a page has no TCP")
    return sdk


async def test_it_goes_where_the_server_sends_it(of_tcp: Sdk) -> None:
    async with ScriptedRoom() as first, ScriptedRoom() as second:
        device = await of_tcp.device(f"mqtt://127.0.0.1:{first.port}", "news", "d1", ["t"])
        room = await first.accept()
        await room.let_in()
        reference: Properties = {PropertyId.SERVER_REFERENCE: f"127.0.0.1:{second.port}"}
        await room.say(Disconnect(ReasonCode.USE_ANOTHER_SERVER, reference))
        elsewhere = await second.accept()
        await elsewhere.let_in()
        await device.ask("connected")
        counted = await device.statistics()
        assert (counted["moves"], counted["failures"]) == (1, 0)


async def test_in_mqtt_3_it_goes_where_a_message_sends_it(of_tcp: Sdk) -> None:
    async with ScriptedRoom() as first, ScriptedRoom() as second:
        device = await of_tcp.device(f"mqtt://127.0.0.1:{first.port}", "news", "d1", ["t"], protocol=4)
        room = await first.accept()
        await room.let_in()
        notice = f'{{"endpoints": [{{"host": "127.0.0.1", "port": {second.port}}}], "after_ms": 1}}'
        await room.say(Publish("$link/moved", notice.encode()))
        elsewhere = await second.accept()
        await elsewhere.let_in()
        await device.ask("connected")
        assert (await device.statistics())["moves"] == 1


async def test_it_comes_back_from_where_it_was_sent_when_nobody_lets_it_in_there(of_tcp: Sdk) -> None:
    async with ScriptedRoom() as first:
        device = await of_tcp.device(f"mqtt://127.0.0.1:{first.port}", "news", "d1", ["t"])
        room = await first.accept()
        await room.let_in()
        reference: Properties = {PropertyId.SERVER_REFERENCE: "127.0.0.1:9"}
        await room.say(Disconnect(ReasonCode.SERVER_MOVED, reference))
        room = await first.accept()
        await room.let_in()
        await device.ask("connected")


@pytest.mark.parametrize("kept", [True, False])
async def test_a_publish_is_repeated_under_its_identifier_and_marked_in_a_session_that_goes_on(
    of_tcp: Sdk, kept: bool
) -> None:
    """[MQTT-3.3.1-1, 4.4.0-1]"""
    async with ScriptedRoom() as first:
        device = await of_tcp.device(
            f"mqtt://127.0.0.1:{first.port}", "news", "d1", ["t"], session_expiry=60 if kept else 0
        )
        room = await first.accept()
        connect = await room.let_in()
        assert connect.clean_start is not kept
        says = asyncio.create_task(device.ask("send", name="n", payload="1"))
        sent = await room.expect(Publish)
        assert not sent.dup
        room.reset()
        room = await first.accept()
        await room.let_in(session_present=kept)
        again = await room.expect(Publish)
        assert (again.topic, again.payload, again.packet_id) == ("up/n", b"1", sent.packet_id)
        assert again.dup is kept
        await room.say(Puback(again.packet_id))
        await says


async def test_an_idle_connection_is_tried_and_one_that_is_silent_then_is_left(of_tcp: Sdk) -> None:
    """Within the keep alive that the server asks for, which is short here."""
    asked: Properties = {PropertyId.SERVER_KEEP_ALIVE: 1}
    async with ScriptedRoom() as first:
        device = await of_tcp.device(f"mqtt://127.0.0.1:{first.port}", "news", "d1", ["t"])
        room = await first.accept()
        await room.let_in(properties=asked)
        await room.expect(Pingreq)
        await room.say(Pingresp())
        await room.expect(Pingreq)
        await (await first.accept()).let_in()
        await until(lambda: connects(device, 2))
        assert (await device.statistics())["failures"] == 1


@pytest.mark.parametrize("lie", [b"\x00\x00", b"\x36\x00", b"\x41\x00"], ids=["kind", "qos", "flags"])
async def test_bytes_that_are_no_mqtt_end_the_connection(of_tcp: Sdk, lie: bytes) -> None:
    """Whoever passed them over would miss what they are a part of, until the next connection."""
    async with ScriptedRoom() as first:
        url = f"mqtt://127.0.0.1:{first.port}"
        device = await of_tcp.device(url, "news", "d1", ["t"], backoff_base=0.01)
        room = await first.accept()
        await room.let_in()
        await device.ask("connected")
        await room.lie(lie)
        await (await first.accept()).let_in()
        await until(lambda: connects(device, 2))
        assert (await device.statistics())["failures"] == 1


@pytest.mark.parametrize(
    "end",
    [
        b"\xe0\x02\x8b\x00",  # DISCONNECT where CONNACK is due
        b"\x20\x03\x00\x88\x00",  # CONNACK: the server is unavailable
        b"\x20\x03\x00\x00\x00\xe0\x02\x8b\x00",  # let in, and DISCONNECT
        b"\x20\x03\x00\x00\x00\x30\x04\x00\x01t\x00\x00\x00",  # let in, a message, and no MQTT
    ],
    ids=["instead of CONNACK", "refused", "ended", "no MQTT"],
)
async def test_what_comes_behind_the_end_of_a_connection_harms_nobody(of_tcp: Sdk, end: bytes) -> None:
    """Packets of every kind that a client keeps something for, in one segment with what ends it."""
    behind = (
        b"\x34\x07\x00\x01t\x00\x07\x00x"  # PUBLISH with QoS 2
        b"\x62\x02\x00\x07"  # its PUBREL
        b"\x32\x07\x00\x01t\x00\x08\x00x"  # PUBLISH with QoS 1
        b"\x40\x02\x00\x01"  # PUBACK, PUBREC, PUBCOMP
        b"\x50\x02\x00\x01"
        b"\x70\x02\x00\x01"
    )
    async with ScriptedRoom() as first:
        url = f"mqtt://127.0.0.1:{first.port}"
        device = await of_tcp.device(url, "news", "d1", ["t"], backoff_base=0.01)
        room = await first.accept()
        await room.expect(Connect)
        await room.lie(end + 20 * behind)
        await (await first.accept()).let_in()
        await device.ask("connected")


@pytest.mark.parametrize(
    "strange",
    [
        b"\x20\x03\x00\x00\x00",  # a second CONNACK
        b"\x40\x02\x00\x07",  # PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK for what nobody has sent
        b"\x50\x02\x00\x07",
        b"\x62\x02\x00\x07",
        b"\x70\x02\x00\x07",
        b"\x90\x04\x00\x07\x00\x00",
        b"\xf0\x00",  # AUTH
        b"\x30\x05\x00\x02up\x00",  # PUBLISH to what is the device's own to say, and to nobody
        b"\x30\x04\x00\x01@\x00",
        b"\x30\x0a\x00\x07@nobody\x00",
        b"\x30\x05\x00\x02a#\x00",  # a topic with a wildcard, and none at all
        b"\x30\x03\x00\x00\x00",
        b"\x30\x08\x00\x02ab\x03\x23\x00\x07",  # by an alias that was not agreed on
    ],
    ids=lambda strange: strange.hex(),
)
async def test_packets_that_should_not_come_end_a_connection_at_most(of_tcp: Sdk, strange: bytes) -> None:
    async with ScriptedRoom() as first:
        url = f"mqtt://127.0.0.1:{first.port}"
        device = await of_tcp.device(url, "news", "d1", ["t"], backoff_base=0.01)
        room = await first.accept()
        await room.let_in()
        await device.ask("connected")
        await room.lie(strange)
        await room.lie(b"\x30\x09\x00\x06push/m\x00")
        waits = asyncio.create_task(device.receive())
        again = asyncio.create_task(first.accept())
        while waits not in (await asyncio.wait([waits, again], return_when=asyncio.FIRST_COMPLETED))[0]:
            room = again.result()
            await room.let_in()
            await room.push("m", 0)
            again = asyncio.create_task(first.accept())
        while (got := waits.result()).push != "m":
            waits = asyncio.create_task(device.receive())
            await waits
        assert got.topic == "push/m"
        again.cancel()


async def test_what_comes_before_connack_ends_the_connection(of_tcp: Sdk) -> None:
    """[MQTT-3.2.0-1]"""
    async with ScriptedRoom() as first:
        url = f"mqtt://127.0.0.1:{first.port}"
        device = await of_tcp.device(url, "news", "d1", ["t"], backoff_base=0.01)
        room = await first.accept()
        await room.expect(Connect)
        await room.lie(b"\x30\x09\x00\x06push/m\x00\x20\x03\x00\x00\x00")
        room = await first.accept()
        await room.let_in()
        await room.push("later", 0)
        assert (await device.receive()).push == "later"


async def test_huge_properties_harm_nobody(of_tcp: Sdk) -> None:
    async with ScriptedRoom() as first:
        url = f"mqtt://127.0.0.1:{first.port}"
        device = await of_tcp.device(url, "news", "d1", ["t"], functions="fails")
        room = await first.accept()
        long = "9" * 60_000
        named = [("sequence", long), ("sent-at", long), ("__proto__", long), ("after-ms", long)] * 3
        await room.let_in(properties={PropertyId.USER_PROPERTY: named, PropertyId.REASON_STRING: long})
        await room.say(Publish("group/team", b"x", properties={PropertyId.USER_PROPERTY: named}))
        await room.say(Publish("$link/gap", b'{"x":' + b"[" * 60_000))
        gap = b'{"dropped":1,"expired":0,"collapsed":0,"since":"2027-01-15T08:00:00Z"}'
        await room.say(Publish("$link/gap", gap))  # which a function is told of that fails
        await room.say(Publish("$link/reply", b"[" * 60_000))
        await room.push("m", 0)
        message = await device.receive()
        assert (message.group, message.sequence, message.sent_at) == ("team", 0, None)
        assert (await device.receive()).push == "m"
        reference: Properties = {PropertyId.USER_PROPERTY: named, PropertyId.SERVER_REFERENCE: long}
        await room.say(Disconnect(ReasonCode.SERVER_MOVED, reference))
        room = await first.accept()
        await room.let_in()
        await device.ask("connected")


async def test_a_device_is_closed_while_it_connects_and_by_several(of_tcp: Sdk) -> None:
    async with ScriptedRoom() as first:
        device = await of_tcp.device(f"mqtt://127.0.0.1:{first.port}", "news", "d1", ["t"])
        await (await first.accept()).expect(Connect)
        waits = asyncio.create_task(device.ask("connected"))
        await asyncio.gather(*(device.ask("close") for _ in range(3)))
        with pytest.raises(Refusal) as refusal:
            await waits
        assert refusal.value.code == "unavailable"


@pytest.mark.parametrize("kept", [True, False])
async def test_a_copy_in_a_new_session_has_the_name_of_the_first(of_tcp: Sdk, kept: bool) -> None:
    """It has no mark of MQTT's, and by its name the app server knows it all the same."""
    async with ScriptedRoom() as first:
        url = f"mqtt://127.0.0.1:{first.port}"
        device = await of_tcp.device(url, "news", "d1", ["t"], session_expiry=60 if kept else 0)
        room = await first.accept()
        await room.let_in()
        says = [asyncio.create_task(device.ask("send", name="n", payload=str(n))) for n in range(2)]
        sent = [await room.expect(Publish) for _ in says]
        room.reset()
        room = await first.accept()
        await room.let_in(session_present=kept)
        again = [await room.expect(Publish) for _ in says]
        assert [packet.payload for packet in again] == [b"0", b"1"]
        names = [[send_id(packet) for packet in packets] for packets in (sent, again)]
        assert names[0] == names[1]
        assert len({*names[0]} - {None}) == 2
        for packet in again:
            await room.say(Puback(packet.packet_id))
        await asyncio.gather(*says)


def send_id(packet: Publish) -> str | None:
    return dict(user_properties(packet.properties)).get("send-id")


async def test_an_event_tells_the_name_that_the_device_gave_it(site: Site) -> None:
    device = await site.device()
    await device.ask("send", name="n", payload="1")
    id = await site.send("look")
    await device.ask("opened", handle=(await device.receive()).handle)
    [said], [receipt] = await told(site, "upstream"), await told(site, "receipt")
    assert receipt.message_id == id
    assert (len(said.send_id or ""), len(receipt.send_id or "")) == (12, 12)
    assert said.send_id != receipt.send_id
    assert said.user_properties == ()


async def test_it_connects_as_it_was_told(of_tcp: Sdk) -> None:
    async with ScriptedRoom() as first:
        await of_tcp.device(
            f"mqtt://127.0.0.1:{first.port}",
            "news",
            "d1",
            [" token\n"],
            keep_alive=33,
            receive_maximum=7,
            session_expiry=11,
        )
        connect = await (await first.accept()).expect(Connect)
        assert (connect.client_id, connect.username, connect.password) == ("d1", "news", b"token")
        assert (connect.keep_alive, connect.clean_start) == (33, False)
        assert connect.properties is not None
        assert connect.properties[PropertyId.RECEIVE_MAXIMUM] == 7
        assert connect.properties[PropertyId.SESSION_EXPIRY_INTERVAL] == 11
