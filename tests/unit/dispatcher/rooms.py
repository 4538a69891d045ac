"""Rooms as the keeper tells of them, and a dispatcher that knows them."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from longline.dispatcher.dispatcher import Dispatcher
from longline.keeper.local import LocalKeeper
from longline.keeper.port import Load, Node
from longline.settings import DispatcherSettings

PEER = "192.0.2.1"


def a_room(
    number: int,
    *,
    weight: float = 1.0,
    region: str = "",
    networks: tuple[str, ...] = (),
    pool: str = "",
    draining: bool = False,
    load: Load | None = None,
    address: str | None = None,
) -> Node:
    return Node(
        node=f"room-{number}",
        roles=("room",),
        addresses={"mqtt": address or f"10.0.0.{number}:1883", "ws": f"10.0.0.{number}:8083"},
        since=1,
        version="1",
        weight=weight,
        region=region,
        networks=networks,
        pool=pool,
        draining=draining,
        load=load or Load(),
    )


class FickleKeeper(LocalKeeper):
    """One that can be out of touch."""

    gone = False

    def in_touch(self) -> bool:
        return not self.gone


class Post:
    """A dispatcher, its clock, and short ways to ask it."""

    def __init__(self, rooms: Sequence[Node], settings: DispatcherSettings | None = None) -> None:
        self.now = 1000.0
        self.keeper = FickleKeeper()
        self.dispatcher = Dispatcher(
            settings or DispatcherSettings(), self.keeper, monotonic=lambda: self.now, draw=lambda: 0.5
        )
        self.dispatcher.see(rooms)

    def hosts(
        self, device: str, *, app: str = "news", transport: str = "tcp", network: str = "", region: str = ""
    ) -> list[str]:
        """The hosts that a client is told, best first."""
        answer = self.dispatcher.look_up(
            app, device, transport=transport, network=network, region=region, peer=PEER
        )
        return [endpoint.host for endpoint in answer.endpoints]

    def spread(self, clients: int) -> Counter[str]:
        """How many of so many clients are sent to each host."""
        return Counter(self.hosts(f"phone-{number}")[0] for number in range(clients))


def run_view(post: Post) -> asyncio.Task[None]:
    return asyncio.create_task(post.dispatcher.run(), name="dispatcher.view")
