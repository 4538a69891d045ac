"""What others began and did not finish is routed."""

from collections.abc import Sequence

import msgspec

from longline.bus.local import LocalBus
from longline.coordinator.coordinator import Coordinator
from longline.coordinator.rerouting import BATCH, Rerouting
from longline.delivery.checking import AudienceBounds
from longline.delivery.counters import DeliveryCounters
from longline.delivery.pipeline import Pipeline
from longline.keeper.local import LocalKeeper
from longline.model.commands import Broadcast, Command, Target, Unicast
from longline.model.devices import Binding
from longline.model.ledger import State
from longline.model.messages import Message
from longline.model.times import wall_clock
from longline.register.memory import MemoryRegister
from longline.settings import CoordinatorSettings
from longline.telemetry.faults import Faults
from tests.fakes.saver import FakeSaver


class Routed:
    """Who was routed, and what nobody foresaw in whom."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.poison: set[str] = set()

    async def __call__(self, routes: Sequence[Unicast | Broadcast], now: int) -> int:
        messages = [item.message.id for item in routes]
        if self.poison & set(messages):
            raise ValueError("what nobody foresaw")
        self.messages += messages
        return 0


def a_unicast(number: int, node: str) -> Unicast:
    return Unicast(1, a_message(number), (Target(f"d{number}", number, number, Binding(node, 1, 1)),))


def a_message(number: int) -> Message:
    return Message(
        id=f"message-{number}",
        app="news",
        payload=b"x",
        content_type="text/plain",
        created_at=1,
        expires_at=wall_clock() + 60_000,
    )


def a_coordinator(store: FakeSaver, bus: LocalBus) -> Coordinator:
    return Coordinator(
        CoordinatorSettings(),
        lambda: "c-1",
        pipeline=Pipeline(
            messages=store.messages,
            audiences=store.audiences,
            devices=store.devices,
            routing=store.routing,
            inboxes=store.inboxes,
            bus=bus,
            counters=DeliveryCounters(),
            default_ttl=60,
            online_grace=30.0,
            idempotency_ttl=60,
        ),
        bounds=AudienceBounds(),
        saver=store,
        register=MemoryRegister(),
        bus=bus,
        keeper=LocalKeeper(),
        faults=Faults(),
    )


async def received(bus: LocalBus, node: str) -> Sequence[Command]:
    return await bus.receive(node) if bus.waiting(node) else []


async def test_what_was_interrupted_and_what_nobody_carried_is_routed_to_where_the_devices_are() -> None:
    store, bus = FakeSaver(), LocalBus(100)
    for node in ("room-1", "room-2"):
        await bus.open(node)
    store.interrupted = [a_unicast(1, "room-1"), Broadcast(1, a_message(2), ())]
    store.unsaid = [a_unicast(3, "room-2")]
    rerouting = a_coordinator(store, bus).rerouting
    assert not await rerouting.round()
    assert list(await received(bus, "room-1")) == store.interrupted
    assert list(await received(bus, "room-2")) == [store.interrupted[1], store.unsaid[0]]
    assert rerouting.rerouted == 3


async def test_what_nobody_carried_and_was_only_for_who_is_connected_is_dropped() -> None:
    """The device has had from another room what was sent after it."""
    store, bus = FakeSaver(), LocalBus(100)
    await bus.open("room-1")
    unsaid = a_unicast(3, "room-1")
    message = msgspec.structs.replace(unsaid.message, online_only=True)
    store.unsaid = [msgspec.structs.replace(unsaid, message=message)]
    await a_coordinator(store, bus).rerouting.round()
    assert list(await received(bus, "room-1")) == []
    ((receipt,),) = store.settled
    assert (receipt.state, receipt.reason, receipt.ordinal) == (State.DROPPED, "late", 3)


async def test_a_message_that_cannot_be_routed_holds_up_no_other() -> None:
    store, routed, faults = FakeSaver(), Routed(), Faults()
    store.unsaid = [a_unicast(number, "room-1") for number in range(3)]
    routed.poison = {"message-1"}
    await Rerouting(store.routing, routed, faults, after=5.0).round()
    assert routed.messages == ["message-0", "message-2"]
    assert faults.counts == {"coordinator.rerouting": 1}


async def test_only_what_is_old_enough_is_asked_for() -> None:
    store = FakeSaver()
    now = wall_clock()
    rerouting = Rerouting(store.routing, Routed(), Faults(), after=5.0)
    await rerouting.round()
    assert [name for name, _ in store.asked] == ["complete", "unrouted"]
    assert all(now - 5000 <= before <= now - 4000 for _, before in store.asked)


async def test_a_full_batch_says_that_there_may_be_more() -> None:
    store = FakeSaver()
    store.unsaid = [a_unicast(number, "room-1") for number in range(BATCH)]
    assert await Rerouting(store.routing, Routed(), Faults(), after=5.0).round()


async def test_settings_change_what_is_old_and_how_long_devices_linger() -> None:
    store = FakeSaver()
    coordinator = a_coordinator(store, LocalBus(100))
    coordinator.configure(CoordinatorSettings(grace=1.5, unrouted_after=60.0))
    assert coordinator.dead_rooms.grace == 1500
    assert coordinator.untold.after == 60_000
    now = wall_clock()
    await coordinator.rerouting.round()
    assert all(before <= now - 59_000 for _, before in store.asked)
    assert set(coordinator.statistics().values()) == {0}
