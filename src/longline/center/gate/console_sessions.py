"""Sessions of the console: a key in a cookie that only we can read, instead of in the page.

A cookie comes along with whatever a browser asks for, also when another site has it ask. So it counts in
place of `Authorization` only where the console itself must be asking: with a header that no other site's page
can send without our leave (WHATWG Fetch, section 3.2.2; we never give it), or for reading where the browser
says that the page is of this origin (Fetch Metadata, section 2.2). What changes something also needs the
`Origin` that browsers then add, and it has to be where the request went to.

Nothing is kept of a session that goes on: the cookie is the key, sealed, with when it ends. So each request
is checked as if it had come with the key, and a key that is revoked ends its sessions.
"""

import base64
import secrets
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from starlette.types import Scope

from longline.center.gate.ended_sessions import EndedSessions
from longline.errors import WrongOrigin

COOKIE: Final = "longline_session"
# Under TLS. No other host can plant a cookie whose name begins so (RFC 6265bis, section 4.1.3.2).
HOST_COOKIE: Final = f"__Host-{COOKIE}"
LASTS: Final = 12 * 3600  # s
SESSION: Final = "longline.session"  # in an ASGI scope: the `ConsoleSession` that stands for its key

_NONCE: Final = 12  # bytes, as NIST SP 800-38D, section 8.2.2 has it; random, so for 2^32 log-ins
_MAX_VALUE: Final = 2048  # characters; the longest key makes a third of it
_NUMBER: Final = 12  # bytes
_PURPOSE: Final = b"longline console session 2"
_READING: Final = frozenset({"GET", "HEAD"})


class ConsoleSession(msgspec.Struct, frozen=True, array_like=True):
    """What is in a cookie. `ends_at` in ms; `number` is no other session's."""

    key: str
    ends_at: int
    number: str

    def __repr__(self) -> str:
        return f"ConsoleSession(ends_at={self.ends_at}, number={self.number!r})"


class ConsoleSessions:
    """Seals and opens cookies. `secret` is what all centers share; `clock` gives ms since the Unix epoch.

    `ended` are those that somebody has logged out of.
    """

    def __init__(self, secret: bytes, ended: EndedSessions, clock: Callable[[], int]) -> None:
        key = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret)
        self._cipher = AESGCM(key)
        self._ended = ended
        self._clock = clock
        self._decode = msgspec.msgpack.Decoder(ConsoleSession).decode

    def begin(self, key: str, key_ends_at: int) -> tuple[str, ConsoleSession]:
        """The cookie's value for a session by this key, which ends with it (ms, 0 for never)."""
        ends_at = self._clock() + LASTS * 1000
        ends_at = min(ends_at, key_ends_at) if key_ends_at else ends_at
        session = ConsoleSession(key, ends_at, secrets.token_urlsafe(_NUMBER))
        nonce = secrets.token_bytes(_NONCE)
        sealed = self._cipher.encrypt(nonce, msgspec.msgpack.encode(session), _PURPOSE)
        return base64.urlsafe_b64encode(nonce + sealed).decode().rstrip("="), session

    async def end(self, scope: Scope) -> None:
        """Ends the session of a request's cookie in all centers, if there is one. `Unavailable`."""
        value = _Headers(scope).cookie
        session = None if value is None else self.opened(value)
        if session is not None:
            await self._ended.add(session.number, session.ends_at)

    def opened(self, value: str) -> ConsoleSession | None:
        """The session of a cookie's value; None for what we did not seal, and after its time."""
        if not 0 < len(value) <= _MAX_VALUE:
            return None
        try:
            sealed = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
            plain = self._cipher.decrypt(sealed[:_NONCE], sealed[_NONCE:], _PURPOSE)
            session = self._decode(plain)
        except (ValueError, InvalidTag, msgspec.DecodeError):
            return None
        return session if session.ends_at > self._clock() else None

    async def recognise(self, scope: Scope) -> str | None:
        """The `Authorization` that a request's cookie stands for, which is put among its headers.

        None without a cookie that is good, and where it is not the console that asks. `WrongOrigin` where the
        console of another address does.
        """
        headers = _Headers(scope)
        value = headers.cookie
        if value is None:
            return None
        reading = scope["method"] in _READING
        if not headers.by_console and not (reading and headers.site == "same-origin"):
            return None
        if not reading:
            headers.check_origin()
        session = self.opened(value)
        if session is None or await self._ended.has(session.number):
            return None
        scope[SESSION] = session
        authorization = f"Bearer {session.key}"
        scope["headers"] = [*scope["headers"], (b"authorization", authorization.encode())]
        return authorization


def check_console(scope: Scope) -> bool:
    """Raises `WrongOrigin` unless it is the console that asks, at our own address. Whether it came by TLS."""
    headers = _Headers(scope)
    if not headers.by_console:
        raise WrongOrigin("the console's header is not there")
    headers.check_origin()
    # TLS may end before us. Whoever says so untruly harms himself only: his cookie does not come back.
    return headers.secure


class _Headers:
    """Those headers of a request that say who asks."""

    __slots__ = ("by_console", "cookie", "host", "origin", "secure", "site")

    def __init__(self, scope: Scope) -> None:
        cookies: dict[str, str] = {}
        self.by_console = False
        self.host = self.origin = self.site = ""
        for name, value in scope["headers"]:
            if name == b"cookie":
                cookies = _cookies_in(value.decode("latin-1")) | cookies
            elif name == b"x-longline-console":
                self.by_console = value == b"1"
            elif name == b"host":
                self.host = value.decode("latin-1")
            elif name == b"origin":
                self.origin = value.decode("latin-1")
            elif name == b"sec-fetch-site":
                self.site = value.decode("latin-1")
        self.secure = scope.get("scheme") == "https" or self.origin.startswith("https://")
        # Under TLS the other cookie may be planted. Behind a proxy that ends TLS only an origin says so, and
        # reading has none: there, a planted cookie reads what its planter may, and changes nothing.
        self.cookie = cookies.get(HOST_COOKIE, None if self.secure else cookies.get(COOKIE))

    def check_origin(self) -> None:
        """Raises `WrongOrigin` unless the page is of the address that was asked."""
        try:
            of_page = urlsplit(self.origin).netloc
        except ValueError:
            of_page = ""
        if not of_page or of_page.lower() != self.host.lower() or self.site not in ("", "same-origin"):
            raise WrongOrigin


def _cookies_in(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in text.split(";"):
        name, _, value = part.strip().partition("=")
        found.setdefault(name, value)
    return found


def set_cookie(value: str, *, secure: bool, lasts: int) -> str:
    """The header that has the browser keep it for `lasts` seconds; 0: keep none any more."""
    rest = f"{value}; Path=/; Max-Age={lasts}; HttpOnly; SameSite=Strict"
    return f"{HOST_COOKIE}={rest}; Secure" if secure else f"{COOKIE}={rest}"
