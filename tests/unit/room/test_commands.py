"""What the bus tells a room to do."""

import asyncio

import pytest
from pyroaring import BitMap

from longline.bus.port import AppChanged, Close, Why
from longline.errors import Unavailable
from longline.model import State
from longline.mqtt.packets import Disconnect, Puback, Publish
from longline.mqtt.reasons import ReasonCode
from longline.saver.port import Arrival, Broadcast
from tests.unit.room.house import NODE, House, an_app
from tests.unit.room.scene import a_message
from tests.unit.room.test_admission import topics, unicast


def broadcast(position: int, *ordinals: int, online_only: bool = False) -> Broadcast:
    message = a_message(position, online_only=online_only)
    return Broadcast(7, message, position, BitMap(ordinals).serialize())


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


async def test_a_broadcast_goes_to_its_audience_only() -> None:
    async with House() as house:
        peers = [await house.client(f"d{n}") for n in range(6)]
        await house.bus.send(NODE, [broadcast(1, 0, 2, 4)])
        await house.settle()
        assert [topics(peer.unread()) for peer in peers] == [["push/m1"], []] * 3
        assert [peer.session.log_position for peer in peers] == [1, 0] * 3


async def test_a_broadcast_lets_the_loop_serve_others_between_its_slices() -> None:
    """30 devices in slices of 10: a unicast sent after the broadcast began does not wait for its end."""
    async with House(fanout_slice=10) as house:
        peers = [await house.client(f"d{n}") for n in range(30)]
        last = peers[-1]
        await house.bus.send(NODE, [broadcast(1, *range(30))])
        await house.bus.send(NODE, [unicast("d29", 2, ordinal=29)])
        await house.settle()
        assert topics(last.unread()) == ["push/m2", "push/m1"]
        assert all(topics(peer.unread()) == ["push/m1"] for peer in peers[:-1])


async def test_broadcasts_arrive_in_their_order() -> None:
    async with House(fanout_slice=1) as house:
        peers = [await house.client(f"d{n}") for n in range(5)]
        await house.bus.send(NODE, [broadcast(n, *range(5)) for n in range(1, 6)])
        await house.settle()
        assert [topics(peer.unread()) for peer in peers] == [[f"push/m{n}" for n in range(1, 6)]] * 5


async def test_a_device_that_goes_during_a_broadcast_is_left_out() -> None:
    async with House(fanout_slice=1) as house:
        peers = [await house.client(f"d{n}") for n in range(3)]
        await house.bus.send(NODE, [broadcast(1, 0, 1, 2)])
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        peers[2].wire.abort()
        await house.settle()
        assert topics(peers[1].unread()) == ["push/m1"]
        assert len(house.scene.desk.sent) <= 3
        assert house.scene.desk.drops == []


async def test_a_device_that_is_just_connecting_reads_a_broadcast_from_the_log() -> None:
    async with House() as house:
        await house.client("other")
        door = house.store.close_door("arrive")
        house.store.arrivals["phone"] = Arrival(1, False, 0, 0)
        house.knock("phone")
        await house.settle()
        await house.bus.send(NODE, [broadcast(1, 0, 1)])
        await house.settle()
        assert house.store.fetched == []
        door.set()
        await house.settle()
        assert [fetch.ordinal for batch in house.store.fetched for fetch in batch] == [1]


async def test_an_online_only_broadcast_is_over_for_whom_it_was_not_written_to() -> None:
    async with House() as house:
        peer = await house.client("phone")
        await house.bus.send(NODE, [broadcast(1, 0, 1, 2, online_only=True)])
        await house.settle()
        assert topics(peer.unread()) == ["push/m1"]
        assert house.store.rests == [(7, 1, "offline")]


async def test_an_online_only_broadcast_ends_also_where_nobody_of_the_app_is_connected() -> None:
    async with House() as house:
        await house.bus.send(NODE, [broadcast(1, 0, online_only=True)])
        await house.settle()
        assert house.store.rests == [(7, 1, "offline")]


async def test_what_was_written_of_an_online_only_broadcast_is_committed_before_the_rest() -> None:
    async with House() as house:
        peer = await house.client("phone")
        house.scene.offer(peer, 9)
        house.receipts.written(house.scene.desk.sent[0])
        await house.bus.send(NODE, [broadcast(1, 0, online_only=True)])
        await house.settle()
        assert house.store.calls.index("settle") < house.store.calls.index("settle_rest")
        assert [receipt.state for receipt in house.store.settled[0]] == [State.PENDING]


async def test_a_rest_that_cannot_be_settled_does_not_stop_broadcasts() -> None:
    async with House() as house:
        peer = await house.client("phone")
        house.store.faults["settle_rest"] = [Unavailable()]
        await house.bus.send(NODE, [broadcast(1, 0, online_only=True), broadcast(2, 0)])
        await house.settle()
        assert topics(peer.unread()) == ["push/m1", "push/m2"]


# --- closing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("why", "reason"),
    [
        (Why.KICKED, ReasonCode.ADMINISTRATIVE_ACTION),
        (Why.BANNED, ReasonCode.ADMINISTRATIVE_ACTION),
        (Why.DEVICE_DELETED, ReasonCode.ADMINISTRATIVE_ACTION),
        (Why.TAKEN_OVER, ReasonCode.SESSION_TAKEN_OVER),
        (Why.KEY_ROTATED, ReasonCode.NOT_AUTHORIZED),
    ],
)
async def test_close_tells_the_device_why(why: Why, reason: ReasonCode) -> None:
    async with House() as house:
        peer = await house.client("phone")
        await house.bus.send(NODE, [Close(7, "phone", peer.session.epoch, why)])
        await house.settle()
        assert peer.unread() == [Disconnect(reason)]
        assert peer.over
        assert house.scene.broker.counters.closed == {why.value: 1}
        assert house.scene.broker.counters.refused == {}


async def test_a_close_that_was_meant_for_an_earlier_connection_leaves_the_new_one_alone() -> None:
    async with House() as house:
        old = await house.client("phone")
        epoch = old.session.epoch
        new = await house.client("phone")
        await house.bus.send(NODE, [Close(7, "phone", epoch, Why.KICKED), Close(7, "nobody", 1, Why.KICKED)])
        await house.settle()
        assert not new.over


async def test_a_deleted_app_loses_its_connections_and_is_forgotten() -> None:
    async with House() as house:
        peers = [await house.client(f"d{n}") for n in range(3)]
        del house.store.apps["news"]
        await house.bus.send(NODE, [AppChanged(7, "news", Why.APP_DELETED)])
        await house.settle()
        assert all(peer.over for peer in peers)
        late = house.knock("late")
        await house.settle()
        assert late.over
        assert house.scene.desk.refusals == ["app_not_found"]


async def test_a_changed_app_is_looked_up_again_and_its_devices_stay() -> None:
    async with House() as house:
        peer = await house.client("phone")
        house.store.apps["news"] = an_app(pubsub=False)
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
