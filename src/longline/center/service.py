"""What the API stands on: the ports, the settings, and what several operations share."""

import secrets
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from longline.bus.port import Bus
from longline.center.apps.changes import AppChanges
from longline.center.counters import CenterCounters
from longline.center.devices.waiting_calls import Callers
from longline.center.events.waiting import Waiting
from longline.center.figures.app_health import AppHealths
from longline.center.figures.feed import FigureFeed
from longline.center.gate.auth import Keys
from longline.center.gate.console_sessions import ConsoleSessions
from longline.center.gate.ended_sessions import EndedSessions
from longline.center.gate.named_keys import NamedKeys
from longline.center.gate.sharing import Pools
from longline.center.requests.audit_entries import Recorder
from longline.center.requests.locks import Locks
from longline.center.requests.long_lists import Rows
from longline.center.requests.streams import EventStreams
from longline.center.rooms import Rooms
from longline.delivery.checking import AudienceBounds
from longline.delivery.dry_run import DryRun
from longline.delivery.headcounts import Headcounts, registered
from longline.delivery.limits import LimitsOfApps
from longline.delivery.pipeline import Pipeline
from longline.delivery.rates import MessageRates
from longline.delivery.shadows import ShadowBounds, Shadows
from longline.delivery.timetable import Timetable
from longline.keeper.port import Keeper
from longline.model.times import wall_clock
from longline.register.port import Register
from longline.saver.app_cache import AppCache
from longline.saver.bundle import Saver
from longline.settings import AuthoritySettings, CenterSettings, ShadowSettings, WebhookSettings
from longline.telemetry.faults import Faults
from longline.telemetry.logs import OncePerPeer
from longline.telemetry.traces import Tracer
from longline.telemetry.traffic import Traffic

APPS_KNOWN_FOR = 0.7  # s: a server key that another center replaced opens nothing a second later
APPS_STAND_IN = 5.0  # s for which apps are known while the store does not answer


class Metrics(NamedTuple):
    """An exposition of the node's figures, and its Content-Type."""

    body: bytes
    content_type: str


class CenterService:
    """The role: its ports, its secrets' checks, its pipeline, its figures.

    `admin_key_hash` is SHA-256 of the admin key, `session_secret` what seals sessions in all centers: without
    one they are of this process alone. `ready` says whether requests may wait here: not when the
    process is about to end. `obstacle` says what keeps it from its work, "" for nothing. `metrics` renders
    `/metrics`. `refusals` keeps the log of refused requests short, `faults` that of what nobody foresaw.
    `clock` gives ms since the Unix epoch.
    """

    def __init__(
        self,
        *,
        saver: Saver,
        register: Register,
        bus: Bus,
        keeper: Keeper,
        settings: CenterSettings,
        admin_key_hash: bytes,
        session_secret: bytes | None = None,
        ready: Callable[[], bool],
        obstacle: Callable[[], Awaitable[str]],
        metrics: Callable[[], Metrics],
        refusals: OncePerPeer,
        faults: Faults,
        authority: AuthoritySettings | None = None,
        clock: Callable[[], int] = wall_clock,
        shadows: ShadowSettings | None = None,
        webhooks: WebhookSettings | None = None,
        limits: LimitsOfApps | None = None,
        rates: MessageRates | None = None,
        devices: Headcounts | None = None,
        tracer: Tracer | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        self.saver = saver
        self.register = register
        self.keeper = keeper
        self.settings = settings
        self.authority = authority or AuthoritySettings()
        self.webhooks = webhooks or WebhookSettings()
        self.ready = ready
        self.obstacle = obstacle
        self.metrics = metrics
        self.refusals = refusals
        self.faults = faults
        self.clock = clock
        self.limits = limits or LimitsOfApps()
        self.devices = devices or Headcounts(saver.devices.count, registered(saver.devices))
        self.rates = rates or MessageRates(saver.rates, self.limits)
        self.counters = CenterCounters()
        self.traffic = traffic or Traffic()
        # An app that is not there is asked for each time: it may just have been made through another center.
        # `Keys` sees to it that callers without a good key cannot have that done at will.
        self.apps = AppCache(
            saver.apps, known_for=APPS_KNOWN_FOR, unknown_for=0.0, stands_in_for=APPS_STAND_IN
        )
        self.named_keys = NamedKeys(saver.keys)
        self.keys = Keys(self.apps, self.named_keys, admin_key_hash, wall=clock)
        self.sessions = ConsoleSessions(
            session_secret or secrets.token_bytes(32), EndedSessions(keeper, clock), clock
        )
        self.recorder = Recorder(saver.trail, self.counters, clock)
        self.rooms = Rooms(bus, register, self.apps, clock)
        self.locks = Locks()
        self.app_changes = AppChanges(saver.apps, self.rooms, self.locks)
        self.rows = Rows()
        self.audience_bounds = AudienceBounds(
            settings.max_audience_tests, settings.max_audience_depth, settings.max_alias_devices
        )
        self.pipeline = Pipeline(
            messages=saver.messages,
            audiences=saver.audiences,
            devices=saver.devices,
            routing=saver.routing,
            inboxes=saver.inboxes,
            bus=bus,
            counters=self.counters,
            default_ttl=settings.default_ttl,
            online_grace=settings.online_grace,
            idempotency_ttl=settings.idempotency_ttl,
            bounds=self.audience_bounds,
            limits=self.limits,
            rates=self.rates,
            tracer=tracer,
            traffic=self.traffic,
        )
        self.timetable = Timetable(
            self.pipeline, saver.messages, saver.schedules, idempotency_ttl=settings.idempotency_ttl
        )
        self.dry_run = DryRun(
            self.pipeline,
            self.timetable,
            audiences=saver.audiences,
            devices=saver.devices,
            register=register,
            bounds=self.audience_bounds,
        )
        bounds = shadows or ShadowSettings()
        self.shadows = Shadows(saver.shadows, register, bus, ShadowBounds(bounds.max_bytes, bounds.max_depth))
        self.sharing = Pools(settings, self.limits)
        self.callers = Callers(saver.replies, self.counters, ready=ready)
        self.waiting = Waiting(saver.events, self.counters, ready=ready)
        self.figures = FigureFeed(saver.figures, ready)
        self.app_healths = AppHealths(saver, register, clock)
        self.streams = EventStreams(self.counters, lambda: self.settings.event_streams, ready)

    def reconfigure(self, settings: CenterSettings) -> None:
        """Goes by other settings from now on, as far as they are dynamic."""
        self.settings = settings
        self.sharing.configure(settings)

    async def close(self) -> None:
        """Waits for the messages that are being stored and routed. No request may come any more."""
        await self.figures.close()
        await self.pipeline.close()
        await self.rates.close()
        await self.named_keys.close()
