"""A room that is really dead, and a host with all of its rooms: it is noticed soon, and nothing is lost.

    LONGLINE_DEAD_DEVICES=600

in a cluster of three hosts with two rooms each. Printed is how long it took until all devices were elsewhere,
as they find their own way, until a coordinator had cleaned up after the rooms, and how late pushes came.
"""

import asyncio
import os
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.adversity.crowds import Crowds, Pusher
from tests.adversity.ledger_books import now
from tests.cluster.cluster import Cluster
from tests.integration.test_false_death import said
from tests.waiting import moment

pytestmark = [pytest.mark.adversity, pytest.mark.shape("cluster"), pytest.mark.timeout(900)]

DEVICES = int(os.environ.get("LONGLINE_DEAD_DEVICES", "600"))
HOSTS, ROOMS = 3, 6
BEFORE, AFTER = 200, 200  # deliveries that are promised
WITHIN = 200.0  # s: a coordinator that gets no time declares nobody dead for two minutes


@pytest.mark.parametrize("which", ["one room", "one host of three"])
async def test_the_dead_are_noticed_and_their_devices_served_elsewhere(
    which: str, tmp_path: Path, chance: random.Random, tell: Callable[[str], None]
) -> None:
    async with AsyncExitStack() as stack:
        cluster = await stack.enter_async_context(
            Cluster(tmp_path, rooms=ROOMS, centers=1, dispatchers=1, coordinators=2, hosts=HOSTS)
        )
        async with cluster.center() as center:
            secret = (await center.create_app("dead")).device_secret
        crowds = Crowds(tmp_path, cluster.room_addresses, "dead", secret, DEVICES)
        await crowds.connect(stack)
        pusher = Pusher(lambda: cluster.url, cluster.admin_key, "dead", crowds.names, chance, batch=10)
        pushing = asyncio.create_task(pusher.push_on(), name="pusher")
        stack.callback(pushing.cancel)
        await pusher.promises(BEFORE)
        dying = cluster.rooms[:1] if which == "one room" else cluster.rooms[::HOSTS]
        gone = {port for room, port in zip(cluster.rooms, cluster.room_ports, strict=True) if room in dying}
        assert buried(cluster) == 0

        began, killed = time.monotonic(), now()
        await asyncio.gather(*(room.kill() for room in dying))
        moved, cleaned_up = await asyncio.gather(
            moment(lambda: elsewhere(crowds, gone), WITHIN, tell=cluster.tail),
            moment(lambda: buried(cluster) == len(dying), WITHIN, tell=cluster.tail),
        )
        await pusher.promises(AFTER)
        assert not pushing.done(), "it pushes to the end"
        pushing.cancel()
        lost = await crowds.lost(pusher.promised, WITHIN)
        async with cluster.center() as center:
            online = [(await center.device("dead", name)).online for name in crowds.names]
        summary = await crowds.end()
    tell(
        f"{which} killed under {DEVICES} devices: all elsewhere after {moved - began:.1f} s, cleaned up "
        f"after {cleaned_up - began:.1f} s; {len(pusher.promised):,} deliveries promised, lost {len(lost)}, "
        f"twice {summary.duplicates}, slow ones until {crowds.recovery(pusher.promised, killed):.1f} s"
    )
    assert not lost, cluster.tail()
    assert not crowds.out_of_order(pusher.promised)
    assert all(online)
    assert buried(cluster) == len(dying), "and nobody else"


def buried(cluster: Cluster) -> int:
    return sum(len(said(process, "node_cleaned_up")) for process in cluster.coordinators)


async def elsewhere(crowds: Crowds, gone: set[int]) -> bool:
    """Whether everybody is connected, and not to what is gone."""
    ports = (await crowds.summary()).ports
    return sum(ports.values()) == len(crowds.names) and not gone & ports.keys()
