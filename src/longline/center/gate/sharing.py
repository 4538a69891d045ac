"""What all callers share of one process: requests at once, bytes of bodies, requests that wait for events.

Each is a pool of `flow/shares.py`, and who has a share is an app, whoever calls for it with a key of its own,
and a named key that reaches all apps. Until a key is known to be good, the caller is its network: unknown
callers share among themselves, and what one network sends never counts as an app's. The admin key, and named
keys that may operate, have a reserve that nobody else can use up.

Where a pool is full all the same, whoever holds most of it makes room for who holds less: of its requests,
one that only waits gives way, for an event or for the rest of its body. So a request that does nothing never
keeps out another's.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from longline.delivery.limits import LimitsOfApps
from longline.errors import Overloaded, RateLimited, TooManyRequests
from longline.flow.shares import Shares
from longline.model.apps import App
from longline.model.keys import OF_AN_APP, SCOPES, Scope
from longline.settings import CenterSettings

ADMIN = "admin"
RESERVED = 16  # part of a pool that is kept for the admin key: one in so many
WAITING = 2  # part of the requests that may wait for events: one in so many

TICKET = "longline.ticket"  # in an ASGI scope: the request's `Ticket`


def of_app(app: str) -> str:
    """Who has an app's share."""
    return f"app {app}"


def of_network(network: str) -> str:
    """Who has the share of callers whose key is not known yet."""
    return f"network {network}"


def of_key(id: str) -> str:
    """Who has the share of a named key that reaches all apps."""
    return f"key {id}"


class GoodKey(NamedTuple):
    """A key that was found to be good. `id` may be shown: `admin`, `server`, or that of a named key.

    `expires_at` in ms, 0 for never.
    """

    id: str
    name: str
    scopes: frozenset[str]
    expires_at: int = 0


ADMIN_KEY: Final = GoodKey("admin", "", frozenset(SCOPES))
SERVER_KEY: Final = GoodKey("server", "", OF_AN_APP)


class KeyHolder(NamedTuple):
    """`who` has a share. `key` is there when it is known to be good, `app` when it reaches only that."""

    who: str
    app: App | None = None
    key: GoodKey | None = None


