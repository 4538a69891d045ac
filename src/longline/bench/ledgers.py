"""What the server itself says at the end of a run: nothing pending, every ledger balanced.

Not hot: one request after the other over one connection.
"""

import http.client
import time
from collections.abc import Sequence
from urllib.parse import quote, urlsplit

import msgspec

from longline.bench.targets import BenchFailed
from longline.model.addresses import joined
from longline.settings.secret import Secret

REQUEST_SECONDS = 30.0


class LedgerColumns(msgspec.Struct, frozen=True):
    """The columns of a message's ledger that balance."""

    targeted: int | None
    pending: int
    acked: int
    expired: int
    collapsed: int
    dropped: dict[str, int]

    def balanced(self) -> bool:
        """Whether every targeted device is accounted for."""
        settled = self.acked + self.expired + self.collapsed + sum(self.dropped.values())
        return self.targeted == settled + self.pending


class MessageAnswer(msgspec.Struct, frozen=True):
    """What is read of `GET …/messages/{id}`."""

    ledger: LedgerColumns


class LedgerAnswer(msgspec.Struct, frozen=True):
    """What is read of `GET …/devices/{device}`."""

    pending: int


class ServerVerdict(msgspec.Struct, frozen=True):
    """What the server said when everything should have been over."""

    devices_asked: int
    pending: int
    """Messages still pending at those devices."""
    ledgers_asked: int
    ledgers_open: int
    """Of those, how many did not balance or had something pending."""

    def clean(self) -> bool:
        """Whether nothing is pending and all that was looked at balances."""
        return not (self.pending or self.ledgers_open)


class Api:
    """The HTTP API of one app; raises BenchFailed for an address that is not plain HTTP, and for what cannot
    be a key, which `http.client` would repeat."""

    def __init__(self, url: str, app: str, key: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise BenchFailed(f"not an address of the HTTP API: {url}")
        self.host = parts.hostname
        self.port = parts.port or 80
        self.base = f"{parts.path.rstrip('/')}/v1/apps/{quote(app, safe='')}"
        try:
            self.key = Secret(key.strip()).reveal()
        except ValueError as error:
            raise BenchFailed(f"the key: {error}") from None

    def send_head(self, path: str) -> bytes:
        """A POST to a path below the app, up to the value of its Content-Length."""
        return (
            f"POST {self.base}{path} HTTP/1.1\r\n"
            f"Host: {joined(self.host, self.port)}\r\n"
            f"Authorization: Bearer {self.key}\r\n"
            "Content-Type: application/json\r\n"
            "Content-Length: "
        ).encode()

    def connect(self) -> http.client.HTTPConnection:
        """A connection for requests one after the other."""
        return http.client.HTTPConnection(self.host, self.port, timeout=REQUEST_SECONDS)

    def get(self, connection: http.client.HTTPConnection, path: str) -> bytes:
        """The body of a GET below the app; raises BenchFailed for anything but 200."""
        return self.request(connection, "GET", path)

    def request(
        self, connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None
    ) -> bytes:
        """The body of an answer below the app; raises BenchFailed for anything but success."""
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        try:
            connection.request(method, self.base + path, body, headers)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise BenchFailed(f"{method} {path}: {error}") from error
        if response.status >= 300:
            said = answer[:200].decode(errors="replace")
            raise BenchFailed(f"{method} {path}: status {response.status}: {said}")
        return answer


def verify(api: Api, devices: Sequence[str], message_ids: Sequence[str], patience: float) -> ServerVerdict:
    """Asks for each device's `pending` and each message's ledger.

    Receipts are gathered for a moment before they are committed, so what is open is asked again for up to
    `patience` seconds in all.
    """
    deadline = time.monotonic() + patience
    connection = api.connect()
    try:
        pending = still_open = 0
        for device in devices:
            path = f"/devices/{quote(device, safe='')}"
            left = msgspec.json.decode(api.get(connection, path), type=LedgerAnswer).pending
            while left and time.monotonic() < deadline:
                time.sleep(0.05)
                left = msgspec.json.decode(api.get(connection, path), type=LedgerAnswer).pending
            pending += left
        for message_id in message_ids:
            path = f"/messages/{quote(message_id, safe='')}"
            ledger = msgspec.json.decode(api.get(connection, path), type=MessageAnswer).ledger
            while ledger.pending and time.monotonic() < deadline:
                time.sleep(0.05)
                ledger = msgspec.json.decode(api.get(connection, path), type=MessageAnswer).ledger
            still_open += bool(ledger.pending) or not ledger.balanced()
        return ServerVerdict(len(devices), pending, len(message_ids), still_open)
    finally:
        connection.close()
