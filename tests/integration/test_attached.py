"""Several apps on one connection, end to end: each has what it would have on a connection of its own."""

import asyncio
import contextlib
import queue
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from longline import Center, Device, errors
from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Subscription,
)
from longline.mqtt.properties import Properties, PropertyId
from longline.mqtt.reasons import ReasonCode
from tests.cluster.cluster import Cluster
from tests.integration.live_node import RawClient
from tests.integration.shapes import Server
from tests.waiting import WITHIN, until

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
PROTOCOLS = pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
CARRIER, APP = "news", "weather"


@pytest_asyncio.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        for app in (CARRIER, APP):
            await center.create_app(app, pubsub=True)
        yield center


class Shared:
    """A client of the carrying app, and what it says and hears of others on its connection."""

    def __init__(self, client: RawClient, center: Center) -> None:
        self.client = client
        self.center = center
        self._held: list[Packet] = []

    async def next(self, prefix: str) -> Publish:
        """The next message on such a topic, which it acknowledges; others are kept for later."""
        for held in self._held:
            if isinstance(held, Publish) and held.topic.startswith(prefix):
                self._held.remove(held)
                return held
        while True:
            packet = await self.client.receive()
            assert packet is not None, "the connection has ended"
            if isinstance(packet, Publish):
                if packet.qos:
                    self.client.send(Puback(packet.packet_id))
                if packet.topic.startswith(prefix):
                    return packet
            self._held.append(packet)

    async def hears(self, kind: type[Packet]) -> Packet:
        """The next packet of a kind; others are kept for later."""
        while not isinstance(packet := await self.client.receive(), kind):
            assert packet is not None, "the connection has ended"
            if isinstance(packet, Publish) and packet.qos:
                self.client.send(Puback(packet.packet_id))
            self._held.append(packet)
        return packet

    async def answer(self) -> dict[str, Any]:
        told: dict[str, Any] = msgspec.json.decode((await self.next("$link/reply")).payload)
        return told

    def ask(self, app: str, device: str, token: str) -> None:
        body = msgspec.json.encode({"app": app, "device": device, "token": token})
        self.client.send(Publish("$link/attach", body, 1, packet_id=9))

    async def attach(self, app: str = APP, device: str = "d2") -> None:
        self.ask(app, device, (await self.center.token(app, device)).password)
        told = await self.answer()
        assert told == {"status": "attached", "request": "attach", "app": app, "device": device}

    async def detach(self, app: str = APP) -> None:
        self.client.send(Publish("$link/detach", msgspec.json.encode({"app": app}), 1, packet_id=9))
        assert (await self.answer())["status"] == "detached"


@contextlib.asynccontextmanager
async def sharing(
    server: Server, center: Center, device: str = "d1", version: int = MQTT_5_0
) -> AsyncIterator[Shared]:
    token = (await center.token(CARRIER, device)).password
    async with await RawClient.open(server.mqtt_port, version) as client:
        assert (await client.enter(device, CARRIER, token)).reason == 0
        yield Shared(client, center)


async def online(center: Center, device: str = "d2", app: str = APP) -> bool:
    (status,) = await center.status(app, [device])
    return status.online


async def acked(center: Center, app: str, message: str) -> None:
    """Returns when the ledger of a message for one device has it as acknowledged."""

    async def look() -> bool:
        ledger = (await center.message(app, message)).ledger
        assert ledger.targeted == 1
        return ledger.acked == 1

    await until(look)


@VERSIONS
async def test_each_has_its_pushes_its_ledger_and_its_presence(
    server: Server, center: Center, version: int
) -> None:
    waiting = await center.put_device(APP, "d2")
    assert waiting is not None
    before = await center.send(APP, "before", devices=["d2"])
    async with sharing(server, center, version=version) as shared:
        await shared.attach()
        assert (await shared.next("@weather/push/")).payload == b"before"
        await acked(center, APP, before.message_id)
        assert await online(center)
        for app, prefix in ((APP, "@weather/push/"), (CARRIER, "push/")):
            device = "d2" if app == APP else "d1"
            sent = await center.send(app, app, devices=[device])
            got = await shared.next(prefix)
            assert (got.topic, got.payload) == (f"{prefix}{sent.message_id}", app.encode())
            await acked(center, app, sent.message_id)
            everyone = await center.send(app, "all", everyone=True)
            assert (await shared.next(prefix)).payload == b"all"
            await acked(center, app, everyone.message_id)
        await shared.detach()
        await until(lambda: offline(center))
        assert await online(center, "d1", CARRIER)
        after = await center.send(APP, "after", devices=["d2"])
        await shared.attach()
        assert (await shared.next("@weather/push/")).payload == b"after"
        await acked(center, APP, after.message_id)


