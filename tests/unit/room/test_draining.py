"""Moving a room's clients elsewhere: what they are told, how fast, and what ends it. In virtual time."""

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, cast

import pytest

from longline.errors import Unavailable
from longline.model.devices import Binding
from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Connack, Connect, Disconnect, Publish
from longline.mqtt.properties import Properties, PropertyId
from longline.mqtt.reasons import ReasonCode
from longline.register.port import Register
from longline.room.life.drain_pace import GIVE_UP, Comeback, Pace
from longline.room.life.draining import Draining, DrainPhase, DrainPlan
from longline.testing.clock import VirtualClock, settle
from tests.unit.room.fixture import APP, Peer, RoomFixture, a_message

HERE, THERE = "n1", "n2"


class Exodus:
    """A room that is drained, and a session table in which clients turn up on another node after a delay."""

    def __init__(self, *, delay: Callable[[float], float | None] = lambda told_at: 0.5) -> None:
        self.room = RoomFixture(outbox_bytes=1 << 20)
        self.clock = VirtualClock()
        self.delay = delay
        self.server: str | None = "10.0.0.2:1884"
        self.others = True
        self.unreachable = False
        self.told: list[tuple[str, float]] = []
        self.ways: dict[str, str] = {}
        self.lost: set[str] = set()
        self.asked: list[list[str]] = []
        self.draining = Draining(
            lambda: HERE,
            services=self.room.services,
            register=cast(Register, self),  # by shape: the part that a drain uses
            others=lambda: self.others,
            where=self.where,
            now=self.clock.now,
            sleep=self.clock.sleep,
            random=lambda: 0.5,
        )
        self.tasks: list[asyncio.Task[object]] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def where(self, app: str, device: str, transport: str) -> str | None:
        assert app == "news"
        self.ways[device] = transport
        self.told.append((device, self.clock.now()))
        return self.server

    async def locate(self, app: int, devices: Sequence[str]) -> list[Binding | None]:
        assert app == APP
        self.asked.append(list(devices))
        if self.unreachable:
            raise Unavailable("not now")
        return [self._binding(device) for device in devices]

    def _binding(self, device: str) -> Binding | None:
        if device in self.lost:
            return None
        told_at = dict(self.told)[device]
        delay = self.delay(told_at)
        back = delay is not None and self.clock.now() >= told_at + delay
        return Binding(THERE if back else HERE, 1, 0)  # it lingers here until it is back

    def crowd(self, count: int, version: int = MQTT_5_0) -> list[Peer]:
        return [self.room.client(f"d{number}", version) for number in range(count)]

    def start(self, plan: DrainPlan) -> asyncio.Task[object]:
        task: asyncio.Task[object] = asyncio.create_task(self.draining.run(plan))
        self.tasks.append(task)
        return task

    async def pass_time(self, seconds: float) -> None:
        await settle()
        for _ in range(round(seconds * 10)):
            await self.clock.advance(0.1)
            self.room.turns.settle()

    def told_within(self, start: float, end: float) -> int:
        return sum(start <= at < end for _, at in self.told)


async def test_a_client_is_sent_to_where_it_can_come_in_as_it_has_come_in_here() -> None:
    async with Exodus() as exodus:
        peers = {way: exodus.room.client(way) for way in ("tcp", "tls", "wss")}
        for way, peer in peers.items():
            if way != "tcp":  # which nobody says of itself
                peer.wire.told["transport"] = way
        exodus.start(DrainPlan())
        await exodus.pass_time(3.0)
        assert exodus.ways == {"tcp": "tcp", "tls": "tls", "wss": "wss"}


@pytest.mark.parametrize(("for_good", "reason"), [(False, 0x9C), (True, 0x9D)])
async def test_an_mqtt_5_client_is_told_where_to_go_and_when(for_good: bool, reason: int) -> None:
    async with Exodus() as exodus:
        peer = exodus.room.client("d")
        exodus.start(DrainPlan(for_good=for_good, jitter=1.0))
        await exodus.pass_time(0.2)
        (goodbye,) = peer.receive()
        properties: Properties = {
            PropertyId.USER_PROPERTY: [("after-ms", "500")],
            PropertyId.SERVER_REFERENCE: "10.0.0.2:1884",
        }
        assert goodbye == Disconnect(reason, properties)
        assert peer.over


async def test_a_client_of_3_1_1_is_told_by_a_message_before_its_connection_is_closed() -> None:
    async with Exodus() as exodus:
        peer = exodus.room.client("d", MQTT_3_1_1)
        exodus.start(DrainPlan(jitter=1.0))
        await exodus.pass_time(0.2)
        notice = b'{"endpoints":[{"host":"10.0.0.2","port":1884}],"after_ms":500}'
        assert peer.receive() == [Publish("$link/moved", notice)]
        assert peer.over


