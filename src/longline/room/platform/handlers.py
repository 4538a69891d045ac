"""Which handler a publication on one of the platform's topics is for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, final

from longline.model.topics import TOPICS, Topic, Use
from longline.mqtt.packets import Publish
from longline.room.pubsub.rooms import Publisher
from longline.room.pubsub.rules import Refusal
from longline.room.session.session import Session
from longline.room.wire.answers import Answer


class Handler(Protocol):
    """Takes the publications on one kind of topic. No call here blocks or fails.

    They are asked in this order: `refusal`, `full`, and `take`. A publication of a client whose session has
    taken its packet identifier with QoS 2 before does not come here again, unless the handler is one that
    takes such a one once by itself (`Platform.takes_again`).
    """

    def refusal(self, session: Session, packet: Publish) -> Refusal | None:
        """Why a publication is not taken, where that can be told at once; None when it is."""

    def full(self) -> bool:
        """Whether a publication with QoS 1 or 2 has to wait; its client is not read from meanwhile."""

    def hold_up(self, go_on: Callable[[], None]) -> None:
        """Has a client go on when there is room again."""

    def take(self, publisher: Publisher, session: Session, packet: Publish, answer: Answer | None) -> None:
        """Takes a publication. `publisher.settle` is told what became of it, with `answer`, now or later.

        There is no answer to one with QoS 0: where there is no room for it, it is dropped and counted.
        """


@final
class Platform:
    """The handlers of a room, by the forms of their topics in the table.

    Those of the forms in `again` know by the packet identifier what a session that is kept has sent before.
    """

    __slots__ = ("_again", "_exact", "_rooted")

    def __init__(self, handlers: Mapping[str, Handler], again: Sequence[str] = ()) -> None:
        self._again = [handlers[form] for form in again]
        self._exact: dict[str, Handler] = {}
        self._rooted: dict[str, _Rooted] = {}  # by their first level
        kinds = {topic.form: topic for topic in TOPICS if topic.publish is Use.HANDED}
        for form, handler in handlers.items():
            kind = kinds[form]
            if kind.exact:
                self._exact[form] = handler
            else:
                self._rooted[kind.root] = _Rooted(kind, handler)

    def takes_again(self, topic: str) -> bool:
        """Whether what a kept session sends again with QoS 2 goes to its handler once more.

        The room that took it first may have died when it was not yet where it belongs: then it has to get
        there before what comes behind it.
        """
        handler = self.find(topic)
        return handler is not None and handler in self._again

    def find(self, topic: str) -> Handler | None:
        """Who takes what is published to a topic; None when nobody does."""
        root = self._rooted.get(topic[: topic.find("/")])
        if root is None:
            return self._exact.get(topic)
        return root.handler if root.fits(topic) else None


@final
class _Rooted:
    """A handler for all topics of a kind."""

    __slots__ = ("handler", "levels", "open")

    def __init__(self, kind: Topic, handler: Handler) -> None:
        self.handler = handler
        self.levels = kind.form.count("/")
        self.open = kind.form.endswith("…")

    def fits(self, topic: str) -> bool:
        """Whether a topic, of which the first level is right, has as many of them as its kind."""
        levels = topic.count("/")
        return levels >= self.levels if self.open else levels == self.levels
