"""CONNECTs with large wills: what they take up before anybody knows who sends them.

A will may have 64 KiB, and stands before the password: it has to be held before its client is let in. What
is held of a CONNECT larger than others may be counts here until its client is let in or refused, and all of
them together have a bound. One more takes the place of the oldest that has not arrived whole, whose peer
keeps us waiting; so who never completes what it has begun keeps nobody out.
"""

from collections.abc import Callable
from typing import final

from longline.room.session.outlet import Outlet


@final
class LargeConnects:
    """Those of a room. `limit` in bytes; `displace` ends the connection of one that makes room."""

    __slots__ = ("_displace", "_sizes", "_unfinished", "bytes", "limit")

    def __init__(self, limit: int, displace: Callable[[Outlet], None]) -> None:
        self.limit = limit
        self.bytes = 0
        self._displace = displace
        self._sizes: dict[Outlet, int] = {}
        self._unfinished: dict[Outlet, None] = {}  # the oldest first

    def hold(self, connection: Outlet, size: int, whole: bool) -> bool:
        """So many bytes are held of a CONNECT now; False where there is no room for it."""
        self.bytes += size - self._sizes.get(connection, 0)
        self._sizes[connection] = size
        if whole:
            self._unfinished.pop(connection, None)
        else:
            self._unfinished[connection] = None
        while self.bytes > self.limit:
            oldest = next(iter(self._unfinished), connection)
            self.let_go(oldest)
            if oldest is connection:
                return False
            self._displace(oldest)
        return True

    def let_go(self, connection: Outlet) -> None:
        """Nothing is held of it any more, as far as this counts."""
        size = self._sizes.pop(connection, 0)
        if size:
            self.bytes -= size
            self._unfinished.pop(connection, None)

    def __len__(self) -> int:
        return len(self._sizes)
