"""One process of Longline: the roles it was asked for, on engines that are its own or a cluster's."""

import asyncio
import resource
from collections.abc import Callable, Container, Sequence
from contextlib import AsyncExitStack
from typing import Final

import structlog
from starlette.types import ASGIApp

from longline.center.api import application
from longline.center.counters import GAUGES, LABELS
from longline.center.service import CenterService
from longline.console.site import Site
from longline.coordinator.coordinator import Coordinator
from longline.coordinator.webhook_counters import GAUGES as WEBHOOK_GAUGES
from longline.coordinator.webhook_counters import LABELS as WEBHOOK_LABELS
from longline.delivery.checking import AudienceBounds
from longline.delivery.counters import DeliveryCounters
from longline.delivery.headcounts import Headcounts, registered
from longline.delivery.limits import LimitsOfApps
from longline.delivery.pipeline import Pipeline
from longline.delivery.plans import KEPT
from longline.delivery.rates import MessageRates
from longline.delivery.zones import in_zones
from longline.dispatcher.api import DispatcherApi
from longline.dispatcher.dispatcher import Dispatcher
from longline.flow.kept import again
from longline.keeper.port import Load, Node
from longline.model.times import wall_clock
from longline.node.addresses import advertised, bound, guessed
from longline.node.admin_key import admin_key_hash
from longline.node.anonymous_app import make_anonymous_app
from longline.node.bounds import Bounds
from longline.node.certificates import front_tls, look_after, room_tls
from longline.node.default_limits import default_limits
from longline.node.engines import Engines, OpenEngines
from longline.node.files import LOOK_EVERY, Files
from longline.node.fronts import Fronts
from longline.node.haste import HASTE, Haste
from longline.node.instruments import Instruments
from longline.node.isolation import Isolation, silent
from longline.node.membership import Cpu, Membership, describe_load
from longline.node.move_targets import MoveTargets
from longline.node.probes import Probes
from longline.node.readiness import Readiness
from longline.node.reconciler import Reconciler
from longline.node.refused_by_limits import refused_by_limits
from longline.node.room_metrics import room_metrics
from longline.node.session_secret import session_secret
from longline.node.tasks import Tasks
from longline.node.telling import WhoTells
from longline.room.room import Room
from longline.settings import Settings
from longline.telemetry import logs
from longline.telemetry.build import hot_path_compiled
from longline.telemetry.faults import Faults
from longline.tls.service import TlsService
from longline.version import VERSION

ROLES: Final = ("room", "center", "dispatcher", "coordinator")
STATUS_CONNECTIONS: Final = 64  # at once, of those who look at probes and figures
ISOLATED: Final = "1 while this process cannot reach its store, or was taken for dead and has no new name."
STORE_GONE: Final = 3.0  # s of silence of the store after which a process that is to end does without it
MEASURE_EVERY: Final = 60.0  # s between two questions to the store how it is
DISMISSED: Final = 1.0  # s for clients to go then

log = structlog.get_logger("longline.node")


