"""Clients that take pushes and acknowledge none."""

import pytest

from longline.model.commands import Vouched
from longline.model.times import wall_clock
from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Disconnect, Puback, Publish
from longline.saver.port.parking import Standing
from longline.settings import ParkingSettings
from tests.unit.room.fixture import APP, Peer
from tests.unit.room.test_flights import PHONE, Above, Waiting

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
SETTINGS = ParkingSettings()


class Silent(Above):
    """A room, and how it deals with a device that says nothing."""

    def __init__(self, store: Waiting) -> None:
        super().__init__(store)
        self.parts.wall = wall_clock()  # by which it is noted when a push was written

    @property
    def standing(self) -> Standing | None:
        return self.waiting.noted_silent.there.get((APP, PHONE))

    @standing.setter
    def standing(self, standing: Standing) -> None:
        self.waiting.noted_silent.there[APP, PHONE] = standing

    def strikes(self, strikes: int, *, parked: bool = False, ago: int = 0) -> None:
        """So many there are already, the latest so many ms ago."""
        at = self.parts.wall - ago
        self.standing = Standing(strikes, at, at if parked else 0)

    async def passes(self, seconds: float) -> None:
        """Time does."""
        self.parts.wall += int(seconds * 1000)
        self.parking.tick()
        await self.settle()

    def gets(self, peer: Peer) -> list[str]:
        return [packet.topic for packet in peer.unread() if isinstance(packet, Publish)]

    async def comes(self, *, version: int = MQTT_5_0) -> tuple[Peer, list[str]]:
        peer, packets = await self.phone(version, clean=True, expiry=0)
        return peer, [packet.topic for packet in packets if isinstance(packet, Publish)]


async def test_who_acknowledges_costs_the_store_nothing() -> None:
    async with Silent(Waiting()) as room:
        phone, _ = await room.comes()
        for n in range(1, 6):
            await room.push(n, 1)
            (packet,) = phone.unread()
            assert isinstance(packet, Publish)
            await room.says(phone, Puback(packet.packet_id))
        await room.push(6, 1)  # in flight when the connection breaks
        await room.passes(60)
        await room.breaks(phone)
        assert room.waiting.noted_silent.calls == []


async def test_who_has_nothing_in_flight_is_nothing_to_speak_of() -> None:
    async with Silent(Waiting()) as room:
        for _ in range(10):
            phone, _ = await room.comes()
            await room.passes(60)
            await room.breaks(phone)
        await room.push(1, 0)
        assert room.waiting.noted_silent.calls == []


async def test_a_connection_that_breaks_at_once_counts_from_the_second_on() -> None:
    async with Silent(Waiting()) as room:
        await room.push(1, 1)
        seen = []
        for _ in range(4):
            phone, _ = await room.comes()
            await room.breaks(phone)
            room.parts.wall += 1
            seen.append(0 if room.standing is None else room.standing.strikes)
        assert seen == [0, 1, 2, 3]


async def test_one_on_which_nothing_was_acknowledged_for_long_counts() -> None:
    async with Silent(Waiting()) as room:
        phone, _ = await room.comes()
        await room.push(1, 1)
        await room.passes(6)
        await room.breaks(phone)
        assert room.standing is not None
        assert room.standing.strikes == 1


@pytest.mark.parametrize("say_goodbye", [False, True])
async def test_after_some_a_device_gets_one_at_a_time_and_later_each_time(say_goodbye: bool) -> None:
    async with Silent(Waiting()) as room:
        for n in range(1, 5):
            await room.push(n, 1)
        for strikes, wait in ((5, 1), (6, 2), (7, 4), (11, 60), (19, 60)):
            room.strikes(strikes)
            phone, got = await room.comes()
            assert got == []
            await room.passes(wait - 0.01)
            assert room.gets(phone) == []
            await room.passes(0.01)
            assert room.gets(phone) == ["push/m1"]
            assert room.parts.counters.clients_slowed == 1
            room.parts.wall += 1
            if say_goodbye:
                phone.send(Disconnect())
            await room.breaks(phone)
            assert room.standing is not None
            assert room.standing.strikes == strikes + 1
            assert room.parts.counters.clients_slowed == 0


