"""The duties of the store of named keys."""

from collections.abc import Sequence
from typing import Protocol

from longline.model.keys import ApiKey


class KeyStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    Of a key nothing changes but when it was used last. That its time is over, whoever finds it sees. The
    keys of an app that is deleted are not found any more.
    """

    async def create(self, key: ApiKey, limit: int, now: int) -> None:
        """Stores a new key.

        Raises `AppNotFound`, and `QuotaExceeded` when its app, or all apps together for a key of none, has
        `limit` keys; where it has as many, those that are over `now` (ms) go first.
        """
        ...

    async def find(self, id: str) -> ApiKey | None: ...

    async def use(self, id: str, at: int) -> None:
        """Notes that a key was used (ms), unless a later use is known; nothing where there is no such key."""
        ...

    async def list(self, number: int, after: str, limit: int) -> Sequence[ApiKey]:
        """Keys of the app with this number, 0: those that reach all, in the order in which they were made.

        Those behind the id `after` ("": all).
        """
        ...

    async def delete(self, number: int, id: str) -> bool:
        """Forgets a key of that app; False: it has none with this id."""
        ...
