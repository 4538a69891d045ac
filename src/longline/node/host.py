"""All of Longline's processes on this host, under one agent."""

import asyncio
import functools
import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from longline.agent.agent import Agent, Kind
from longline.agent.valkey import PrivateValkey
from longline.agent.warm import WarmParent
from longline.flow.kept import kept
from longline.keeper.port import Keeper
from longline.model.agents import ProcessStatus
from longline.node.addresses import bound
from longline.node.admin_key import admin_key, make_data_dir
from longline.node.agent_link import AgentLink
from longline.node.cluster import open_keeper
from longline.node.data_folder import Shape, held, refuse_unread
from longline.node.haste import Haste
from longline.node.ports import until_free
from longline.node.process import ROLES
from longline.settings import Settings, load
from longline.telemetry import logs
from longline.telemetry.faults import Faults

WORK = "longline.node.worker:work"
PRELOAD = ("uvloop",)
SHARED_PORTS = {"room.reuse_port": "true", "center.reuse_port": "true"}
PARTITIONS = 16  # of a store that is one process on one host

log = structlog.get_logger("longline.agent")

Flags = Mapping[str, str]


def kinds(settings: Settings, flags: Flags) -> list[Kind]:
    """What `agent.processes` asks for; `flags` are those of the agent itself."""
    found = []
    for entry in settings.agent.processes:
        roles, _, count = entry.partition("=")
        found.append(Kind(tuple(roles.split("+")), int(count), {**SHARED_PORTS, **flags}))
    return found


async def run_agent(settings: Settings, config: Path | None, flags: Flags) -> int:
    """`longline agent`: the processes that the settings name, until SIGINT or SIGTERM."""
    logs.name_node(f"agent-{settings.node.name}")
    wanted = kinds(settings, flags)
    async with AsyncExitStack() as opened:
        without = await until_free(settings, {role for kind in wanted for role in kind.roles})
        wanted = kinds(settings, {**flags, **without})
        faults, haste = Faults(), Haste()
        keeper = await _keeper(settings, faults, haste, opened)
        return await _run(settings, config, wanted, keeper, None, faults, haste, lambda: None)


async def run_workers(
    config: Path | None,
    flags: Flags,
    settings: Settings,
    workers: int,
    started: Callable[[Mapping[str, str]], None],
) -> int:
    """`longline serve --workers N`: as many processes with every role, and a private Valkey below them.

    `started` is told where they listen, when they do.
    """
    logs.name_node(f"agent-{settings.node.name}")
    make_data_dir(settings.data_dir)
    async with AsyncExitStack() as opened:
        opened.enter_context(held(settings.data_dir))
        refuse_unread(settings, Shape.WORKERS)
        valkey = PrivateValkey(settings.data_dir, program=settings.agent.valkey)
        without = await until_free(settings, ROLES)
        opened.push_async_callback(valkey.stop)
        await valkey.start()
        mine = {
            **SHARED_PORTS,
            "keeper.session_timeout": "5",
            **flags,
            **without,
            "store.url": valkey.url,
            "store.partitions": str(PARTITIONS),
            "keeper.engine": "redis",
        }
        if settings.admin_key is None:  # all of them share the directory, and the key in it
            mine["admin_key"] = admin_key(settings.data_dir)
        settings = load(config, os.environ, mine).settings
        faults, haste = Faults(), Haste()
        keeper = await _keeper(settings, faults, haste, opened)
        wanted = [Kind(ROLES, workers, mine)]

        def ready() -> None:
            started(bound(settings, ROLES))

        return await _run(settings, config, wanted, keeper, valkey, faults, haste, ready)


async def _keeper(settings: Settings, faults: Faults, haste: Haste, opened: AsyncExitStack) -> Keeper:
    """The cluster's keeper, whose end is soon when somebody cannot wait."""
    below = AsyncExitStack()
    opened.push_async_callback(haste.end, "keeper", below.aclose)
    return await open_keeper(settings, faults, below)


async def _run(
    settings: Settings,
    config: Path | None,
    kinds: Sequence[Kind],
    keeper: Keeper,
    valkey: PrivateValkey | None,
    faults: Faults,
    haste: Haste,
    started: Callable[[], None],
) -> int:
    """Keeps the processes running until told to end; SIGHUP or an order restarts them one after the other."""
    link = AgentLink(settings.node.name, keeper, faults)
    await link.open()

    async def post(status: Sequence[ProcessStatus]) -> None:
        await link.tell(status, agent.restart)

    node = settings.node
    agent = Agent(
        kinds,
        functools.partial(WarmParent, WORK, str(config) if config else None, PRELOAD),
        faults=faults,
        patience=node.drain_grace + node.shutdown_grace,
        status_ports=settings.agent.status_ports,
        post=post,
        beside=tuple if valkey is None else lambda: (valkey.status(),),
    )
    if valkey is not None:
        valkey.changed = agent.ring
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    roll = asyncio.Event()

    def end() -> None:
        if asked.is_set():
            haste.ask()
            agent.hasten()
        asked.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(signal.SIGHUP, roll.set)
    agent.start()
    try:
        async with asyncio.TaskGroup() as tasks:
            work: dict[str, Callable[[], Awaitable[None]]] = {
                "agent.report": agent.report,
                "agent.roll": functools.partial(_roll, agent, roll),
                "agent.ready": functools.partial(_tell, agent, started),
                "agent.link": functools.partial(link.run, agent),
                "agent.orders": functools.partial(link.carry_out, agent),
            }
            if valkey is not None:
                work["agent.valkey"] = valkey.keep
            owned = [tasks.create_task(kept(name, do, faults), name=name) for name, do in work.items()]
            await asked.wait()
            for task in owned:
                task.cancel()
    finally:
        log.info("agent_stopping")
        await agent.stop()
    return 0


async def _roll(agent: Agent, asked: asyncio.Event) -> None:
    while True:
        await asked.wait()
        asked.clear()
        await agent.unrolled()
        await agent.roll()


async def _tell(agent: Agent, started: Callable[[], None]) -> None:
    await agent.ready()
    log.info("agent_ready")
    started()
