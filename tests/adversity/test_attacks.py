"""Everything that attackers have been seen to send, all at once, against a node under an ordinary load.

    LONGLINE_ATTACK_SECONDS=120 LONGLINE_ATTACK_DEVICES=300 LONGLINE_ATTACK_WITHOUT="long polls;deep JSON"

on the shape that `--shape` names, `embedded` or `workers`. The load: devices that ping every two seconds, 50
pushes and 200 plain messages a second among them. Asserted is that the processes live, that nobody of the
load is cut off and nothing of it is lost, and that the memory stays below what the settings add up to.
Printed are memory, the times of the load before, meanwhile and after, how late the node's own loop was (where
it is one process) and how long it waited for a processor, and how often each attack came to its end.
Attackers and load have the node's processors: what the load saw late, and the loop was not, is theirs, and so
is what the loop waited for. How far the load is behind its own schedule says how late its process is itself.

Attacks over IPv6 come from as many networks, which takes a route to them: it is made for the time of the test
where root runs it.
"""

import asyncio
import os
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from math import inf
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.adversity import attackers, steady
from tests.adversity.child import Child
from tests.adversity.limited import workers_of
from tests.adversity.resident import Scheduled, highest, memory, stopped
from tests.integration.live_node import metrics
from tests.integration.processes import alive
from tests.integration.server_process import ServerProcess
from tests.integration.test_workers import ready

pytestmark = [pytest.mark.adversity, pytest.mark.shape("embedded", "workers"), pytest.mark.timeout(1200)]

SECONDS = float(os.environ.get("LONGLINE_ATTACK_SECONDS", "20"))
DEVICES = int(os.environ.get("LONGLINE_ATTACK_DEVICES", "300"))
WITHOUT = [name for name in os.environ.get("LONGLINE_ATTACK_WITHOUT", "").split(";") if name]
ALONE = 5.0  # s
LET_GO_WITHIN = 30.0  # s: what is held open has ended by then
NICE = 19  # as little of this machine's processors as can be: attackers bring their own
LOOKS_EVERY = 0.01  # s: how often the node looks how late its loop is
LATE = (0.01, 0.025, 0.05, 0.1)  # s
PINGED_IN = 50.0  # ms
BUSY = 60.0  # times as long on a machine that does much else, and where the code is interpreted

MIB = 1 << 20
BODIES = 64 * MIB
# What the settings and the attackers' number add up to, generously, above what the processes need anyway:
# bodies, and copies of them while they are read; what waits for those who never acknowledge, and for the rest
# of a packet; heads and buffers of connections; what is decoded; and what the allocator does not give back.
MOST = 2 * BODIES + attackers.SILENT * 2 * MIB + attackers.HALVES * MIB // 2 + 256 * MIB


@pytest_asyncio.fixture
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ServerProcess]:
    workers = request.config.getoption("--shape") == "workers"
    async with ServerProcess(
        tmp_path / "data",
        ("--workers", "2") if workers else (),
        LONGLINE_CENTER__BODIES_BYTES=str(BODIES),
        LONGLINE_CENTER__HOST="::",
        LONGLINE_ROOM__HOST="::",
        LONGLINE_ROOM__ADVERTISE="127.0.0.1",
        LONGLINE_TELEMETRY__LOOP_LAG_INTERVAL=str(LOOKS_EVERY),
    ) as server:
        if workers:
            await ready(server)
        yield server


