"""PUBACKs and PUBRECs that a client waits for, in the order of its publications."""

from collections import deque
from typing import Final, final

OWED: Final = -1
SUCCESS: Final = 0x00
NO_SUBSCRIBERS: Final = 0x10
QUOTA_EXCEEDED: Final = 0x97


@final
class Answer:
    """The answer to a publication with QoS 1 or 2: `owing` of those who have a say in it have yet to say it.

    A refusal counts, and `message`, why; else that somebody has the publication; else that nobody had room
    for it, which is 0x97 without a message; else that nobody wants it.
    """

    __slots__ = ("message", "owing", "packet_id", "qos", "reason")

    def __init__(self, packet_id: int, qos: int, reason: int, message: str) -> None:
        self.packet_id = packet_id
        self.message = message
        self.qos = qos
        self.reason = reason
        self.owing = int(reason == OWED)

    def say(self, reason: int, message: str) -> None:
        """One of them has; OWED says nothing against what the others say."""
        self.owing -= 1
        if _weight(reason, message) > _weight(self.reason, self.message):
            self.reason = reason
            self.message = message


def _weight(reason: int, message: str) -> int:
    """Of several reasons that with most weight counts."""
    if reason == OWED:
        return 0
    if reason == NO_SUBSCRIBERS:
        return 1
    if reason == QUOTA_EXCEEDED and not message:
        return 2
    return 3 if reason == SUCCESS else 4


@final
class Answers:
    """Those that wait for other rooms or for the store, and those behind them [MQTT-4.6.0-2].

    As many as a client may have publications without an answer: the next one ends its connection, or, when it
    was not told of the bound, is `awaited`, and not dealt with until there are fewer. `acks` of them are for
    QoS 1. `current` is that of a publication whose receivers have still to be heard of, where somebody else
    has a say in it, too.
    """

    __slots__ = ("_waiting", "acks", "awaited", "current")

    def __init__(self) -> None:
        self.awaited = False
        self.acks = 0
        self.current: Answer | None = None
        self._waiting: deque[Answer] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, packet_id: int, qos: int, reason: int, message: str = "") -> Answer:
        """One more, the last."""
        answer = Answer(packet_id, qos, reason, message)
        self._waiting.append(answer)
        self.acks += qos == 1
        return answer

    def share(self, packet_id: int, qos: int) -> Answer:
        """One in which several have a say: who it is returned to each time, and whoever takes `current`.

        The current one, or one more, the last.
        """
        answer = self.current
        if answer is None:
            answer = self.current = self.add(packet_id, qos, OWED)
        answer.owing += 1
        return answer

    def take(self) -> Answer | None:
        """The current one, of whose receivers somebody now tells."""
        answer = self.current
        self.current = None
        return answer

    def owes(self, packet_id: int) -> bool:
        """Whether the answer to a publication with this identifier is among them."""
        return any(answer.packet_id == packet_id for answer in self._waiting)

    def due(self) -> list[Answer]:
        """Takes out those that may be sent now."""
        waiting = self._waiting
        due: list[Answer] = []
        while waiting and not waiting[0].owing:
            answer = waiting.popleft()
            self.acks -= answer.qos == 1
            due.append(answer)
        return due
