"""What the bus tells a room to do."""

import asyncio

import pytest

from longline.errors import Unavailable
from longline.model.commands import AppChanged, Close, CloseReason, Command, Forward, Resync, Routes
from longline.mqtt.packets import Disconnect, Puback, Publish
from longline.mqtt.reasons import ReasonCode
from tests.unit.room.house import NODE, House, an_app
from tests.unit.room.test_admission import topics, unicast


async def test_unicasts_are_written_in_the_order_of_the_bus() -> None:
    async with House() as house:
        peer = await house.client("phone")
        await house.bus.send(NODE, [unicast("phone", position) for position in range(1, 11)])
        await house.settle()
        assert topics(peer.unread()) == [f"push/m{n}" for n in range(1, 11)]


async def test_a_unicast_for_a_device_that_is_not_here_does_nothing() -> None:
    async with House() as house:
        peer = await house.client("phone")
        await house.bus.send(NODE, [unicast("tablet", 1), unicast("phone", 2)])
        await house.settle()
        assert topics(peer.unread()) == ["push/m2"]


# --- closing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (CloseReason.KICKED, ReasonCode.ADMINISTRATIVE_ACTION),
        (CloseReason.BANNED, ReasonCode.ADMINISTRATIVE_ACTION),
        (CloseReason.DEVICE_DELETED, ReasonCode.ADMINISTRATIVE_ACTION),
        (CloseReason.TAKEN_OVER, ReasonCode.SESSION_TAKEN_OVER),
        (CloseReason.KEY_ROTATED, ReasonCode.NOT_AUTHORIZED),
    ],
)
async def test_close_tells_the_device_why(reason: CloseReason, code: ReasonCode) -> None:
    async with House() as house:
        peer = await house.client("phone")
        await house.bus.send(NODE, [Close(7, "phone", peer.session.epoch, reason)])
        await house.settle()
        assert peer.unread() == [Disconnect(code)]
        assert peer.over
        assert house.scene.broker.counters.closed == {reason.value: 1}
        assert house.scene.broker.counters.refused == {}


async def test_a_close_that_was_meant_for_an_earlier_connection_leaves_the_new_one_alone() -> None:
    async with House() as house:
        old = await house.client("phone")
        epoch = old.session.epoch
        new = await house.client("phone")
        await house.bus.send(
            NODE, [Close(7, "phone", epoch, CloseReason.KICKED), Close(7, "nobody", 1, CloseReason.KICKED)]
        )
        await house.settle()
        assert not new.over


async def test_a_deleted_app_loses_its_connections_and_is_forgotten() -> None:
    async with House() as house:
        peers = [await house.client(f"d{n}") for n in range(3)]
        del house.store.known["news"]
        await house.bus.send(NODE, [AppChanged(7, "news", CloseReason.APP_DELETED)])
        await house.settle()
        assert all(peer.over for peer in peers)
        late = house.knock("late")
        await house.settle()
        assert late.over
        assert house.scene.desk.refusals == ["app_not_found"]


async def test_a_changed_app_is_looked_up_again_and_its_devices_stay() -> None:
    async with House() as house:
        peer = await house.client("phone")
        house.store.known["news"] = an_app(pubsub=False)
        await house.bus.send(NODE, [AppChanged(7, "news")])
        await house.settle()
        peer.send(Publish("a", b"x", 1, packet_id=1))
        assert peer.receive() == [Puback(1, ReasonCode.NOT_AUTHORIZED)]
        assert house.store.looked_up == ["news", "news"]


async def test_a_changed_app_that_cannot_be_read_now_keeps_what_is_known() -> None:
    async with House() as house:
        peer = await house.client("phone")
        house.store.faults["find_app"] = [Unavailable()]
        await house.bus.send(NODE, [AppChanged(7, "news")])
        await house.settle()
        peer.send(Publish("a", b"x", 1, packet_id=1))
        assert peer.receive() == [Puback(1, ReasonCode.NO_MATCHING_SUBSCRIBERS)]


async def test_a_look_up_that_was_overtaken_by_a_change_is_not_remembered() -> None:
    async with House() as house:
        door = house.store.close_door("find_app")
        house.knock("phone")
        await house.settle()
        await house.bus.send(NODE, [AppChanged(7, "news")])
        await house.settle()
        door.set()
        await house.settle()
        await house.client("tablet")
        assert house.store.looked_up == ["news", "news"]


async def test_an_app_whose_change_was_not_heard_of_is_looked_up_again_after_a_minute() -> None:
    async with House() as house:
        phone = await house.client("phone")
        house.store.known["news"] = an_app(pubsub=False)
        house.scene.time += 59
        await house.client("tablet")
        assert phone.session.tenant.pubsub
        house.scene.time += 1
        await house.client("watch")
        assert not phone.session.tenant.pubsub
        assert house.store.looked_up == ["news", "news"]


# --- other rooms ---------------------------------------------------------------------------------------


async def test_what_other_rooms_say_goes_to_the_table_of_routes_in_order() -> None:
    async with House() as house:
        forwards = [Forward(7, "a", b"1", 0), Forward(7, "a", b"2", 1)]
        routes = Routes("n2", added=((7, "a"),))
        await house.bus.send(NODE, [forwards[0], routes, forwards[1]])
        await house.settle()
        assert (house.roads.forwards, house.roads.changes) == (forwards, [routes])


async def test_after_lost_commands_routes_are_asked_for_and_apps_looked_up_again() -> None:
    async with House() as house:
        await house.client("phone")
        await house.bus.send(NODE, [Resync()])
        await house.settle()
        assert house.roads.rebuilt == 1
        assert house.scene.broker.counters.resyncs == 1
        await house.client("tablet")
        assert house.store.looked_up == ["news", "news"]


# --- the queue -----------------------------------------------------------------------------------------


async def test_a_bus_that_cannot_be_read_for_a_moment_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longline.room.push.commands.RETRY_AFTER", 0)
    house = House()
    receive = house.bus.receive
    faults = [Unavailable(), Unavailable()]

    async def failing(node: str) -> list[Command]:
        if faults:
            raise faults.pop()
        return await receive(node)

    monkeypatch.setattr(house.bus, "receive", failing)
    async with house:
        peer = await house.client("phone")
        await house.bus.send(NODE, [unicast("phone", 1)])
        await house.settle()
        assert topics(peer.unread()) == ["push/m1"]


async def test_a_room_whose_queue_is_gone_learns_that_it_was_taken_for_dead() -> None:
    """Though nobody connects who could be refused: those who are here would wait for pushes in vain."""
    async with House() as house:
        assert not house.fenced.is_set()
        await house.bus.shut(NODE)
        async with asyncio.timeout(5):
            await house.fenced.wait()


async def test_a_room_that_leaves_its_queue_takes_nothing_until_it_listens_to_another() -> None:
    async with House() as house:
        peer = await house.client("phone")
        house.commands.leave()
        house.commands.leave()
        await house.bus.open("n1-again")
        await house.bus.send(NODE, [unicast("phone", 1)])
        await house.bus.send("n1-again", [unicast("phone", 2)])
        await house.settle()
        assert topics(peer.unread()) == []
        house.commands.listen("n1-again")
        await house.settle()
        assert topics(peer.unread()) == ["push/m2"]
        house.commands.leave()
        house.commands.listen(NODE)
        await house.settle()
        assert topics(peer.unread()) == []  # it comes late: it is asked for
        assert len(house.store.fetched) == 1
