"""Who calls: the admin key, which does everything, each app's server key, and named keys.

A server key reaches only its app, and there it may send, read and manage. A named key may do what its scopes
say, in its app or in all of them. Which scopes an operation needs stands in `scopes.py`.

Keys are random and long, so a plain SHA-256 protects them at rest, and only digests are compared, in constant
time. A server key names its app (`llk_news.…`): an operator who finds one knows whose it is, and a
key of another app can be told from one that is worth nothing. A named key has its id in it (`lln_…`).
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from typing import Final

from longline.center.gate.named_keys import NamedKeys, id_in
from longline.center.gate.scopes import MISSING
from longline.center.gate.sharing import (
    ADMIN,
    ADMIN_KEY,
    SERVER_KEY,
    GoodKey,
    KeyHolder,
    Ticket,
    of_app,
    of_key,
)
from longline.errors import AppNotFound, Forbidden, RateLimited, Unauthorized
from longline.flow.bucket import Bucket
from longline.flow.lru import LruCache
from longline.model.apps import App, valid_app_name
from longline.model.keys import ApiKey
from longline.model.times import wall_clock
from longline.saver.app_cache import AppCache

KEY_PREFIX = "llk_"
_NOW = 0.0  # s: how old is what is not taken from memory
_NEWS = 0.25  # s: how often a wrong key may have the store asked, for each app
_STILL = 1.0  # s: how old may be what is known of the app of a request that goes on
_STRANGERS = 1000  # names that no app has, remembered for so long
_STRANGERS_RATE = 20.0  # keys a second of never seen apps and ids, for which one network has the store asked
_NETWORKS = 4096  # networks whose rate is remembered
_MAX_KEY = 512  # characters; longer ones are not hashed
ADMIN_HOLDER: Final = KeyHolder(ADMIN, None, ADMIN_KEY)


def new_server_key(app: str) -> str:
    """A key for the app: 256 random bits behind its name."""
    return f"{KEY_PREFIX}{app}.{secrets.token_urlsafe(32)}"


def new_device_secret() -> str:
    """A secret to sign device tokens with: 256 random bits, what HS256 asks for (RFC 7518, section 3.2)."""
    # The prefix also keeps it from beginning with a dash, which commands take for an option.
    return "lls_" + secrets.token_urlsafe(32)


def digest(key: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key.encode()).digest()


class Keys:
    """Checks the `Authorization` header of requests (RFC 6750, section 2.1).

    `recognised` is asked first, and what it said is in the request's ticket. A network has the store asked
    for keys of apps, and named keys, that were never seen only so often (`RateLimited` beyond that).
    """

    def __init__(
        self,
        apps: AppCache,
        named: NamedKeys,
        admin_key_hash: bytes,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], int] = wall_clock,
    ) -> None:
        self._apps = apps
        self._named = named
        self._admin_key_hash = admin_key_hash
        self._clock = clock
        self._wall = wall
        self._strangers: LruCache[str, float] = LruCache(_STRANGERS)  # when the store was asked for it
        self._rates: LruCache[str, Bucket] = LruCache(_NETWORKS)
        # Bounded by the requests at once.
        self._asking: dict[str, asyncio.Task[App | None]] = {}

    def recognised(self, authorization: str | None) -> KeyHolder | None:
        """Whose key it is, if it is good as far as is known without asking anybody."""
        try:
            key = _bearer(authorization)
        except Unauthorized:
            return None
        hashed = digest(key)
        if hmac.compare_digest(hashed, self._admin_key_hash):
            return ADMIN_HOLDER
        id = id_in(key)
        if id is not None:
            named = self._named.latest(id)
            if named is None or not self._is_good(hashed, named):
                return None
            holder = _holder(named, self._apps.latest(named.app) if named.number else None)
            fresh = self._named.remembered(id) is not None
            if fresh and named.number:
                fresh = self._apps.remembered(named.app) is not None
            return holder if fresh or holder is None else KeyHolder(holder.who)
        app = self._apps.latest(_name_in(key))
        if app is None or not self._opens(hashed, app):
            return None
        # What was good a while ago has its share, and is looked up before it may do anything.
        fresh = self._apps.remembered(app.app) is not None
        return KeyHolder(of_app(app.app), app, SERVER_KEY) if fresh else KeyHolder(of_app(app.app))

    async def admin(self, authorization: str | None, ticket: Ticket) -> None:
        """For what is of no app: `Unauthorized`, or `Forbidden` for an app's key and without the scopes."""
        caller = await self._caller(authorization, ticket.caller)
        if caller.app is not None:
            raise Forbidden("this needs a key that reaches all apps, such as the admin key")
        _check_scopes(caller, ticket)
        ticket.belongs_to(caller)
        self._note_use(caller)

    async def anyone(self, authorization: str | None, ticket: Ticket) -> None:
        """For what every good key may ask; else `Unauthorized`."""
        ticket.belongs_to(await self._caller(authorization, ticket.caller))

    async def introduced(self, authorization: str, who: str) -> KeyHolder:
        """Who brings a key to begin a session; `Unauthorized` when it is not good.

        `who`, whose key is not known yet, may do that only so often: `RateLimited` beyond that.
        """
        self._spend(who)
        return await self._caller(authorization, KeyHolder(who))

    async def app(
        self, authorization: str | None, name: str, ticket: Ticket, *, current: bool = False
    ) -> App:
        """The app, for a caller that may reach it; `Unauthorized`, `Forbidden` or `AppNotFound`.

        Only keys that reach all apps learn whether an app exists. `current`: as it is stored now, and not as
        it is remembered. From now on the request is on the share of the app, or of such a key.
        """
        max_age = _NOW if current else None
        before = KeyHolder(ticket.caller.who) if current else ticket.caller
        caller = await self._caller(authorization, before, max_age)
        app = await self._reached(caller, name, ticket, max_age)
        ticket.belongs_to(caller)
        self._note_use(caller)
        return app

    async def still(self, authorization: str | None, app: App, ticket: Ticket) -> None:
        """For a request that goes on: raises what ends it, when its key is not good any more, or the app is
        gone, as of at most `_STILL` seconds ago.
        """
        caller = await self._caller(authorization, KeyHolder(ticket.caller.who), max_age=_STILL)
        present = await self._reached(caller, app.app, ticket, max_age=_STILL)
        if present.number != app.number:
            raise AppNotFound

    async def still_admin(self, authorization: str | None, ticket: Ticket) -> None:
        """The same for a request that is of no app."""
        caller = await self._caller(authorization, KeyHolder(ticket.caller.who), max_age=_STILL)
        if caller.app is not None:
            raise Forbidden("this needs a key that reaches all apps, such as the admin key")
        _check_scopes(caller, ticket)

    def _note_use(self, caller: KeyHolder) -> None:
        if caller.key is not None and caller.key not in (ADMIN_KEY, SERVER_KEY):
            self._named.used(caller.key.id, self._wall())

    async def _reached(
        self, caller: KeyHolder, name: str, ticket: Ticket, max_age: float | None = None
    ) -> App:
        """The app of this name, if the caller may do with it what is asked."""
        if caller.app is not None and caller.app.app != name:
            raise Forbidden("this key is of another app")
        _check_scopes(caller, ticket)
        app = caller.app
        if app is None:
            app = await self._apps.find(name, max_age=max_age)
            if app is None:
                raise AppNotFound
        return app

    async def _caller(
        self, authorization: str | None, before: KeyHolder, max_age: float | None = None
    ) -> KeyHolder:
        """Who has this key; `before` is what is known of it. `Unauthorized` for a key that is not good."""
        if before.key is not None:
            return before
        key = _bearer(authorization)
        hashed = digest(key)
        if hmac.compare_digest(hashed, self._admin_key_hash):
            return ADMIN_HOLDER
        id = id_in(key)
        found = (
            await self._owner(key, hashed, before.who, max_age)
            if id is None
            else await self._named_holder(id, hashed, before.who, max_age)
        )
        if found is None:
            raise Unauthorized
        return found

    async def _owner(self, key: str, hashed: bytes, who: str, max_age: float | None) -> KeyHolder | None:
        """The app whose current server key this is."""
        name = _name_in(key)
        app = await self._app_named(name, who, max_age)
        if app is None:
            return None
        if not self._opens(hashed, app):
            # It may be a new key, of which only another center knows.
            app = await self._apps.find(name, max_age=_NEWS)
            if app is None or not self._opens(hashed, app):
                return None
        return KeyHolder(of_app(app.app), app, SERVER_KEY)

    async def _named_holder(
        self, id: str, hashed: bytes, who: str, max_age: float | None
    ) -> KeyHolder | None:
        """Who has the named key with this id, which may be made up. `max_age` is that of its app."""
        named = self._named
        if id not in named:
            if named.is_unknown(id):
                return None
            if not named.is_asked(id):  # one look serves all that come meanwhile
                self._spend(who)
        key = await named.find(id)
        if key is None or not self._is_good(hashed, key):
            return None
        app: App | None = None
        if key.number:
            app = await self._apps.find(key.app, max_age=max_age)
            if (
                app is None or app.number != key.number
            ):  # it may be a new app, which only another center knows
                app = await self._apps.find(key.app, max_age=_NEWS)
        return _holder(key, app)

    def _opens(self, hashed: bytes, app: App) -> bool:
        """Whether this is a server key of the app: that in force, or one that it has just replaced."""
        return any(hmac.compare_digest(hashed, good) for good in app.server_key_hashes(self._wall()))

    def _is_good(self, hashed: bytes, key: ApiKey) -> bool:
        """Whether this is the text of the key, and it is not over."""
        return hmac.compare_digest(hashed, key.hash) and not key.is_over(self._wall())

    def _spend(self, who: str) -> None:
        """The store is to be asked for what was never seen."""
        now = self._clock()
        bucket = self._rates.get(who)
        if bucket is None:
            bucket = Bucket(_STRANGERS_RATE, now)
            self._rates.put(who, bucket)
        if not bucket.take(_STRANGERS_RATE, now):
            raise RateLimited("too many unknown keys from this network", retry_after=1.0)

    async def _app_named(self, name: str, who: str, max_age: float | None) -> App | None:
        """The app of this name, which may be made up."""
        if name in self._apps:
            return await self._apps.find(name, max_age=max_age)
        asked = self._strangers.get(name)
        if not valid_app_name(name) or (asked is not None and self._clock() - asked < _NEWS):
            return None
        asking = self._asking.get(name)
        if asking is not None:  # one look serves all that come meanwhile
            return await asyncio.shield(asking)
        self._spend(who)
        asking = self._asking[name] = asyncio.create_task(self._ask(name), name="center.app")
        asking.add_done_callback(lambda done: self._answered(name, done))
        return await asyncio.shield(asking)

    async def _ask(self, name: str) -> App | None:
        app = await self._apps.find(name)
        if app is None:
            self._strangers.put(name, self._clock())
        return app

    def _answered(self, name: str, asking: asyncio.Task[App | None]) -> None:
        del self._asking[name]
        if not asking.cancelled():
            asking.exception()  # seen, also when nobody is left who would raise it


def _holder(key: ApiKey, app: App | None) -> KeyHolder | None:
    """Who has a named key; `app` is that of its app's name now. None when that app is gone."""
    good = GoodKey(key.id, key.name, frozenset(key.scopes), key.expires_at)
    if key.number:
        if app is None or app.number != key.number:
            return None
        return KeyHolder(of_app(app.app), app, good)
    return KeyHolder(ADMIN if "operate" in good.scopes else of_key(key.id), None, good)


def _check_scopes(caller: KeyHolder, ticket: Ticket) -> None:
    """Raises the error that names the first scope which the key lacks."""
    for scope in ticket.needs:
        if caller.key is None or scope not in caller.key.scopes:
            raise MISSING[scope]


def _name_in(key: str) -> str:
    """The name of the app that a server key says it is of; "" for what is no server key."""
    return key.removeprefix(KEY_PREFIX).partition(".")[0] if key.startswith(KEY_PREFIX) else ""


def _bearer(authorization: str | None) -> str:
    if authorization is None:
        raise Unauthorized("the request has no key: send `Authorization: Bearer KEY`")
    scheme, _, key = authorization.partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not 0 < len(key) <= _MAX_KEY:
        raise Unauthorized("the Authorization header is not `Bearer KEY`")
    return key