async def offline(center: Center) -> bool:
    return not await online(center)


@VERSIONS
async def test_what_it_says_is_said_in_its_app(server: Server, center: Center, version: int) -> None:
    """Upstream, receipts, its shadow, the answer to a call, and plain messages both ways."""
    admin = {"Authorization": f"Bearer {server.admin_key}"}
    url = f"{server.url}/v1/apps/{APP}"
    async with (
        sharing(server, center, version=version) as shared,
        httpx.AsyncClient(headers=admin, timeout=WITHIN, trust_env=False) as http,
    ):
        await shared.attach()
        client = shared.client
        client.send(
            Publish("@weather/up/alarm", b"fire", 1, packet_id=1),
            Publish("@weather/shadow/reported", b'{"on": true}', 1, packet_id=2),
        )
        await until(lambda: reported(http, url))
        events = (await http.get(f"{url}/upstream")).json()["events"]
        assert [(event["device"], event["topic"]) for event in events if event["type"] == "upstream"] == [
            ("d2", "up/alarm")
        ]
        others = (await http.get(f"{server.url}/v1/apps/{CARRIER}/upstream")).json()["events"]
        assert not [event for event in others if event["type"] == "upstream"]
        calling = asyncio.create_task(
            http.post(f"{url}/devices/d2:call", json={"payload": "open", "timeout": 30})
        )
        call = await shared.next("@weather/push/")
        id = call.topic.rpartition("/")[2]
        client.send(Publish(f"@weather/reply/{id}", b"done", 1, packet_id=3))
        assert (await calling).json()["payload"] == "done"
        await http.patch(f"{url}/devices/d2/shadow", json={"desired": {"on": False}})
        assert (await shared.next("@weather/shadow/desired")).payload == b'{"on":false}'
        token = (await center.token(APP, "d3")).password
        async with await RawClient.open(server.mqtt_port, version) as other:
            await other.enter("d3", APP, token)
            other.send(Subscribe(1, [Subscription("rain/#", 1)]))
            assert isinstance(await other.receive(), Suback)
            client.send(Subscribe(4, [Subscription("@weather/rain/+", 1)]))
            await shared.hears(Suback)
            client.send(Publish("@weather/rain/1", b"here", 1, packet_id=5))
            heard = await other.receive()
            assert isinstance(heard, Publish)
            assert (heard.topic, heard.payload) == ("rain/1", b"here")
            assert (await shared.next("@weather/rain/")).payload == b"here"
            other.send(Publish("rain/2", b"there", 1, packet_id=6))
            got = await shared.next("@weather/rain/")
            assert (got.topic, got.payload) == ("@weather/rain/2", b"there")


async def reported(http: httpx.AsyncClient, url: str) -> bool:
    answer = await http.get(f"{url}/devices/d2/shadow")
    return bool(answer.status_code == 200 and answer.json()["reported"] == {"on": True})


async def test_nothing_of_an_app_is_learned_without_a_good_token(server: Server, center: Center) -> None:
    """Unknown app, unknown device, another's token: one answer. And topics of what is not attached are
    refused alike, whether there is such an app or not."""
    await center.put_device(APP, "d2")
    mine = (await center.token(CARRIER, "d1")).password
    theirs = (await center.token(APP, "d2")).password
    async with sharing(server, center) as shared:
        answers = []
        for app, device, token in (
            ("nothing", "d2", theirs),
            (APP, "d2", mine),
            (APP, "nobody", theirs),
            (APP, "d2", "x"),
        ):
            shared.ask(app, device, token)
            told = await shared.answer()
            assert (told.pop("app"), told.pop("device")) == (app, device)
            answers.append(told)
        assert answers == [answers[0]] * 4
        assert answers[0]["code"] == "bad_token"
        client = shared.client
        for number, topic in enumerate(("@weather/rain", "@nothing/rain"), 20):
            client.send(Publish(topic, b"x", 1, packet_id=number))
            client.send(Subscribe(number, [Subscription(topic)]))
            refused: list[Packet | None] = []
            while len(refused) < 2:
                packet = await client.receive()
                if not isinstance(packet, Puback) or packet.packet_id == number:
                    refused.append(packet)
            assert refused == [
                Puback(number, ReasonCode.NOT_AUTHORIZED),
                Suback(number, [ReasonCode.NOT_AUTHORIZED]),
            ]


