"""The header of the PROXY protocol: a proxy tells whose connection it is (proxy-protocol.txt of HAProxy).

Version 1 is a line of text of at most 107 bytes, version 2 is binary and says how long it is. What a proxy
adds to it (TLVs) is passed over.
"""

import ipaddress
from typing import Final, final

LONGEST_LINE: Final = 107  # bytes of version 1 with its CR LF, section 2.1
SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"  # of version 2, section 2.2
FIXED: Final = 16  # bytes of version 2 before addresses and TLVs
MOST: Final = 4096  # bytes behind these: room for what proxies tell of certificates
LINE: Final = b"PROXY "

LOCAL: Final = 0x20  # version and command: the proxy itself, to see whether we are well
PROXIED: Final = 0x21
UNKNOWN: Final = (0x00, 0x31)  # families without an address of IP: none told, a Unix socket
TCP4: Final = 0x11
TCP6: Final = 0x21


class BadHeader(Exception):
    """How a fault leaves the reading; it never leaves this file."""


@final
class ProxyHeader:
    """The first bytes of one connection. It never raises on a peer's bytes.

    `done` once it is whole; then `origin` is the client's address, None where the proxy tells of none, and
    `rest` is what came behind it. `problem` says in our words what is wrong with it.
    """

    __slots__ = ("_held", "done", "origin", "problem", "rest")

    def __init__(self) -> None:
        self._held = b""
        self.done = False
        self.origin: str | None = None
        self.problem: str | None = None
        self.rest = b""

    def feed(self, data: bytes) -> None:
        """Takes the next bytes. Then it is `done`, or there is a `problem`, or more bytes are wanted."""
        data = self._held + data
        try:
            size = self._read(data)
        except BadHeader as bad:
            self.problem = str(bad)
            self._held = b""
            return
        if size:
            self.done = True
            self.rest = data[size:]
            self._held = b""
        else:
            self._held = data

    def _read(self, data: bytes) -> int:
        """The size of the header; 0 as long as it is not whole."""
        if LINE.startswith(data[: len(LINE)]):
            return self._read_line(data)
        if SIGNATURE.startswith(data[: len(SIGNATURE)]):
            return self._read_binary(data)
        raise BadHeader("it does not begin with a header of the PROXY protocol")

    def _read_line(self, data: bytes) -> int:
        end = data.find(b"\r\n", 0, LONGEST_LINE)
        if end < 0:
            if len(data) >= LONGEST_LINE:
                raise BadHeader("the line of the header is too long")
            return 0
        words = data[:end].split(b" ")
        kind = words[1]
        if kind == b"UNKNOWN":
            return end + 2  # the rest of the line is to be passed over
        if kind not in (b"TCP4", b"TCP6") or len(words) != 6:
            raise BadHeader("the line of the header is not of its form")
        source = address(words[2], kind == b"TCP6")
        address(words[3], kind == b"TCP6")
        check_port(words[4])
        check_port(words[5])
        self.origin = source
        return end + 2

    def _read_binary(self, data: bytes) -> int:
        if len(data) < FIXED:
            return 0
        command = data[12]
        family = data[13]
        length = data[14] << 8 | data[15]
        if command not in (LOCAL, PROXIED):
            raise BadHeader("neither the version nor the command of the header is known")
        if length > MOST:
            raise BadHeader("the header is too long")
        if len(data) < FIXED + length:
            return 0
        if command == PROXIED and family not in UNKNOWN:
            if family == TCP4:
                size = 4
            elif family == TCP6:
                size = 16
            else:
                raise BadHeader("the header is not of a connection of TCP")
            if length < 2 * (size + 2):  # two addresses and two ports
                raise BadHeader("the header is too short for its addresses")
            self.origin = str(ipaddress.ip_address(data[FIXED : FIXED + size]))
        return FIXED + length


def address(text: bytes, six: bool) -> str:
    """An address of the line, in its usual form."""
    try:
        found = ipaddress.ip_address(text.decode("ascii"))
    except ValueError:
        raise BadHeader("an address of the header cannot be read") from None
    if (found.version == 6) != six or b"%" in text:
        raise BadHeader("an address of the header is not of the family that it names")
    return str(found)


def check_port(text: bytes) -> None:
    """Section 2.1: decimal, without leading zeros."""
    if not text.isdigit() or len(text) > 5 or int(text) > 65_535 or (text[0] == 0x30 and len(text) > 1):
        raise BadHeader("a port of the header cannot be read")
