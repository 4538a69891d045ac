"""What many links have to write alike: gathered in one list, and joined once for all of them.

A message is the same bytes to each of a thousand subscribers, and so is what the messages of a turn make one
behind the other. Links that have to write the same therefore share a list that only grows, and each knows how
many of its pieces are its own. Who has fewer than others goes on along the list for as long as it has to
write what stands there anyway; else it takes those that it has into a list of its own.
"""

from typing import final


@final
class SharedOutput:
    """One for the links of a thread that write in turns. It holds nothing after `let_go`."""

    __slots__ = ("_count", "_data", "_joined", "_latest")

    def __init__(self) -> None:
        self._latest: list[bytes] = []  # the list that was begun last
        self._joined: list[bytes] = []  # the list that was joined last,
        self._count = 0  # as far as this,
        self._data = b""  # to this

    def begun(self, data: bytes) -> list[bytes]:
        """A list that begins with this piece, and may have others behind it."""
        latest = self._latest
        if not latest or latest[0] is not data:
            latest = self._latest = [data]
        return latest

    def joined(self, pieces: list[bytes], count: int) -> bytes:
        """So many pieces of a list, at least one, as they are written."""
        if count == 1:
            return pieces[0]
        if pieces is self._joined and count == self._count:
            return self._data
        data = b"".join(pieces if count == len(pieces) else pieces[:count])
        self._joined = pieces
        self._count = count
        self._data = data
        return data

    def let_go(self) -> None:
        """All that was to be written is."""
        if self._latest:
            self._latest = []
        if self._joined:
            self._joined = []
            self._data = b""
