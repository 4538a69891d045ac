"""What the bus tells a room to do."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from types import SimpleNamespace

import msgspec
import pytest

from longline.errors import Unavailable
from longline.model.apps import App
from longline.model.commands import (
    AppChanged,
    Close,
    CloseReason,
    Command,
    Forward,
    Looked,
    Resync,
    Routes,
    Unicast,
)
from longline.mqtt.packets import Connack, Disconnect, Puback, Publish
from longline.mqtt.reasons import ReasonCode
from longline.register.memory import MemoryRegister
from longline.register.port import Bind, Bound
from longline.room.push.commands import LOOK_EVERY
from tests.unit.room.running import NODE, RunningRoom, a_token, an_app
from tests.unit.room.test_admission import answer, topics, unicast
from tests.waiting import until


class Sought(str):
    """The name of a device that notes when it is looked for: the number of its app."""

    looked: list[int]
    app: int

    def __hash__(self) -> int:
        self.looked.append(self.app)
        return super().__hash__()


def sought(room: RunningRoom, app: App, looked: list[int]) -> Unicast:
    """A message to a device of an app that is here, while the device is not."""
    room.parts.sessions.enter(app.number, app.app, app.pubsub, app.generation)
    known = unicast("tablet", 1)
    (target,) = known.targets
    name = Sought(target.device)
    name.looked, name.app = looked, app.number
    return msgspec.structs.replace(
        known, app=app.number, targets=(msgspec.structs.replace(target, device=name),)
    )


async def test_unicasts_are_written_in_the_order_of_the_bus() -> None:
    async with RunningRoom() as room:
        peer = await room.client("phone")
        await room.bus.send(NODE, [unicast("phone", position) for position in range(1, 11)])
        await room.settle()
        assert topics(peer.unread()) == [f"push/m{n}" for n in range(1, 11)]


async def test_a_unicast_for_a_device_that_is_not_here_does_nothing() -> None:
    async with RunningRoom() as room:
        peer = await room.client("phone")
        await room.bus.send(NODE, [unicast("tablet", 1), unicast("phone", 2)])
        await room.settle()
        assert topics(peer.unread()) == ["push/m2"]


async def test_what_is_for_many_devices_lets_the_loop_serve_others_in_between() -> None:
    """Twenty commands of a thousand devices each are twenty thousand deliveries, and not twenty commands."""
    async with RunningRoom() as room:
        looked: list[int] = []
        known = sought(room, an_app(), looked)
        between: list[int] = []

        async def watch() -> None:
            while True:
                between.append(len(looked))
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        great = msgspec.structs.replace(known, targets=known.targets * 1000)
        await room.bus.send(NODE, [great] * 20)
        await until(lambda: len(looked) == 20_000)
        watching.cancel()
        assert max(after - before for before, after in pairwise(between)) <= 1000


async def test_one_app_s_many_deliveries_hold_up_no_other_s_few() -> None:
    """Also those that come while the many are being carried out: the bus is read meanwhile."""
    async with RunningRoom() as room:
        looked: list[int] = []
        known = sought(room, an_app(), looked)
        great = msgspec.structs.replace(known, targets=known.targets * 1000)
        single = sought(room, msgspec.structs.replace(an_app(), app="other", number=8), looked)
        await room.bus.send(NODE, [*[great] * 5, single])
        await until(lambda: len(looked) > 0)
        assert 8 in looked[:501], "in the first turn of the loop"
        await room.bus.send(NODE, [single])
        before = len(looked)
        await until(lambda: looked.count(8) == 2)
        assert looked.index(8, before) < before + 1500
        assert len(looked) < 5000, "the many were not through"
        await until(lambda: len(looked) == 5002)


async def test_what_is_read_ahead_is_bounded() -> None:
    """The rest stays where it is, and who sends more than the bus holds waits."""
    async with RunningRoom() as room:
        known = unicast("tablet", 1)
        great = msgspec.structs.replace(known, targets=known.targets * 1000)
        await room.bus.send(NODE, [great] * 12)
        await asyncio.sleep(0)
        await room.bus.send(NODE, [great] * 3)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert room.bus.waiting(NODE) == 3
        await until(lambda: room.bus.waiting(NODE) == 0)


async def test_many_who_look_at_messages_let_the_loop_serve_others_in_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each look may go through 20,000 pushes of other apps."""
    async with RunningRoom() as room:
        looks: list[int] = []
        between: list[int] = []
        monkeypatch.setattr(room.commands, "_receipts", SimpleNamespace(note=looks.append))

        async def watch() -> None:
            while True:
                between.append(len(looks))
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        await room.bus.send(NODE, [Looked(app) for app in range(50)])
        await until(lambda: len(looks) == 50)
        watching.cancel()
        assert max((after - before for before, after in pairwise(between)), default=50) == 1


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
    async with RunningRoom() as room:
        peer = await room.client("phone")
        await room.bus.send(NODE, [Close(7, "phone", peer.session.epoch, reason)])
        await room.settle()
        assert peer.unread() == [Disconnect(code)]
        assert peer.over
        assert room.parts.counters.closed == {reason.value: 1}
        assert room.parts.counters.refused == {}


