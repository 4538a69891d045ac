"""The duties of the store of profiles."""

from collections.abc import Sequence
from typing import Protocol

from longline.model.profiles import ProcessProfile, ProfileChoice, ProfileHead


class ProfileStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    It is bounded by `ProfileBounds`: the oldest go where there are too many, or too many bytes of them; the
    one that is put in stays, whatever it takes up.
    """

    async def put(self, profile: ProcessProfile) -> None:
        """Keeps a profile, in the place of the one with its id where there is one."""
        ...

    async def find(self, id: str) -> ProcessProfile | None: ...

    async def latest(self, choice: ProfileChoice, limit: int) -> Sequence[ProfileHead]:
        """Those that are chosen, the latest first, without what is in them."""
        ...

    async def delete(self, id: str) -> bool:
        """Whether there was one."""
        ...
