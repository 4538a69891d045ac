"""Ends sessions that have lingered long enough, and tells app servers who came and went.

The session table keeps every transition until it is in the event queue of its app. Both ends name a
transition by its source and sequence, so a coordinator that dies in between leaves neither a gap nor a
repetition.
"""

from collections.abc import Sequence

import msgspec

from longline.flow.contained import contained
from longline.model.events import PRESENCE, Event
from longline.model.times import wall_clock
from longline.register.port import Register, Transition
from longline.saver.port.events import EventStore
from longline.telemetry.faults import Faults

BATCH = 1000


class Presence(msgspec.Struct, frozen=True):
    """What an event says of a device; `epoch` and `room` are those of the session that began, or ended."""

    state: str
    epoch: int
    sequence: int
    room: str


class Lingering:
    """`round` ends sessions whose grace is over, a batch at most."""

    def __init__(self, register: Register) -> None:
        self._register = register

    async def round(self) -> bool:
        """True when there may be more."""
        return await self._register.end_lingering(wall_clock(), BATCH) >= BATCH


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


def _event(transition: Transition) -> Event:
    data = Presence(transition.state, transition.epoch, transition.sequence, transition.node)
    return Event(
        transition.app,
        PRESENCE,
        transition.device,
        transition.at,
        msgspec.json.encode(data),
        transition.source,
        transition.sequence,
        transition.state,
        transition.missed,
    )
