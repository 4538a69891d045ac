"""A room that is cut off from the store alone: its devices are elsewhere soon, and all is in order.

    LONGLINE_CUT_OFF_DEVICES=1000

Two rooms; the one reaches the store through a proxy that falls silent, and all devices are in it. Printed is
how long it took until dispatchers did not name it, until all devices were in the other room, and when the
last slow push had come; then how long it took, once the store was back, until it was offered again.
"""

import asyncio
import os
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from longline import Center
from tests.adversity.crowds import Crowds, Pusher
from tests.adversity.ledger_books import now
from tests.integration.test_cut_off import Site, a_site
from tests.waiting import moment

pytestmark = [pytest.mark.adversity, pytest.mark.shape("cluster"), pytest.mark.timeout(900)]

DEVICES = int(os.environ.get("LONGLINE_CUT_OFF_DEVICES", "1000"))
BEFORE, AFTER = 200, 200  # deliveries that are promised
WITHIN = 200.0  # s
ELSEWHERE_IN = 20.0  # s
BUSY = 6.0  # times as long on a machine that does much else


async def test_the_devices_of_a_room_that_is_cut_off_from_the_store_are_elsewhere_soon_and_back_in_order(
    tmp_path: Path, chance: random.Random, tell: Callable[[str], None]
) -> None:
    async with AsyncExitStack() as stack:
        site = await stack.enter_async_context(a_site(tmp_path))
        async with Center(site.url, site.key) as center:
            secret = (await center.create_app("cut")).device_secret
        one, other = site.room_ports
        crowds = Crowds(tmp_path, [("127.0.0.1", one)], "cut", secret, DEVICES)
        await crowds.connect(stack)
        pusher = Pusher(lambda: site.url, site.key, "cut", crowds.names, chance, batch=10)
        pushing = asyncio.create_task(pusher.push_on(), name="pusher")
        stack.callback(pushing.cancel)
        await pusher.promises(BEFORE)

        began, cut = time.monotonic(), now()
        site.networks["store"].stall()
        unoffered, moved = await asyncio.gather(
            moment(lambda: offers(site, {other}), WITHIN, tell=site.tail),
            moment(lambda: all_in(crowds, other), WITHIN, tell=site.tail),
        )
        await pusher.promises(AFTER)
        mended = time.monotonic()
        site.networks["store"].resume()
        offered = await moment(lambda: offers(site, {one, other}), WITHIN, tell=site.tail)
        await pusher.promises(AFTER)
        assert not pushing.done(), "it pushes to the end"
        pushing.cancel()
        lost = await crowds.lost(pusher.promised, WITHIN)
        summary = await crowds.end()
    tell(
        f"cut off from the store under {DEVICES} devices: offered no more after {unoffered - began:.1f} s, "
        f"all elsewhere after {moved - began:.1f} s; the store back: offered after {offered - mended:.1f} s"
    )
    tell(
        f"{len(pusher.promised):,} deliveries promised, lost {len(lost)}, twice {summary.duplicates}, out of "
        f"order {len(crowds.out_of_order(pusher.promised))}, slow ones until "
        f"{crowds.recovery(pusher.promised, cut):.1f} s; devices by how often they were cut off "
        f"{summary.cut_off}, away {max(summary.away):.2f} s at most"
    )
    assert not lost, site.tail()
    assert not crowds.out_of_order(pusher.promised)
    assert moved - began < BUSY * ELSEWHERE_IN


async def offers(site: Site, ports: set[int]) -> bool:
    return await site.offered() == ports


async def all_in(crowds: Crowds, port: int) -> bool:
    return (await crowds.summary()).ports == {port: len(crowds.names)}