async def test_a_close_that_was_meant_for_an_earlier_connection_leaves_the_new_one_alone() -> None:
    async with RunningRoom() as room:
        old = await room.client("phone")
        epoch = old.session.epoch
        new = await room.client("phone")
        await room.bus.send(
            NODE, [Close(7, "phone", epoch, CloseReason.KICKED), Close(7, "nobody", 1, CloseReason.KICKED)]
        )
        await room.settle()
        assert not new.over


async def test_a_deleted_app_loses_its_connections_and_is_forgotten() -> None:
    async with RunningRoom() as room:
        peers = [await room.client(f"d{n}") for n in range(3)]
        del room.store.known["news"]
        await room.bus.send(NODE, [AppChanged(7, "news", CloseReason.APP_DELETED)])
        await room.settle()
        assert all(peer.over for peer in peers)
        late = room.connect("late")
        await room.settle()
        assert late.over
        assert room.parts.noted.refusals == ["app_not_found"]


ROTATED = msgspec.structs.replace(an_app(), device_secret="another device secret, long enough", generation=1)


async def test_a_new_device_secret_that_disconnects_ends_what_was_made_with_the_old_one() -> None:
    async with RunningRoom() as room:
        old = [await room.client(f"d{n}") for n in range(3)]
        room.store.known["news"] = ROTATED
        # A device may come with the new secret before this room hears of it by a command.
        room.apps.forget("news")
        new = room.connect("d0", password=a_token("d0", ROTATED.device_secret))
        other = room.connect("other", password=a_token("other", ROTATED.device_secret))
        await room.settle()
        await room.bus.send(NODE, [AppChanged(7, "news", None, 1)])
        await room.settle()
        assert not new.over
        assert not other.over
        assert all(peer.over for peer in old)
        assert old[1].unread() == [Disconnect(ReasonCode.NOT_AUTHORIZED)]
        assert room.parts.counters.closed == {"taken_over": 1, "key_rotated": 2}
        assert sorted(session.gone.name for session in room.parts.noted.gone) == [
            "CLOSED",
            "CLOSED",
            "TAKEN_OVER",
        ]
        again = room.connect("d1")
        await room.settle()
        assert again.over
        assert room.parts.noted.refusals == ["bad_token"]


async def test_it_does_so_while_the_store_cannot_be_read() -> None:
    async with RunningRoom() as room:
        old = await room.client("phone")
        room.store.faults["find_app"] = [Unavailable()]
        await room.bus.send(NODE, [AppChanged(7, "news", None, 1)])
        await room.settle()
        assert old.over


async def test_a_new_device_secret_without_that_leaves_connections_as_they_are() -> None:
    async with RunningRoom() as room:
        old = await room.client("phone")
        room.store.known["news"] = msgspec.structs.replace(ROTATED, generation=0)
        await room.bus.send(NODE, [AppChanged(7, "news")])
        await room.settle()
        assert not old.over


@pytest.mark.parametrize("known", [False, True])
async def test_a_connect_that_is_under_way_with_the_old_secret_is_not_let_in(known: bool) -> None:
    """Its token was good when it was looked at."""
    async with RunningRoom(register=HeldRegister()) as room:
        register = room.register
        assert isinstance(register, HeldRegister)
        if known:
            await room.client("tablet")
        hold = register.hold()
        late = room.connect("phone")
        await room.settle()
        room.store.known["news"] = ROTATED
        await room.bus.send(NODE, [AppChanged(7, "news", None, 1)])
        await room.settle()
        hold.set()
        await room.settle()
        assert late.over
        assert late.unread() == [Connack(False, ReasonCode.BAD_USER_NAME_OR_PASSWORD)]
        assert room.parts.counters.connections == 0


