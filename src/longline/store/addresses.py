"""The setting `store.url`: where the store's servers are, and how their certificates are checked."""

import ssl
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, urlsplit

from longline.errors import SettingsError
from longline.model.addresses import joined

_PORT: Final = 6379
_SCHEMES: Final = ("redis", "rediss", "unix")


class Address(NamedTuple):
    """A host and its port, or the path of a Unix socket and 0."""

    host: str
    port: int

    def __str__(self) -> str:
        return joined(self.host, self.port) if self.port else self.host


class Contacts(NamedTuple):
    """The first servers to ask, and how to encrypt (None: not)."""

    addresses: tuple[Address, ...]
    tls: ssl.SSLContext | None


def parse(url: str) -> Contacts:
    """Reads `store.url`; `SettingsError` says what is wrong with it, without its text, which may be secret.

    A `rediss` URL may carry `ssl_ca_certs`, `ssl_certfile` and `ssl_keyfile` (paths), and
    `ssl_check_hostname=false`, as other clients of Redis know them.
    """
    parts = [urlsplit(piece if "://" in piece else f"redis://{piece}") for piece in url.split(",")]
    first = parts[0]
    if first.scheme not in _SCHEMES:
        raise _wrong("expected redis://, rediss:// or unix://")
    for part in parts:
        if part.username is not None or part.password is not None:
            raise _wrong("credentials belong in store.username and store.password, which are never shown")
        if part.scheme != "unix" and part.path.strip("/") not in ("", "0"):
            raise _wrong("a database other than 0 is not used, since a Cluster has no other")
    return Contacts(
        tuple(_address(part) for part in parts), _context(first) if first.scheme == "rediss" else None
    )


def _address(part: SplitResult) -> Address:
    if part.scheme == "unix":
        if not part.path:
            raise _wrong("unix:// needs the path of a socket")
        return Address(part.path, 0)
    try:
        port = part.port or _PORT
    except ValueError:
        raise _wrong("the port is not a number up to 65535") from None
    return Address(part.hostname or "127.0.0.1", port)


def _context(part: SplitResult) -> ssl.SSLContext:
    options = dict(parse_qsl(part.query))
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        if "ssl_certfile" in options:
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    except (OSError, ssl.SSLError) as error:
        raise _wrong(f"its certificates cannot be read: {error}") from error
    context.check_hostname = options.get("ssl_check_hostname", "true").lower() not in ("false", "no", "0")
    return context


def _wrong(reason: str) -> SettingsError:
    return SettingsError(f"store.url: {reason}", details=[("store.url", reason)])
