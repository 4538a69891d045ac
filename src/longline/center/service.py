"""What the API stands on: the ports, the settings, and what several operations share."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from longline.bus.port import Bus
from longline.center.auth import Keys
from longline.center.counters import CenterCounters
from longline.center.locks import Locks
from longline.center.rooms import Rooms
from longline.center.rows import Rows
from longline.center.sharing import Pools
from longline.center.waiting import Waiting
from longline.delivery.pipeline import Pipeline
from longline.keeper.port import Keeper
from longline.model.times import wall_clock
from longline.register.port import Register
from longline.saver.app_cache import AppCache
from longline.saver.bundle import Saver
from longline.settings import CenterSettings
from longline.telemetry.faults import Faults
from longline.telemetry.logs import OncePerPeer

# s: how long a key that was rotated through another center still opens its app here, if its news is lost
APPS_KNOWN_FOR = 5.0


class Metrics(NamedTuple):
    """An exposition of the node's figures, and its Content-Type."""

    body: bytes
    content_type: str


class CenterService:
    """The role: its ports, its secrets' checks, its pipeline, its figures.

    `admin_key_hash` is SHA-256 of the admin key. `ready` says whether requests may wait here: not when the
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
        ready: Callable[[], bool],
        obstacle: Callable[[], Awaitable[str]],
        metrics: Callable[[], Metrics],
        refusals: OncePerPeer,
        faults: Faults,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self.saver = saver
        self.register = register
        self.keeper = keeper
        self.settings = settings
        self.ready = ready
        self.obstacle = obstacle
        self.metrics = metrics
        self.refusals = refusals
        self.faults = faults
        self.clock = clock
        self.counters = CenterCounters()
        # An app that is not there is asked for each time: it may just have been made through another center.
        # `Keys` sees to it that callers without a good key cannot have that done at will.
        self.apps = AppCache(saver.apps, known_for=APPS_KNOWN_FOR, unknown_for=0.0)
        self.keys = Keys(self.apps, admin_key_hash)
        self.rooms = Rooms(bus, register, self.apps, clock)
        self.locks = Locks()
        self.rows = Rows()
        self.pipeline = Pipeline(
            messages=saver.messages,
            routing=saver.routing,
            inboxes=saver.inboxes,
            bus=bus,
            counters=self.counters,
            default_ttl=settings.default_ttl,
            online_grace=settings.online_grace,
            idempotency_ttl=settings.idempotency_ttl,
        )
        self.sharing = Pools(settings)
        self.waiting = Waiting(saver.events, self.counters, ready=ready)

    def reconfigure(self, settings: CenterSettings) -> None:
        """Goes by other settings from now on, as far as they are dynamic."""
        self.settings = settings
        self.sharing.configure(settings)

    async def close(self) -> None:
        """Waits for the messages that are being stored and routed. No request may come any more."""
        await self.pipeline.close()
