"""The role: a view of the rooms, kept up to date by what the keeper hears, and answers from it."""

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import msgspec

from longline.dispatcher.ranking import Endpoint, distance, endpoints, ranked
from longline.dispatcher.stampede import Stampede
from longline.errors import LonglineError, Unavailable
from longline.flow.lru import LruCache
from longline.keeper.port import Keeper, Node
from longline.model.networks import network_of
from longline.saver.port.apps import AppStore
from longline.settings import DispatcherSettings

HISTORY = 100_000  # clients whose last endpoint is remembered
APPS_EVERY = 60.0  # s between two looks at which apps there are
MOST_APPS = 100_000  # whose names are kept in mind; where there are more, every look-up counts
PAGE = 1000
PATHS = {"ws": "/mqtt", "wss": "/mqtt"}  # where rooms speak WebSocket
BUSY = 0.5  # share of its weight below which an endpoint's former clients are not sent back to it


class EndpointView(msgspec.Struct, frozen=True, omit_defaults=True):
    """An endpoint as a client is told of it; `path` is that of a WebSocket."""

    host: str
    port: int
    transport: str
    weight: float
    path: str | None = None


class Heartbeat(msgspec.Struct, frozen=True):
    """`keep_alive` recommended in CONNECT, in seconds."""

    keep_alive: int


class Backoff(msgspec.Struct, frozen=True):
    """When to connect: `after_ms` from now; then from `initial_ms`, doubled up to `max_ms`, each time drawn
    from the whole range below (full jitter)."""

    after_ms: int
    initial_ms: int
    max_ms: int


class Dispatch(msgspec.Struct, frozen=True):
    """Endpoints, best first, good for `expires_in` seconds."""

    endpoints: list[EndpointView]
    expires_in: int
    heartbeat: Heartbeat
    backoff: Backoff


class Dispatcher:
    """Fed by `run` (or `see`), asked by `look_up`. `lookups` and `without_room` count."""

    def __init__(
        self,
        settings: DispatcherSettings,
        keeper: Keeper,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.lookups = 0
        self.without_room = 0
        self._keeper = keeper
        self._monotonic = monotonic
        self._draw = draw
        self._stampede = Stampede()
        self._apps: frozenset[str] | None = None  # None: not known
        self._history: LruCache[bytes, str] = LruCache(HISTORY)  # client → address of its endpoint
        self._rooms: Mapping[str, Sequence[Node]] = {}
        self._dispatchers = 1  # that share the clients
        self._endpoints: dict[tuple[str, str], list[Endpoint]] = {}
        self.configure(settings)

    def configure(self, settings: DispatcherSettings) -> None:
        """Goes by other settings from now on."""
        self._settings = settings
        self._pools = dict(pool.split("=", 1) for pool in settings.pools)

    async def run(self) -> None:
        """Keeps the view up to date for as long as the process lives."""
        seen = 0
        while True:
            self.see(await self._keeper.members())
            seen = await self._keeper.changed(seen)
            await asyncio.sleep(0.05)  # many rooms report at once

    def see(self, members: Sequence[Node]) -> None:
        """Takes a new list of members. Rooms that drain are left out, unless there are no others."""
        rooms: dict[str, list[Node]] = {}
        self._dispatchers = max(1, sum("dispatcher" in member.roles for member in members))
        for member in members:
            if "room" in member.roles:
                rooms.setdefault(member.pool, []).append(member)
        if not rooms and not self._keeper.in_touch():
            return  # nothing is known, which is worse than what was
        self._rooms = {
            pool: [room for room in members if not room.draining] or members
            for pool, members in rooms.items()
        }
        self._endpoints = {}

    async def watch(self, apps: AppStore) -> None:
        """Keeps in mind which apps there are: look-ups of others make nobody wait.

        Nothing in an answer tells whether its app exists.
        """
        while True:
            with suppress(LonglineError):  # the store is away: what was known stays
                self._apps = await _names(apps)
            await asyncio.sleep(APPS_EVERY)

    def look_up(
        self, app: str, device: str, *, transport: str, network: str, region: str, peer: str
    ) -> Dispatch:
        """Where this client should connect. Raises `Unavailable` when there is no room for it at all.

        `network` is what the client says of where it is, `peer` the address that it asks from.
        """
        self.lookups += 1
        settings = self._settings
        pool = self._pools.get(app, "")
        rooms = self._rooms.get(pool) or self._rooms.get("") or ()
        candidates = self._candidates(pool if self._rooms.get(pool) else "", transport)
        if not candidates:
            self.without_room += 1
            raise Unavailable(f"there is no room for {transport}", retry_after=1.0 + 4.0 * self._draw())
        client = f"{app}/{device}".encode()
        best = ranked(candidates, client, region=region, network=network, limit=settings.endpoints)
        nearest = distance(best[0], region, network)
        self._same_again(
            client, best, [each for each in candidates if distance(each, region, network) == nearest]
        )
        rate = settings.reconnect_rate * len(rooms) / self._dispatchers
        counts = self._apps is None or app in self._apps
        spread = self._stampede.spread(rate, self._monotonic(), network_of(peer), counts=counts)
        return Dispatch(
            [
                EndpointView(e.host, e.port, e.transport, round(e.share, 3), PATHS.get(transport))
                for e in best
            ],
            settings.expires_in,
            Heartbeat(settings.heartbeat),
            Backoff(
                after_ms=int(spread * self._draw() * 1000),
                initial_ms=max(500, int(spread * 500)),
                max_ms=max(60_000, int(spread * 4000)),
            ),
        )

    def _candidates(self, pool: str, transport: str) -> list[Endpoint]:
        known = self._endpoints.get((pool, transport))
        if known is None:
            known = self._endpoints[pool, transport] = endpoints(self._rooms.get(pool, ()), transport)
        return known

    def _same_again(self, client: bytes, best: list[Endpoint], candidates: Sequence[Endpoint]) -> None:
        """Puts the endpoint that the client had last first, if it is one of the nearest and has room.

        The client's session may linger there.
        """
        last = self._history.get(client)
        if last is not None and best[0].address != last:
            for endpoint in candidates:
                if endpoint.address == last and endpoint.share >= BUSY * endpoint.weight:
                    if endpoint in best:
                        best.remove(endpoint)
                    elif len(best) >= self._settings.endpoints:
                        best.pop()
                    best.insert(0, endpoint)
        self._history.put(client, best[0].address)

    def statistics(self) -> Mapping[str, int]:
        """Figures for the metrics."""
        return {
            "lookups": self.lookups,
            "without_room": self.without_room,
            "history": len(self._history),
            "rooms": sum(map(len, self._rooms.values())),
        }


async def _names(apps: AppStore) -> frozenset[str] | None:
    """The names of all apps; None where there are too many."""
    names: list[str] = []
    while len(names) <= MOST_APPS:
        page = await apps.list(names[-1] if names else "", PAGE)
        names += [app.app for app in page]
        if len(page) < PAGE:
            return frozenset(names)
    return None
