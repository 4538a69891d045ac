"""Two apps on one node: what one does with all its might, the other hardly notices.

    LONGLINE_APPS_SECONDS=20 LONGLINE_APPS_POLLS=100 LONGLINE_APPS_DEVICES=200 LONGLINE_APPS_WITHOUT="to all"

on the shape that `--shape` names, `embedded` or `workers`. The one sends by every way of the API (`greedy`),
over some fifty connections without a pause, twice `POLLS` more with requests that only wait, and devices of
its own are connected. The other sends 50 pushes a second to connected devices (`steady`). `WITHOUT`: ways to
leave out, separated by semicolons, so that one can be found that costs others much. `LONGLINE_APPS_LIMIT`:
how many messages a second the one may send, which has the default otherwise.

Asserted is that all of the other's pushes are taken and arrive, and that it takes no more than `BUSY` times
what it should; printed is what it took. On one machine, the load takes the node's processors too: it leaves
them (`nice`), but a figure means something only where nothing else runs.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from longline.model.limits import AppLimits
from tests.adversity import greedy, light, steady
from tests.adversity.child import Child
from tests.integration.server_process import ServerProcess
from tests.integration.test_workers import ready

pytestmark = [pytest.mark.adversity, pytest.mark.shape("embedded", "workers"), pytest.mark.timeout(900)]

SECONDS = float(os.environ.get("LONGLINE_APPS_SECONDS", "10"))
POLLS = int(os.environ.get("LONGLINE_APPS_POLLS", "100"))
DEVICES = int(os.environ.get("LONGLINE_APPS_DEVICES", "200"))  # of the greedy one, connected, of a thousand
WITHOUT = [way for way in os.environ.get("LONGLINE_APPS_WITHOUT", "").split(";") if way]
LIMIT = os.environ.get("LONGLINE_APPS_LIMIT")  # messages a second of the greedy one
RATE = 50.0  # pushes a second
ALONE = 3.0  # s
UNTIL_IT_RUNS = 3.0  # s
RECEIVED_IN = 100.0  # ms at the 99th percentile, from the 202 to the device
BUSY = 30.0  # times as long on a machine that does much else, and where the code is interpreted
NICE = 10


@pytest_asyncio.fixture
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ServerProcess]:
    workers = request.config.getoption("--shape") == "workers"
    async with ServerProcess(tmp_path / "data", ("--workers", "2") if workers else ()) as server:
        if workers:
            await ready(server)
        yield server


async def test_what_one_app_does_with_all_its_might_the_other_hardly_notices(
    server: ServerProcess, tell: Callable[[str], None]
) -> None:
    async with server.center() as center:
        much = await center.create_app("greedy")
        if LIMIT is not None:
            await center.put_limits("greedy", AppLimits(messages_per_second=int(LIMIT)))
        little = await center.create_app("steady")
    names = [greedy.name_of(number) for number in range(DEVICES)]
    plans = (
        steady.Plan(
            *("127.0.0.1", server.http_port, server.mqtt_port),
            *("steady", str(little.server_key), little.device_secret),
            devices=100,
            rate=RATE,
            ping_every=2.0,
        ),
        light.Plan("127.0.0.1", server.mqtt_port, "greedy", much.device_secret, names),
        greedy.Plan("127.0.0.1", server.http_port, "greedy", str(much.server_key), POLLS, WITHOUT),
    )
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(Child("tests.adversity.steady", plans[0]))
        await other.ready()
        await asyncio.sleep(ALONE)
        alone = await other.ask(steady.Taken)
        taking = await stack.enter_async_context(Child("tests.adversity.light", plans[1], nice=NICE))
        await taking.ready()
        load = await stack.enter_async_context(Child("tests.adversity.greedy", plans[2], nice=NICE))
        await load.ready()
        await asyncio.sleep(UNTIL_IT_RUNS)
        begin = await other.ask(steady.Taken)
        await asyncio.sleep(SECONDS)
        beside = await other.ask(steady.Taken)
        for when, taken in (("alone", alone), ("at its beginning", begin), ("beside it", beside)):
            tell(f"{when}: from 202 to the device {taken.received}; from the request to 202 {taken.answered}")
            tell(f"{when}: from the request to the device {taken.pushed}; PINGRESP {taken.pings}")
            tell(f"{when}: refused {taken.refused or 0}, behind its own schedule {taken.late}")
        made = await load.end(greedy.Summary)
        took = await taking.end(light.Summary)
    deliveries = sum(means.deliveries for means in made.means.values())
    tell(
        f"the greedy one in {made.seconds:.1f} s: {deliveries:,} deliveries accepted, "
        f"{took.pushes:,} arrived at {DEVICES} devices, which were cut off {took.cut_off} times"
    )
    worse = beside.pushed.p99 / alone.pushed.p99
    tell(f"the other's p99 from the request to the device: {worse:.2f} times that alone")
    for row in greedy.rows(made):
        tell(f"  {row}")
    for taken in (begin, beside):
        assert (taken.lost, taken.cut_off, taken.refused) == (0, 0, {}), server.tail()
    assert beside.received.p99 < BUSY * RECEIVED_IN
