"""What a room asks of the table of the other rooms, and what that asks of who publishes here."""

from typing import Final, Protocol

from longline.mqtt.packets import Publish, Suback
from longline.room.wire.answers import Answer

# What is said of a publication instead of the reason code for its publisher:
NOT_YET: Final = -1  # its publisher has to wait, until `Publisher.published` or `go_on` is called
LATER: Final = -2  # only its answer has to wait, until `Publisher.settle` is called


class Publisher(Protocol):
    """A client that publishes or subscribes, as those see it who answer it later."""

    def subscribed(self, suback: Suback) -> None:
        """Sends the answer that `RemoteRooms.told_first` has held back."""

    def report(self, code: str, message: str) -> None:
        """Counts what the client may not do, and tells of it."""

    def owe(self, packet: Publish) -> Answer:
        """The PUBACK or PUBREC of a publication, which `settle` sends."""

    def owing(self) -> int:
        """How many PUBACKs and PUBRECs the client waits for."""

    def settle(self, answer: Answer, reason: int, message: str = "") -> None:
        """Sends an answer that was owed, once those before it are out; `message` is why it is a refusal."""

    def published(self, packet: Publish, reason: int) -> None:
        """A publication with very many subscribers has reached them: the packets behind it are next."""

    def go_on(self) -> None:
        """What the packets behind a publication had to wait for is done."""


class RemoteRooms(Protocol):
    """The other rooms of the cluster. No call here blocks or fails."""

    def wanted(self, app: int, filter: str) -> None:
        """A filter has its first subscriber here."""

    def unwanted(self, app: int, filter: str) -> None:
        """A filter has lost its last subscriber here."""

    def told_first(self, subscriber: Publisher, answer: Suback) -> bool:
        """Whether others have to hear of new filters before a client does; its answer is sent then."""

    def relay(self, publisher: Publisher, app: int, packet: Publish, reason: int, id: str) -> int:
        """Hands a device's message to the rooms that want it; returns the reason code for its publisher.

        That is `reason`, what is said of it here, when none does. `id` as it is retained, or empty.
        LATER when it is to be acknowledged and is not yet theirs: `Publisher.settle` is told when it is.
        NOT_YET when there is no room for more of the kind: then `Publisher.go_on` is called besides.
        """
