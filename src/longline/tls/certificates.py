"""The certificate of a listener, as its files have it now.

The files are looked at every few seconds. What has changed is loaded once it has stopped changing, for a
certificate and its key are two files, and cannot be replaced at one moment. New connections get the new
certificate, those that are there go on with theirs. What cannot be used is told once, and the one at hand
stays in use.
"""

import asyncio
import hashlib
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, final

import structlog

from longline.errors import SettingsError
from longline.tls.counters import TlsCounters
from longline.tls.dates import valid_until
from longline.tls.openssl import openssl
from longline.tls.tickets import PERIOD, TicketKeys

LOOK_EVERY: Final = 5.0  # s
SOON: Final = 14 * 86_400  # s before its end, from where on a certificate that is loaded is warned of
LONGEST_FILE: Final = 1 << 20  # bytes

log = structlog.get_logger("longline.tls")

Stamp = tuple[tuple[int, int, int], ...]


@final
class Certificates:
    """A chain with its key and, where clients may show certificates, the authorities that sign those.

    `setting` names the settings that the files come from: `room.tls` stands for `room.tls_cert`,
    `room.tls_key` and `room.tls_client_ca`. Raises SettingsError for what cannot be used at the start.
    `tickets` are the keys of session tickets; None: tickets of this process alone. `protocols` is what is
    offered by ALPN.
    """

    def __init__(
        self,
        setting: str,
        chain: Path,
        key: Path,
        client_ca: Path | None = None,
        *,
        counters: TlsCounters,
        tickets: TicketKeys | None = None,
        protocols: Sequence[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.setting = setting
        self._counters = counters
        self._chain = chain
        self._key = key
        self._client_ca = client_ca
        self._tickets = tickets if openssl() is not None else None
        self._protocols = list(protocols)
        self._clock = clock
        self._expires = 0.0
        self._former_name = b""
        self._former: ssl.SSLContext | None = None
        self._key_in_use = b""  # its name
        self._seen = self._loaded = self._stamp()
        self._load()

    @property
    def seconds_left(self) -> float:
        """How long the certificate in use is still good; negative when it is not any more."""
        return self._expires - self._clock()

    def context(self, hello: bytes) -> ssl.SSLContext:
        """What a connection that begins with this ClientHello is to be served with.

        A ticket begins with the name of its key, and one made with the former key is for the context that
        still has it.
        """
        former = self._former
        return former if former is not None and self._former_name in hello else self._current

    async def run(self) -> None:
        """Looks at the files for as long as the owner lives."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            self.look()

    def look(self) -> None:
        """Loads what has changed since it was loaded, and has not since the last look; and takes new keys."""
        stamp = self._stamp()
        changed = stamp == self._seen and stamp != self._loaded
        self._seen = stamp
        if changed:
            self._loaded = stamp  # or failed to be; it is not tried again until it changes
            try:
                self._load()
                self._counters.reloads += 1
            except SettingsError as error:
                self._counters.reload_failures += 1
                log.error("certificate_not_loaded", reason=error.message, seconds_left=int(self.seconds_left))
        elif self._tickets is not None and self._tickets_changed():
            try:
                self._make_contexts()
            except SettingsError:  # the files are being replaced: their turn comes
                self._key_in_use = b""

    def _load(self) -> None:
        expires = examined(self.setting, self._chain, self._key, self._client_ca)
        self._make_contexts()
        self._expires = expires
        left = int(self.seconds_left)
        tell = log.info if left > SOON else log.warning
        tell("certificate_loaded", chain=str(self._chain), seconds_left=left)

    def _tickets_changed(self) -> bool:
        tickets = self._tickets
        if tickets is None:
            return False
        tickets.look()
        return tickets.current.name != self._key_in_use

    def _make_contexts(self) -> None:
        tickets = self._tickets
        if tickets is None:
            self._current = self._context(None)
            return
        tickets.look()
        current, former = tickets.current, tickets.former
        made = self._context(current.secret)
        self._former = None if former is None else self._context(former.secret)
        self._former_name = b"" if former is None else former.name
        self._current = made
        self._key_in_use = current.name

    def _context(self, ticket_key: bytes | None) -> ssl.SSLContext:
        context = server_context(self.setting, self._chain, self._key, self._client_ca)
        if self._protocols:
            context.set_alpn_protocols(self._protocols)
        library = openssl()
        if library is not None and ticket_key is not None:
            library.prepare(context, ticket_key, PERIOD, self._scope())
        return context

    def _scope(self) -> bytes:
        """A session may be gone on with only while its client's certificate would be believed."""
        authorities = b"" if self._client_ca is None else read(f"{self.setting}_client_ca", self._client_ca)
        return hashlib.sha256(self.setting.encode() + b"\0" + authorities).digest()

    def _stamp(self) -> Stamp:
        files = (self._chain, self._key, *(() if self._client_ca is None else (self._client_ca,)))
        return tuple(map(stamp_of, files))


def examined(setting: str, chain: Path, key: Path, client_ca: Path | None) -> float:
    """Until when a certificate is good, in seconds of Unix time; SettingsError for what cannot be used."""
    expires = valid_until(read(f"{setting}_cert", chain))
    if expires is None:
        raise refused(f"{setting}_cert", f"{chain} holds no certificate in PEM")
    server_context(setting, chain, key, client_ca)
    return expires


def server_context(setting: str, chain: Path, key: Path, client_ca: Path | None) -> ssl.SSLContext:
    """TLS 1.2 and 1.3 with a certificate; `SettingsError` says which of its settings is wrong, and how."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # RFC 9325, section 3.4: nobody renegotiates; a client that tries is told that we do not.
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 1  # a device has one connection; OpenSSL's two cost twice as much
    read(f"{setting}_cert", chain)
    read(f"{setting}_key", key)
    try:
        # Without a password OpenSSL would ask for one at the terminal.
        context.load_cert_chain(chain, key, password="")
    except (ssl.SSLError, ValueError) as error:
        raise refused(*blame(setting, chain, key, error)) from None
    if client_ca is not None:
        read(f"{setting}_client_ca", client_ca)
        try:
            context.load_verify_locations(client_ca)
        except ssl.SSLError:
            problem = f"{client_ca} holds no certificates in PEM"
            raise refused(f"{setting}_client_ca", problem) from None
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


def blame(setting: str, chain: Path, key: Path, error: Exception) -> tuple[str, str]:
    """Which setting is wrong, and what is."""
    reason = getattr(error, "reason", None) or ""
    if reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"):
        return f"{setting}_key", f"{key} is not the key of the certificate in {chain}"
    if reason in ("NO_START_LINE", "PEM_LIB") or "PEM lib" in str(error):
        if valid_until(chain.read_bytes()) is None:
            return f"{setting}_cert", f"{chain} holds no certificate in PEM"
        return f"{setting}_key", f"{key} holds no private key in PEM that can be read without a password"
    if "EE_KEY_TOO_SMALL" in reason or "CA_MD_TOO_WEAK" in reason:
        return f"{setting}_cert", f"{chain}: OpenSSL takes no certificate that weak ({reason.lower()})"
    return f"{setting}_cert", f"{chain} with {key}: {reason.lower() or error}"


def read(setting: str, path: Path) -> bytes:
    """A file of a setting; `SettingsError` where it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST_FILE + 1)
    except OSError as error:
        raise refused(setting, f"{path}: {error.strerror or error}") from None
    if len(content) > LONGEST_FILE:
        raise refused(setting, f"{path} is no certificate: it is over {LONGEST_FILE:,} bytes long")
    return content


def refused(setting: str, problem: str) -> SettingsError:
    """What is said of a file that cannot be used."""
    return SettingsError(problem, details=[(setting, problem)])


def stamp_of(path: Path) -> tuple[int, int, int]:
    """What changes when a file, or the file that a link leads to, is replaced or rewritten."""
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_mtime_ns, found.st_size)
