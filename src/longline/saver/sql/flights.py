"""Packet identifiers of pushes with QoS 2: a row each, for as long as it is in use."""

from collections.abc import Sequence
from itertools import chain
from typing import Final

from longline.saver.port.flights import BeginFlights, FlightStep
from longline.saver.sql.database import Database, device_key, integer
from longline.saver.sql.states import by_turns, states
from longline.saver.sql.worker import Worker

# A row's record: device, session, packet identifier, position, 1 for a broadcast, id.
FLIGHT: Final = b"%019d%019d%05d%019d%d%b"
BEGIN: Final = f"""
INSERT OR REPLACE INTO flights (device, number, packet_id, position, broadcast, released, id)
SELECT {integer(1, 19)}, {integer(20, 19)}, {integer(39, 5)}, {integer(44, 19)}, {integer(63, 1)}, 0,
       CAST(substr(value, 64) AS TEXT)
  FROM carray(?1)"""

# An identifier's record: device, session, packet identifier, position.
IDENTIFIER: Final = b"%019d%019d%05d%019d"
CONCERNED: Final = f"""(device, number, packet_id) IN
 (SELECT f.device, f.number, f.packet_id
    FROM (SELECT {integer(1, 19)} AS device, {integer(20, 19)} AS number, {integer(39, 5)} AS packet_id,
                 {integer(44, 19)} AS position FROM carray(?1)) AS given
   CROSS JOIN flights AS f ON f.device = given.device AND f.number = given.number
         AND f.packet_id = given.packet_id AND f.position = given.position)"""
RELEASE: Final = f"UPDATE flights SET released = 1 WHERE {CONCERNED}"
FORGET: Final = f"DELETE FROM flights WHERE {CONCERNED}"


class SqlFlights:
    """Fulfils `FlightStore`."""

    def __init__(self, writer: Worker, writing: Database) -> None:
        self._writer = writer
        self._writing = writing

    async def begin(self, batch: Sequence[BeginFlights]) -> list[bool]:
        """A look at the sessions, and one statement for all."""
        return await self._writer.call(self._begin, batch, len(batch))

    def _begin(self, calls: list[Sequence[BeginFlights]]) -> list[list[bool]]:
        return by_turns(calls, self._begin_each)

    def _begin_each(self, batch: dict[int, BeginFlights]) -> dict[int, bool]:
        answers: dict[int, bool] = {}
        rows: list[bytes] = []
        for key, (_, state) in states(self._writing, batch).items():
            item = batch[key]
            answers[key] = state is not None and state.number == item.number and state.epoch == item.epoch
            if answers[key]:
                rows += [
                    FLIGHT
                    % (
                        *(key, item.number, flight.packet_id, flight.position, flight.broadcast),
                        flight.message_id.encode(),
                    )
                    for flight in item.flights
                ]
        if rows:
            self._writing.run(BEGIN, tuple(rows))
        return answers

    async def step(self, batch: Sequence[FlightStep]) -> None:
        """Two statements for all."""
        await self._writer.call(self._step, batch, len(batch))

    def _step(self, calls: list[Sequence[FlightStep]]) -> list[None]:
        released: dict[bytes, bool] = {}
        for item in chain.from_iterable(calls):
            name = (device_key(item.app, item.ordinal), item.number, item.packet_id, item.position)
            identifier = IDENTIFIER % name
            # That it is forgotten is the last word.
            released[identifier] = released.get(identifier, True) and item.released
        for statement, which in ((RELEASE, True), (FORGET, False)):
            rows = tuple([identifier for identifier, only in released.items() if only is which])
            if rows:
                self._writing.run(statement, rows)
        return [None] * len(calls)