async def test_a_connect_that_waits_for_its_inbox_with_the_old_secret_is_ended_with_the_others() -> None:
    async with RunningRoom() as room:
        hold = room.store.hold("arrive")
        late = room.connect("phone")
        await room.settle()
        await room.bus.send(NODE, [AppChanged(7, "news", None, 1)])
        await room.settle()
        hold.set()
        await room.settle()
        assert late.over
        assert room.parts.sessions.tenants == {}


async def test_a_room_that_missed_the_news_finds_out_when_it_knows_that_it_missed_some() -> None:
    async with RunningRoom() as room:
        rotated = await room.client("phone")
        room.store.known["news"] = ROTATED
        await room.bus.send(NODE, [Resync()])
        await room.settle()
        assert rotated.over
        new = room.connect("phone", password=a_token("phone", ROTATED.device_secret))
        await room.settle()
        del room.store.known["news"]
        await room.bus.send(NODE, [Resync()])
        await room.settle()
        assert new.over
        assert room.parts.counters.closed == {"key_rotated": 1, "app_deleted": 1}


async def test_a_room_that_was_told_nothing_finds_out_by_itself_and_asks_no_oftener_than_it_must() -> None:
    async with RunningRoom() as room:
        peer = await room.client("phone")
        room.store.known["news"] = ROTATED
        room.run(room.commands.look())  # again and again, since pauses take no time here
        await room.settle()
        assert room.store.looked_up == ["news"]
        room.parts.time += LOOK_EVERY
        await room.settle()
        assert peer.over
        assert room.store.looked_up == ["news", "news"]
        assert room.parts.counters.closed == {"key_rotated": 1}


async def test_it_does_so_though_the_store_could_not_be_read_at_first() -> None:
    async with RunningRoom() as room:
        peer = await room.client("phone")
        room.store.known["news"] = ROTATED
        room.parts.time += LOOK_EVERY
        room.store.faults["find_app"] = [Unavailable()]
        room.run(room.commands.look())
        await room.until(lambda: peer.over)
        assert room.store.faults["find_app"] == []


class HeldRegister(MemoryRegister):
    """One whose `bind` can be held up."""

    def __init__(self) -> None:
        super().__init__()
        self._hold: asyncio.Event | None = None

    def hold(self) -> asyncio.Event:
        self._hold = asyncio.Event()
        return self._hold

    async def bind(self, binds: Sequence[Bind]) -> list[Bound]:
        if self._hold is not None:
            await self._hold.wait()
        return await super().bind(binds)


async def test_a_changed_app_is_looked_up_again_and_its_devices_stay() -> None:
    async with RunningRoom() as room:
        peer = await room.client("phone")
        room.store.known["news"] = an_app(pubsub=False)
        await room.bus.send(NODE, [AppChanged(7, "news")])
        await room.settle()
        peer.send(Publish("a", b"x", 1, packet_id=1))
        assert peer.receive() == [Puback(1, ReasonCode.NOT_AUTHORIZED)]
        assert room.store.looked_up == ["news", "news"]


async def test_a_changed_app_that_cannot_be_read_now_keeps_what_is_known() -> None:
    async with RunningRoom() as room:
        peer = await room.client("phone")
        room.store.faults["find_app"] = [Unavailable()]
        await room.bus.send(NODE, [AppChanged(7, "news")])
        await room.settle()
        peer.send(Publish("a", b"x", 1, packet_id=1))
        assert peer.receive() == [Puback(1, ReasonCode.NO_MATCHING_SUBSCRIBERS)]


async def test_who_is_let_in_while_what_is_known_of_the_app_grows_old_is_not_refused_for_that() -> None:
    """A portion takes its time, and an app may be a minute old in the middle of it."""
    register = HeldRegister()
    async with RunningRoom(register=register) as room:
        await room.client("first")
        hold = register.hold()
        peer = room.connect("phone")
        await room.settle()
        room.parts.time += 60
        room.store.faults["find_app"] = [Unavailable()]
        hold.set()
        await room.settle()
        assert answer(peer).reason == 0


async def test_a_look_up_that_was_overtaken_by_a_change_is_not_remembered() -> None:
    async with RunningRoom() as room:
        hold = room.store.hold("find_app")
        room.connect("phone")
        await room.settle()
        await room.bus.send(NODE, [AppChanged(7, "news")])
        await room.settle()
        hold.set()
        await room.settle()
        await room.client("tablet")
        assert room.store.looked_up == ["news", "news"]


