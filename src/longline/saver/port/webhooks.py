"""The duties of the store of webhooks, and of the events that their targets never took.

A webhook is changed as a whole, and a change compares versions first: of those who act on one state, one is
done and the others are told. What a change does to dead events is part of the same step, so an event is
either still to be sent, or dead, or taken, whenever whoever sends it dies.

Dead events go by the numbers that their cursors are. They belong to the webhook and go with it, as both go
with their app, and those of a device with that.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from longline.model.webhooks import DeadEvent, DeadTotals, Webhook

PAGE_BYTES: Final = 1024 * 1024  # of dead events in one answer, but one always


class WebhookChange(msgspec.Struct, frozen=True):
    """A webhook in the place of the one with the version `before`; 0: of none.

    `dead`: events that are given up; one that is dead already is replaced. `taken`: cursors of dead events
    that the target has taken after all. `refused`: of those that it has not, once more: they stay.
    """

    webhook: Webhook
    before: int
    dead: tuple[DeadEvent, ...] = ()
    taken: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


class WebhookMark(msgspec.Struct, frozen=True):
    """What there is to know of a webhook without reading it: whose, its version, and how many dead events are
    to be sent once more."""

    app: int
    version: int
    again: int


class DeadPage(msgspec.Struct, frozen=True):
    """Dead events by their cursors, and whether there are more behind them."""

    events: tuple[DeadEvent, ...]
    more: bool


class WebhookStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    Of dead events so many are kept as `DeadBounds` says; those with the lowest cursors go first, and are
    counted.
    """

    async def find(self, app: int) -> tuple[Webhook, DeadTotals] | None: ...

    async def marks(self, after: int, limit: int) -> Sequence[WebhookMark]:
        """Of the webhooks of all apps, by number behind `after`, at most `limit`."""
        ...

    async def change(self, change: WebhookChange) -> bool:
        """Puts a webhook in the place of another. False, and nothing is changed: there is no such one, or no
        such app."""
        ...

    async def seal(self, app: int) -> bool:
        """Stores a webhook's secrets as they are written now, as `AppStore.seal` does; its version stays."""
        ...

    async def remove(self, app: int) -> bool:
        """Forgets a webhook and its dead events. False: there is none."""
        ...

    async def dead(self, app: int, after: str, limit: int, *, again: bool = False) -> DeadPage:
        """Dead events behind a cursor ("": all), at most `limit`, and fewer where they are large.

        `again`: only those that are to be sent once more.
        """
        ...

    async def replay(self, app: int, cursors: Sequence[str] | None) -> int:
        """Notes that dead events are to be sent once more: those with these cursors, None for all.

        How many of them that holds for now.
        """
        ...