class Pools:
    """The pools of one process, as large as its settings say; `limits`: what apps may have of it at most."""

    def __init__(self, settings: CenterSettings, limits: LimitsOfApps) -> None:
        self.limits = limits
        self.refused = 0  # requests of apps that had as many under way as they may
        self.running: dict[str, int] = {}  # requests of apps that may have so many and no more
        self.requests = Shares(0, privileged=ADMIN)
        self.bodies = Shares(0, privileged=ADMIN)  # bytes
        self.waiting = Shares(0, privileged=ADMIN)
        self.idle: dict[str, dict[Ticket, None]] = {}  # by whose share they are on: those that may give way
        self.configure(settings)

    def configure(self, settings: CenterSettings) -> None:
        """Goes by other settings from now on."""
        self._size(self.requests, settings.max_requests)
        self._size(self.waiting, max(1, settings.max_requests // WAITING))
        # One body of the largest size always fits.
        self._size(self.bodies, max(settings.max_body, settings.bodies_bytes), settings.max_body)

    def _size(self, pool: Shares[str], limit: int, largest: int = 1) -> None:
        pool.limit = limit
        pool.reserve = min(limit // RESERVED, limit - largest)

    def make_way(self, pool: Shares[str], who: str, amount: int) -> bool:
        """Has a request give way that is of who holds most of a pool; False where that would not be fair."""
        most = pool.most()
        if most is None or pool.held(most) <= pool.held(who) + amount:
            return False
        for ticket in self.idle.get(most, ()):  # the oldest first
            if ticket.holds(pool):
                ticket.give_way()
                return True
        return False


class Ticket:
    """What one request holds, from its admission to its end, on the share of `caller`.

    Raises `TooManyRequests` where its app has more than its limit, `RateLimited` where its caller has more
    than its share, `Overloaded` where there is no more room for anybody. `retry_after` is when to come back
    then, in seconds. `gave_way`: it has been asked to end at once, and holds nothing any more. `waited`: for
    events, or for a device. `needs`: the scopes that the caller's key has to have. `app`: what the request is
    about, once its caller may reach it.
    """

    __slots__ = (
        "_body",
        "_counted",
        "_end",
        "_sharing",
        "_waits",
        "app",
        "caller",
        "gave_way",
        "needs",
        "retry_after",
        "waited",
    )

    def __init__(self, sharing: Pools, caller: KeyHolder, retry_after: float) -> None:
        self._sharing = sharing
        self._body = 0
        self._counted = False
        self._waits = False
        self._end: Callable[[], None] | None = None
        self.gave_way = False
        self.waited = False
        self.app: App | None = None
        self.retry_after = retry_after
        self.caller = caller
        self.needs: tuple[Scope, ...] = SCOPES
        self._take(sharing.requests, 1, "requests at once")

    def belongs_to(self, caller: KeyHolder) -> None:
        """The caller has a key that is good: from now on the request is on its share."""
        who, before = caller.who, self.caller.who
        sharing = self._sharing
        while who != before and not sharing.requests.hand_over(before, who):
            if not sharing.make_way(sharing.requests, who, 1):
                raise RateLimited("too many requests at once of this caller", retry_after=self.retry_after)
        self.caller = caller
        most = 0 if caller.app is None else sharing.limits.requests(caller.app)
        if most and not self._counted and not self.gave_way:
            running = sharing.running.get(who, 0)
            if running >= most:
                sharing.refused += 1
                raise TooManyRequests(retry_after=self.retry_after)
            sharing.running[who] = running + 1
            self._counted = True

    def expect(self, size: int) -> None:
        """So many more bytes of a body are to come, or have come."""
        if size and not self.gave_way:
            self._take(self._sharing.bodies, size, "bytes of bodies at once")
            self._body += size

    @contextmanager
    def waiting(self, end: Callable[[], None]) -> Iterator[None]:
        """The request waits for events, in a `with` block; `end` ends that when it is to give way."""
        pool = self._sharing.waiting
        self._take(pool, 1, "requests that wait for events")
        self._waits = self.waited = True
        try:
            with self.idle(end):
                yield
        finally:
            if self._waits:
                self._waits = False
                pool.give(self.caller.who)

    @contextmanager
    def idle(self, end: Callable[[], None]) -> Iterator[None]:
        """The request only waits, for its caller or for a device, in a `with` block; `end` ends that."""
        idle, who = self._sharing.idle, self.caller.who
        self._end = end
        idle.setdefault(who, {})[self] = None
        try:
            yield
        finally:
            self._end = None
            tickets = idle[who]
            del tickets[self]
            if not tickets:
                del idle[who]

    def holds(self, pool: Shares[str]) -> bool:
        """Whether it would leave room in that pool."""
        sharing = self._sharing
        return (
            not self.gave_way
            and (pool is not sharing.waiting or self._waits)
            and (pool is not sharing.bodies or self._body > 0)
        )

    def give_way(self) -> None:
        """Ends the wait, and leaves at once."""
        end = self._end
        self.leave()
        if end is not None:
            end()

    def leave(self) -> None:
        """The request has ended, or is about to."""
        if self.gave_way:
            return
        self.gave_way = True
        sharing = self._sharing
        sharing.requests.give(self.caller.who)
        if self._counted:
            left = sharing.running.pop(self.caller.who) - 1
            if left:
                sharing.running[self.caller.who] = left
        if self._body:
            sharing.bodies.give(self.caller.who, self._body)
        if self._waits:
            self._waits = False
            sharing.waiting.give(self.caller.who)

    def _take(self, pool: Shares[str], amount: int, what: str) -> None:
        while not pool.take(self.caller.who, amount):
            if not self._sharing.make_way(pool, self.caller.who, amount):
                if pool.full(amount):
                    raise Overloaded(f"too many {what}", retry_after=self.retry_after)
                raise RateLimited(f"too many {what} of this caller", retry_after=self.retry_after)
