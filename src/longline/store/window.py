"""How many calls may be out at a server at once: as many as it answers within `IN_TIME`.

A server carries out all that a connection has brought before it looks at the next one. So whatever is out is
a time for which everybody else waits, other processes too, and a script can be a thousand times as much work
as a command. Their number is found by additive increase and multiplicative decrease: it grows by what was
answered in time while more wait to go out, and shrinks by half of what was not.
"""

from typing import Final, final

IN_TIME: Final = 0.02  # s: our own turns of the loop are a part of it
LEAST: Final = 8
MOST: Final = 2048  # in one write, too: more go out in several, so that the loop gets to others


@final
class Window:
    """Of one connection; `size` is how many."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = LEAST

    def answered(self, count: int, took: float, more: bool) -> None:
        """So many were answered together, the first of them after `took` seconds. `more`: others wait."""
        if took > IN_TIME:
            self.size = max(LEAST, self.size - (count + 1) // 2)
        elif more:
            self.size = min(MOST, self.size + count)
