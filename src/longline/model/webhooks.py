"""Webhooks: where an app's events are sent, and how far that has come."""

from typing import Final

import msgspec

from longline.model.access import FormerSecret
from longline.model.events import Event

REFUSED: Final = "refused"  # why an event is given up: the target has refused it, and takes others
UNANSWERED: Final = "unanswered"  # or the target took nothing for as long as it is tried


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What has become of a webhook's events. Times in ms, 0 for never.

    `after`: the cursor of the last event that was taken, given up, or not wanted. `count`: how many events
    behind that the batch spans that has failed, so that the same one is tried again; 0 when none has.
    `failures` in a row, and `failing_since`, the first of these. `refused`: how many events were given up as
    refused since the last that was taken. `taken`: how many were, ever. `gaps`: batches before which events
    were removed unread. `error`: why the last try failed. `gone`: the target wants no more, ever (410).
    """

    after: str = ""
    count: int = 0
    failures: int = 0
    failing_since: int = 0
    next_at: int = 0
    refused: int = 0
    taken_at: int = 0
    failed_at: int = 0
    error: str = ""
    taken: int = 0
    gaps: int = 0
    gone: bool = False


class Webhook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The webhook of an app, by its number and by its `name`. `events`: the kinds of events that it wants.

    `secret` and, until its time is over, `former_secret` sign what is sent. `version` rises by one with each
    change, of whatever; the first is above all of a webhook that the app had before.
    """

    app: int
    name: str
    url: str
    secret: str
    events: tuple[str, ...]
    created_at: int
    version: int
    former_secret: FormerSecret | None = None
    progress: Progress = Progress()

    def secrets(self, now: int) -> tuple[str, ...]:
        """Those that sign at this moment (ms): the one in force first."""
        former = self.former_secret
        if former is None or former.until <= now:
            return (self.secret,)
        return (self.secret, former.secret)

    def __repr__(
        self,
    ) -> str:  # neither secret, nor what stands in the address, must reach a log by way of it
        return f"Webhook(app={self.app}, version={self.version})"


class DeadEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event that the target never took, under its cursor.

    `reason`: one of those above; `error`: what the last try ended with; `at`: when it was given up, in ms.
    `again`: it is to be sent once more.
    """

    cursor: str
    event: Event
    reason: str
    error: str
    at: int
    again: bool = False


class DeadTotals(msgspec.Struct, frozen=True):
    """What is kept of dead events: how many, their bytes, how many of them are to be sent once more, and how
    many were dropped because there were more than are kept."""

    events: int = 0
    bytes: int = 0
    again: int = 0
    dropped: int = 0


class DeadBounds(msgspec.Struct, frozen=True):
    """What is kept of the dead events of an app: at most `events`, of `bytes`; of more, the latest."""

    events: int = 10_000
    bytes: int = 64 * 1024 * 1024
