"""What a room asks of the table of the other rooms, and what that asks of who publishes here."""

from typing import Final, Protocol

from longline.model.commands import ForGroups
from longline.mqtt.packets import Publish, Suback
from longline.room.pubsub.groups import Allotment
from longline.room.pubsub.message import FanoutMessage
from longline.room.wire.answers import Answer

# What is said of a publication instead of the reason code for its publisher:
NOT_YET: Final = -1  # its publisher has to wait, until `Publisher.published` or `go_on` is called
LATER: Final = -2  # only its answer has to wait, until `Publisher.settle` is called


class AwaitingSuback(Protocol):
    """A client that subscribes, as the table of rooms sees it."""

    def subscribed(self, suback: Suback) -> None:
        """Sends the answer that `RemoteRooms.told_first` has held back."""


class Publisher(Protocol):
    """A client that publishes, as those see it who answer it later."""

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

    def told_first(self, subscriber: AwaitingSuback, answer: Suback) -> bool:
        """Whether others have to hear of new filters before a client does; its answer is sent then."""

    def shared(self, app: int, key: str, members: int) -> None:
        """A group of a shared subscription has so many members here now."""

    def full(self, node: str) -> bool:
        """Whether too much waits to be sent to a room."""

    def unsure(self) -> bool:
        """Whether a room may have groups that are not known here: then it is asked to serve them."""

    def hand_on(self, node: str, app: int, message: FanoutMessage, share: ForGroups) -> None:
        """Has another room serve groups with a message that nobody waits for."""

    def share(self, app: int, message: FanoutMessage, allotted: Allotment) -> None:
        """Tells other rooms which groups they are to serve with a message that nobody waits for."""

    def relay(
        self,
        publisher: Publisher,
        app: int,
        packet: Publish,
        reason: int,
        id: str,
        queued: bool,
        allotted: Allotment | None = None,
    ) -> int:
        """Hands a device's message to the rooms that want it; returns the reason code for its publisher.

        That is `reason`, what is said of it here, when none does. `id` as it is retained, or empty.
        `queued`: it goes to the queues of sessions, too. `allotted`: which groups other rooms are to serve.
        LATER when it is to be acknowledged and is not yet theirs: `Publisher.settle` is told when it is.
        NOT_YET when there is no room for more of the kind: then `Publisher.go_on` is called besides.
        """
