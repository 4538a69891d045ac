"""Who calls: the admin key, which does everything, and each app's server key, which reaches only its app.

Keys are random and long, so a plain SHA-256 protects them at rest, and only digests are compared, in constant
time. A server key names its app (`llk_news.…`): an operator who finds one knows whose it is, and a
key of another app can be told from one that is worth nothing.
"""

import hashlib
import hmac
import secrets

from longline.errors import AppNotFound, Forbidden, Unauthorized
from longline.model.apps import App
from longline.saver.app_cache import AppCache

KEY_PREFIX = "llk_"
_NEWS = 0.25  # s: how often a wrong key may have the store asked, for each app
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
    """Checks the `Authorization` header of requests (RFC 6750, section 2.1)."""

    def __init__(self, apps: AppCache, admin_key_hash: bytes) -> None:
        self._apps = apps
        self._admin_key_hash = admin_key_hash

    async def admin(self, authorization: str | None) -> None:
        """Raises `Unauthorized`, or `Forbidden` for an app's key."""
        key = _bearer(authorization)
        if self._is_admin(key):
            return
        if await self._owner(key) is not None:
            raise Forbidden("this needs the admin key")
        raise Unauthorized

    async def app(self, authorization: str | None, name: str, *, fresh: bool = False) -> App:
        """The app, for a caller that may reach it; `Unauthorized`, `Forbidden` or `AppNotFound`.

        Only the admin key learns whether an app exists. `fresh`: as it is stored now.
        """
        if fresh:
            self._apps.forget(name)
        key = _bearer(authorization)
        if self._is_admin(key):
            app = await self._apps.find(name)
            if app is None:
                raise AppNotFound
            return app
        owner = await self._owner(key)
        if owner is None:
            raise Unauthorized
        if owner.app != name:
            raise Forbidden("this key is of another app")
        return owner

    def _is_admin(self, key: str) -> bool:
        return hmac.compare_digest(digest(key), self._admin_key_hash)

    async def _owner(self, key: str) -> App | None:
        """The app whose current server key this is."""
        if not key.startswith(KEY_PREFIX):
            return None
        name, hashed = key[len(KEY_PREFIX) :].partition(".")[0], digest(key)
        app = await self._apps.find(name)
        if app is None:
            return None
        if not hmac.compare_digest(hashed, app.server_key_hash):
            # It may be a new key, of which only another center knows.
            app = await self._apps.find(name, max_age=_NEWS)
            if app is None or not hmac.compare_digest(hashed, app.server_key_hash):
                return None
        return app


def _bearer(authorization: str | None) -> str:
    if authorization is None:
        raise Unauthorized("the request has no key: send `Authorization: Bearer KEY`")
    scheme, _, key = authorization.partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not 0 < len(key) <= _MAX_KEY:
        raise Unauthorized("the Authorization header is not `Bearer KEY`")
    return key
