"""A thousand devices that flash from room to room while pushes arrive: each move is one transition."""

import asyncio
import itertools
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path

import httpx
import jwt
import pytest
import pytest_asyncio

from longline import Center, Device
from longline.model.nodes import host_of
from longline.sdk.answers import Push
from tests.adversity.ledger import sessions_of
from tests.adversity.ledger_books import Heard, presence_faults
from tests.adversity.ledger_client import drop
from tests.cluster.cluster import Cluster
from tests.waiting import eventually, until

pytestmark = [pytest.mark.adversity, pytest.mark.shape("cluster"), pytest.mark.timeout(1800)]

DEVICES = 1000
BATCH = 100  # pushes in a request
PUSH_EVERY = 0.05  # s
ARRIVED_WITHIN = 60.0
MOVED_WITHIN = 60.0
AGREED_WITHIN = 30.0
PAGE = 1000


class Crowd:
    """The devices, where each has been, and what each was promised and got."""

    def __init__(self, cluster: Cluster, center: Center, secret: str, stack: AsyncExitStack) -> None:
        self.cluster = cluster
        self.center = center
        self.names = [f"d{number:04}" for number in range(DEVICES)]
        self.rooms = [number % len(cluster.rooms) for number in range(DEVICES)]  # where each is
        self.pushing = True
        self.moves = 0
        self.promised = 0
        self.slowest = 0.0  # s from request to arrival
        self.out_of_order: list[str] = []
        self._missing: dict[tuple[str, int], float] = {}  # device and number → when it was asked for
        self._last: defaultdict[str, int] = defaultdict(int)
        self._changed = asyncio.Event()
        self._secret = secret
        self._stack = stack
        self._devices: list[Device] = []

    async def connect(self) -> None:
        for name, room in zip(self.names, self.rooms, strict=True):
            token = jwt.encode({"sub": name}, self._secret, algorithm="HS256")
            host, port = self.cluster.room_addresses[room]
            device = Device(
                host, port, app="flash", device=name, token=token, backoff_base=0.02, backoff_cap=1.0
            )
            self._devices.append(await self._stack.enter_async_context(device))
            listening = asyncio.create_task(self._listen(name, device), name=f"listen-{name}")
            self._stack.callback(listening.cancel)
        for device in self._devices:
            await device.wait_connected()

    async def _listen(self, name: str, device: Device) -> None:
        async for message in device:
            number = int(message.text)
            if number <= self._last[name]:
                self.out_of_order.append(f"{name}: {number} after {self._last[name]}")
            self._last[name] = number
            asked = self._missing.pop((name, number))
            self.slowest = max(self.slowest, time.monotonic() - asked)
            self._changed.set()

    # --- moving ---------------------------------------------------------------------------------------

    async def flash(self, moving: Sequence[int], rooms: Sequence[int], chance: random.Random) -> float:
        """Each of these devices loses its connection and at once connects to another of `rooms`; returns the
        seconds until all are there."""
        began = time.monotonic()
        before = [self._devices[number].statistics.connects for number in moving]
        for number in moving:
            device, here = self._devices[number], self.rooms[number]
            there = chance.choice([room for room in rooms if room != here])
            device.endpoints.feed([self.cluster.room_addresses[there]])
            drop(device)
            self.rooms[number] = there
            self.moves += 1
            await asyncio.sleep(0)

        def all_moved() -> bool:
            now = [self._devices[number].statistics.connects for number in moving]
            return all(map(int.__gt__, now, before))

        await until(all_moved, MOVED_WITHIN)
        return time.monotonic() - began

    # --- pushing --------------------------------------------------------------------------------------

    async def push_on(self) -> None:
        """Pushes to one device after the other, for as long as `pushing`."""
        sequence = itertools.count(DEVICES)  # each device's numbers rise by one with every turn
        while self.pushing:
            batch = list(itertools.islice(sequence, BATCH))
            asked = time.monotonic()
            pushes = []
            for number in batch:
                name, turn = self.names[number % DEVICES], number // DEVICES
                self._missing[name, turn] = asked
                pushes.append(Push(payload=str(turn), devices=[name]))
            receipts = await self.center.send_batch("flash", pushes)
            assert all(not isinstance(receipt, Exception) for receipt in receipts), receipts
            self.promised += len(receipts)
            self._changed.set()
            await asyncio.sleep(PUSH_EVERY)

    async def pushes(self, count: int) -> None:
        """Returns when so many more are promised."""
        goal = self.promised + count
        while self.promised < goal:
            self._changed.clear()
            await self._changed.wait()

    async def everything_arrived(self) -> None:
        try:
            async with asyncio.timeout(ARRIVED_WITHIN):
                while self._missing:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"promised and never arrived: {sorted(self._missing)[:20]}") from None

    # --- what the cluster says ------------------------------------------------------------------------

    async def expect_one_owner_each(self) -> None:
        """The rooms have the sessions of those that are there, and the table knows it."""
        expected = Counter(self.rooms)
        async with httpx.AsyncClient(trust_env=False) as client:

            async def held() -> list[int]:
                return [await sessions_of(client, room) for room in self.cluster.rooms]

            wanted = [expected[room] for room in range(len(self.cluster.rooms))]
            await eventually(held, wanted, AGREED_WITHIN)
        last = {event.device: event.room for event in await self.presence()}
        for name, room in zip(self.names, self.rooms, strict=True):
            owner = (await self.center.device("flash", name)).room
            assert owner is not None
            assert owner.startswith(f"{self.cluster.rooms[room].name}-")
            assert owner == last[name]

    async def presence(self) -> list[Heard]:
        """Every presence event so far, once there is one for each arrival and each move.

        There is one more for each device that was in a room when that took a new name: it was told of too.
        """
        events: list[Heard] = []
        params: dict[str, str | int] = {"limit": PAGE, "wait": 5}
        headers = {"Authorization": f"Bearer {self.cluster.admin_key}"}
        async with httpx.AsyncClient(trust_env=False, headers=headers, timeout=20) as client:
            deadline = time.monotonic() + AGREED_WITHIN
            while len(events) - renamings(events) < DEVICES + self.moves:
                answer = await client.get(f"{self.cluster.url}/v1/apps/flash/upstream", params=params)
                page = answer.raise_for_status().json()
                late = time.monotonic() > deadline
                seen = f"{len(events)} events, {renamings(events)} of renamed rooms"
                assert page["events"] or not late, f"{seen}, for {DEVICES + self.moves} moves"
                assert not page["gap"]
                for event in page["events"]:
                    if event["type"] != "presence":
                        continue
                    at = round(datetime.fromisoformat(event["at"]).timestamp() * 1000)
                    device, state, room = event["device"], event["state"], event["room"]
                    events.append(Heard(device, state, event["epoch"], event["sequence"], room, at, 0))
                params["cursor"] = page["next_cursor"]
        return events

    async def expect_one_transition_for_each_move(self) -> None:
        events = await self.presence()
        assert len(events) - renamings(events) == DEVICES + self.moves
        assert not (faults := presence_faults(events)), faults[:20]


