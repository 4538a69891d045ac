"""Where a device may connect, and where it tries next.

There is a list, in the order to try it, and there may be a place that the device was sent to by the server.
That comes first, and stays first for as long as it works; when a connection cannot be made there, it is
forgotten, and the list is next.
"""

from collections.abc import Sequence
from typing import Final

from longline.mqtt.moving import Endpoint

LONGEST: Final = 64  # endpoints in the list

__all__ = ["Endpoint", "Endpoints"]


class Endpoints:
    """Hosts and ports. The list may be empty at first, until it is fed."""

    __slots__ = ("_failed", "_listed", "_sent_to")

    def __init__(self, listed: Sequence[Endpoint] = ()) -> None:
        self._listed = list(listed[:LONGEST])
        self._sent_to: list[Endpoint] = []
        self._failed = 0  # of the list, since it is as it is or one of them worked

    @property
    def current(self) -> Endpoint:
        """Where to connect now; IndexError when nothing is known."""
        return (self._sent_to or self._listed)[0]

    @property
    def known(self) -> bool:
        """Whether there is anywhere to connect."""
        return bool(self._sent_to or self._listed)

    @property
    def sent(self) -> bool:
        """Whether the device is where the server sent it, or on its way."""
        return bool(self._sent_to)

    @property
    def used_up(self) -> bool:
        """Whether every endpoint of the list has failed."""
        return self._failed >= len(self._listed)

    def feed(self, listed: Sequence[Endpoint]) -> None:
        """Replaces the list, best first."""
        if not listed:
            raise ValueError("a device needs at least one endpoint")
        self._listed = list(listed[:LONGEST])
        self._failed = 0

    def send_to(self, endpoints: Sequence[Endpoint]) -> None:
        """The server wants the device there; with none, anywhere but where it is, if there is a choice."""
        self._sent_to = list(endpoints)
        if not endpoints:
            self.failed()

    def first(self, number: int) -> list[Endpoint]:
        """The next ones to try at the same time; where the server sent it, one after the other."""
        return self._sent_to[:1] or self._listed[:number]

    def chosen(self, endpoint: Endpoint) -> None:
        """This one could be reached, and others before it could not, or not as fast."""
        if endpoint in self._listed and not self._sent_to:
            self._listed.remove(endpoint)
            self._listed.insert(0, endpoint)

    def failed(self) -> None:
        """The current endpoint cannot be reached, or lets nobody in: the next one is tried."""
        if self._sent_to:
            self._sent_to.pop(0)
        elif self._listed:
            self._listed.append(self._listed.pop(0))
            self._failed += 1

    def worked(self) -> None:
        """The current endpoint has let the device in."""
        self._failed = 0
