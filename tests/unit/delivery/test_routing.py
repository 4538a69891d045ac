"""From the store to the nodes, whatever of both fails meanwhile."""

import asyncio
from collections.abc import Sequence

import structlog

from longline.bus.local import LocalBus
from longline.delivery.routing import route
from longline.errors import Unavailable
from longline.model.commands import Broadcast, Command, Part, Target, Unicast
from longline.model.devices import Binding
from longline.model.ledger import State
from longline.model.messages import Message
from longline.saver.port.inboxes import Receipt
from tests.fakes.saver import FakeSaver

NOW = 1_800_000_000_000


class Store(FakeSaver):
    """One that cannot note some broadcasts, or no receipts."""

    def __init__(self) -> None:
        super().__init__()
        self.unnoted: set[str] = set()
        self.takes_receipts = True

    async def assign(self, app: int, message_id: str, nodes: Sequence[str]) -> None:
        if message_id in self.unnoted:
            raise Unavailable("no store")
        await super().assign(app, message_id, nodes)

    async def settle(self, batch: Sequence[Receipt]) -> None:
        if not self.takes_receipts:
            raise Unavailable("no store")
        await super().settle(batch)

    @property
    def receipts(self) -> list[Receipt]:
        """All that it was told."""
        return [receipt for batch in self.settled for receipt in batch]


class Bus(LocalBus):
    """A bus on which some nodes cannot be reached."""

    def __init__(self, limit: int = 100) -> None:
        super().__init__(limit)
        self.lost: set[str] = set()

    async def send(self, node: str, commands: Sequence[Command]) -> None:
        if node in self.lost:
            raise Unavailable("no bus")
        await super().send(node, commands)

    async def nodes(self) -> list[str]:
        if "nodes" in self.lost:
            raise Unavailable("no bus")
        return await super().nodes()


async def with_nodes(*names: str, limit: int = 100) -> Bus:
    bus = Bus(limit)
    for name in names:
        await bus.open(name)
    return bus


def message(name: str, *, online_only: bool = False) -> Message:
    return Message(
        id=name,
        app="news",
        payload=b"x",
        content_type="a/b",
        created_at=NOW,
        expires_at=NOW + 1000,
        online_only=online_only,
    )


def unicast(name: str, nodes: Sequence[str | None], *, online_only: bool = False) -> Unicast:
    """To one device for each of the nodes; None is not connected."""
    return Unicast(
        1,
        message(name, online_only=online_only),
        tuple(
            Target(f"d{n}", n, 100 + n, None if node is None else Binding(node, 7, NOW))
            for n, node in enumerate(nodes)
        ),
    )


def broadcast(name: str) -> Broadcast:
    return Broadcast(1, message(name), (Part(5, b""),))


async def routed(bus: Bus, store: Store, routes: Sequence[Unicast | Broadcast]) -> int:
    return await route(routes, NOW, bus=bus, routing=store.routing, inboxes=store.inboxes)


async def received(bus: Bus, node: str) -> list[tuple[str, list[str]]]:
    """What a node got: message and devices, none for a broadcast."""
    commands = await bus.receive(node) if bus.waiting(node) else []
    return [
        (item.message.id, [target.device for target in item.targets] if isinstance(item, Unicast) else [])
        for item in commands
        if isinstance(item, Unicast | Broadcast)
    ]


async def test_each_node_gets_the_part_of_its_devices_and_everybody_a_broadcast_in_order() -> None:
    bus, store = await with_nodes("n1", "n2", "n3"), Store()
    routes: list[Unicast | Broadcast] = [
        unicast("one", ["n1", "n2", None, "n1"]),
        broadcast("all"),
        unicast("two", ["n2"]),
    ]
    assert await routed(bus, store, routes) == 0
    assert await received(bus, "n1") == [("one", ["d0", "d3"]), ("all", [])]
    assert await received(bus, "n2") == [("one", ["d1"]), ("all", []), ("two", ["d0"])]
    assert await received(bus, "n3") == [("all", [])]
    assert store.assigned == [(1, "all", ["n1", "n2", "n3"])]


async def test_a_broadcast_is_noted_for_its_nodes_before_any_of_them_has_it() -> None:
    bus = await with_nodes("n1")

    class Noting(Store):
        async def assign(self, app: int, message_id: str, nodes: Sequence[str]) -> None:
            await asyncio.sleep(0)
            assert bus.waiting("n1") == 0
            await super().assign(app, message_id, nodes)

    store = Noting()
    assert await routed(bus, store, [broadcast("all")]) == 0
    assert bus.waiting("n1") == 1


