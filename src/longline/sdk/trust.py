"""Whom a client of TLS believes, and what it shows of itself."""

import re
import ssl
from os import PathLike
from typing import Final, Literal
from urllib.parse import urlsplit

File = str | PathLike[str]
Transport = Literal["tcp", "tls", "ws", "wss"]

SCHEMES: Final[dict[str, Transport]] = {"mqtt": "tcp", "mqtts": "tls", "ws": "ws", "wss": "wss"}
PORTS: Final[dict[Transport, int]] = {"tcp": 1883, "tls": 8883, "ws": 8083, "wss": 8084}
WEB_PORTS: Final[dict[str, int]] = {"ws": 80, "wss": 443}  # of URLs without one: RFC 6455, section 3
PATH: Final = re.compile(r"/[\x21-\x7e]*")


def trust(ca: File | None = None, certificate: File | None = None, key: File | None = None) -> ssl.SSLContext:
    """Verifies servers by the authorities in the PEM file `ca` alone, or by the system's where there is none.

    `certificate` and `key` are PEM files of what the client shows; the key may stand in the certificate's.
    ValueError says which file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"{ca} holds no certificates in PEM: {_told(error)}") from None
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key, password="")
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"{certificate} and its key cannot be used: {_told(error)}") from None
    elif key is not None:
        raise ValueError("a key is for a certificate: give that too")
    return context


def parsed(host: str) -> tuple[Transport | None, str, int | None, str | None]:
    """What `wss://push.example.org:8084/mqtt` says: transport, host, port and path; of a mere host that it is
    one.

    ValueError for a URL that is of none of these transports.
    """
    if "://" not in host:
        return None, host, None, None
    parts = urlsplit(host)
    transport = SCHEMES.get(parts.scheme)
    path = parts.path if parts.path != "/" else ""
    if (
        transport is None
        or not parts.hostname
        or (path and (transport not in WEB_PORTS or not PATH.fullmatch(path)))
        or parts.username is not None
        or parts.query
        or parts.fragment
    ):
        wanted = "mqtt://HOST:PORT, mqtts://HOST:PORT, ws://HOST:PORT/PATH or wss://HOST:PORT/PATH"
        raise ValueError(f"{host!r} is not {wanted}")
    return transport, parts.hostname, parts.port or WEB_PORTS.get(transport), path or None


def _told(error: OSError) -> str:
    return getattr(error, "reason", None) or error.strerror or str(error)
