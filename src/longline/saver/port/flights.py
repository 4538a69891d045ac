"""The duties of packet identifiers that pushes with QoS 2 have in sessions that are kept.

A push waits in its device's inbox, or in the log, and is settled there; what is here says under which packet
identifier it went, or may have gone, to the session's client. So it is the same on each connection
[MQTT-4.4.0-1], and a client that has taken the push takes it once. An identifier is stored before it is used,
*released* when PUBREC has come, before PUBREL is sent, and forgotten at PUBCOMP. They end with their session.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Flight(msgspec.Struct, frozen=True, gc=False):
    """A push and its packet identifier. `position` and `broadcast` as in `Receipt`."""

    packet_id: int
    position: int
    broadcast: bool
    message_id: str
    released: bool = False


class BeginFlights(msgspec.Struct, frozen=True, gc=False):
    """A session is about to be sent these, on its connection with `epoch`."""

    app: int
    ordinal: int
    number: int
    epoch: int
    flights: tuple[Flight, ...]


class FlightStep(msgspec.Struct, frozen=True, gc=False):
    """An identifier of a session, as that of the push at a `position`, is `released`, or else forgotten."""

    app: int
    ordinal: int
    number: int
    packet_id: int
    position: int
    released: bool


class FlightStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    What a session has is told by `SessionStore.open`. Repeating any call changes nothing.
    """

    async def begin(self, batch: Sequence[BeginFlights]) -> list[bool]:
        """Stores identifiers, all of a session or none; False where another epoch or number has the session,
        or it is over. One that was used before stands for the new push."""
        ...

    async def step(self, batch: Sequence[FlightStep]) -> None:
        """Takes identifiers on. What is said of one that is not there, that is another push's by now, or of a
        session that is over, changes nothing."""
        ...
