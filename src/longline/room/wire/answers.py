"""PUBACKs and PUBRECs that a client waits for, in the order of its publications."""

from collections import deque
from typing import Final, final

OWED: Final = -1


@final
class Answer:
    """The answer to a publication with QoS 1 or 2 that is not yet everyone's: `reason` is OWED until then.

    `message` is why it was refused.
    """

    __slots__ = ("message", "packet_id", "qos", "reason")

    def __init__(self, packet_id: int, qos: int, reason: int, message: str) -> None:
        self.packet_id = packet_id
        self.message = message
        self.qos = qos
        self.reason = reason


@final
class Answers:
    """Those that wait for other rooms, and those behind them [MQTT-4.6.0-2].

    As many as a client may have publications without an answer: the next one ends its connection, or, when it
    was not told of the bound, is `awaited`, and not dealt with until there are fewer. `acks` of them are for
    QoS 1.
    """

    __slots__ = ("_waiting", "acks", "awaited")

    def __init__(self) -> None:
        self.awaited = False
        self.acks = 0
        self._waiting: deque[Answer] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, packet_id: int, qos: int, reason: int, message: str = "") -> Answer:
        """One more, the last."""
        answer = Answer(packet_id, qos, reason, message)
        self._waiting.append(answer)
        self.acks += qos == 1
        return answer

    def due(self) -> list[Answer]:
        """Takes out those that may be sent now."""
        waiting = self._waiting
        due: list[Answer] = []
        while waiting and waiting[0].reason != OWED:
            answer = waiting.popleft()
            self.acks -= answer.qos == 1
            due.append(answer)
        return due
