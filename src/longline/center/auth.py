"""Who calls: the admin key, which does everything, and each app's server key, which reaches only its app.

Keys are random and long, so a plain SHA-256 protects them at rest, and only digests are compared, in constant
time. A server key names its app (`llk_news.…`): an operator who finds one knows whose it is, and a
key of another app can be told from one that is worth nothing.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable

from longline.center.sharing import ADMIN, KeyHolder, Ticket, of_app
from longline.errors import AppNotFound, Forbidden, RateLimited, Unauthorized
from longline.flow.bucket import Bucket
from longline.flow.lru import LruCache
from longline.model.apps import App, valid_app_name
from longline.saver.app_cache import AppCache

KEY_PREFIX = "llk_"
_NEWS = 0.25  # s: how often a wrong key may have the store asked, for each app
_STRANGERS = 1000  # names that no app has, remembered for so long
_STRANGERS_RATE = 20.0  # keys of never seen apps a second, for which one network has the store asked
_NETWORKS = 4096  # networks whose rate is remembered
_MAX_KEY = 512  # characters; longer ones are not hashed


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
    for keys of apps that were never seen only so often (`RateLimited` beyond that).
    """

    def __init__(
        self, apps: AppCache, admin_key_hash: bytes, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._apps = apps
        self._admin_key_hash = admin_key_hash
        self._clock = clock
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
            return KeyHolder(ADMIN)
        app = self._apps.remembered(_name_in(key))
        if app is None or not hmac.compare_digest(hashed, app.server_key_hash):
            return None
        return KeyHolder(of_app(app.app), app)

    async def admin(self, authorization: str | None, ticket: Ticket) -> None:
        """Raises `Unauthorized`, or `Forbidden` for an app's key."""
        if ticket.caller.who == ADMIN:
            return
        if await self._owner(authorization, ticket.caller) is not None:
            raise Forbidden("this needs the admin key")
        raise Unauthorized

    async def app(self, authorization: str | None, name: str, ticket: Ticket, *, fresh: bool = False) -> App:
        """The app, for a caller that may reach it; `Unauthorized`, `Forbidden` or `AppNotFound`.

        Only the admin key learns whether an app exists. `fresh`: as it is stored now. From now on the request
        is on the share of the app.
        """
        if fresh:
            self._apps.forget(name)
            ticket.caller = ticket.caller._replace(app=None)
        if ticket.caller.who == ADMIN:
            app = await self._apps.find(name)
            if app is None:
                raise AppNotFound
            return app
        owner = await self._owner(authorization, ticket.caller)
        if owner is None:
            raise Unauthorized
        if owner.app != name:
            raise Forbidden("this key is of another app")
        ticket.belongs_to(owner)
        return owner

    async def _owner(self, authorization: str | None, caller: KeyHolder) -> App | None:
        """The app whose current server key this is."""
        if caller.app is not None:
            return caller.app
        key = _bearer(authorization)
        name, hashed = _name_in(key), digest(key)
        app = await self._named(name, caller.who)
        if app is None:
            return None
        if not hmac.compare_digest(hashed, app.server_key_hash):
            # It may be a new key, of which only another center knows.
            app = await self._apps.find(name, max_age=_NEWS)
            if app is None or not hmac.compare_digest(hashed, app.server_key_hash):
                return None
        return app

    async def _named(self, name: str, who: str) -> App | None:
        """The app of this name, which may be made up."""
        if name in self._apps:
            return await self._apps.find(name)
        now = self._clock()
        asked = self._strangers.get(name)
        if not valid_app_name(name) or (asked is not None and now - asked < _NEWS):
            return None
        asking = self._asking.get(name)
        if asking is not None:  # one look serves all that come meanwhile
            return await asyncio.shield(asking)
        bucket = self._rates.get(who)
        if bucket is None:
            bucket = Bucket(_STRANGERS_RATE, now)
            self._rates.put(who, bucket)
        if not bucket.take(_STRANGERS_RATE, now):
            raise RateLimited("too many keys of unknown apps from this network", retry_after=1.0)
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
