"""The head of an HTTP/1.1 message (RFC 9112): gathered within bounds, and read strictly.

Whoever speaks to a WebSocket port is a stranger until its request is judged, and a request that two readers
could understand differently is none: lines end in CR LF, nothing is folded, no name is followed by a space.
"""

import re
from typing import Final, final

MOST_FIELDS: Final = 100
END: Final = b"\r\n\r\n"
CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# Section 5.6.2 of RFC 9110: what the name of a field is made of.
TOKEN: Final = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


class BadHead(Exception):
    """A head that is not taken. `status` is the answer to such a request, `fields` what belongs into that."""

    def __init__(self, status: int, message: str, fields: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.fields = fields


@final
class HttpHead:
    """What one peer says before it speaks WebSocket. `first` is what it begins with; `limit` in bytes.

    Once `whole`, `line` is the first line, `fields` what follows it, by lower-case name, in the order of
    arrival, and `rest` the bytes behind the head.

    Memory: at most `limit` and one call's bytes. Time: linear in the bytes, however they are cut.
    """

    __slots__ = ("_first", "_gathered", "_limit", "fields", "line", "rest", "whole")

    def __init__(self, first: bytes, limit: int) -> None:
        self._first = first
        self._limit = limit
        self._gathered = bytearray()
        self.whole = False
        self.line = ""
        self.fields: dict[str, list[str]] = {}
        self.rest = b""

    @property
    def begun(self) -> bool:
        """Whether anything has come."""
        return self.whole or len(self._gathered) > 0

    def feed(self, data: bytes) -> None:
        """Takes the next bytes. Raises `BadHead` as soon as it is seen that they are no such head."""
        gathered = self._gathered
        before = len(gathered)
        gathered += data
        first = self._first
        if before < len(first) and bytes(gathered[: len(first)]) != first[: len(gathered)]:
            raise BadHead(400, f"it does not begin with {first.decode('ascii')}")
        end = gathered.find(END, max(0, before - 3))
        if end < 0:
            if len(gathered) > self._limit - len(END):
                raise BadHead(431, "the head is too long")
            return
        if end > self._limit - len(END):
            raise BadHead(431, "the head is too long")
        head = bytes(gathered[:end])
        self.rest = bytes(gathered[end + len(END) :])
        self._gathered = bytearray()
        self._read(head)
        self.whole = True

    def _read(self, head: bytes) -> None:
        lines = head.split(b"\r\n")
        if len(lines) > MOST_FIELDS + 1:
            raise BadHead(431, "the head has too many fields")
        for line in lines:
            if has_control_characters(line):
                raise BadHead(400, "the head has a control character")
        self.line = lines[0].decode("latin-1")
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            if len(name) == len(line) or not is_token(name):
                raise BadHead(400, "a field of the head has no proper name")
            values = self.fields.setdefault(name.decode("ascii").lower(), [])
            values.append(value.decode("latin-1").strip(" \t"))

    def one(self, name: str) -> str | None:
        """The value of a field that may be given once; None when it is not."""
        values = self.fields.get(name)
        if values is None:
            return None
        if len(values) > 1:
            raise BadHead(400, f"{name} is given more than once")
        return values[0]

    def members(self, name: str) -> list[str]:
        """The members of a field that is a list, section 5.6.1 of RFC 9110."""
        found: list[str] = []
        for value in self.fields.get(name, []):
            for member in value.split(","):
                member = member.strip(" \t")
                if member:
                    found.append(member)
        return found

    def says(self, name: str, word: str) -> bool:
        """Whether a list has this word among its members, in whatever case."""
        return word in [member.lower() for member in self.members(name)]


def is_token(name: bytes) -> bool:
    """Section 5.6.2 of RFC 9110."""
    return len(name) > 0 and TOKEN.issuperset(name)


def has_control_characters(line: bytes) -> bool:
    """Whether there are others than the tab, section 5.5 of RFC 9110."""
    return CONTROL.search(line) is not None