class Process:
    """Started by `start`, ended by `stop`; in between, `failed` waits for a part to fail.

    `renamed` is called when it goes on under another name, because the others took it for dead.
    `alone`: it is a whole cluster by itself, so its name lasts from one life to the next. `faults` counts
    what one item of many raised unforeseen, in whatever part.
    """

    def __init__(
        self, settings: Settings, roles: Sequence[str], open_engines: OpenEngines, *, alone: bool
    ) -> None:
        self.settings = settings
        self.roles = tuple(role for role in ROLES if role in roles)
        self.faults = Faults()
        self._open_engines = open_engines
        self._alone = alone
        self._instruments = Instruments(settings, self.faults)
        self._tasks = Tasks(self._instruments.watch, self.faults)
        self._limits = LimitsOfApps(default_limits(settings))
        self._files = Files(settings.room.max_connections)
        self._collector = self._instruments.collector
        self._cpu = Cpu()
        self._ready = False
        self._room: Room | None = None
        self._room_tls: TlsService | None = None
        self._center: CenterService | None = None
        self._dispatcher: Dispatcher | None = None
        self._coordinator: Coordinator | None = None
        self._isolation: Isolation | None = None
        self._retired = False
        self._fronts = Fronts(
            self._collector, self.faults, self._instruments.report, settings.node.shutdown_grace
        )
        self._haste = Haste()
        self._forlorn = False  # it is to end, and its store is given up
        self._since = wall_clock()
        self.renamed: Callable[[Process], None] = lambda _: None

    # --- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Opens the engines, then the roles. Raises LonglineError; nothing is left open then."""
        async with AsyncExitStack() as opened:
            await self._open(opened)
            self._opened = opened.pop_all()
        self._ready = True
        self._cpu()  # what starting took says nothing of the load to come
        await self.membership.tell()
        log.info(
            "node_started",
            roles=self.roles,
            version=VERSION,
            compiled=hot_path_compiled(),
            loop=type(asyncio.get_running_loop()).__module__,
            **self.addresses,
        )
        if guessed(self.settings, self.roles):
            told = advertised(self.settings, self.roles).get("mqtt")
            log.warning(
                "address_guessed",
                told=told,
                reason="room.host is every address of this host, and room.advertise is not set",
            )

    async def stop(self) -> None:
        """Moves clients elsewhere, refuses what is new, finishes what was accepted, closes the engines.

        A store that says nothing meanwhile is not waited for: nothing could be finished without it.
        """
        watching = asyncio.create_task(self._watch_store(), name="node.store")
        try:
            if self._room is not None and not self._alone:
                self.retire()
                await self._leave()
            self._ready = False
            await self._opened.aclose()
        finally:
            watching.cancel()
        log.info("node_stopped")

    async def _watch_store(self) -> None:
        engines = self._engines
        if engines.signs is None or engines.give_up is None:
            return
        await silent(engines.signs, STORE_GONE)
        log.warning("store_given_up", reason="it does not answer, and this process is to end")
        self._forlorn = True
        if self._room is not None:
            self._room.give_up()
        self._reconciler.hurry(DISMISSED)
        await engines.give_up()

    async def _leave(self) -> None:
        """Moves clients elsewhere, until they are or there is no time for it."""
        try:
            await self._haste.end("clients", self._move, 0.0)
        except Exception as error:
            self.faults.note("node.leave", error)

    async def _move(self) -> None:
        await self.membership.tell()
        await self._reconciler.leave(DISMISSED if self._forlorn else self.settings.node.drain_grace)

    def hasten(self) -> None:
        """Has `stop` move nobody any more, and wait a second at most for whatever is under way."""
        self._haste.ask()
        self._fronts.hasten(HASTE)
        if self._room is not None:
            self._room.hasten(HASTE)

    async def failed(self) -> None:
        """Returns when a part has ended that should run for as long as the process does."""
        await self._tasks.failed()

    @property
    def addresses(self) -> dict[str, str]:
        """Where it listens, by protocol."""
        return bound(self.settings, self.roles, self._without)

    @property
    def _without(self) -> Container[str]:
        return () if self._room is None else self._room.without

    @property
    def name(self) -> str:
        """The node's name now."""
        return self.membership.name

    # --- opening ----------------------------------------------------------------------------------

    async def _open(self, opened: AsyncExitStack) -> None:
        """Opens part after part; `opened` closes them in reverse order."""
        settings = self.settings
        below = AsyncExitStack()  # one part that ends, whatever it opens
        opened.push_async_callback(self._haste.end, "engines", below.aclose)
        engines = self._engines = await self._open_engines(settings, self.faults, below)
        self._rates = MessageRates(engines.saver.rates, self._limits)
        below.push_async_callback(self._rates.close)
        devices = engines.saver.devices
        self._devices = Headcounts(devices.count, registered(devices))
        self.membership = Membership(
            settings.node.name,
            engines.keeper,
            engines.bus,
            describe=self._describe,
            has_queue="room" in self.roles,
            fallen=self._fallen,
            renamed=self._renamed,
            interval=settings.keeper.report_interval,
            lasting=self._alone,
        )
        logs.name_node(self.name)
        targets = MoveTargets(lambda: self.name)
        room = self._make_room(engines) if "room" in self.roles else None
        self._room = room
        if room is not None:
            room.receipts.tracer = self._instruments.tracer
        self._reconciler = Reconciler(
            settings,
            engines.keeper,
            lambda: self.name,
            apply=self._apply,
            targets=targets,
            draining=None if room is None else room.draining(targets.any, targets.address),
            faults=self.faults,
        )
        if room is not None and engines.signs is not None:
            self._isolation = Isolation(
                engines.signs,
                patience=settings.store.timeout,
                fallen=lambda: self.membership.fallen,
                work=room.shedding(targets.any_elsewhere, targets.address_elsewhere).run,
                faults=self.faults,
            )
        await self.membership.join()
        opened.push_async_callback(self._haste.end, "membership", self.membership.leave)
        opened.push_async_callback(self._tasks.end)  # before: nobody joins again, or misses us, meanwhile
        self._instruments.watch_loop(self._tasks)
        self._tasks.own("node.files", self._files.run, within=LOOK_EVERY)
        asyncio.get_running_loop().set_exception_handler(self._files.heard)
        self._collector.figures("files", self._files.statistics)
        self._tasks.own("node.membership", self.membership.run, within=settings.keeper.report_interval)
        for part, read in engines.figures.items():
            self._collector.figures(part, read)
        if "coordinator" in self.roles:
            self._open_coordinator(engines)
        if room is not None:
            await self._open_room(room, engines, opened)
        self._tasks.own("node.reconciler", self._reconciler.run)
        if self._isolation is not None:
            self._tasks.own("node.isolation", self._isolation.run)
            self._collector.gauge("isolated", ISOLATED, self._isolation.state)
        self._instruments.open_profiles(
            engines,
            lambda: self.name,
            self._since,
            lambda: self.settings.telemetry.profile_every,
            self._tasks,
            opened,
        )
        await self._open_front(engines, opened)
        self._collector.figures(
            "limits", lambda: refused_by_limits(self._rates, self._devices, self._room, self._center)
        )
        self._instruments.open(self._tasks, opened)
        for part, counters in engines.counters.items():
            self._collector.add(part, counters)
        self._collector.figures("bound", self._bounds(engines).figures)
        if "coordinator" in self.roles and engines.measure is not None:
            measure = engines.measure
            self._tasks.own("node.measure", lambda: again(measure, MEASURE_EVERY), within=MEASURE_EVERY)
        teller = self._instruments.open_telling(engines, self._tells, self._tasks, self._haste, opened)
        if self._center is not None:
            self._center.figures.woken = teller.wake

    def _bounds(self, engines: Engines) -> Bounds:
        room = self._room
        return Bounds(
            lambda: self.settings,
            saver=engines.saver.statistics,
            store=engines.figures.get("store"),
            connections=lambda: 0 if room is None else room.capacity,
            files=self._files.limit,
            http=self._http_limit(),
            center=self._center is not None,
        )

    def _http_limit(self) -> int:
        """HTTP connections that the front takes; most files are for devices."""
        if "center" not in self.roles and "dispatcher" not in self.roles:
            return 0
        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return min(self.settings.center.max_connections, max(8, files // 4))

    def _tells(self) -> WhoTells:
        return WhoTells(self.name, self.settings.node.name, self.roles, VERSION, self._since)

    def _open_coordinator(self, engines: Engines) -> None:
        center = self.settings.center
        bounds = AudienceBounds(
            center.max_audience_tests, center.max_audience_depth, center.max_alias_devices
        )
        # For as long as there may be nobody to lead.
        pipeline = self._pipeline(engines, KEPT // 1000, in_zones(bounds))
        coordinator = Coordinator(
            self.settings.coordinator,
            lambda: self.name,
            pipeline=pipeline,
            bounds=bounds,
            saver=engines.saver,
            register=engines.register,
            bus=engines.bus,
            keeper=engines.keeper,
            faults=self.faults,
            webhooks=self.settings.webhooks,
            limits=self._limits,
        )
        self._coordinator = coordinator
        for duty in coordinator.duties:
            self._tasks.own(f"coordinator.{duty.name}", duty.run, within=duty.every)
        self._tasks.own("coordinator.webhook-calls", coordinator.webhooks.run)
        self._collector.figures("coordinator", coordinator.statistics)
        self._collector.add(
            "webhooks", coordinator.webhooks.counters, gauges=WEBHOOK_GAUGES, labels=WEBHOOK_LABELS
        )
        self._collector.gauge(
            "webhooks_waiting", "Targets that wait for their turn to be called.", coordinator.webhooks.waiting
        )

    def _pipeline(
        self, engines: Engines, idempotency_ttl: int, bounds: AudienceBounds | None = None
    ) -> Pipeline:
        """A way for messages that come neither by the API nor from a front door that has one."""
        center, saver = self.settings.center, engines.saver
        return Pipeline(
            messages=saver.messages,
            audiences=saver.audiences,
            devices=saver.devices,
            routing=saver.routing,
            inboxes=saver.inboxes,
            bus=engines.bus,
            counters=DeliveryCounters(),
            default_ttl=center.default_ttl,
            online_grace=center.online_grace,
            idempotency_ttl=idempotency_ttl,
            bounds=bounds or AudienceBounds(),
            limits=self._limits,
            rates=self._rates,
            tracer=self._instruments.tracer,
        )

    def _make_room(self, engines: Engines) -> Room:
        settings = self.settings.room
        tls = self._room_tls = room_tls(self.settings, self._instruments.report, self.faults)
        return Room(
            self._files.within(settings),
            self.name,
            saver=engines.saver,
            register=engines.register,
            bus=engines.bus,
            report=self._instruments.report,
            faults=self.faults,
            fenced=self.membership.fenced,
            kept=self.settings.sessions,
            shadows=self.settings.shadows,
            parking=self.settings.parking,
            pipeline=self._pipeline(engines, self.settings.center.idempotency_ttl),
            authority=self.settings.authority,
            limits=self._limits,
            devices=self._devices,
            traffic=self._instruments.traffic,
            secure={} if tls is None else {"tls": tls.secure, "wss": tls.secure_web},
        )

    async def _open_room(self, room: Room, engines: Engines, opened: AsyncExitStack) -> None:
        anonymous = self.settings.room.anonymous_app
        if anonymous is not None:
            await make_anonymous_app(anonymous, engines.saver.apps)
        # A second for what it is to commit, and one to tell the store who is gone.
        opened.push_async_callback(self._haste.end, "room", lambda: self._stop_room(room), 2 * HASTE)
        if self._room_tls is not None:
            self._room_tls.paid_to(room.turn)
        await room.start()
        self._tasks.adopt(room.tasks)
        room_metrics(self._collector, room)
        if self._room_tls is not None:
            look_after("room", self._room_tls, self._tasks, self._collector)

    async def _stop_room(self, room: Room) -> None:
        grace = self.settings.node.shutdown_grace
        await room.stop(min(grace, HASTE) if self._haste.asked else grace)

    async def _open_front(self, engines: Engines, opened: AsyncExitStack) -> None:
        """The HTTP side: the API, the dispatcher, or only the probes and figures."""
        settings = self.settings
        readiness = Readiness(self._away, engines.keeper.in_touch, engines.saver.check)
        opened.push_async_callback(readiness.close)
        app: ASGIApp = Probes(readiness.obstacle, self._instruments.metrics)
        node = settings.node
        await self._fronts.open(
            "status",
            app,
            (node.status_host, node.status_port),
            "node.status_port",
            opened,
            limit=STATUS_CONNECTIONS,
        )
        if "center" in self.roles:
            center = CenterService(
                saver=engines.saver,
                register=engines.register,
                bus=engines.bus,
                keeper=engines.keeper,
                settings=settings.center,
                authority=settings.authority,
                admin_key_hash=await admin_key_hash(settings, engines.keeper, alone=self._alone),
                session_secret=await session_secret(engines.keeper),
                ready=self._stays,
                obstacle=readiness.obstacle,
                metrics=self._instruments.metrics,
                refusals=self._instruments.refusals,
                faults=self.faults,
                shadows=settings.shadows,
                webhooks=settings.webhooks,
                limits=self._limits,
                rates=self._rates,
                devices=self._devices,
                tracer=self._instruments.tracer,
                traffic=self._instruments.traffic,
            )
            opened.push_async_callback(self._haste.end, "center", center.close)
            self._center = center
            self._collector.add("center", center.counters, gauges=GAUGES, labels=LABELS)
            self._collector.gauge(
                "center_turns_waiting",
                "Pieces of large requests that wait for their turn at the store.",
                lambda: center.pipeline.turns.waiting,
            )
            self._collector.gauge(
                "center_bodies_bytes",
                "What the bodies of requests under way have, or say that they have.",
                lambda: center.sharing.bodies.total,
            )
            app = application(center)
        if "dispatcher" in self.roles:
            dispatcher = self._dispatcher = Dispatcher(settings.dispatcher, engines.keeper)
            self._tasks.own("dispatcher.view", dispatcher.run)
            self._tasks.own("dispatcher.apps", lambda: dispatcher.watch(engines.saver.apps))
            self._collector.figures("dispatcher", dispatcher.statistics)
            app = DispatcherApi(dispatcher, app)
        if "center" in self.roles:
            app = Site(app)
        if "center" in self.roles or "dispatcher" in self.roles:
            front = settings.center
            tls = front_tls(settings, self._instruments.report, self.faults)
            if tls is not None:
                look_after("http", tls, self._tasks, self._collector)
            await self._fronts.open(
                "http",
                app,
                (front.host, front.port),
                "center.port",
                opened,
                limit=self._http_limit(),
                shared=front.reuse_port,
                secure=None if tls is None else tls.secure,
            )

    def _takes_traffic(self) -> bool:
        return not self._away()

    def _stays(self) -> bool:
        """Whether who waits here may go on waiting: it is not about to end."""
        return self._ready and not self._retired

    def _away(self) -> str:
        """Why it takes no traffic; "" where it does."""
        if self.membership.fallen:
            return "the node was taken for dead, and has no new name yet"
        if self._isolation is not None and self._isolation.isolated:
            return "the node cannot reach its store"
        if not self._stays() or self._reconciler.draining:
            return "the node starts, drains or stops"
        return ""

    # --- what it is to the others -------------------------------------------------------------------

    def _describe(self, name: str) -> Node:
        node = self.settings.node
        room = self._room
        return Node(
            node=name,
            roles=self.roles,
            addresses=advertised(self.settings, self.roles, self._without),
            since=self._since,
            version=VERSION,
            host=node.name,
            region=node.region,
            networks=node.networks,
            weight=node.weight,
            pool=node.pool,
            draining=not self._takes_traffic(),
            settings_version=self._reconciler.version,
            load=Load()
            if room is None
            else describe_load(room.connections, room.capacity, self._cpu(), self._instruments.lag),
        )

    def _apply(self, settings: Settings) -> None:
        """Goes by other settings from now on: those that can change at run time."""
        logs.set_level(settings.node.log_level)
        self._limits.defaults = default_limits(settings)
        if self._room is not None:
            self._room.configure(self._files.within(settings.room), settings.sessions)
        if self._center is not None:
            self._center.reconfigure(settings.center)
        if self._dispatcher is not None:
            self._dispatcher.configure(settings.dispatcher)
        if self._coordinator is not None:
            self._coordinator.configure(settings.coordinator)
        self.settings = settings

    def retire(self) -> None:
        """Takes no new clients from now on; those that are here stay until `stop` moves them."""
        self._retired = True
        if self._room is not None:
            self._room.close_listeners()
        log.info("retired")

    async def _fallen(self) -> None:
        if self._room is not None:
            await self._room.suspend()

    async def _renamed(self, name: str) -> None:
        logs.name_node(name)
        if self._room is not None:
            await self._room.rename(name)
        self.renamed(self)
