"""Messages that did not arrive, each for another reason."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from longline import Center
from longline.model.limits import AppLimits
from longline.mqtt.packets import MQTT_5_0, Connack, Connect, Puback, Publish
from longline.mqtt.properties import MAXIMUM_PACKET_SIZE, Properties
from tests.console.node import Node
from tests.integration.live_node import RawClient
from tests.waiting import until

APP = "news"


class Fate(NamedTuple):
    """What became of a message, and the words by which a person is told."""

    name: str
    device: str
    message_id: str
    words: str


async def client(node: Node, center: Center, device: str, properties: Properties | None = None) -> RawClient:
    """A device that acknowledges nothing by itself."""
    token = (await center.token(APP, device)).password
    raw = await RawClient.open(node.mqtt_port)
    raw.send(
        Connect(
            MQTT_5_0,
            device,
            keep_alive=600,
            username=APP,
            password=token.encode(),
            properties=properties,
        )
    )
    answer = await raw.receive()
    assert isinstance(answer, Connack)
    assert answer.reason == 0
    return raw


async def _ended(center: Center, message_id: str) -> None:
    async def so() -> bool:
        return (await center.message(APP, message_id)).ledger.pending == 0

    await until(so)


@asynccontextmanager
async def fates(node: Node, center: Center) -> AsyncIterator[list[Fate]]:
    """The eight, of devices of their own."""
    found: list[Fate] = []

    async def send(device: str, payload: object = "hello", **options: object) -> str:
        await center.put_device(APP, device)
        push = {"audience": {"devices": [device]}, "payload": payload, "options": options}
        return (await center.send_push(APP, push)).message_id

    found.append(
        Fate("offline", "away", await send("away", online_only=True), "only for devices that were connected")
    )
    expired = await send("late", ttl=1)
    first = await send("fresh", collapse_key="score")
    await send("fresh", collapse_key="score")
    found.append(Fate("collapsed", "fresh", first, "newer message with the same collapse key"))
    await center.put_device(APP, "banned")
    await center.kick(APP, "banned", ban=3600)
    found.append(Fate("banned", "banned", await send("banned"), "The device is banned until"))
    cancelled = await send("spared")
    await center.cancel(APP, cancelled)
    found.append(Fate("cancelled", "spared", cancelled, "It was cancelled before the device had it."))
    small = await client(node, center, "small", {MAXIMUM_PACKET_SIZE: 200})
    async with await client(node, center, "picky") as picky, small:
        refused = await send("picky")
        publish = await picky.receive()
        assert isinstance(publish, Publish)
        picky.send(Puback(publish.packet_id, 0x97))
        await _ended(center, refused)
        found.append(Fate("refused by the client", "picky", refused, "The device's program has refused it"))
        large = await send("small", "x" * 1000)
        await _ended(center, large)
        found.append(Fate("too large", "small", large, "larger than the device's program takes"))
        await center.put_limits(APP, AppLimits(inbox_messages=1))
        over = await send("full")
        await send("full")
        await _ended(center, over)
        found.append(Fate("inbox full", "full", over, "More waited for the device than may wait"))
        await _ended(center, expired)
        found.append(Fate("expired", "late", expired, "Its time to live was over"))
        yield found
