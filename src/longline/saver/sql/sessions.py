"""MQTT sessions that are kept: a row a device, which goes when the session is over, and its filters.

Items of a group are served by few statements whatever they are about; those of one device go by turns.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from itertools import chain

import msgspec

from longline.model.pubsub import Filter
from longline.saver.port.flights import Flight
from longline.saver.port.sessions import (
    FOREVER,
    AddFilter,
    CloseSession,
    DueWill,
    KeepSession,
    KeptSession,
    OpenSession,
    RemoveFilter,
)
from longline.saver.sql.database import Database, device_key, device_range, integer
from longline.saver.sql.filters import Filters
from longline.saver.sql.members import Members
from longline.saver.sql.remains import LEAVE, end_sessions
from longline.saver.sql.states import SessionRow, by_turns, divided, states
from longline.saver.sql.wills import Wills
from longline.saver.sql.worker import Worker
from longline.saver.subscriptions import filter_of

NEVER = (1 << 62) - 1  # ms


_Flights = list[tuple[int, int, int, str, int]]
_Details = tuple[list[tuple[str, int, int]], int | None, tuple[int, ...], tuple[int, ...], _Flights]
_details = msgspec.json.Decoder(list[_Details])
_some_filters = msgspec.json.Decoder(list[tuple[str, int, int]] | None).decode
_flags = msgspec.json.Decoder(list[int])
_integers = msgspec.json.Decoder(list[int])
_names = msgspec.json.Decoder(list[str])

# A session's record: device, number, epoch, expiry, node.
SESSION = b"%019d%019d%019d%010d%b"
BEGIN = f"""
INSERT INTO sessions (device, number, epoch, expires_in, node)
SELECT {integer(1, 19)}, {integer(20, 19)}, {integer(39, 19)}, {integer(58, 10)},
       CAST(substr(value, 68) AS TEXT)
  FROM carray(?1) WHERE true
    ON CONFLICT (device) DO UPDATE SET
       latest = iif(number = excluded.number, latest, 0),
       sent = iif(number = excluded.number, iif(node IS NULL AND NOT given_up, sent, latest), 0),
       length = iif(number = excluded.number, length, 0), bytes = iif(number = excluded.number, bytes, 0),
       number = excluded.number, epoch = excluded.epoch, node = excluded.node, given_up = 0,
       expires_in = excluded.expires_in, ends_at = NULL"""

# A session's name: device, number.
NAME = b"%019d%019d"
FILTERS = """
SELECT (SELECT json_group_array(json_array(filter, options, identifier)) FROM
         (SELECT * FROM filters AS f WHERE f.device = s.device AND f.number = s.number ORDER BY filter))
  FROM sessions AS s WHERE s.device = ?1 AND (s.ends_at IS NULL OR s.ends_at > ?2)"""
DETAILS = f"""
SELECT json_group_array(json_array(
  json((SELECT json_group_array(json_array(filter, options, identifier)) FROM
   (SELECT filter, options, identifier FROM filters AS f
     WHERE f.device = given.device AND f.number = given.number AND f.app = given.device >> 32
     ORDER BY filter))),
  (SELECT place FROM waiting AS w
    WHERE w.device = given.device AND w.number = given.number AND publication IS NOT NULL
    ORDER BY place LIMIT 1),
  json((SELECT json_group_array(place) FROM
   (SELECT place FROM waiting AS w
     WHERE w.device = given.device AND w.number = given.number AND publication IS NULL ORDER BY place))),
  json((SELECT json_group_array(packet_id) FROM
   (SELECT packet_id FROM received AS r WHERE r.device = given.device AND r.number = given.number
     ORDER BY packet_id))),
  json((SELECT json_group_array(json_array(packet_id, position, broadcast, id, released)) FROM
   (SELECT packet_id, position, broadcast, id, released FROM flights AS i
     WHERE i.device = given.device AND i.number = given.number ORDER BY position)))))
  FROM (SELECT {integer(1, 19)} AS device, {integer(20, 19)} AS number FROM carray(?1)) AS given"""

# A renaming's record: device, epoch, node.
KEEP = b"%019d%019d%b"
GO_ON = f"""
UPDATE sessions SET epoch = given.epoch, node = given.node, given_up = 0, ends_at = NULL
  FROM (SELECT {integer(1, 19)} AS device, {integer(20, 19)} AS epoch, CAST(substr(value, 39) AS TEXT) AS node
          FROM carray(?1)) AS given
 WHERE sessions.device = given.device"""

# A departure's record: device, expiry, when the session is over.
DEPARTURE = b"%019d%010d%019d"
DISCONNECT = f"""
UPDATE sessions SET node = NULL, given_up = 0, expires_in = given.expires_in,
                    ends_at = nullif(given.ends_at, {NEVER})
  FROM (SELECT {integer(1, 19)} AS device, {integer(20, 10)} AS expires_in, {integer(30, 19)} AS ends_at
          FROM carray(?1)) AS given
 WHERE sessions.device = given.device"""
ABANDON = f"""
UPDATE sessions SET node = NULL, given_up = 1,
                    ends_at = iif(expires_in = {FOREVER}, NULL, ?2 + max(expires_in * 1000, ?3))
 WHERE device IN (SELECT value FROM carray(?1))"""

OVER = "SELECT 1 FROM sessions WHERE ends_at IS NOT NULL AND ends_at <= ?1 LIMIT 1"
DUE_WILL = "SELECT 1 FROM wills WHERE due IS NOT NULL AND due <= ?1 LIMIT 1"


class SqlSessions:
    """Fulfils `SessionStore`. `deleted`: apps that are not there any more."""

    def __init__(
        self,
        writer: Worker,
        reader: Worker,
        writing: Database,
        reading: Database,
        *,
        members: Members,
        deleted: AbstractSet[int],
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._members = members
        self._deleted = deleted
        self._wills = Wills(writing)
        self._filters = Filters(writing, members)

    @property
    def wills_forgotten(self) -> int:
        """Wills that were due and had to make room for later ones of their device."""
        return self._wills.forgotten

    # --- beginning and going on ---

    async def open(self, batch: Sequence[OpenSession]) -> list[KeptSession | None]:
        """A few statements for a group, and one for what sessions have that go on."""
        size = sum([len(item.will.payload) for item in batch if item.will is not None])
        return await self._writer.call(self._open, batch, len(batch), size)

    def _open(self, calls: list[Sequence[OpenSession]]) -> list[list[KeptSession | None]]:
        return by_turns(calls, self._open_each)

    def _open_each(self, batch: dict[int, OpenSession]) -> dict[int, KeptSession | None]:
        known = states(self._writing, batch)
        found: dict[int, SessionRow] = {}  # sessions that were there before
        answers: dict[int, KeptSession | None] = {}
        over: list[int] = []
        followed: list[tuple[int, int, int, bool, bytes]] = []
        rows: list[bytes] = []
        for key, item in batch.items():
            there, state = known[key]
            if not there or self._members.of(item.app) is None:
                answers[key] = None
                continue
            number = item.epoch
            if state is not None:
                if item.epoch <= state.epoch:
                    answers[key] = None
                    if item.epoch == state.epoch:  # it is asked once more
                        found[key] = state
                    continue
                goes_on = not item.clean and state.expires_in > 0 and not state.over(item.now)
                before = state.node.encode() if state.node is not None else b""
                followed.append((key, state.epoch, item.now, not goes_on, before))
                if goes_on:
                    found[key] = state
                    number = state.number
                else:
                    over.append(key)
            answers[key] = KeptSession(number, False)
            rows.append(SESSION % (key, number, item.epoch, item.expires_in, item.node.encode()))
        if over:
            self._writing.run(LEAVE, tuple(over))
        self._wills.follow(followed)
        if rows:
            self._writing.run(BEGIN, tuple(rows))
        self._wills.leave(
            (key, item.epoch, item.now, item.will)
            for key, item in batch.items()
            if item.will is not None and answers[key] is not None
        )
        answers.update(self._details(found, batch))
        return answers

    def _details(self, found: dict[int, SessionRow], batch: dict[int, OpenSession]) -> dict[int, KeptSession]:
        """What sessions have that were there before."""
        if not found:
            return {}
        rows = tuple([NAME % (key, state.number) for key, state in found.items()])
        details = _details.decode(self._writing.text(DETAILS, rows))
        return {
            key: KeptSession(
                state.number,
                state.number != batch[key].epoch,
                tuple([filter_of(*filter) for filter in filters]),
                queued or 0,
                _sent(state, batch[key]),
                state.latest,
                released,
                received,
                tuple(
                    [Flight(n, at, bool(broadcast), id, bool(has)) for n, at, broadcast, id, has in flights]
                ),
            )
            for (key, state), (filters, queued, released, received, flights) in zip(
                found.items(), details, strict=True
            )
        }

    async def keep(self, batch: Sequence[KeepSession]) -> list[bool]:
        """One statement for all sessions, and one for their wills."""
        return await self._writer.call(self._keep, batch, len(batch))

    def _keep(self, calls: list[Sequence[KeepSession]]) -> list[list[bool]]:
        return by_turns(calls, self._keep_each)

    def _keep_each(self, batch: dict[int, KeepSession]) -> dict[int, bool]:
        answers: dict[int, bool] = {}
        rows: list[bytes] = []
        renamed: list[tuple[int, int, int]] = []
        for key, (_, state) in states(self._writing, batch).items():
            item = batch[key]
            answers[key] = (
                state is not None and state.number == item.number and state.epoch in (item.before, item.epoch)
            )
            if answers[key]:
                rows.append(KEEP % (key, item.epoch, item.node.encode()))
                renamed.append((key, item.before, item.epoch))
        if rows:
            self._writing.run(GO_ON, tuple(rows))
        self._wills.rename(renamed)
        return answers

    # --- ending ---

    async def close(self, batch: Sequence[CloseSession]) -> list[bool]:
        """One statement for sessions that outlive their connection, and one for those that do not."""
        return await self._writer.call(self._close, batch, len(batch))

    def _close(self, calls: list[Sequence[CloseSession]]) -> list[list[bool]]:
        return by_turns(calls, self._close_each)

    def _close_each(self, batch: dict[int, CloseSession]) -> dict[int, bool]:
        answers: dict[int, bool] = {}
        over: list[int] = []
        told: list[bytes] = []  # of these, those that were kept: what they were sent is known
        rows: list[bytes] = []
        armed: list[tuple[int, int, int, int]] = []
        dropped: list[tuple[int, int]] = []
        followed: list[tuple[int, int, int]] = []
        for key, (_, state) in states(self._writing, batch).items():
            item = batch[key]
            answers[key] = state is None or state.epoch == item.epoch
            if state is None or not answers[key]:  # another connection has followed, which may be over, too
                if item.will:
                    followed.append((key, item.epoch, item.now))
                else:
                    dropped.append((key, item.epoch))
                continue
            if not (state.connected or state.given_up):
                continue
            expires_in = state.expires_in if item.expires_in is None else item.expires_in
            ends_at = NEVER if expires_in == FOREVER else item.now + expires_in * 1000
            if expires_in:
                rows.append(DEPARTURE % (key, expires_in, ends_at))
            else:
                over.append(key)
                if state.expires_in:
                    told.append(DEPARTURE % (key, 0, ends_at))
            if item.will:
                armed.append((key, item.epoch, item.now, ends_at))
            else:
                dropped.append((key, item.epoch))
        self._wills.arm(armed)
        self._wills.hear(followed)
        self._wills.drop(dropped)
        if told:
            self._writing.run(DISCONNECT, tuple(told))
        end_sessions(self._writing, tuple(over))
        if rows:
            self._writing.run(DISCONNECT, tuple(rows))
        return answers

    async def abandon(self, node: str, now: int, grace: int, limit: int) -> int:
        """By the index of nodes."""
        return await self._writer.call(self._abandon, (node, now, grace, limit))

    def _abandon(self, calls: list[tuple[str, int, int, int]]) -> list[int]:
        return [self._abandon_one(*call) for call in calls]

    def _abandon_one(self, node: str, now: int, grace: int, limit: int) -> int:
        found = self._writing.text(
            "SELECT json_group_array(device) FROM (SELECT device FROM sessions WHERE node = ?1 LIMIT ?2)",
            node,
            limit,
        )
        devices = tuple(_integers.decode(found))
        if devices:
            self._wills.arm_abandoned(devices, now, grace)
            self._writing.run(ABANDON, devices, now, grace)
        return len(devices) + self._wills.give_up(node, now, limit - len(devices))

    async def nodes(self) -> list[str]:
        """The nodes that sessions are connected to: after a start, those of a life before this one."""
        return await self._reader.call(self._nodes, None)

    def _nodes(self, calls: list[None]) -> list[list[str]]:
        names: list[str] = []
        while name := self._reading.text(
            "SELECT json_group_array(node) FROM"
            " (SELECT node FROM"
            "   (SELECT node FROM sessions WHERE node IS NOT NULL AND node > ?1"
            "     UNION SELECT awaits FROM wills WHERE awaits IS NOT NULL AND awaits > ?1)"
            "   ORDER BY node LIMIT 1)",
            names[-1] if names else "",
        ):
            found = _names.decode(name)
            if not found:
                break
            names += found
        return [names] * len(calls)

    async def count(self, app: int) -> int:
        """The rows of its devices."""
        return await self._reader.call(self._count, app)

    def _count(self, calls: list[int]) -> list[int]:
        counted = "SELECT count(*) FROM sessions WHERE device BETWEEN ?1 AND ?2"
        return [
            0 if app in self._deleted else self._reading.number(counted, *device_range(app)) or 0
            for app in calls
        ]

    async def sweep(self, now: int, limit: int) -> int:
        """By the index of ends; without a transaction when nothing is over, as nearly always."""
        if not await self._reader.call(self._anything_over, now):
            return 0
        return await self._writer.call(self._sweep, (now, limit))

    def _anything_over(self, calls: list[int]) -> list[bool]:
        return [self._reading.number(OVER, now) is not None for now in calls]

    def _sweep(self, calls: list[tuple[int, int]]) -> list[int]:
        return [self._sweep_one(*call) for call in calls]

    def _sweep_one(self, now: int, limit: int) -> int:
        found = self._writing.text(
            "SELECT json_group_array(device) FROM (SELECT device FROM sessions"
            " WHERE ends_at IS NOT NULL AND ends_at <= ?1 ORDER BY ends_at LIMIT ?2)",
            now,
            limit,
        )
        devices = _integers.decode(found)
        end_sessions(self._writing, tuple(devices))
        return len(devices)

    # --- filters ---

    async def subscribe(self, batch: Sequence[AddFilter]) -> list[bool | None]:
        """See `Filters`."""
        return await self._writer.call(self._filters.subscribe, batch, len(batch))

    async def unsubscribe(self, batch: Sequence[RemoveFilter]) -> list[bool | None]:
        """See `Filters`."""
        return await self._writer.call(self._filters.unsubscribe, batch, len(batch))

    async def filters(self, app: int, ordinal: int, now: int) -> list[Filter] | None:
        """One seek in the index of sessions' filters."""
        return await self._reader.call(self._filters_of, (device_key(app, ordinal), now))

    def _filters_of(self, calls: list[tuple[int, int]]) -> list[list[Filter] | None]:
        read = self._reading.text
        found = [_some_filters(read(FILTERS, key, now)) for key, now in calls]
        return [None if rows is None else [filter_of(*row) for row in rows] for rows in found]

    async def wanted(self, apps: Sequence[int]) -> list[bool]:
        """The first entry of each app in the index of filters."""
        return await self._reader.call(self._wanted, apps)

    def _wanted(self, calls: list[Sequence[int]]) -> list[list[bool]]:
        apps = tuple(chain.from_iterable(calls))
        if not apps:
            return [[] for _ in calls]
        found = self._reading.text(
            "SELECT json_group_array(EXISTS (SELECT 1 FROM filters WHERE app = value)) FROM carray(?1)", apps
        )
        wanted = [
            bool(flag) and app not in self._deleted
            for app, flag in zip(apps, _flags.decode(found), strict=True)
        ]
        return divided(calls, wanted)

    # --- wills ---

    async def due_wills(self, now: int, limit: int, lease: int) -> list[DueWill]:
        """By the index of what is due; without a transaction when nothing is, as nearly always."""
        if not await self._reader.call(self._any_due_will, now):
            return []
        return await self._writer.call(self._due_wills, (now, limit, lease))

    def _any_due_will(self, calls: list[int]) -> list[bool]:
        return [self._reading.number(DUE_WILL, now) is not None for now in calls]

    def _due_wills(self, calls: list[tuple[int, int, int]]) -> list[list[DueWill]]:
        return [self._wills.due(*call) for call in calls]

    async def published(self, wills: Sequence[DueWill]) -> None:
        """One statement for all."""
        await self._writer.call(self._published, wills, len(wills))

    def _published(self, calls: list[Sequence[DueWill]]) -> list[None]:
        self._wills.published([(device_key(due.app, due.ordinal), due.id) for call in calls for due in call])
        return [None] * len(calls)


def _sent(state: SessionRow, item: OpenSession) -> int:
    """Up to which place an earlier connection may have been sent messages: what its node has told, if any."""
    told = item.epoch == state.epoch or not (state.connected or state.given_up)
    return state.sent if told else state.latest
