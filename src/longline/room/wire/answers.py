"""PUBACKs that a client waits for, in the order of its publications."""

from collections import deque
from typing import Final, final

OWED: Final = -1


@final
class Answer:
    """The PUBACK of a publication that is not yet everyone's: `reason` is OWED until then."""

    __slots__ = ("packet_id", "reason")

    def __init__(self, packet_id: int, reason: int) -> None:
        self.packet_id = packet_id
        self.reason = reason


@final
class Answers:
    """Those that wait for other rooms, and those behind them [MQTT-4.6.0-2].

    As many as a client may have publications without an answer: the next one ends its connection, or, when it
    was not told of the bound, is `awaited`, and not dealt with until there are fewer.
    """

    __slots__ = ("_waiting", "awaited")

    def __init__(self) -> None:
        self.awaited = False
        self._waiting: deque[Answer] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, packet_id: int, reason: int) -> Answer:
        """One more, the last."""
        answer = Answer(packet_id, reason)
        self._waiting.append(answer)
        return answer

    def due(self) -> list[Answer]:
        """Takes out those that may be sent now."""
        waiting = self._waiting
        due: list[Answer] = []
        while waiting and waiting[0].reason != OWED:
            due.append(waiting.popleft())
        return due
