"""PUBACKs that a client waits for, in the order of its publications."""

from collections import deque
from typing import Final, final

UNSAID: Final = -1


@final
class Answer:
    """The PUBACK of a publication: `owing` of those who have a say in it have not said anything yet.

    The gravest reason counts: a refusal before what is said of a success.
    """

    __slots__ = ("owing", "packet_id", "reason")

    def __init__(self, packet_id: int, owing: int) -> None:
        self.packet_id = packet_id
        self.owing = owing
        self.reason = UNSAID

    def say(self, reason: int) -> None:
        """One of them has: `reason`, or UNSAID for nothing against it."""
        self.owing -= 1
        if reason > self.reason:
            self.reason = reason


@final
class Answers:
    """Those that wait for other rooms or the store, and those behind them [MQTT-4.6.0-2].

    As many as a client may have publications without an answer: the next one ends its connection, or, when it
    was not told of the bound, is `awaited`, and not dealt with until there are fewer.
    """

    __slots__ = ("_waiting", "awaited")

    def __init__(self) -> None:
        self.awaited = False
        self._waiting: deque[Answer] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, packet_id: int, owing: int) -> Answer:
        """One more, the last."""
        answer = Answer(packet_id, owing)
        self._waiting.append(answer)
        return answer

    def latest(self, packet_id: int) -> Answer | None:
        """The last one, if it is that of a publication still being dealt with."""
        if not self._waiting:
            return None
        answer = self._waiting[-1]
        return answer if answer.owing > 0 and answer.packet_id == packet_id else None

    def due(self) -> list[Answer]:
        """Takes out those that may be sent now."""
        waiting = self._waiting
        due: list[Answer] = []
        while waiting and waiting[0].owing <= 0:
            due.append(waiting.popleft())
        return due
