"""The queue of CONNECTs, when clients have gone by the time that it is their turn."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import closing, suppress
from typing import cast

from longline.mqtt.packets import MQTT_5_0, Connect
from longline.room.counters import RoomCounters
from longline.room.life.entrance import TOGETHER, Asking, Entrance
from longline.room.life.entrant import Entrant
from longline.testing.clock import settle


class Client:
    """One that has sent CONNECT over this socket, and nothing else."""

    asked_at = 0.0

    def __init__(self, socket: socket.socket) -> None:
        self.transport: Client | None = self
        self.gave_up = False
        self._socket = socket

    def get_extra_info(self, name: str) -> object:
        return {"socket": self._socket}[name]

    def says_more(self) -> bool:
        return False

    def give_up(self) -> None:
        self.gave_up = True


async def portions_of(comers: int, tick: float) -> list[int]:
    """How many are served together of so many who come one in each turn of the loop, which takes `tick` s."""
    now = 0.0
    sizes: list[int] = []
    whole, other = socket.socketpair()

    async def serve(batch: Sequence[Asking]) -> None:
        sizes.append(len(batch))

    async def come() -> None:
        nonlocal now
        for number in range(comers):
            entrance.add(cast(Entrant, Client(whole)), Connect(MQTT_5_0, str(number)))
            await asyncio.sleep(0)
            now += tick
        await entrance.idle()

    entrance = Entrance(serve, RoomCounters(), patience=5.0, clock=lambda: now)
    with closing(whole), closing(other):
        task = asyncio.create_task(entrance.run())
        await come()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    return sizes


async def test_who_comes_together_is_served_together() -> None:
    """The loop accepts one connection in each of its turns; the stores are asked once for all of them."""
    assert await portions_of(16, tick=0.0) == [16]


async def test_a_portion_waits_only_for_a_moment_for_others() -> None:
    """Where turns are long, and each brings somebody, the first would else wait for the last."""
    sizes = await portions_of(16, tick=TOGETHER / 2)
    assert sum(sizes) == 16
    assert max(sizes) <= 4


async def test_when_most_have_gone_those_who_came_last_are_next() -> None:
    """They wait for less than clients are taken to: in order, everybody would have gone by their turn."""
    portions: list[list[str]] = []

    async def serve(batch: Sequence[Asking]) -> None:
        portions.append([packet.client_id for _, packet, _ in batch])

    entrance = Entrance(serve, RoomCounters(), patience=5.0, clock=lambda: 0.0)
    entrance.portion.size = 2
    broken, peer = socket.socketpair()
    peer.close()
    whole, other = socket.socketpair()
    with closing(broken), closing(whole), closing(other):
        sockets = {"a": broken, "b": broken, "c": whole, "d": whole, "e": whole, "f": whole, "g": whole}
        clients = {name: Client(socket) for name, socket in sockets.items()}
        for name, client in clients.items():
            entrance.add(cast(Entrant, client), Connect(MQTT_5_0, name))
        task = asyncio.create_task(entrance.run())
        await settle()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert portions == [["f", "g"], ["c", "d", "e"]], "and in order, and more at once, when they are there"
    assert [name for name, client in clients.items() if client.gave_up] == ["a", "b"]
    assert (entrance.served, entrance.gone, len(entrance)) == (5, 2, 0)


async def test_who_gives_up_while_served_has_gone_and_fewer_are_served_together() -> None:
    """The first of a portion gets its answer when the last of it is bound."""
    now = 0.0
    sizes: list[int] = []
    broken, peer = socket.socketpair()
    whole, other = socket.socketpair()

    async def serve(batch: Sequence[Asking]) -> None:
        nonlocal now
        sizes.append(len(batch))
        now += 1.0
        peer.close()

    entrance = Entrance(serve, RoomCounters(), patience=5.0, clock=lambda: now)
    entrance.portion.size = 40
    with closing(broken), closing(whole), closing(other):
        for number in range(60):
            client = Client(broken if number < 30 else whole)
            entrance.add(cast(Entrant, client), Connect(MQTT_5_0, str(number)))
        task = asyncio.create_task(entrance.run())
        await settle()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert sizes == [40, 20]
    assert (entrance.served, entrance.gone) == (30, 30)


async def test_whom_we_refuse_has_not_given_up() -> None:
    """Else wrong tokens would have a slow room take its clients for impatient."""
    now = 0.0
    whole, other = socket.socketpair()

    async def serve(batch: Sequence[Asking]) -> None:
        nonlocal now
        now += 1.0
        for client, _, _ in batch:
            cast(Client, client).transport = None
            entrance.refused += 1

    entrance = Entrance(serve, RoomCounters(), patience=5.0, clock=lambda: now)
    entrance.portion.size = 40
    with closing(whole), closing(other):
        for number in range(30):
            entrance.add(cast(Entrant, Client(whole)), Connect(MQTT_5_0, str(number)))
        task = asyncio.create_task(entrance.run())
        await settle()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert (entrance.served, entrance.gone) == (30, 0)
    assert entrance.portion.size >= 40
