"""Which messages the application was done with: copies of them are dropped."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

REMEMBERED: Final = 1000


class Handled:
    """The latest of what was handled, each a prefix of topics and the id of a push; bounded."""

    __slots__ = ("_ids", "_limit")

    def __init__(self, limit: int = REMEMBERED) -> None:
        self._ids: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._limit = limit

    def __contains__(self, id: tuple[str, str]) -> bool:
        return id in self._ids

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """The one handled first, first."""
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, id: tuple[str, str]) -> None:
        """Remembers one as the latest, and forgets the oldest beyond the limit."""
        self._ids[id] = None
        self._ids.move_to_end(id)
        if len(self._ids) > self._limit:
            self._ids.popitem(last=False)
