"""The duties of what all processes know together of how much each app does in a second.

Nothing here has to be durable, and nobody waits for it with a message: processes count by themselves, and
tell each other so that together an app does no more than its rate in the long run.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Spending(msgspec.Struct, frozen=True):
    """An app has done `amount` more of something of which it may do `rate` a second."""

    app: int
    what: str
    rate: int
    amount: int


class RateStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph, but for
    durability.
    """

    async def spend(self, batch: Sequence[Spending]) -> list[float]:
        """Takes these off what each app has; what it has then.

        An app has a second's worth at first, and at most; it gets `rate` of it a second. What it has done
        beyond that it owes: then it has less than 0.
        """
        ...