async def test_an_app_whose_change_was_not_heard_of_is_looked_up_again_after_a_minute() -> None:
    async with RunningRoom() as room:
        phone = await room.client("phone")
        room.store.known["news"] = an_app(pubsub=False)
        room.parts.time += 59
        await room.client("tablet")
        assert phone.session.tenant.pubsub
        room.parts.time += 1
        await room.client("watch")
        assert not phone.session.tenant.pubsub
        assert room.store.looked_up == ["news", "news"]


# --- other rooms ---------------------------------------------------------------------------------------


async def test_what_other_rooms_say_goes_to_the_table_of_routes_in_order() -> None:
    async with RunningRoom() as room:
        forwards = [Forward(7, "a", b"1", 0), Forward(7, "a", b"2", 1)]
        routes = Routes("n2", added=((7, "a"),))
        await room.bus.send(NODE, [forwards[0], routes, forwards[1]])
        await room.settle()
        assert (room.routes.forwards, room.routes.changes) == (forwards, [routes])


async def test_after_lost_commands_routes_are_asked_for_and_apps_looked_up_again() -> None:
    async with RunningRoom() as room:
        await room.client("phone")
        await room.bus.send(NODE, [Resync()])
        await room.settle()
        assert room.routes.doubted == 1
        assert room.parts.counters.resyncs == 1
        await room.client("tablet")
        assert room.store.looked_up == ["news", "news"]


# --- the queue -----------------------------------------------------------------------------------------


async def test_a_bus_that_cannot_be_read_for_a_moment_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("longline.room.push.commands.RETRY_AFTER", 0)
    room = RunningRoom()
    receive = room.bus.receive
    faults = [Unavailable(), Unavailable()]

    async def failing(node: str) -> list[Command]:
        if faults:
            raise faults.pop()
        return await receive(node)

    monkeypatch.setattr(room.bus, "receive", failing)
    async with room:
        peer = await room.client("phone")
        await room.bus.send(NODE, [unicast("phone", 1)])
        await room.settle()
        assert topics(peer.unread()) == ["push/m1"]


async def test_a_room_whose_queue_is_gone_learns_that_it_was_taken_for_dead() -> None:
    """Though nobody connects who could be refused: those who are here would wait for pushes in vain."""
    async with RunningRoom() as room:
        await room.settle()
        assert room.fenced == []
        await room.bus.shut(NODE)
        await room.settle()
        assert room.fenced == [NODE]


async def test_a_queue_that_is_gone_is_not_looked_for_again() -> None:
    """Whoever has been told gives the room another; to say it twice would be heard as said of that one."""
    async with RunningRoom() as room:
        peer = await room.client("phone")
        await room.bus.shut(NODE)
        await room.settle()
        room.commands.leave()
        await room.bus.open("n1-again")
        room.commands.listen("n1-again")
        await room.bus.send("n1-again", [unicast("phone", 1)])
        await room.settle()
        assert topics(peer.unread()) == ["push/m1"]
        assert room.fenced == [NODE]


async def test_a_room_that_leaves_its_queue_takes_nothing_until_it_listens_to_another() -> None:
    async with RunningRoom() as room:
        peer = await room.client("phone")
        room.commands.leave()
        room.commands.leave()
        await room.bus.open("n1-again")
        await room.bus.send(NODE, [unicast("phone", 1)])
        await room.bus.send("n1-again", [unicast("phone", 2)])
        await room.settle()
        assert topics(peer.unread()) == []
        room.commands.listen("n1-again")
        await room.settle()
        assert topics(peer.unread()) == ["push/m2"]
        room.commands.leave()
        room.commands.listen(NODE)
        await room.settle()
        assert topics(peer.unread()) == []  # it comes late: it is asked for
        assert len(room.store.fetched) == 1


async def test_what_became_of_apps_while_a_room_had_no_name_is_asked_for_when_it_has_one() -> None:
    """Nobody could tell it: the former name's queue is gone, and the next was not there yet."""
    async with RunningRoom() as room:
        old = await room.client("phone")
        room.commands.leave()
        room.apps.clear()
        room.store.known["news"] = ROTATED
        await room.bus.open("n1-again")
        room.commands.listen("n1-again")
        await room.settle()
        assert old.over
        assert old.unread() == [Disconnect(ReasonCode.NOT_AUTHORIZED)]