async def test_attackers_neither_stop_a_node_nor_have_it_take_memory_without_bound(
    server: ServerProcess, request: pytest.FixtureRequest, tell: Callable[[str], None]
) -> None:
    workers = request.config.getoption("--shape") == "workers"
    processes = workers_of(server.pid, server.mqtt_port) if workers else [server.pid]
    async with server.center() as center:
        hostile = await center.create_app("hostile", pubsub=True)
        good = await center.create_app("good", pubsub=True)
    plan = steady.Plan(
        *("127.0.0.1", server.http_port, server.mqtt_port),
        *("good", str(good.server_key), good.device_secret),
        devices=DEVICES,
        rate=50.0,
        ping_every=2.0,
        publishes=200.0,
    )
    async with AsyncExitStack() as stack:
        prefix = stack.enter_context(many_networks())
        load = await stack.enter_async_context(Child("tests.adversity.steady", plan))
        await load.ready()
        await asyncio.sleep(ALONE)
        seen = {"before": await load.ask(steady.Taken)}
        usual = memory(processes)
        watching = asyncio.create_task(highest(processes))
        stack.callback(watching.cancel)
        children = [
            await stack.enter_async_context(
                Child(
                    "tests.adversity.attackers",
                    attackers.Plan(
                        *(server.http_port, server.mqtt_port, "hostile"),
                        *(str(hostile.server_key), hostile.device_secret, prefix),
                        kinds=[kind],
                        without=WITHOUT,
                    ),
                    nice=NICE,
                )
            )
            for kind in ("mqtt", "http")
        ]
        for child in children:
            await child.ready()
        looks, begun = await lateness(server), Scheduled.of(processes)
        await asyncio.sleep(SECONDS)
        seen["meanwhile"] = await load.ask(steady.Taken)
        scheduled = Scheduled.of(processes).since(begun)
        looks = {late: count - looks[late] for late, count in (await lateness(server)).items()}
        looked = await look_up(server)
        done = [await child.end(dict[str, int]) for child in children]
        peak = await stopped(watching)
        await asyncio.sleep(ALONE)
        seen["afterwards"] = await load.ask(steady.Taken)
        after = memory(processes)
    for when, taken in seen.items():
        tell(f"{when}: PINGRESP {taken.pings}; plain messages {taken.heard}")
        tell(f"{when}: from the request to 202 {taken.answered}, to the device {taken.pushed}")
        tell(f"{when}: refused {taken.refused or 0}, behind its own schedule {taken.late}")
    tell(
        f"resident before {usual / MIB:.0f} MiB, at most {peak / MIB:.0f} MiB (bound: "
        f"{(usual + MOST) / MIB:.0f}), afterwards {after / MIB:.0f} MiB; a client that asks the dispatcher "
        f"is told to wait {looked} ms; IPv6 networks: {'very many' if prefix else 'none, which takes root'}"
    )
    tell(f"meanwhile, the loops {scheduled} for one")
    if not workers:
        late = ", ".join(f"{1000 * late:.0f} ms in {looks[inf] - looks[late]:.0f}" for late in LATE)
        tell(f"the node's loop, of {looks[inf]:.0f} looks meanwhile, was later than {late}")
    for part in done:
        tell(", ".join(f"{name} {count:,}" for name, count in sorted(part.items())))
    assert all(map(alive, processes)), server.tail()
    for taken in seen.values():
        assert (taken.lost, taken.cut_off) == (0, 0), server.tail()
    assert not seen["afterwards"].refused
    assert peak < usual + MOST
    assert seen["meanwhile"].pings.p99 < BUSY * PINGED_IN


@contextmanager
def many_networks() -> Iterator[str]:
    """How addresses of this machine begin that are in very many networks; empty where that cannot be."""
    prefix = f"fd{secrets.token_hex(1)}:{secrets.token_hex(2)}"
    route = ("route", "add", "local", f"{prefix}::/32", "dev", "lo")
    if (
        os.geteuid()
        or shutil.which("ip") is None
        or subprocess.run(["ip", "-6", *route], check=False).returncode
    ):
        yield ""
        return
    try:
        yield prefix
    finally:
        subprocess.run(["ip", "-6", "route", "del", *route[2:]], check=True)


async def lateness(server: ServerProcess) -> dict[float, float]:
    """How often the node's loop was no later than so many seconds, since it began."""
    prefix = 'longline_loop_lag_seconds_bucket{le="'
    found = await metrics(server.url)
    return {
        float(name.removeprefix(prefix).removesuffix('"}')): count
        for name, count in found.items()
        if name.startswith(prefix)
    }


async def look_up(server: ServerProcess) -> int:
    """What the dispatcher tells a client that asks from somewhere else than the attackers."""
    transport = httpx.AsyncHTTPTransport(local_address="127.3.0.1")
    async with httpx.AsyncClient(transport=transport, timeout=60, trust_env=False) as client:
        found = await client.get(f"{server.url}/v1/dispatch", params={"app": "good", "device": "d"})
    return int(found.raise_for_status().json()["backoff"]["after_ms"])