async def test_clients_that_share_an_address_with_the_other_rooms_come_back_by_it() -> None:
    async with Exodus() as exodus:
        exodus.server = None
        new, old = exodus.room.client("new"), exodus.room.client("old", MQTT_3_1_1)
        exodus.start(DrainPlan(jitter=0))
        await exodus.pass_time(1)
        assert new.receive() == [Disconnect(0x9C, {PropertyId.USER_PROPERTY: [("after-ms", "0")]})]
        assert old.receive() == [Publish("$link/moved", b'{"endpoints":[],"after_ms":0}')]


async def test_a_client_that_takes_only_tiny_packets_is_told_without_words() -> None:
    async with Exodus() as exodus:
        peer = exodus.room.client("d", properties={PropertyId.MAXIMUM_PACKET_SIZE: 12})
        exodus.start(DrainPlan())
        await exodus.pass_time(1)
        assert peer.receive() == [Disconnect(0x9C)]


async def test_those_with_nothing_under_way_go_first() -> None:
    async with Exodus() as exodus:
        peers = exodus.crowd(9)
        for peer in peers[::2]:
            exodus.room.offer(peer, 5, message=a_message(5))
        exodus.start(DrainPlan(rate=10, highest=10))
        await exodus.pass_time(3)
        names = [device for device, _ in exodus.told]
        assert names == [f"d{n}" for n in (1, 3, 5, 7, 0, 2, 4, 6, 8)]


async def test_nobody_is_told_twice_and_all_are_told() -> None:
    async with Exodus() as exodus:
        peers = exodus.crowd(120)
        peers[7].wire.abort()
        run = exodus.start(DrainPlan(rate=20))
        await exodus.pass_time(1)
        peers[100].wire.abort()
        await exodus.pass_time(10)
        assert run.done()
        names = [device for device, _ in exodus.told]
        assert len(names) == len(set(names)) == 118
        progress = exodus.draining.progress()
        assert (progress.phase, progress.moved, progress.returned) == (DrainPhase.FINISHED, 118, 118)
        assert (progress.failed, progress.left) == (0, 0)


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
async def test_meanwhile_nobody_is_let_in(version: int) -> None:
    async with Exodus() as exodus:
        exodus.crowd(50)
        exodus.start(DrainPlan(rate=10))
        await exodus.pass_time(1)
        assert exodus.draining.draining
        peer = exodus.room.peer(version)
        peer.send(Connect(version, "late", username="news"))
        (connack,) = peer.receive()
        assert isinstance(connack, Connack)
        if version == MQTT_5_0:
            assert connack.reason == ReasonCode.USE_ANOTHER_SERVER
            assert connack.properties is not None
            assert connack.properties[PropertyId.SERVER_REFERENCE] == "10.0.0.2:1884"
        else:
            assert connack.reason == ReasonCode.SERVER_UNAVAILABLE  # return code 3
        assert peer.over
        assert exodus.room.noted.admitted == []


async def test_who_was_let_in_at_the_last_moment_is_told_too() -> None:
    async with Exodus() as exodus:
        exodus.crowd(1)
        late = exodus.room.peer()
        late.send(Connect(MQTT_5_0, "late"))
        run = exodus.start(DrainPlan())
        await exodus.pass_time(0.5)
        exodus.room.let_in(late)
        await exodus.pass_time(5)
        assert run.done()
        assert [device for device, _ in exodus.told] == ["d0", "late"]
        assert exodus.draining.progress().moved == 2


# --- the pace ----------------------------------------------------------------------------------------


async def test_while_all_come_back_the_pace_rises() -> None:
    async with Exodus() as exodus:
        exodus.crowd(400)
        start = exodus.clock.now()
        exodus.start(DrainPlan(rate=20))
        await exodus.pass_time(7)
        assert 15 <= exodus.told_within(start, start + 1) <= 25
        assert exodus.told_within(start + 5, start + 6) > 3 * exodus.told_within(start, start + 1)


async def test_the_pace_has_a_ceiling() -> None:
    async with Exodus() as exodus:
        exodus.crowd(300)
        start = exodus.clock.now()
        exodus.start(DrainPlan(rate=20, highest=30))
        await exodus.pass_time(8)
        assert exodus.told_within(start + 5, start + 7) <= 61


async def test_when_they_do_not_come_back_it_is_slowed_down_to_the_floor_and_recovers() -> None:
    async with Exodus() as exodus:
        jammed = exodus.clock.now() + 20
        exodus.delay = lambda told_at: None if told_at < jammed else 0.5
        exodus.crowd(600)
        exodus.start(DrainPlan(rate=40, lowest=4))
        await exodus.pass_time(3)
        assert exodus.draining.progress().rate == 40  # nobody knows yet
        await exodus.pass_time(17)
        assert exodus.draining.progress().rate == 4
        await exodus.pass_time(20)
        assert exodus.draining.progress().rate > 100


