"""A whole Longline in one process: every role on one event loop, the embedded engines below them."""

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Final

import structlog

from longline.bus.local import LocalBus
from longline.center.api import application
from longline.center.auth import digest, new_device_secret, new_server_key
from longline.center.counters import GAUGES, LABELS
from longline.center.server import HttpServer
from longline.center.service import Center, Metrics
from longline.coordinator.expiry import Expiry
from longline.errors import AppExists, SettingsError, Unavailable
from longline.keeper.local import LocalKeeper
from longline.keeper.port import Node
from longline.model import App, wall_clock
from longline.node.admin_key import KEY_FILE, admin_key, make_data_dir
from longline.register.memory import MemoryRegister
from longline.room.room import Room
from longline.saver.port import Saver
from longline.saver.sqlite import SqliteSaver
from longline.settings import Settings
from longline.telemetry.build import hot_path_compiled
from longline.telemetry.collector import CONTENT_TYPE, NodeCollector
from longline.telemetry.logs import OncePerPeer
from longline.telemetry.loop import GcPauses, LoopProbe, quiet_gc, task_count
from longline.version import VERSION

ROLES: Final = ("room", "center", "coordinator")

log = structlog.get_logger("longline.node")


class EmbeddedNode:
    """Started by `start`, ended by `stop`; in between, `failed` waits for a part to fail."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._name = settings.node.name
        self._once = OncePerPeer(settings.telemetry.log_peers, settings.telemetry.log_repeat)
        self._pauses = GcPauses()
        self._probe = LoopProbe(settings.telemetry.loop_lag_interval)
        self._collector = NodeCollector(compiled=hot_path_compiled())
        self._tasks: list[asyncio.Task[None]] = []
        self._ready = False

    async def start(self) -> None:
        """Opens the store, then the room, then the API.

        Raises LonglineError; nothing is left open then.
        """
        async with AsyncExitStack() as opened:
            await self._open(opened)
            self._opened = opened.pop_all()
        self._ready = True
        log.info(
            "node_started",
            node=self._name,
            version=VERSION,
            compiled=hot_path_compiled(),
            loop=type(asyncio.get_running_loop()).__module__,
            **self.addresses(),
        )
        self._say_what_is_not_opened()

    async def stop(self) -> None:
        """Refuses what is new, finishes what was accepted, says goodbye to devices, closes the store."""
        self._ready = False
        await self._opened.aclose()
        log.info("node_stopped", node=self._name)

    async def _open(self, opened: AsyncExitStack) -> None:
        """Opens part after part; `opened` closes them in reverse order."""
        settings = self.settings
        grace = settings.node.shutdown_grace
        make_data_dir(settings.data_dir)
        key = admin_key(settings.data_dir, settings.admin_key.reveal() if settings.admin_key else None)
        register = MemoryRegister()
        bus = LocalBus(settings.bus.queue, settings.bus.queue_bytes)
        keeper = LocalKeeper()
        saver = await SqliteSaver.open(
            settings.database,
            locate=register.locate_now,
            queue_limit=settings.saver.queue,
            queue_bytes=settings.saver.queue_bytes,
            cache_bytes=settings.saver.cache_bytes,
            ledger_retention_ms=settings.saver.ledger_retention * 1000,
        )
        opened.push_async_callback(saver.close)
        await self._open_anonymous_app(saver)

        self._own("coordinator.expiry", Expiry(saver, keeper, self._name).run())
        self._own("telemetry.loop-lag", self._probe.run())
        opened.push_async_callback(self._end_tasks)

        room = Room(settings.room, self._name, saver=saver, register=register, bus=bus, report=self._report)
        opened.push_async_callback(room.stop, grace)
        with listening("room.port", settings.room.host, settings.room.port):
            await room.start()
        self._tasks += room.tasks

        center = Center(
            saver=saver,
            register=register,
            bus=bus,
            keeper=keeper,
            settings=settings.center,
            admin_key_hash=digest(key),
            ready=lambda: self._ready,
            metrics=lambda: Metrics(self._collector.exposition(), CONTENT_TYPE),
            faults=self._once,
        )
        opened.push_async_callback(center.close)
        if settings.center.port:
            server = HttpServer(application(center), settings.center.host, settings.center.port, grace=grace)
            with listening("center.port", settings.center.host, settings.center.port):
                await server.start()
            opened.push_async_callback(server.stop)

        await keeper.join(
            Node(
                node=self._name,
                roles=ROLES,
                addresses=self.addresses(),
                since=wall_clock(),
                version=VERSION,
            )
        )
        self._export(room, center, saver, bus)
        if settings.node.gc_freeze:
            quiet_gc()
        self._pauses.install()
        opened.callback(self._pauses.remove)

    async def _end_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def addresses(self) -> dict[str, str]:
        """Where the node listens, by protocol."""
        room, center = self.settings.room, self.settings.center
        addresses = {}
        if room.port:
            addresses["mqtt"] = f"{room.host}:{room.port}"
        if center.port:
            addresses["http"] = f"http://{center.host}:{center.port}"
        return addresses

    @property
    def key_file(self) -> Path | None:
        """Where the admin key is; None when the settings gave it."""
        return None if self.settings.admin_key else self.settings.data_dir / KEY_FILE

    async def failed(self) -> None:
        """Returns when a part has ended that should run for as long as the node does."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            log.critical("part_failed", part=task.get_name(), exc_info=task.exception())

    def _own(self, name: str, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(asyncio.create_task(work, name=name))

    async def _open_anonymous_app(self, saver: Saver) -> None:
        name = self.settings.room.anonymous_app
        if name is None or await saver.find_app(name) is not None:
            return
        # Its server key is nobody's until an operator rotates it.
        app = App(
            app=name,
            number=0,
            name=name,
            server_key_hash=digest(new_server_key(name)),
            device_secret=new_device_secret(),
            pubsub=True,
            created_at=wall_clock(),
        )
        try:
            await saver.create_app(app)
        except AppExists:
            raise Unavailable(f"the app {name!r} was made by somebody else at this moment") from None

    def _report(self, code: str, peer: str, message: str) -> None:
        if self._once.first(code, peer, time.monotonic()):
            log.warning("refused", code=code, peer=peer, reason=message)

    def _export(self, room: Room, center: Center, saver: Saver, bus: LocalBus) -> None:
        collector = self._collector
        collector.add("room", room.broker.counters, gauges=("connections", "sessions"))
        collector.add("center", center.counters, gauges=GAUGES, labels=LABELS)
        collector.add("gc", self._pauses)
        collector.add("loop", self._probe)
        collector.add("log", self._once)
        collector.figures("saver", saver.statistics)
        collector.gauge("tasks", "Tasks alive on the event loop.", task_count)
        for name, doc, read in (
            ("room_connects_waiting", "CONNECTs whose answer waits for a store.", room.admission.waiting),
            ("room_receipts_waiting", "Receipts that wait to be committed.", room.receipts.waiting),
            ("room_refills_waiting", "Sessions that wait for a read of their inbox.", room.inbox.waiting),
            ("room_departures_waiting", "Ended sessions still in the table.", room.departures.waiting),
            (
                "bus_commands_waiting",
                "Commands the room has not taken.",
                lambda: bus.waiting(self._name),
            ),
        ):
            collector.gauge(name, doc, read)

    def _say_what_is_not_opened(self) -> None:
        room = self.settings.room
        ports = {"ws": room.ws_port}
        if room.tls_cert is not None and room.tls_key is not None:
            ports |= {"tls": room.tls_port, "wss": room.wss_port}
        for listener, port in ports.items():
            if port:
                log.info("not_opened", listener=listener, port=port, reason="not supported by this version")


@contextmanager
def listening(setting: str, host: str, port: int) -> Iterator[None]:
    """Says of a listener that cannot be opened which setting it comes from."""
    try:
        yield
    except OSError as error:
        problem = f"cannot listen on {host}:{port}: {error.strerror or error}"
        raise SettingsError(problem, details=[(setting, problem)]) from None


async def run(settings: Settings, started: Callable[[EmbeddedNode], None]) -> int:
    """Runs a node until SIGINT, SIGTERM or a failure; returns the exit status."""
    node = EmbeddedNode(settings)
    await node.start()
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked.set)
    started(node)
    waiting = asyncio.create_task(asked.wait(), name="node.signal")
    failing = asyncio.create_task(node.failed(), name="node.failed")
    await asyncio.wait([waiting, failing], return_when=asyncio.FIRST_COMPLETED)
    status = 1 if failing.done() else 0
    waiting.cancel()
    failing.cancel()
    await node.stop()
    return status
