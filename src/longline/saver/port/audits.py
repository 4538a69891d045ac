"""What an audit asks of a store: whether the parts of it that follow from each other still do.

A *check* recomputes one thing from what it follows from (a pending set from inboxes, an index from the
records, a counter from what it counts) and tells of each difference. Checks of an app look at its rows
alone; checks of the store look for what belongs to nobody. Each goes in steps: a step looks at a bounded
number of rows, all of them in one snapshot, so what it tells of is so at one moment. Nothing here writes.
"""

from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

STORE: Final = 0  # in place of an app's number: checks of the whole store


class Difference(msgspec.Struct, frozen=True):
    """Something that is stored and does not follow from what it should, or does not exist and should.

    `subject`: what it is about, in words that another look finds again.
    """

    check: str
    app: int
    subject: str
    expected: str
    stored: str


class AuditStep(msgspec.Struct, frozen=True):
    """What one step found, and where the next one goes on; None when the check is done.

    `looked`: how many rows it looked at.
    """

    differences: tuple[Difference, ...]
    looked: int
    next: str | None


class AuditStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph."""

    @property
    def app_checks(self) -> Sequence[str]:
        """Names of the checks that look at one app."""
        ...

    @property
    def store_checks(self) -> Sequence[str]:
        """Names of those that look at what belongs to nobody, or to the whole store."""
        ...

    async def apps(self) -> Sequence[tuple[int, str]]:
        """Numbers and names of the apps that there are."""
        ...

    async def look(self, check: str, app: int, after: str) -> AuditStep:
        """One step of a check: of an app, or of the store with `STORE`. `after`: "" to begin with."""
        ...
