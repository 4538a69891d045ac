"""What the synchronous, compiled part of a room asks of the rest: no call here blocks or fails."""

from typing import TYPE_CHECKING, Final, Protocol

from longline.mqtt.packets import Publish, Suback
from longline.room.session.session import InFlight, Session

if TYPE_CHECKING:
    from longline.mqtt.packets import Connect
    from longline.room.wire.connection import Connection

# What is said of a publication instead of how many it has reached:
NOT_YET: Final = -1  # its publisher has to wait, until `connection.published` or `go_on` is called
LATER: Final = -2  # only its PUBACK has to wait, until `connection.settle` is called


class Desk(Protocol):
    """Where the synchronous part leaves work that has to wait for a store."""

    def admit(self, connection: "Connection", packet: "Connect") -> None:
        """A CONNECT came in: find out who it is, and answer it."""

    def refill(self, session: Session) -> None:
        """The session has room for pushes, and the store may have some."""

    def acknowledged(self, entry: InFlight) -> None:
        """The device has taken a push."""

    def written(self, entry: InFlight) -> None:
        """A push was written to the device's connection."""

    def dropped(self, session: Session, position: int, broadcast: bool, reason: str) -> None:
        """A push that is only for who can take it now could not be written."""

    def departed(self, session: Session) -> None:
        """The session is over; it is in no index any more."""

    def refused(self, connection: "Connection", code: str, message: str) -> None:
        """A peer did what it may not do. Counted already; a repetition on the same connection is not told."""


class Rooms(Protocol):
    """The other rooms of the cluster."""

    def wanted(self, app: int, filter: str) -> None:
        """A filter has its first subscriber here."""

    def unwanted(self, app: int, filter: str) -> None:
        """A filter has lost its last subscriber here."""

    def told_first(self, connection: "Connection", answer: Suback) -> bool:
        """Whether others have to hear of new filters before a client does; its answer is sent then."""

    def relay(self, connection: "Connection", app: int, packet: Publish, reached: int) -> int:
        """Hands a device's message to the rooms that want it; returns how many, and `reached`, have it.

        LATER when it is to be acknowledged and is not yet theirs: `connection.settle` is told when it is.
        NOT_YET when there is no room for more of the kind: then `connection.go_on` is called besides.
        """
