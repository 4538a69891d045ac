"""The server's end of the opening handshake: section 4.2 of RFC 6455, and section 6 of MQTT.

A request is answered by 101, and frames follow; or by an error that a person can act on, and the end.
Credentials come in CONNECT, and a browser adds none of its own as it does with cookies. So any page may
connect, unless `origins` says which.
"""

import base64
import hashlib
from collections.abc import Sequence
from typing import Final, final

from longline.websocket.head import BadHead, HttpHead

PATH: Final = "/mqtt"
VERSION: Final = "13"  # section 4.1
MAGIC: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
NONCE: Final = 16  # bytes

# [MQTT-6.0.0-4] the first; the second is what clients of MQTT 3.1 and some of 3.1.1 ask for.
SUBPROTOCOLS: Final = ("mqtt", "mqttv3.1")

REASONS: Final[dict[int, str]] = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    426: "Upgrade Required",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}
CODES: Final[dict[int, str]] = {
    400: "upgrade_malformed",
    403: "origin_not_allowed",
    404: "upgrade_not_found",
    408: "upgrade_timeout",
    426: "upgrade_required",
    431: "upgrade_too_large",
    503: "server_shutting_down",
    505: "upgrade_http_version",
}


@final
class UpgradeRules:
    """What the requests of a listener are held to. No `origins`: any; `limit` in bytes of a head."""

    __slots__ = ("limit", "origins")

    def __init__(self, origins: Sequence[str], limit: int) -> None:
        self.origins = {origin.lower() for origin in origins}
        self.limit = limit


@final
class UpgradeRefused:
    """Why there is no WebSocket: a code for counters and logs, a sentence for the log and the peer, and all
    that is written to the peer."""

    __slots__ = ("answer", "code", "message")

    def __init__(self, status: int, message: str, fields: str = "") -> None:
        self.code = CODES[status]
        self.message = message
        self.answer = (
            f"HTTP/1.1 {status} {REASONS[status]}\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(message) + 1}\r\n"
            f"Cache-Control: no-store\r\nConnection: close\r\n{fields}\r\n{message}\n"
        ).encode("ascii")


@final
class Upgrade:
    """One request, from its first byte to the answer."""

    __slots__ = ("_head", "_rules", "answer", "refused", "rest")

    def __init__(self, rules: UpgradeRules) -> None:
        self._rules = rules
        self._head = HttpHead(b"GET ", rules.limit)
        self.answer: bytes | None = None  # the 101, once the request is whole and good
        self.rest = b""  # what came behind the request: frames
        self.refused: UpgradeRefused | None = None

    @property
    def begun(self) -> bool:
        """Whether the peer has said anything."""
        return self._head.begun

    def feed(self, data: bytes) -> None:
        """Takes the next bytes. Then there is an `answer`, or it is `refused`, or more bytes are wanted."""
        head = self._head
        try:
            head.feed(data)
            if head.whole:
                self.answer = judged(head, self._rules)
                self.rest = head.rest
        except BadHead as bad:
            self.refused = UpgradeRefused(bad.status, bad.message, bad.fields)


def judged(head: HttpHead, rules: UpgradeRules) -> bytes:
    """The answer to a good request, section 4.2.2; raises `BadHead` for others."""
    words = head.line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/"):
        raise BadHead(400, "the request line is not one of HTTP")
    if words[2] != "HTTP/1.1":
        raise BadHead(505, "a WebSocket begins with HTTP/1.1")
    if path_of(words[1]) != PATH:
        raise BadHead(404, f"MQTT over WebSocket is at {PATH}, and nothing else is here")
    if not head.says("connection", "upgrade") or not head.says("upgrade", "websocket"):
        raise BadHead(
            426,
            "this address is for MQTT clients: they connect by WebSocket, with the subprotocol mqtt",
            "Upgrade: websocket\r\n",
        )
    if head.one("sec-websocket-version") != VERSION:
        raise BadHead(
            426, f"the version of WebSocket here is {VERSION}", f"Sec-WebSocket-Version: {VERSION}\r\n"
        )
    if not head.one("host"):
        raise BadHead(400, "the request names no host")
    if "transfer-encoding" in head.fields or (head.one("content-length") or "0") != "0":
        raise BadHead(400, "the request has a body")
    key = head.one("sec-websocket-key")
    if key is None or not is_nonce(key):
        raise BadHead(400, "Sec-WebSocket-Key is not that of 16 bytes")
    origin = head.one("origin")
    if rules.origins and origin is not None and origin.lower() not in rules.origins:
        raise BadHead(403, "pages of this origin may not connect")
    subprotocol = chosen(head.members("sec-websocket-protocol"))
    selected = f"Sec-WebSocket-Protocol: {subprotocol}\r\n" if subprotocol else ""
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_of(key)}\r\n{selected}\r\n"
    ).encode("ascii")


def path_of(target: str) -> str:
    """The path of a request's target, in the form of origin or absolute, section 3.2 of RFC 9112."""
    if not target.startswith("/"):
        _, _, behind = target.partition("://")
        _, slash, path = behind.partition("/")
        target = slash + path
    return target.partition("?")[0]


def chosen(offered: Sequence[str]) -> str:
    """The subprotocol to go on with; none for a client that offers none."""
    for subprotocol in SUBPROTOCOLS:
        if subprotocol in offered:
            return subprotocol
    if offered:
        raise BadHead(400, "the subprotocol here is mqtt")
    return ""


def is_nonce(key: str) -> bool:
    """Whether it is the Base64 of 16 bytes, section 4.1."""
    try:
        return len(key) == 24 and len(base64.b64decode(key, validate=True)) == NONCE
    except ValueError:
        return False


def accept_of(key: str) -> str:
    """What the server makes of the client's key, section 4.2.2."""
    return base64.b64encode(hashlib.sha1((key + MAGIC).encode("ascii")).digest()).decode("ascii")