def renamings(events: Sequence[Heard]) -> int:
    """How many of these tell of a device that stayed where it was while its room took another name."""
    rooms: dict[str, str] = {}
    found = 0
    for event in events:
        room = host_of(event.room)
        found += event.state == "moved" and rooms.get(event.device) == room
        rooms[event.device] = room
    return found


@pytest_asyncio.fixture
async def crowd(tmp_path: Path) -> AsyncIterator[Crowd]:
    async with Cluster(tmp_path) as cluster, AsyncExitStack() as stack:
        center = await stack.enter_async_context(cluster.center())
        keys = await center.create_app("flash")
        crowd = Crowd(cluster, center, keys.device_secret, stack)
        await crowd.connect()
        yield crowd


async def test_a_thousand_devices_flash_from_room_to_room_while_pushes_arrive(
    crowd: Crowd, rounds: int, chance: random.Random, tell: Callable[[str], None]
) -> None:
    rooms = range(len(crowd.cluster.rooms))
    took = []
    async with asyncio.TaskGroup() as group:
        group.create_task(crowd.push_on())
        for _ in range(rounds):
            await crowd.pushes(DEVICES // 2)
            everybody = chance.sample(range(DEVICES), DEVICES)
            took += [await crowd.flash(everybody, rooms, chance)]
        crowd.pushing = False
    await expect_kept(crowd, took, tell)


async def test_a_thousand_devices_flash_while_the_room_that_they_leave_is_paused(
    crowd: Crowd, rounds: int, chance: random.Random, tell: Callable[[str], None]
) -> None:
    """The room still has connections, deliveries in flight and acknowledgements that it never read."""
    took = []
    async with asyncio.TaskGroup() as group:
        group.create_task(crowd.push_on())
        for number in range(rounds):
            paused = number % len(crowd.cluster.rooms)
            others = [room for room in range(len(crowd.cluster.rooms)) if room != paused]
            room = crowd.cluster.rooms[paused]
            room.pause()
            try:
                await crowd.pushes(DEVICES // 2)  # so that the room has what it will never deliver
                took.append(await crowd.flash(chance.sample(range(DEVICES), DEVICES), others, chance))
            finally:
                room.resume()
            await room.ready()
            # Some come back to it, so that the next rounds find every room with devices.
            await crowd.flash(chance.sample(range(DEVICES), DEVICES // 4), [*others, paused], chance)
        crowd.pushing = False
    await expect_kept(crowd, took, tell)


async def expect_kept(crowd: Crowd, took: Sequence[float], tell: Callable[[str], None]) -> None:
    await crowd.everything_arrived()
    assert not crowd.out_of_order, crowd.out_of_order[:20]
    await crowd.expect_one_transition_for_each_move()
    await crowd.expect_one_owner_each()
    tell(
        f"{crowd.moves} moves of {DEVICES} devices in {len(took)} rounds (all there again after "
        f"{min(took):.1f} to {max(took):.1f} s), {crowd.promised} pushes promised, lost 0, out of order 0, "
        f"slowest {crowd.slowest:.1f} s, {DEVICES + crowd.moves} transitions"
    )