async def test_the_last_of_many_parks_it() -> None:
    async with Silent(Waiting()) as room:
        await room.push(1, 1)
        room.strikes(19)
        phone, _ = await room.comes()
        await room.passes(60)
        assert room.gets(phone) == ["push/m1"]
        await room.breaks(phone)
        assert room.standing == Standing(20, room.parts.wall, room.parts.wall)


@VERSIONS
async def test_who_is_parked_gets_nothing_until_some_time_has_passed_and_then_one(version: int) -> None:
    async with Silent(Waiting()) as room:
        await room.push(1, 1)
        await room.push(2, 1)
        room.strikes(20, parked=True, ago=1000)
        phone, got = await room.comes(version=version)
        await room.push(3, 1)
        await room.push(4, 1, online_only=True)
        assert got + room.gets(phone) == []
        assert room.parts.counters.clients_parked == 1
        await room.passes(SETTINGS.retry_after - 2)
        assert room.gets(phone) == []
        await room.passes(1)
        assert room.gets(phone) == ["push/m1"]
        assert room.waiting.inbox.keys() == {1, 2, 3}


async def test_one_that_comes_when_that_time_has_passed_gets_one_at_once() -> None:
    async with Silent(Waiting()) as room:
        await room.push(1, 1)
        await room.push(2, 1)
        room.strikes(25, parked=True, ago=SETTINGS.retry_after * 1000)
        phone, got = await room.comes()
        assert got == ["push/m1"]
        before = room.standing
        assert before is not None
        await room.breaks(phone)
        # and is parked for as long again
        assert room.standing == Standing(26, room.parts.wall, before.parked_since)


async def test_an_acknowledgement_frees_it() -> None:
    async with Silent(Waiting()) as room:
        for n in range(1, 10):
            await room.push(n, 1)
        room.strikes(20, parked=True, ago=SETTINGS.retry_after * 1000)
        phone, _ = await room.phone(clean=True, expiry=0)
        (entry,) = phone.session.window.inflight.each()  # type: ignore[union-attr]
        assert await room.says(phone, Puback(entry[0])) != []
        assert room.standing is None
        assert len(phone.session.window.inflight or ()) == 8
        assert (room.parts.counters.clients_parked, room.parts.counters.clients_slowed) == (0, 0)
        await room.breaks(phone)
        assert room.standing is None


async def test_a_few_strikes_slow_nobody_and_are_forgotten_with_an_acknowledgement() -> None:
    async with Silent(Waiting()) as room:
        for n in range(1, 4):
            await room.push(n, 1)
        room.strikes(4)
        phone, got = await room.comes()
        assert got == ["push/m1", "push/m2", "push/m3"]
        await room.says(phone, Puback(1))
        assert room.standing is None


async def test_an_operator_frees_it() -> None:
    async with Silent(Waiting()) as room:
        await room.push(1, 1)
        await room.push(2, 1)
        room.strikes(20, parked=True)
        phone, got = await room.comes()
        assert got == []
        room.waiting.noted_silent.there.clear()
        await room.bus.send("n1", [Vouched(APP, "phone"), Vouched(APP, "nobody")])
        await room.settle()
        assert room.gets(phone) == ["push/m1", "push/m2"]
        assert phone.session.window.size > 1


async def test_who_stays_and_says_nothing_is_parked_and_freed_by_the_first_word() -> None:
    async with Silent(Waiting()) as room:
        phone, _ = await room.comes()
        await room.push(1, 1)
        (packet,) = phone.unread()
        assert isinstance(packet, Publish)
        room.receipts.note_all()  # a second later
        await room.passes(SETTINGS.patience - 1)
        assert room.standing is None
        await room.passes(1)
        assert room.standing == Standing(1, room.parts.wall, room.parts.wall)
        assert room.parts.counters.clients_parked == 1
        await room.push(2, 1)
        assert room.gets(phone) == []
        assert await room.says(phone, Puback(packet.packet_id)) != []
        assert room.standing is None


async def test_who_is_slow_and_acknowledges_is_not_parked() -> None:
    async with Silent(Waiting()) as room:
        phone, _ = await room.comes()
        await room.push(1, 1)
        await room.push(2, 1)
        room.receipts.note_all()
        await room.passes(SETTINGS.patience - 1)
        await room.says(phone, Puback(1))
        await room.passes(SETTINGS.patience)
        assert room.standing is None
        await room.passes(SETTINGS.patience)  # but now it has said nothing for as long
        assert room.standing is not None
