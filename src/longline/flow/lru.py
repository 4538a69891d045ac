"""Bounded memory of what was used lately."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class LruCache(Generic[K, V]):
    """Keys with values, at most `limit` of their weights together; who was used least lately goes first.

    `weigh` says what an entry costs, in the unit of `limit`; without it, each costs 1. One entry is kept
    whatever it weighs. Not for several threads at once.
    """

    __slots__ = ("_entries", "_weigh", "limit", "weight")

    def __init__(self, limit: int, weigh: Callable[[V], int] | None = None) -> None:
        self.limit = limit
        self.weight = 0
        self._weigh = weigh
        # The weight is kept beside the value: a value may have changed by the time it goes.
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: K) -> bool:
        return key in self._entries

    def get(self, key: K) -> V | None:
        """The value, which counts as used now; None where there is none."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: K, value: V) -> None:
        """Remembers a value, in place of what the key had; forgets others to make room."""
        weight = 1 if self._weigh is None else self._weigh(value)
        self.forget(key)
        self._entries[key] = (value, weight)
        self.weight += weight
        while self.weight > self.limit and len(self._entries) > 1:
            _, (_, forgotten) = self._entries.popitem(last=False)
            self.weight -= forgotten

    def add(self, key: K, value: V) -> bool:
        """Remembers a value whose key is new; False, and nothing is changed or used, where it is known."""
        if key in self._entries:
            return False
        self.put(key, value)
        return True

    def forget(self, key: K) -> None:
        """Takes a key out; nothing where there is none."""
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.weight -= entry[1]

    def items(self) -> Iterator[tuple[K, V]]:
        """Keys with values, the one used least lately first; this uses none of them."""
        return ((key, value) for key, (value, _) in self._entries.items())

    def clear(self) -> None:
        """Forgets everything."""
        self._entries.clear()
        self.weight = 0