async def test_who_is_not_connected_drops_what_is_for_who_is() -> None:
    bus, store = await with_nodes("n1"), Store()
    await routed(bus, store, [unicast("one", ["n1", None, None], online_only=True)])
    assert await received(bus, "n1") == [("one", ["d0"])]
    assert store.receipts == [
        Receipt(1, n, 100 + n, False, State.DROPPED, NOW, reason="offline") for n in (1, 2)
    ]
    assert store.assigned == []


async def test_what_is_routed_late_and_only_for_who_is_connected_is_dropped() -> None:
    """A room died with it in its queue, and the device has had newer ones from another since."""
    bus, store = await with_nodes("n1"), Store()
    routes = [unicast("one", ["n1", None], online_only=True), unicast("two", ["n1"])]
    await route(routes, NOW, bus=bus, routing=store.routing, inboxes=store.inboxes, late=True)
    assert await received(bus, "n1") == [("two", ["d0"])]
    assert store.receipts == [
        Receipt(1, n, 100 + n, False, State.DROPPED, NOW, reason="late") for n in (0, 1)
    ]


async def test_nothing_to_route_asks_nobody() -> None:
    bus = await with_nodes()
    bus.lost = {"nodes"}
    assert await routed(bus, Store(), []) == 0
    assert await routed(bus, Store(), [unicast("one", [None])]) == 0


async def test_a_node_that_cannot_be_reached_is_counted_and_keeps_nothing_from_the_others() -> None:
    bus, store = await with_nodes("n1", "n2"), Store()
    bus.lost = {"n1"}
    routes: list[Unicast | Broadcast] = [
        unicast("one", ["n1", "n2"]),
        unicast("two", ["n1", None], online_only=True),
        broadcast("all"),
    ]
    with structlog.testing.capture_logs() as logs:
        assert await routed(bus, store, routes) == 3
    assert await received(bus, "n2") == [("one", ["d1"]), ("all", [])]
    assert [entry["event"] for entry in logs] == ["not_routed"]
    assert len(store.assigned) == 1
    assert len(store.receipts) == 1, "who was not connected is settled all the same"


async def test_what_nobody_foresaw_on_the_way_to_one_node_keeps_nothing_from_the_others() -> None:
    """uvloop raises RuntimeError where a transport is closed, and what is stored is stored all the same."""
    store = Store()

    class Broken(Bus):
        async def send(self, node: str, commands: Sequence[Command]) -> None:
            if node == "n1":
                raise RuntimeError("unable to perform operation on <TCPTransport closed=True>")
            await super().send(node, commands)

    bus = Broken()
    for node in ("n1", "n2"):
        await bus.open(node)
    with structlog.testing.capture_logs() as logs:
        assert await routed(bus, store, [unicast("one", ["n1", "n2"]), broadcast("all")]) == 2
    assert await received(bus, "n2") == [("one", ["d1"]), ("all", [])]
    assert [(entry["event"], entry["log_level"]) for entry in logs] == [("not_routed", "error")]


async def test_a_broadcast_that_cannot_be_noted_is_not_sent() -> None:
    bus, store = await with_nodes("n1"), Store()
    store.unnoted, store.takes_receipts = {"all"}, False
    routes: list[Unicast | Broadcast] = [
        broadcast("all"),
        broadcast("other"),
        unicast("one", [None], online_only=True),
    ]
    assert await routed(bus, store, routes) == 1
    assert await received(bus, "n1") == [("other", [])]


async def test_without_knowing_the_nodes_unicasts_still_arrive() -> None:
    bus = await with_nodes("n1")
    bus.lost = {"nodes"}
    assert await routed(bus, Store(), [broadcast("all"), unicast("one", ["n1"])]) == 1
    assert await received(bus, "n1") == [("one", ["d0"])]


async def test_a_full_queue_holds_up_the_caller_and_no_other_node() -> None:
    bus, store = await with_nodes("n1", "n2", limit=1), Store()
    await routed(bus, store, [unicast("zero", ["n1"])])
    held = asyncio.create_task(routed(bus, store, [unicast("one", ["n1", "n2"])]))
    assert [item.message.id for item in await bus.receive("n2") if isinstance(item, Unicast)] == ["one"]
    assert not held.done()
    assert await received(bus, "n1") == [("zero", ["d0"])]
    assert await held == 0
