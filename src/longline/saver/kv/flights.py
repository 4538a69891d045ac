"""Packet identifiers of pushes with QoS 2, beside the session that has them.

- `mc:<app>:<place>:<number>` HASH packet identifier → the push: `<released> <broadcast> <position> <id>`, of
  the session with that number, in the partition of its device.
"""

from collections.abc import Sequence
from typing import Final

from longline.saver.kv.partitions import Partitions, script
from longline.saver.port.flights import BeginFlights, Flight, FlightStep
from longline.store.redis import Word
from longline.store.scatter import Spare
from longline.telemetry.faults import Faults

BEGIN: Final = script("begin_flights.lua")
STEP: Final = script("step_flights.lua")


def flights_of(fields: Sequence[bytes]) -> tuple[Flight, ...]:
    """What a session has, by position: the fields of its hash, each with its value behind it."""
    found = []
    for packet_id, packed in zip(fields[::2], fields[1::2], strict=True):
        released, broadcast, position, id = packed.split(b" ", 3)
        found.append(Flight(int(packet_id), int(position), broadcast == b"1", id.decode(), released == b"1"))
    return tuple(sorted(found, key=lambda flight: flight.position))


class KvFlights:
    """Fulfils `FlightStore`."""

    def __init__(self, partitions: Partitions, faults: Faults) -> None:
        self._partitions = partitions
        self._not_begun: Spare[BeginFlights, bool] = Spare(faults, "saver.flights", lambda item: False)

    def _of(self, item: BeginFlights | FlightStep) -> int:
        return item.ordinal % self._partitions.count

    def _place(self, ordinal: int) -> int:
        return ordinal // self._partitions.count

    async def begin(self, batch: Sequence[BeginFlights]) -> list[bool]:
        """Sessions of one partition in one step."""

        def words(item: BeginFlights) -> list[Word]:
            head: list[Word] = [item.app, self._place(item.ordinal), item.number, item.epoch]
            pairs: list[Word] = [len(item.flights)]
            for flight in item.flights:
                pushed = (flight.released, flight.broadcast, flight.position, flight.message_id.encode())
                pairs += [flight.packet_id, b"%d %d %d %b" % pushed]
            return head + pairs

        return await self._partitions.each(
            BEGIN,
            batch,
            self._of,
            words,
            lambda item, reply: reply == 1,
            spare=self._not_begun,
            durable=True,
        )

    async def step(self, batch: Sequence[FlightStep]) -> None:
        """Identifiers of one partition in one step."""
        await self._partitions.each(
            STEP,
            batch,
            self._of,
            lambda item: (
                *(item.app, self._place(item.ordinal), item.number),
                *(item.packet_id, item.position, int(item.released)),
            ),
            lambda item, reply: None,
            durable=True,
        )
