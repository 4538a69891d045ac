"""Ends sessions that have lingered long enough, and tells app servers who came and went.

The session table keeps every transition until it is in the event queue of its app. Both ends name a
transition by its source and sequence, so a coordinator that dies in between leaves neither a gap nor a
repetition.
"""

import math
import time
from collections.abc import Callable, Sequence

import msgspec

from longline.flow.contained import contained
from longline.model.events import PRESENCE, Event
from longline.model.times import wall_clock
from longline.register.port import Register, Transition
from longline.saver.port.events import EventStore
from longline.telemetry.faults import Faults

BATCH = 1000
AWAY = 3.0  # s without an answer, where there is one twice a second
EXCUSED = 15.0  # s

_encode = msgspec.json.Encoder().encode


class Presence(msgspec.Struct, frozen=True):
    """What an event says of a device; `epoch` and `room` are those of the session that began, or ended."""

    state: str
    epoch: int
    sequence: int
    room: str


class Lingering:
    """`round` ends sessions whose grace is over, a batch at most.

    While the session table could not be reached no device could come back to it. So of each grace only the
    time counts in which it could, but for what was away for longer than `EXCUSED`.
    """

    def __init__(self, register: Register, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._register = register
        self._monotonic = monotonic
        self._answered: float | None = None
        self._excused = 0.0  # s that the table was away last
        self._until = -math.inf  # when nobody's grace began before that

    async def round(self) -> bool:
        """True when there may be more."""
        now = self._monotonic()
        away = 0.0 if self._answered is None else now - self._answered
        excused = self._excused if now < self._until else 0.0
        if away > AWAY:
            excused = min(EXCUSED, max(excused, away))
        ended = await self._register.end_lingering(wall_clock() - int(excused * 1000), BATCH)
        if away > AWAY:
            self._excused, self._until = excused, now + excused
        self._answered = self._monotonic()
        return ended >= BATCH


class PresenceDuty:
    """`round` carries transitions from the session table to the event queues, a batch at most.

    One that nobody can make an event of is given up: it would hold up all others for good.
    """

    def __init__(self, register: Register, events: EventStore, faults: Faults) -> None:
        self._register = register
        self._events = events
        self._faults = faults

    async def round(self) -> bool:
        """True when there may be more."""
        transitions = await self._register.transitions(BATCH)
        if transitions:
            await contained("coordinator.presence", self._append, transitions, self._faults)
            await self._register.forget(transitions)
        return len(transitions) >= BATCH

    async def _append(self, transitions: Sequence[Transition]) -> None:
        await self._events.append([_event(transition) for transition in transitions])


class DeviceChangeDuty:
    """`round` carries on what became of devices themselves, to the event queues and in them."""

    def __init__(self, events: EventStore) -> None:
        self._events = events

    async def round(self) -> bool:
        """True when there may be more."""
        return await self._events.carry(BATCH) > 0


def _event(transition: Transition) -> Event:
    data = Presence(transition.state, transition.epoch, transition.sequence, transition.node)
    return Event(
        transition.app,
        PRESENCE,
        transition.device,
        transition.at,
        _encode(data),
        transition.source,
        transition.sequence,
        transition.state,
        transition.missed,
    )