@VERSIONS
async def test_a_connection_of_its_own_takes_over_and_the_carrier_goes_on(
    server: Server, center: Center, version: int
) -> None:
    """Whichever room it comes to; and attaching takes over again."""
    async with sharing(server, center, version=version) as shared:
        await shared.attach()
        token = (await center.token(APP, "d2")).password
        async with await RawClient.open(server.mqtt_port) as own:
            assert (await own.enter("d2", APP, token)).reason == 0
            told = await shared.answer()
            assert (told["status"], told["app"], told["code"]) == ("ended", APP, "taken_over")
            await center.send(CARRIER, "still here", devices=["d1"])
            assert (await shared.next("push/")).payload == b"still here"
            await shared.attach()
            ended = await own.receive()
            assert isinstance(ended, Disconnect)
            assert ended.reason == ReasonCode.SESSION_TAKEN_OVER
        sent = await center.send(APP, "back", devices=["d2"])
        assert (await shared.next("@weather/push/")).payload == b"back"
        await acked(center, APP, sent.message_id)


async def test_a_kick_a_ban_a_rotation_and_a_deletion_end_the_attachment_alone(
    server: Server, center: Center
) -> None:
    async with sharing(server, center) as shared:
        for code, ends in (
            ("kicked", lambda: center.kick(APP, "d2")),
            ("device_deleted", lambda: center.delete_device(APP, "d2")),
            ("key_rotated", lambda: center.rotate_keys(APP, device_secret=True, disconnect=True)),
        ):
            await shared.attach()
            await ends()
            told = await shared.answer()
            assert (told["status"], told["app"], told["code"]) == ("ended", APP, code)
        await shared.attach()
        await center.kick(APP, "d2", ban=60)
        assert (await shared.answer())["code"] == "banned"
        shared.ask(APP, "d2", (await center.token(APP, "d2")).password)
        told = await shared.answer()
        assert (told["status"], told["code"], told["reason"]) == ("refused", "banned", ReasonCode.BANNED)
        await center.kick(APP, "d2", ban=0)
        await shared.attach()
        await center.delete_app(APP)
        assert (await shared.answer())["code"] == "app_deleted"
        await center.send(CARRIER, "still here", devices=["d1"])
        assert (await shared.next("push/")).payload == b"still here"


async def test_a_good_bye_of_the_carrier_is_one_of_all(server: Server, center: Center) -> None:
    async with sharing(server, center) as shared:
        await shared.attach()
        assert await online(center)
        shared.client.send(Disconnect())
        await until(lambda: offline(center))


async def test_the_rules_of_its_app_hold_for_it_and_those_of_the_carrier_do_not(
    server: Server, center: Center
) -> None:
    admin = {"Authorization": f"Bearer {server.admin_key}"}
    async with (
        sharing(server, center) as shared,
        httpx.AsyncClient(headers=admin, timeout=WITHIN, trust_env=False) as http,
    ):
        answer = await http.put(
            f"{server.url}/v1/apps/{APP}/acl", json={"rules": [{"allow": "both", "filter": "own/{device}/#"}]}
        )
        assert answer.status_code == 200, answer.text
        await shared.attach()
        wanted = [Subscription("@weather/own/d2/x"), Subscription("@weather/own/d1/x"), Subscription("any")]
        shared.client.send(Subscribe(4, wanted))
        suback = await shared.hears(Suback)
        assert isinstance(suback, Suback)
        assert suback.reasons == [0, ReasonCode.NOT_AUTHORIZED, 0]


async def test_to_what_is_kept_of_the_device_it_is_a_clean_start(server: Server, center: Center) -> None:
    """A session of its own that waited for it is over; pushes are not."""
    token = (await center.token(APP, "d2")).password

    async def present() -> bool:
        async with await RawClient.open(server.mqtt_port) as own:
            lasting: Properties = {PropertyId.SESSION_EXPIRY_INTERVAL: 1000}
            own.send(Connect(MQTT_5_0, "d2", False, 600, APP, token.encode(), None, lasting))
            connack = await own.receive()
            assert isinstance(connack, Connack)
            assert connack.reason == 0
            own.send(Disconnect())
            assert await own.receive() is None
            return connack.session_present

    assert not await present()
    assert await present()
    sent = await center.send(APP, "kept", devices=["d2"])
    async with sharing(server, center) as shared:
        await shared.attach()
        assert (await shared.next("@weather/push/")).payload == b"kept"
        await acked(center, APP, sent.message_id)
        await shared.detach()
    assert not await present()


