"""The duties towards what is over."""

from typing import Protocol


class ExpiryStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    Everything here is safe to repeat, and to be done by several at once: what one has ended, another finds
    ended.
    """

    async def next_due(self) -> int | None:
        """When `end` next has work, in ms; None: nothing is stored."""
        ...

    async def end(self, now: int, limit: int) -> int:
        """Ends messages whose time is over, at most `limit`; returns how many it ended or purged.

        Pending becomes expired (`online_only`: dropped, `offline`, where it was never written).
        Ended messages whose ledger retention is over, old idempotency keys, retained and queued messages that
        are over, and what sessions that are over and deleted apps take up are removed. What is due longest
        goes first, so what comes meanwhile does not keep anything from its end.
        """
        ...
