"""The duties of retained messages: for each topic of an app the last one, for whoever subscribes later.

Topics have one order, that of their UTF-8 bytes, which is also that of Python's texts. A message is found in
its place there, so whoever reads page by page knows of every topic whether it was looked at already.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from longline.model.pubsub import Publication


class Retain(msgspec.Struct, frozen=True):
    """A message to be kept for its topic, or, with an empty payload, the end of the one that is kept.

    `most` and `most_bytes`: how many its app may have, and what they may add up to, where that is another
    number than the engine was opened with; else 0.
    """

    app: int
    publication: Publication
    now: int
    most: int = 0
    most_bytes: int = 0


class FindRetained(msgspec.Struct, frozen=True, gc=False):
    """Asks for the messages whose topics match a filter, which is valid and not a shared subscription's.

    `start`: topics before it are left out; a page's `next`, or empty for the first. At most `limit` messages,
    and `limit_bytes` as they count for `retained_bytes`, but one always.
    """

    app: int
    filter: str
    now: int
    start: str = ""
    limit: int = 1000
    limit_bytes: int = 1024 * 1024


class RetainedPage(msgspec.Struct, frozen=True):
    """Messages by rising topic. All topics before `next` were looked at; empty: all there are.

    `next` need not be a topic.
    """

    publications: tuple[Publication, ...]
    next: str = ""


class RetainedStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    An app has at most `retained_messages`, and `retained_bytes` of them: of topics, payloads and properties,
    and 200 for each message. An engine that several processes fill at the same moment may let in a little
    more.
    """

    async def keep(self, batch: Sequence[Retain]) -> list[str | None]:
        """Keeps or ends messages, the last of a topic in the order of commits.

        None, or the code of what was refused: `app_not_found`, or `quota_exceeded` where the app has as much
        as it may; then the message that the topic had is still there. One that is over already ends the
        topic's, too. A batch that fails may have been done in part, and can be repeated.
        """
        ...

    async def find(self, batch: Sequence[FindRetained]) -> list[RetainedPage]:
        """What is kept and not over; nothing in an app that is no more.

        A topic whose first level begins with `$` is not found by a filter that begins with a wildcard
        [MQTT-4.7.2-1]. One call looks at a bounded number of topics: a page may be empty and have a `next`,
        which is always behind `start`.
        """
        ...

    async def count(self, app: int) -> int:
        """How many an app has, perhaps with some that are over."""
        ...
