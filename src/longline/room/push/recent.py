"""What was done lately, so that it is not done twice."""

from collections import OrderedDict
from collections.abc import Hashable


class Recent:
    """The latest `limit` keys; older ones are forgotten."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._keys: OrderedDict[Hashable, None] = OrderedDict()

    def add(self, key: Hashable) -> bool:
        """True when the key is new, as far as it is remembered."""
        if key in self._keys:
            return False
        self._keys[key] = None
        if len(self._keys) > self._limit:
            self._keys.popitem(last=False)
        return True
