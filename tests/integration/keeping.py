"""Clients of sessions that outlive their connections, packet by packet, wherever a server leads them."""

import asyncio
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from longline import Center
from longline.mqtt.packets import (
    MQTT_5_0,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Will,
)
from longline.mqtt.properties import Properties, PropertyId
from tests.cluster.cluster import Cluster
from tests.integration.live_node import RawClient
from tests.integration.server_process import ServerProcess
from tests.integration.shapes import Server
from tests.waiting import WITHIN, until

APP = "news"


class Keeping:
    """Makes clients of one app; `port` is the last one's."""

    def __init__(self, server: Server, center: Center, app: str = APP) -> None:
        self.app = app
        self.server = server
        self.center = center
        self.port = 0
        self.opened: list[RawClient] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for client in self.opened:
            await client.close()

    async def connect(
        self,
        device: str,
        version: int = MQTT_5_0,
        *,
        clean: bool = False,
        expiry: int | None = 1000,
        will: Will | None = None,
        properties: Properties | None = None,
        port: int | None = None,
    ) -> tuple[RawClient, Connack]:
        """A client and the answer to its CONNECT; `expiry` is MQTT 5's."""
        token = (await self.center.token(self.app, device)).password
        self.port = port or self.server.mqtt_port
        told = dict(properties or {})
        if version == MQTT_5_0 and expiry is not None:
            told[PropertyId.SESSION_EXPIRY_INTERVAL] = expiry

        found: list[tuple[RawClient, Connack]] = []

        async def answered() -> bool:
            client = await RawClient.open(self.port, version)
            self.opened.append(client)
            client.send(
                Connect(
                    version,
                    device,
                    clean,
                    600,
                    self.app,
                    token.encode(),
                    will,
                    told if version == MQTT_5_0 else None,
                )
            )
            answer = await client.receive()
            if isinstance(answer, Connack) and answer.reason == 0:
                found.append((client, answer))
                return True
            await client.close()  # the room is just starting
            return False

        await until(answered)
        return found[0]

    async def client(
        self, device: str, version: int = MQTT_5_0, **options: bool | int | Will | None
    ) -> RawClient:
        return (await self.connect(device, version, **options))[0]  # type: ignore[arg-type]

    async def away(self, device: str, *filters: str, qos: int = 2, version: int = MQTT_5_0) -> None:
        """A device that has subscribed and is not connected."""
        client = await self.client(device, version)
        await subscribe(client, *filters, qos=qos)
        client.send(Disconnect())
        assert await client.receive() is None
        await client.close()

    async def restart(self) -> None:
        """Kills the room that the last client is at, and starts it."""
        if isinstance(self.server, Cluster):
            room = self.server.rooms[self.server.room_ports.index(self.port)]
            await room.kill()
            room.start()
            await room.ready()
        else:
            assert isinstance(self.server, ServerProcess)
            await self.server.kill()
            await self.server.start()


async def subscribe(client: RawClient, *filters: str, qos: int = 2) -> None:
    client.send(Subscribe(1, [Subscription(filter, qos) for filter in filters]))
    answer = await client.receive()
    assert isinstance(answer, Suback), answer
    assert answer.reasons == [qos] * len(filters)


async def publish(
    client: RawClient, topic: str, payload: bytes, qos: int = 1, packet_id: int = 1, *, dup: bool = False
) -> int:
    """Publishes, and follows it to its end; the reason code of the first answer."""
    client.send(Publish(topic, payload, qos, dup=dup, packet_id=packet_id))
    answer = await client.receive()
    assert isinstance(answer, (Puback, Pubrec)), answer
    if qos == 2:
        client.send(Pubrel(packet_id))
        completed = await client.receive()
        assert completed == Pubcomp(packet_id), completed
    return answer.reason


async def message(client: RawClient) -> Publish:
    packet = await client.receive()
    assert isinstance(packet, Publish), packet
    return packet


async def drained(
    client: RawClient,
    wanted: int = 0,
    take: Callable[[Packet], None] = lambda packet: None,
    *,
    enough: Callable[[list[Publish]], bool] | None = None,
) -> list[Publish]:
    """What comes, all of it acknowledged: as many as are wanted, or what is enough, however long that takes,
    and what else there is until a store had the time to answer several times."""
    messages: list[Publish] = []
    enough = enough or (lambda found: len(found) >= wanted)
    deadline = time.monotonic() + WITHIN
    quiet = 0
    while quiet < 5 or not enough(messages):
        assert time.monotonic() < deadline, f"not within {WITHIN:g} s; {len(messages)} came"
        await asyncio.sleep(0.02)
        client.send(Pingreq())
        quiet += 1
        while not isinstance(packet := await client.receive(), Pingresp):
            assert packet is not None
            quiet = 0
            take(packet)
            acknowledge(client, packet)
            if isinstance(packet, Publish):
                messages.append(packet)
    return messages


async def drained_together(clients: Sequence[RawClient], wanted: int) -> list[list[Publish]]:
    """What comes to each, until it is as many as are wanted together, and what else there is."""
    found: list[list[Publish]] = [[] for _ in clients]

    async def all_of_them() -> bool:
        for client, messages in zip(clients, found, strict=True):
            messages += await drained(client)
        return sum(map(len, found)) >= wanted

    await until(all_of_them)
    return found


def acknowledge(client: RawClient, packet: Packet | None) -> None:
    if isinstance(packet, Publish) and packet.qos == 1:
        client.send(Puback(packet.packet_id))
    elif isinstance(packet, Publish) and packet.qos == 2:
        client.send(Pubrec(packet.packet_id))
    elif isinstance(packet, Pubrel):
        client.send(Pubcomp(packet.packet_id))
