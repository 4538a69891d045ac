"""The duties of a store of apps."""

from collections.abc import Sequence
from typing import Protocol

from longline.model.apps import App


class AppStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    An app is changed as a whole, in one step. Of changes that race from one state, one is done and the others
    are told; what is found was true after the last change that was answered.
    """

    async def create(self, app: App) -> App:
        """Stores a new app under the next free number (the given number is ignored); `AppExists`."""
        ...

    async def find(self, name: str) -> App | None: ...

    async def numbered(self, numbers: Sequence[int]) -> Sequence[App | None]:
        """Apps by their numbers, for who knows no more of them."""
        ...

    async def list(self, after: str, limit: int) -> list[App]:
        """Apps by name, those after `after` ("" for the first)."""
        ...

    async def update(self, app: App, before: App) -> bool:
        """Replaces all that can change: not app, number and created_at; `AppNotFound`.

        False, and nothing is changed, when the stored app is not `before`: somebody else was faster.
        """
        ...

    async def seal(self, name: str) -> bool:
        """Stores an app's secrets as they are written now: sealed by the newest key, or in clear without one.

        False, and nothing is changed: they are so already, or there is no such app.
        """
        ...

    async def delete(self, app: int) -> None:
        """Removes the app with its devices, messages and ledgers. Its number is not used again.

        Nothing finds it any more when this returns; what it takes up may be freed later, by `expire`.
        """
        ...
