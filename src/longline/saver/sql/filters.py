"""The filters of sessions: entered and removed by who has the session."""

from collections.abc import Iterable, Sequence
from itertools import chain

import msgspec

from longline.saver.port.sessions import AddFilter, RemoveFilter
from longline.saver.sql.database import Database, device_key, integer
from longline.saver.sql.members import Members
from longline.saver.sql.states import divided, states
from longline.saver.subscriptions import options_of

_flags = msgspec.json.Decoder(list[bool | int])

# A filter's record: app, device, number, options, identifier, filter.
FILTER = b"%010d%019d%019d%02d%010d%b"
OF_FILTER = (
    f"app = {integer(1, 10)} AND filter = CAST(substr(value, 61) AS TEXT) AND device = {integer(11, 19)}"
)
HAD = f"""
SELECT json_group_array(EXISTS
 (SELECT 1 FROM filters WHERE {OF_FILTER} AND number = {integer(30, 19)})) FROM carray(?1)"""
SUBSCRIBE = f"""
INSERT INTO filters (app, device, number, options, identifier, filter)
SELECT {integer(1, 10)}, {integer(11, 19)}, {integer(30, 19)}, {integer(49, 2)}, {integer(51, 10)},
       CAST(substr(value, 61) AS TEXT)
  FROM carray(?1) WHERE true
    ON CONFLICT (app, filter, device) DO UPDATE SET
       number = excluded.number, options = excluded.options, identifier = excluded.identifier"""
UNSUBSCRIBE = f"""
DELETE FROM filters WHERE (app, filter, device) IN
 (SELECT app, filter, device FROM carray(?1)
   CROSS JOIN filters ON {OF_FILTER} AND number = {integer(30, 19)})"""


class Filters:
    """For the writer's thread, inside its transactions."""

    def __init__(self, database: Database, members: Members) -> None:
        self._database = database
        self._members = members

    def subscribe(self, calls: list[Sequence[AddFilter]]) -> list[list[bool | None]]:
        """One statement looks, and one writes."""
        rows = [
            _row(item, options_of(item.filter), item.filter.identifier, item.filter.filter)
            for call in calls
            for item in call
        ]
        return self._change(calls, [item.filter.filter for call in calls for item in call], rows, True)

    def unsubscribe(self, calls: list[Sequence[RemoveFilter]]) -> list[list[bool | None]]:
        """One statement looks, and one removes."""
        rows = [_row(item, 0, 0, item.filter) for call in calls for item in call]
        return self._change(calls, [item.filter for call in calls for item in call], rows, False)

    def _change(
        self,
        calls: Sequence[Sequence[AddFilter | RemoveFilter]],
        filters: Iterable[str],
        rows: Iterable[bytes],
        entered: bool,
    ) -> list[list[bool | None]]:
        """Enters or removes filters; whether each was there, None where its session is another's."""
        items = list(chain.from_iterable(calls))
        known = states(self._database, (device_key(item.app, item.ordinal) for item in items))
        changes: list[tuple[int, str] | None] = []
        last: dict[tuple[int, str], bytes] = {}  # of a filter that is named twice, the last counts
        for item, filter, row in zip(items, filters, rows, strict=True):
            key = device_key(item.app, item.ordinal)
            _, state = known[key]
            if (
                state is None
                or (state.number, state.epoch) != (item.number, item.epoch)
                or self._members.of(item.app) is None
            ):
                changes.append(None)
            else:
                changes.append((key, filter))
                last[key, filter] = row
        if not last:
            return divided(calls, [None] * len(items))
        changed = tuple(last.values())
        there = dict(zip(last, _flags.decode(self._database.text(HAD, changed)), strict=True))
        self._database.run(SUBSCRIBE if entered else UNSUBSCRIBE, changed)
        answers: list[bool | None] = []
        for change in changes:
            answers.append(None if change is None else bool(there[change]))
            if change is not None:
                there[change] = entered
        return divided(calls, answers)


def _row(item: AddFilter | RemoveFilter, options: int, identifier: int, filter: str) -> bytes:
    key = device_key(item.app, item.ordinal)
    return FILTER % (item.app, key, item.number, options, identifier, filter.encode())
