"""The client's end of the opening handshake: section 4.1 of RFC 6455, and section 6 of MQTT."""

import base64
import re
from typing import Final, final

from longline.model.addresses import joined
from longline.websocket.head import BadHead, HttpHead
from longline.websocket.upgrade import PATH, SUBPROTOCOLS, VERSION, accept_of

LONGEST_ANSWER: Final = 16_384  # bytes
NO_HOST: Final = re.compile(r"[^0-9A-Za-z._:%\-]")


def request(host: str, port: int, nonce: bytes, path: str = PATH) -> bytes:
    """The request of a client; `nonce` has 16 bytes, of this connection alone. ValueError for no host."""
    name = host.encode("idna").decode("ascii")
    if NO_HOST.search(name):
        raise ValueError(f"{host!r} is no host")
    return (
        f"GET {path} HTTP/1.1\r\nHost: {joined(name, port)}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key_of(nonce)}\r\nSec-WebSocket-Version: {VERSION}\r\n"
        f"Sec-WebSocket-Protocol: {SUBPROTOCOLS[0]}\r\n\r\n"
    ).encode("ascii")


def key_of(nonce: bytes) -> str:
    """What a request says of its nonce."""
    return base64.b64encode(nonce).decode("ascii")


@final
class UpgradeAnswer:
    """A server's answer to `request` with the same nonce."""

    __slots__ = ("_head", "_key", "problem", "rest", "taken")

    def __init__(self, nonce: bytes) -> None:
        self._head = HttpHead(b"HTTP/1.1 ", LONGEST_ANSWER)
        self._key = key_of(nonce)
        self.taken = False  # frames follow
        self.problem: str | None = None  # why they do not: a sentence of ours
        self.rest = b""  # what came behind the answer

    def feed(self, data: bytes) -> None:
        """Takes the next bytes. Then it is `taken`, or there is a `problem`, or more bytes are wanted."""
        head = self._head
        try:
            head.feed(data)
            if head.whole:
                self.problem = self._problem(head)
                self.taken = self.problem is None
                self.rest = head.rest
        except BadHead as bad:
            self.problem = f"the answer is no upgrade: {bad.message}"

    def _problem(self, head: HttpHead) -> str | None:
        status = head.line.split(" ")[1]
        if status != "101":
            return (
                f"the server refuses an upgrade with {status}" if status.isdecimal() else "it has no status"
            )
        if not head.says("upgrade", "websocket") or not head.says("connection", "upgrade"):
            return "the server upgrades to something else"
        if head.one("sec-websocket-accept") != accept_of(self._key):
            return "the server has not understood the key"
        if head.one("sec-websocket-protocol") != SUBPROTOCOLS[0]:
            return "the server does not speak the subprotocol mqtt"  # [MQTT-6.0.0-4]
        if "sec-websocket-extensions" in head.fields:
            return "the server wants an extension that was not offered"
        return None
