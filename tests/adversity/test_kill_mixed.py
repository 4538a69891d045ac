"""SIGKILL among messages of every kind, schedules and upstream: nothing is lost, and nothing sent twice."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from longline import Center
from longline.sdk.answers import Push
from tests.adversity.mixed import APP, GROUP, TAG, Mixed, Phones, Sender
from tests.integration.server_process import ServerProcess
from tests.waiting import until

pytestmark = [pytest.mark.adversity, pytest.mark.timeout(3600)]

DEVICES = [f"d{number:02}" for number in range(12)]
ONLINE, OFFLINE = DEVICES[:6], DEVICES[6:]
MEMBERS = DEVICES[3:9]  # of the group: some of these, some of those
SENDERS = 2
DRAINED_WITHIN = 120.0  # s
EVERY_MINUTE = "* * * * *"


async def test_nothing_of_any_kind_is_lost_or_sent_twice_though_the_node_is_killed(
    tmp_path: Path, rounds: int, chance: random.Random, tell: Callable[[str], None]
) -> None:
    """Each round: all talk, SIGKILL, restart, and everything promised so far arrives."""
    books, stop = Mixed(), asyncio.Event()
    async with ServerProcess(tmp_path / "data") as server:
        async with server.center() as center:
            secret = await prepare(center)
            schedule = await center.schedule(APP, Push(payload="every minute", everyone=True), EVERY_MINUTE)
        online = Phones(ONLINE, server.mqtt_port, secret, books)
        await online.connect()
        members = MEMBERS
        talking = [
            asyncio.create_task(online.talk(name, members, stop)) for name in ONLINE if name in members
        ]
        duplicates = 0
        sender = Sender(server.url, server.admin_key, DEVICES, members, books)
        for number in range(rounds):
            sending = [asyncio.create_task(sender.run(chance)) for _ in range(SENDERS)]
            await books.promises(chance.randrange(1, 80))
            await asyncio.sleep(chance.random() / 100)  # a moment that no step of the node's own decides
            await server.kill()
            for task in sending:
                task.cancel()
            await asyncio.gather(*sending, return_exceptions=True)
            await server.start()
            returning = Phones(OFFLINE, server.mqtt_port, secret, books)
            await returning.connect()
            missing = await books.settled(DRAINED_WITHIN)
            await returning.close()
            duplicates += returning.duplicates
            assert not missing, f"round {number}: 202, never delivered: {missing}\n{server.tail()}"
        stop.set()
        await asyncio.gather(*talking)
        returning = Phones(OFFLINE, server.mqtt_port, secret, books)
        await returning.connect()
        assert not await books.settled(DRAINED_WITHIN)
        async with server.center() as center:
            events, copies = await expect_upstream(center, books)
            assert copies <= rounds * len(talking), "each has one under way when the node is killed"
            await expect_settled(center)
            fired = await expect_each_minute(center, schedule.schedule_id)
        await returning.close()
        await online.close()
        duplicates += online.duplicates + returning.duplicates
    said_twice = [text for text in books.doubled if text.startswith("said ")]  # its sender was told of none
    assert len(books.doubled) == len(said_twice) + ("every minute" in books.doubled), books.doubled
    for name in DEVICES:
        places = books.places[name]
        assert places == sorted(set(places)), f"{name}: {places}"
    kinds = ", ".join(f"{many} {kind}" for kind, many in sorted(books.kinds.items()))
    tell(
        f"{rounds} kills, answered 202 or acknowledged: {kinds}; {sum(map(len, books.promised.values()))} "
        f"deliveries promised, lost 0, sent twice 0, said again by who was not told {len(said_twice)}, "
        f"copies dropped by devices {duplicates}; {events} events acknowledged, lost 0, copies {copies}; "
        f"{fired} minutes, each fired once"
    )


async def prepare(center: Center) -> str:
    """Makes the app, its devices and the group; returns the app's device secret."""
    keys = await center.create_app(APP)
    for number, device in enumerate(DEVICES):
        await center.put_device(APP, device, tags=[] if number % 2 else [TAG])
    await center.put_group(APP, GROUP, MEMBERS)
    return keys.device_secret


async def expect_upstream(center: Center, books: Mixed) -> tuple[int, int]:
    """What was acknowledged is there, in the order in which it was sent; how much, and how often twice.

    A device that was not told sends again with QoS 1, in a new session: only what it says tells a copy.
    """
    heard: dict[str, list[str]] = {name: [] for name in DEVICES}
    seen: Counter[str] = Counter()
    async for event in center.upstream(APP, follow=False):
        assert not event.gap
        if event.type == "upstream":
            text = event.payload
            assert isinstance(text, str)
            seen[text] += 1
            if seen[text] == 1:
                heard[event.device].append(text)
    for name, told in books.told.items():
        numbers = [int(text.rpartition(" ")[2]) for text in heard[name]]
        assert numbers == sorted(numbers), f"{name}: out of order"
        lost = set(told).difference(heard[name])
        assert not lost, f"{name} was told that these are stored: {lost}"
    return sum(map(len, books.told.values())), sum(many - 1 for many in seen.values())


async def expect_settled(center: Center) -> None:
    """No message of any kind has anything pending; each ledger balances."""

    async def pending() -> bool:
        async for message in center.messages(APP):
            ledger = message.ledger
            outcomes = ledger.pending + ledger.acked + ledger.expired + ledger.collapsed
            assert ledger.targeted == outcomes + sum(ledger.dropped.values()), message
            if ledger.pending:
                return False
        return True

    await until(pending, DRAINED_WITHIN)


async def expect_each_minute(center: Center, schedule_id: str) -> int:
    """The schedule has fired once in each minute that is over; how many that were."""
    info = await center.schedule_info(APP, schedule_id)
    fired = sorted(firing.at for firing in info.firings)
    steps = [later - earlier for earlier, later in pairwise(fired)]
    assert all(step == timedelta(minutes=1) for step in steps), fired
    return len(fired)