async def test_one_jam_is_paid_for_once() -> None:
    """Clients that were sent before the rate was halved do not count against the new rate."""
    async with Exodus() as exodus:
        before = exodus.clock.now() + 2
        exodus.delay = lambda told_at: None if told_at < before else 0.5
        exodus.crowd(600)
        exodus.start(DrainPlan(rate=40, lowest=1))
        rates = []
        for _ in range(60):
            await exodus.pass_time(0.1)
            rates.append(exodus.draining.progress().rate)
        assert min(rates) >= 20


async def test_when_coming_back_takes_long_it_is_slowed_down() -> None:
    async with Exodus() as exodus:
        exodus.delay = lambda told_at: 2.9
        exodus.crowd(300)
        exodus.start(DrainPlan(rate=40))
        await exodus.pass_time(6)
        assert exodus.draining.progress().rate < 40


async def test_some_that_never_come_back_do_not_stop_it() -> None:
    async with Exodus() as exodus:
        exodus.crowd(200)
        exodus.delay = lambda told_at: 0.5
        exodus.lost = {f"d{n}" for n in range(0, 200, 40)}
        run = exodus.start(DrainPlan(rate=50))
        await exodus.pass_time(GIVE_UP + 10)
        assert run.done()
        progress = exodus.draining.progress()
        assert (progress.moved, progress.returned, progress.failed) == (200, 195, 5)


async def test_without_a_session_table_it_goes_on_slowly() -> None:
    async with Exodus() as exodus:
        exodus.crowd(300)
        exodus.unreachable = True
        exodus.start(DrainPlan(rate=40, lowest=10))
        await exodus.pass_time(4)
        assert exodus.draining.progress().rate == 10
        exodus.unreachable = False
        await exodus.pass_time(4)
        assert exodus.draining.progress().rate > 10


async def test_clients_whose_name_we_made_up_are_not_looked_for() -> None:
    async with Exodus() as exodus:
        for number in range(5):
            exodus.room.client(f"anonymous-{number}")
        exodus.room.client("d")
        run = exodus.start(DrainPlan())
        await exodus.pass_time(3)
        assert run.done()
        assert {name for names in exodus.asked for name in names} == {"d"}
        assert exodus.draining.progress().moved == 6


def test_verdicts_of_less_than_five_decide_nothing() -> None:
    pace = Pace(10, 1, 100)
    pace.judge([Comeback(0, False, 9)] * 4, 1)
    assert pace.rate == 10
    pace.judge([Comeback(0, False, 9)], 2)
    assert pace.rate == 5


def test_the_estimate_is_how_long_it_takes_when_all_goes_well() -> None:
    assert Pace(10, 1, 100).estimate(5) == 0.5
    assert Pace(10, 1, 100).estimate(60) == pytest.approx(3, abs=0.1)  # 10 + 20 + 30
    assert Pace(10, 1, 20).estimate(1010) == pytest.approx(51)


# --- no other room, dry run, abort ---------------------------------------------------------------------


async def test_without_another_room_it_waits_and_lets_clients_in() -> None:
    async with Exodus() as exodus:
        exodus.crowd(50)
        exodus.start(DrainPlan(rate=10))
        await exodus.pass_time(1)
        told = len(exodus.told)
        exodus.others = False
        await exodus.pass_time(5)
        assert exodus.draining.progress().phase is DrainPhase.WAITING
        assert len(exodus.told) <= told + 1
        peer = exodus.room.peer()
        peer.send(Connect(MQTT_5_0, "late"))
        assert len(exodus.room.noted.admitted) == 1
        exodus.others = True
        await exodus.pass_time(1)
        assert exodus.draining.progress().phase is DrainPhase.MOVING
        assert len(exodus.told) > told + 5


async def test_a_dry_run_tells_nobody_and_says_how_long_it_would_take() -> None:
    async with Exodus() as exodus:
        peers = exodus.crowd(60)
        progress = await exodus.draining.run(DrainPlan(dry_run=True, rate=10))
        assert (progress.phase, progress.total, progress.moved) == (DrainPhase.IDLE, 60, 0)
        assert progress.left == pytest.approx(3, abs=0.1)
        assert not exodus.draining.draining
        assert exodus.told == []
        assert not peers[0].over
        assert exodus.room.services.redirect is None