@contextlib.contextmanager
def paho(port: int, token: str, protocol: MQTTProtocolVersion) -> Iterator[tuple[Client, queue.Queue[Any]]]:
    """A device with the client library that most hardware has; what it is sent is in the queue."""
    client = Client(CallbackAPIVersion.VERSION2, "d1", protocol=protocol)
    arrived: queue.Queue[Any] = queue.Queue()

    def on_message(client: Client, userdata: object, message: MQTTMessage) -> None:
        arrived.put(message)

    client.on_message = on_message
    client.username_pw_set(CARRIER, token)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        yield client, arrived
    finally:
        client.disconnect()
        client.loop_stop()


@PROTOCOLS
async def test_paho_has_several_apps(server: Server, center: Center, protocol: MQTTProtocolVersion) -> None:
    token = (await center.token(CARRIER, "d1")).password
    other = (await center.token(APP, "d2")).password
    with paho(server.mqtt_port, token, protocol) as (client, arrived):

        async def heard() -> MQTTMessage:
            message: MQTTMessage = await asyncio.to_thread(arrived.get, True, WITHIN)
            return message

        client.publish("$link/attach", msgspec.json.encode({"app": APP, "device": "d2", "token": other}), 1)
        answer = await heard()
        assert (answer.topic, msgspec.json.decode(answer.payload)["status"]) == ("$link/reply", "attached")
        sent = await center.send(APP, "hello", devices=["d2"])
        push = await heard()
        assert (push.topic, push.payload) == (f"@weather/push/{sent.message_id}", b"hello")
        await acked(center, APP, sent.message_id)
        client.subscribe("@weather/rain/#", 1)
        info = client.publish("@weather/rain/1", b"wet", 1)
        await asyncio.to_thread(info.wait_for_publish, WITHIN)


async def test_the_sdk_has_several_apps_and_attaches_them_again(server: Server, center: Center) -> None:
    """After a kick of the carrier, which breaks the connection, and after one of the app that is attached."""
    own, other = (await center.token(CARRIER, "d1")).password, (await center.token(APP, "d2")).password
    async with Device(
        "127.0.0.1", server.mqtt_port, app=CARRIER, device="d1", token=own, backoff_base=0.05
    ) as device:
        weather = await device.attach(APP, "d2", other)
        await weather.subscribe("rain/#")
        for kicked in ((CARRIER, "d1"), (APP, "d2"), None):
            sent = await center.send(APP, "hello", devices=["d2"])
            async with asyncio.timeout(WITHIN):
                message = await weather.receive()
            assert (message.app, message.id, message.text) == (APP, sent.message_id, "hello")
            assert message.topic == f"push/{sent.message_id}"
            await message.ack()
            await acked(center, APP, sent.message_id)
            async with asyncio.timeout(WITHIN):
                await weather.publish("rain/1", b"wet")
                assert (await weather.receive()).topic == "rain/1"
                await weather.send("alarm", {"level": 3})
            if kicked is not None:
                await center.kick(*kicked)
        await weather.detach()
        with pytest.raises(errors.Unavailable):
            await weather.receive()
        await until(lambda: offline(center))
        sent = await center.send(CARRIER, "still here", devices=["d1"])
        async with asyncio.timeout(WITHIN):
            message = await device.receive()
        assert (message.app, message.text) == (CARRIER, "still here")
        with pytest.raises(errors.BadToken):
            await device.attach(APP, "d2", "wrong")
        with pytest.raises(errors.BadToken):
            await device.attach("nothing", "d2", other)


@pytest.mark.shape("cluster")
async def test_a_room_that_is_killed_costs_what_was_attached_nothing(server: Cluster, center: Center) -> None:
    """The device comes back at another room, attaches again, and has what was sent meanwhile."""
    own, other = (await center.token(CARRIER, "d1")).password, (await center.token(APP, "d2")).password
    async with Device(
        "127.0.0.1",
        server.room_ports[0],
        endpoints=[("127.0.0.1", server.room_ports[1])],
        app=CARRIER,
        device="d1",
        token=own,
        backoff_base=0.05,
        backoff_cap=0.5,
    ) as device:
        weather = await device.attach(APP, "d2", other)
        for number in range(3):
            room = server.rooms[number % 2]
            first = await center.send(APP, f"before {number}", devices=["d2"])
            await room.kill()
            second = await center.send(APP, f"after {number}", devices=["d2"])
            async with asyncio.timeout(2 * WITHIN):
                for sent in (first, second):
                    message = await weather.receive()
                    assert message.id == sent.message_id
                    await message.ack()
            await acked(center, APP, second.message_id)
            room.start()
            await room.ready()
