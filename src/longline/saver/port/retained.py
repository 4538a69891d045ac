"""The duties of retained messages: for each topic of an app the last one, for whoever subscribes later."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from longline.model.pubsub import Publication


class Retain(msgspec.Struct, frozen=True):
    """A message to be kept for its topic, or, with an empty payload, the end of the one that is kept."""

    app: int
    publication: Publication
    now: int


class FindRetained(msgspec.Struct, frozen=True, gc=False):
    """Asks for the messages whose topics match a filter, behind `after` as the page before gave it."""

    app: int
    filter: str
    now: int
    after: str = ""
    limit: int = 1000
    limit_bytes: int = 1024 * 1024


class RetainedPage(msgspec.Struct, frozen=True):
    """Messages, and where to go on; an empty `next` is the end."""

    publications: tuple[Publication, ...]
    next: str = ""


class RetainedStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph."""

    async def keep(self, batch: Sequence[Retain]) -> list[str | None]:
        """Keeps or ends messages, the last of a topic in the order of commits.

        None, or the code of what was refused: `app_not_found`, `quota_exceeded` when the app has
        `retained_messages` or `retained_bytes`.
        """
        ...

    async def find(self, batch: Sequence[FindRetained]) -> list[RetainedPage]:
        """What is kept and not over. A topic whose first level begins with `$` is not found by a filter that
        begins with a wildcard [MQTT-4.7.2-1]. One call looks at a bounded number of topics: a page may be
        empty and have a `next`."""
        ...

    async def count(self, app: int) -> int:
        """How many an app has, perhaps with some that are over."""
        ...