async def test_abort_keeps_the_rest_and_opens_the_room() -> None:
    async with Exodus() as exodus:
        peers = exodus.crowd(50)
        run = exodus.start(DrainPlan(rate=10))
        await exodus.pass_time(1)
        exodus.draining.abort()
        told = len(exodus.told)
        await exodus.pass_time(1)
        assert run.done()
        assert len(exodus.told) == told < 50
        assert exodus.draining.progress().phase is DrainPhase.ABORTED
        assert not exodus.draining.draining
        assert not peers[-1].over
        late = exodus.room.peer()
        late.send(Connect(MQTT_5_0, "late"))
        assert len(exodus.room.noted.admitted) == 1
        again = exodus.start(DrainPlan(rate=100))
        await exodus.pass_time(5)
        assert again.done()
        assert len(exodus.told) == 50


async def test_a_room_stays_shut_after_its_drain_until_it_is_opened_again() -> None:
    async with Exodus() as exodus:
        exodus.crowd(1)
        await asyncio.gather(exodus.start(DrainPlan()), exodus.pass_time(5))
        assert exodus.draining.draining
        assert exodus.room.services.redirect is not None
        exodus.draining.abort()
        assert not exodus.draining.draining
        assert exodus.room.services.redirect is None


async def test_a_drain_whose_task_is_cancelled_opens_the_room() -> None:
    async with Exodus() as exodus:
        exodus.crowd(50)
        run = exodus.start(DrainPlan(rate=10))
        await exodus.pass_time(1)
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)
        assert exodus.room.services.redirect is None


# --- a room that stops ---------------------------------------------------------------------------------


async def test_with_little_time_all_are_told_within_it() -> None:
    async with Exodus() as exodus:
        exodus.crowd(300)
        start = exodus.clock.now()
        run = exodus.start(DrainPlan(rate=1, highest=5, within=10, stopping=True))
        await exodus.pass_time(10)
        assert run.done()
        assert exodus.draining.progress().phase is DrainPhase.FINISHED
        assert len(exodus.told) == 300
        assert max(exodus.told_within(start + s, start + s + 1) for s in range(10)) < 60  # no stampede


async def test_a_drain_that_is_to_hurry_ends_sooner() -> None:
    async with Exodus() as exodus:
        exodus.draining.hurry(1)  # there is none
        exodus.crowd(300)
        run = exodus.start(DrainPlan(rate=1, highest=5, within=1000, stopping=True))
        await exodus.pass_time(2)
        assert not run.done()
        exodus.draining.hurry(1)
        await exodus.pass_time(2)
        assert run.done()
        assert len(exodus.told) == 300


async def test_who_is_left_when_time_is_out_hears_that_the_server_shuts_down() -> None:
    async with Exodus() as exodus:
        peers = exodus.crowd(20)
        exodus.start(DrainPlan(rate=1, highest=1, within=0.05))
        await exodus.pass_time(1)
        reasons = [
            packet.reason for peer in peers for packet in peer.receive() if isinstance(packet, Disconnect)
        ]
        assert len(reasons) == 20
        assert reasons.count(ReasonCode.SERVER_SHUTTING_DOWN) >= 1
        assert exodus.draining.progress().phase is DrainPhase.OUT_OF_TIME


async def test_a_room_that_stops_where_there_is_no_other_wastes_no_time() -> None:
    async with Exodus() as exodus:
        exodus.others = False
        peers = exodus.crowd(3)
        run = exodus.start(DrainPlan(within=60, stopping=True))
        await exodus.pass_time(0.1)
        assert run.done()
        assert [peer.receive() for peer in peers] == [[Disconnect(ReasonCode.SERVER_SHUTTING_DOWN)]] * 3


async def test_an_operators_deadline_is_waited_for_where_there_is_no_other_room() -> None:
    async with Exodus() as exodus:
        exodus.others = False
        (peer,) = exodus.crowd(1)
        run = exodus.start(DrainPlan(within=5))
        await exodus.pass_time(4.5)
        assert exodus.draining.progress().phase is DrainPhase.WAITING
        assert not peer.over
        await exodus.pass_time(1)
        assert run.done()
        assert peer.receive() == [Disconnect(ReasonCode.SERVER_SHUTTING_DOWN)]


async def test_a_room_that_stops_while_it_is_drained_goes_on_by_the_new_plan() -> None:
    async with Exodus() as exodus:
        exodus.crowd(200)
        first = exodus.start(DrainPlan(rate=5, highest=5))
        await exodus.pass_time(2)
        told = len(exodus.told)
        second = exodus.start(DrainPlan(rate=5, highest=5, within=5, stopping=True))
        await exodus.pass_time(5)
        assert told < 20
        assert len(exodus.told) == len({device for device, _ in exodus.told}) == 200
        assert first.done()
        assert second.done()
        assert first.result() == second.result()
