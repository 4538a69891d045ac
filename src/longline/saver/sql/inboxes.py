"""What waits for devices: the reads of a device that comes, and receipts, for many devices at a time.

Each question is one statement, so it sees one snapshot: a page has no message of a commit without the others.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import Final, NamedTuple

import msgspec
from pyroaring import BitMap

from longline.model.devices import Profile
from longline.model.ledger import State
from longline.model.messages import Message
from longline.model.statistics import Counted
from longline.saver.port.inboxes import (
    GUEST,
    TOO_LARGE,
    Arrival,
    Arrive,
    Cursor,
    Fetch,
    Gap,
    Page,
    PendingPush,
    Receipt,
    Told,
)
from longline.saver.port.parking import Standing
from longline.saver.sql.bodies import Bodies
from longline.saver.sql.broadcasts import (
    ACKED,
    COLLAPSED,
    DROPPED,
    EXPIRED,
    BroadcastLedger,
    BroadcastLedgers,
)
from longline.saver.sql.counts import SqlCounts
from longline.saver.sql.database import Database, device_key, integer
from longline.saver.sql.fencing import Fence
from longline.saver.sql.gaps import LISTED, Logs, Noted, add_dropped, close_gaps, note_gaps
from longline.saver.sql.members import Members
from longline.saver.sql.overflow import Crowded, Overflow
from longline.saver.sql.positions import Positions
from longline.saver.sql.settling import (
    COUNT_TAKEN,
    LEAVE_INBOX,
    SETTLE,
    TAKEN,
    WRITTEN,
    ReceiptRows,
    claims_of,
)
from longline.saver.sql.states import divided
from longline.saver.sql.visits import SqlVisits
from longline.saver.sql.worker import Worker

# Portions of CONNECTs in a row in which everybody was new: the next one is taken for such.
AT_ONCE: Final = 4


class _ArrivalRow(msgspec.Struct, array_like=True):
    """`waits`: messages in the inbox; `said`: how many the log has of its groups, and the last of them; None
    for a device that is in no group."""

    ordinal: int
    waits: int
    log_after: int
    said: tuple[int, int] | None
    banned_until: int
    session: int
    shadow: int
    told: int
    noted: Noted | None
    standing: tuple[int, int, int] | None


class _LogEnd(msgspec.Struct, array_like=True, frozen=True):
    """The last entries of an app's log: of those for the whole app, and of all; and the last that ended."""

    app: int
    of_all: int
    last: int
    ended: int


_arrivals = msgspec.json.Decoder(tuple[list[_LogEnd], list[_ArrivalRow | None]])
_Inbox = list[tuple[int, int, int]]  # position, sent before, bytes
_Entries = list[tuple[int, int, int]]
_waiting = msgspec.json.Decoder(tuple[list[_Inbox], list[_Inbox], _Entries, _Entries, list[tuple[int, int]]])
_taken = msgspec.json.Decoder(list[tuple[int, int]])
_counts = msgspec.json.Decoder(tuple[list[int], list[int], list[int]])

# The ends of the logs of all apps that are asked about, and the devices: two texts joined, where `json`
# would parse them. What most devices have nothing of is looked up, but nothing is made of it.
ARRIVE = """
SELECT '[' ||
 (SELECT json_group_array(json_array(value,
      coalesce((SELECT max(position) FROM log WHERE app = value AND kept = 1 AND grp = 0), 0),
      coalesce((SELECT max(position) FROM log WHERE app = value AND kept = 1), 0),
      coalesce((SELECT max(n) FROM endings WHERE app = value), 0)))
    FROM carray(?2)) || ',' ||
 (SELECT json_group_array(iif(d.device IS NULL, NULL, json_array(
         d.device & 0xFFFFFFFF,
         (SELECT count(*) FROM inbox WHERE inbox.device = d.device),
         coalesce(c.log_after, d.log_from),
         iif(EXISTS (SELECT 1 FROM group_members AS m WHERE m.device = d.device),
             json((SELECT json_array(count(*), coalesce(max(log.position), 0)) FROM group_members AS m
                    CROSS JOIN log ON log.grp = m.grp AND log.grp > 0 AND log.kept = 1
                    WHERE m.device = d.device)), NULL),
         d.banned_until,
         EXISTS (SELECT 1 FROM sessions WHERE sessions.device = d.device),
         EXISTS (SELECT 1 FROM shadows AS s WHERE s.device = d.device AND s.wanted > s.seen),
         coalesce(nullif(c.told, 0), d.log_from),
         iif(g.device IS NULL, NULL, json_array(g.dropped, g.expired, g.collapsed, g.since)),
         iif(u.device IS NULL, NULL, json_array(u.strikes, u.at, u.parked_since)))))
  FROM carray(?1) AS asked
  LEFT JOIN devices AS d ON d.address = CAST(asked.value AS TEXT)
  LEFT JOIN cursors AS c ON c.device = d.device
  LEFT JOIN gaps AS g ON g.device = d.device
  LEFT JOIN unanswered AS u ON u.device = d.device) || ']'"""

# Per fetch the inbox after its cursor, and what of it has high priority; beside it,
# once, the open log of all apps that are asked about.
FETCH = """
SELECT json_array(
  json((SELECT json_group_array(json((
     SELECT json_group_array(json_array(position, sent, length))
       FROM (SELECT i.position, d.sent_at IS NOT NULL AS sent, length(m.body) AS length
               FROM inbox AS i
              CROSS JOIN messages AS m ON m.position = i.position AND m.expires_at > asked.value ->> 2
               LEFT JOIN deliveries AS d ON d.position = i.position AND d.device = i.device
              WHERE i.device = asked.value ->> 0 AND i.position > asked.value ->> 1
              ORDER BY i.position LIMIT ?2))))
     FROM json_each(?1) AS asked)),
  json((SELECT json_group_array(json((
     SELECT json_group_array(json_array(position, sent, length))
       FROM (SELECT i.position, d.sent_at IS NOT NULL AS sent, length(m.body) AS length
               FROM inbox AS i INDEXED BY inbox_urgent
              CROSS JOIN messages AS m ON m.position = i.position AND m.expires_at > asked.value ->> 2
               LEFT JOIN deliveries AS d ON d.position = i.position AND d.device = i.device
              WHERE i.load & 1 AND i.device = asked.value ->> 0 AND i.position > asked.value ->> 1
              ORDER BY i.position LIMIT ?4))))
     FROM json_each(?1) AS asked)),
  json((SELECT json_group_array(json_array(log.app, log.position, log.high))
     FROM json_each(?3) AS apps
    CROSS JOIN log ON log.app = apps.value ->> 0 AND log.kept AND log.position > apps.value ->> 1
                  AND log.expires_at > apps.value ->> 2 AND log.grp = 0)),
  json((SELECT json_group_array(json_array(asked.key, said.position, said.high))
     FROM json_each(?1) AS asked
    CROSS JOIN group_members AS m ON m.device = asked.value ->> 0
    CROSS JOIN log AS said ON said.grp = m.grp AND said.grp > 0 AND said.kept
                          AND said.position > asked.value ->> 3 AND said.expires_at > asked.value ->> 2)),
  json((SELECT json_group_array(json_array(apps.value ->> 0,
            coalesce((SELECT max(position) FROM log WHERE log.app = apps.value ->> 0 AND log.kept), 0)))
     FROM json_each(?3) AS apps)))"""

COUNT_PENDING = """
SELECT json_array(
  json((SELECT json_group_array(
     (SELECT count(*) FROM inbox AS i CROSS JOIN messages AS m ON m.position = i.position
       WHERE i.device = asked.value AND m.expires_at > ?2))
     FROM carray(?1) AS asked)),
  json((SELECT json_group_array(position) FROM log
         WHERE app = ?3 AND kept AND grp = 0 AND expires_at > ?2)),
  json((SELECT json_group_array(position) FROM
     (SELECT DISTINCT log.position FROM carray(?1) AS asked
       CROSS JOIN group_members AS m ON m.device = asked.value
       CROSS JOIN log ON log.grp = m.grp AND log.grp > 0 AND log.kept AND log.expires_at > ?2))))"""

CURSOR = b"%019d%019d%019d"
ADVANCE = f"""
INSERT INTO cursors (device, log_after, told)
SELECT device, given.log_after, given.told
  FROM (SELECT {integer(1, 19)} AS given_device, {integer(20, 19)} AS log_after, {integer(39, 19)} AS told
          FROM carray(?1)) AS given
 CROSS JOIN devices ON device = given_device
 WHERE true
    ON CONFLICT (device) DO UPDATE SET log_after = max(log_after, excluded.log_after),
                                       told = max(told, excluded.told)"""


class _Waiting(NamedTuple):
    """`inboxes` and `urgent` by fetch, the latter of high priority; `logs` and `high` likewise by app.

    `said`: by fetch, what the log has of its device's groups. `ends`: of the whole log of each app.
    """

    inboxes: list[_Inbox]
    urgent: list[_Inbox]
    logs: dict[int, list[int]]
    high: dict[int, list[int]]
    said: dict[int, list[int]]
    ends: dict[int, int]


class _Admitted(NamedTuple):
    """Which apps there are, and what is known of devices that were registered just now, by app and name."""

    apps: set[int]
    arrivals: dict[tuple[int, str], Arrival]


class SqlInboxes:
    """Fulfils `InboxStore`. `deleted`: apps that are not there any more."""

    def __init__(
        self,
        writer: Worker,
        reader: Worker,
        writing: Database,
        reading: Database,
        *,
        members: Members,
        positions: Positions,
        broadcasts: BroadcastLedgers,
        overflow: Overflow,
        bodies: Bodies,
        fence: Fence,
        visits: SqlVisits,
        counts: SqlCounts,
        deleted: AbstractSet[int],
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._members = members
        self._positions = positions
        self._broadcasts = broadcasts
        self._overflow = overflow
        self._bodies = bodies
        self._fence = fence
        self._visits = visits
        self._counts = counts
        self._deleted = deleted
        self._only_new = 0  # portions of CONNECTs in a row that had nobody who was registered

    # --- who comes ---

    async def arrive(self, batch: Sequence[Arrive]) -> list[Arrival | None]:
        """Those who come back, nearly all of them, cost a read; only who is new waits for a commit.

        While only new ones come, as when an app is rolled out, the writer is asked at once: it looks them up
        anyway, as it registers them. Who comes back among them waits for its commit that time.
        """
        if self._visits.going:
            await self._visits.settled([f"{item.app}/{item.device}" for item in batch])
        arrivals = await self._arrivals(batch)
        self._visits.came(
            [
                (device_key(item.app, arrival.ordinal), item.now, item.came, item.epoch, item.node)
                for item, arrival in zip(batch, arrivals, strict=True)
                if item.came is not None and arrival is not None and arrival.ordinal != GUEST
            ]
        )
        return arrivals

    async def _arrivals(self, batch: Sequence[Arrive]) -> list[Arrival | None]:
        missing: Sequence[Arrive] = batch
        if self._deleted:
            missing = [item for item in batch if item.app not in self._deleted]
        arrivals: dict[tuple[int, str], Arrival | None] = {}
        looks = self._only_new < AT_ONCE or not all(item.register for item in missing)
        while missing:
            new: Sequence[Arrive] = missing
            if looks:
                found, crowded = await self._reader.call(self._arrive, missing, len(missing))
                if crowded:  # what is too much goes before anybody is told what waits
                    await self._writer.call(self._overflow.trim, crowded, len(crowded))
                    found, _ = await self._reader.call(self._arrive, missing, len(missing))
                if len(found) == len(batch) and None not in found:
                    self._only_new = 0
                    return found
                for item, arrival in zip(missing, found, strict=True):
                    if arrival is not None:
                        arrivals[item.app, item.device] = arrival
                new = [item for item in missing if (item.app, item.device) not in arrivals]
            looks = True
            if not new:
                break
            apps, registered = await self._writer.call(self._admit, new, len(new))
            arrivals.update(registered)
            for item in new:
                if not item.register and item.app in apps:
                    arrivals[item.app, item.device] = Arrival(GUEST, False, 0, 0)
            # Whom somebody else has registered meanwhile something may wait for.
            missing = [item for item in new if item.app in apps and (item.app, item.device) not in arrivals]
            self._only_new = self._only_new + 1 if len(new) == len(batch) and not missing else 0
        return [arrivals.get((item.app, item.device)) for item in batch]

    def _arrive(self, calls: list[Sequence[Arrive]]) -> list[tuple[list[Arrival | None], list[Crowded]]]:
        """None for a device that is not registered; and for which devices too much waits, perhaps."""
        addresses = tuple([f"{item.app}/{item.device}".encode() for call in calls for item in call])
        if not addresses:
            return [([], []) for _ in calls]
        apps = tuple({item.app for call in calls for item in call})
        found, rows = _arrivals.decode(self._reading.text(ARRIVE, addresses, apps))
        ends = {end.app: end for end in found}
        asked = calls[0] if len(calls) == 1 else list(chain.from_iterable(calls))
        arrivals: list[Arrival | None] = []
        late: list[tuple[int, Arrive, _ArrivalRow, bool]] = []  # who may miss something, by place
        told: dict[int, int] = {}
        for item, row in zip(asked, rows, strict=True):
            if row is None:
                arrivals.append(None)
                continue
            end = ends[item.app]
            # Whether anything that may be for the device is in the log after its cursor.
            behind = end.of_all > row.log_after or (row.said is not None and row.said[1] > row.log_after)
            if behind or end.ended > row.told or row.noted is not None:
                told[item.app] = min(told.get(item.app, row.told), row.told)
                late.append((len(arrivals), item, row, behind))
                arrivals.append(None)
            else:
                arrivals.append(_arrival(end, row, False, None, row.told))
        if not late:
            return [(mine, []) for mine in divided(calls, arrivals)]
        logs = Logs(self._reading, self._broadcasts, told)
        crowded: list[Crowded | None] = [None] * len(arrivals)
        for place, item, row, behind in late:
            gap = logs.gap(item.app, row.ordinal, row.told, row.noted)
            upto = max(row.told, logs.last(item.app))
            arrivals[place] = _arrival(ends[item.app], row, behind, gap, upto)
            if behind:
                crowded[place] = self._crowded(item, row, logs)
        return [
            (mine, [each for each in full if each is not None])
            for mine, full in zip(divided(calls, arrivals), divided(calls, crowded), strict=True)
        ]

    def _crowded(self, item: Arrive, row: _ArrivalRow, logs: Logs) -> Crowded | None:
        most = item.inbox_messages or self._overflow.bounds.messages
        said = 0 if row.said is None else row.said[0]
        if row.waits + said + logs.length(item.app) <= most:
            return None
        return Crowded(item.app, row.ordinal, row.log_after, item.now, most)

    def _admit(self, calls: list[Sequence[Arrive]]) -> list[_Admitted]:
        """Registers those that are new and are to be."""
        return [self._admit_one(call) for call in calls]

    def _admit_one(self, batch: Sequence[Arrive]) -> _Admitted:
        devices: dict[int, dict[str, int]] = {}
        for item in batch:
            names = devices.setdefault(item.app, {})
            if item.register:
                names.setdefault(item.device, item.now)
        admitted = _Admitted(set(), {})
        for app, names in devices.items():
            membership = self._members.of(app)
            if membership is None:
                continue
            admitted.apps.add(app)
            found = self._members.find([f"{app}/{name}" for name in names])
            new = [
                (name, Profile(), now)
                for (name, now), key in zip(names.items(), found, strict=True)
                if key is None
            ]
            if new:
                keys = self._members.add(app, membership, new)
                # What `_arrive` would find as this is committed: nothing in the log is after its cursor.
                log_end = self._positions.last
                for (name, _, _), key in zip(new, keys, strict=True):
                    arrival = Arrival(key & 0xFFFF_FFFF, False, log_end, 0, told=log_end)
                    admitted.arrivals[app, name] = arrival
        return admitted

    # --- what waits ---

    async def count(self, app: int, ordinals: Sequence[int], now: int) -> list[int]:
        """One statement for all inboxes, and the sets of the broadcasts that are open."""
        if app in self._deleted:
            return [0] * len(ordinals)
        return await self._reader.call(self._count, (app, ordinals, now), len(ordinals))

    def _count(self, calls: list[tuple[int, Sequence[int], int]]) -> list[list[int]]:
        return [self._count_one(*call) for call in calls]

    def _count_one(self, app: int, ordinals: Sequence[int], now: int) -> list[int]:
        if not ordinals:
            return []
        keys = tuple(device_key(app, ordinal) for ordinal in ordinals)
        counts, positions, said = _counts.decode(self._reading.text(COUNT_PENDING, keys, now, app))
        for position in (*positions, *said):
            ledger = self._broadcasts.get(position, self._reading)
            for index, ordinal in enumerate(ordinals):
                counts[index] += ledger.waits(ordinal)
        return counts

    async def fetch(self, batch: Sequence[Fetch]) -> list[Page]:
        """One statement for all inboxes and logs, then one or a few for the messages."""
        there: Sequence[Fetch] = batch
        if self._deleted:
            there = [fetch for fetch in batch if fetch.app not in self._deleted]
        pages = await self._reader.call(self._fetch, there, len(there))
        if len(there) == len(batch):
            return pages
        rest = iter(pages)
        return [
            Page((), fetch.log_after, True) if fetch.app in self._deleted else next(rest) for fetch in batch
        ]

    def _fetch(self, calls: list[Sequence[Fetch]]) -> list[list[Page]]:
        asked = [fetch for call in calls for fetch in call]
        if not asked:
            return [[] for _ in calls]
        inboxes, of_high, logs, high, said, ends = self._waiting(asked)
        urgent = [
            self._urgent(fetch, inbox, high.get(fetch.app, ()))
            for fetch, inbox in zip(asked, of_high, strict=True)
        ]
        chosen = [
            _choose(fetch, inbox, found, ends[fetch.app])
            for fetch, inbox, found in zip(asked, inboxes, self._from_logs(asked, logs, said), strict=True)
        ]
        lengths = {position: length for inbox in (*inboxes, *of_high) for position, _, length in inbox}
        pages_of = [entries for entries, _, _ in chosen]
        wanted = {
            position: broadcast for entries in (*pages_of, *urgent) for position, broadcast, _ in entries
        }
        messages = self._bodies.read(wanted, lengths)
        pages = iter(
            Page(_pushes(entries, messages), log_after, complete, _pushes(before, messages))
            for (entries, log_after, complete), before in zip(chosen, urgent, strict=True)
        )
        return [[next(pages) for _ in call] for call in calls]

    def _urgent(self, fetch: Fetch, inbox: _Inbox, log: Sequence[int]) -> list[tuple[int, bool, bool]]:
        """The entries of high priority that a page is to have before the others."""
        entries = [(position, False, bool(sent)) for position, sent, _ in inbox]
        for position in log if fetch.urgent else ():
            if position > fetch.log_after and len(entries) < 2 * fetch.urgent:
                ledger = self._broadcasts.get(position, self._reading)
                if ledger.waits(fetch.ordinal):
                    entries.append((position, True, ledger.was_sent(fetch.ordinal)))
        entries.sort()
        lengths = {position: length for position, _, length in inbox}
        return entries[: _fitting(fetch.urgent, fetch.limit_bytes, entries, lengths)]

    def _waiting(self, asked: list[Fetch]) -> "_Waiting":
        """Per fetch what its inbox holds, and the open log of each app."""
        apps: dict[int, tuple[int, int]] = {}
        for fetch in asked:
            after, now = apps.get(fetch.app, (fetch.log_after, fetch.now))
            apps[fetch.app] = (min(after, fetch.log_after), max(now, fetch.now))
        found = self._reading.text(
            FETCH,
            msgspec.json.encode(
                [
                    (device_key(item.app, item.ordinal), item.inbox_after, item.now, item.log_after)
                    for item in asked
                ]
            ).decode(),
            max(fetch.limit for fetch in asked) + 1,
            msgspec.json.encode([(app, after, now) for app, (after, now) in apps.items()]).decode(),
            max(fetch.urgent for fetch in asked),
        )
        inboxes, urgent, log, of_groups, ends = _waiting.decode(found)
        logs: dict[int, list[int]] = {}
        high: dict[int, list[int]] = {}
        for app, position, of_high in log:
            logs.setdefault(app, []).append(position)
            if of_high:
                high.setdefault(app, []).append(position)
        said: dict[int, list[int]] = {}
        for index, position, _ in of_groups:  # nothing of it has high priority
            said.setdefault(index, []).append(position)
        return _Waiting(inboxes, urgent, logs, high, said, dict(ends))

    def _from_logs(
        self,
        asked: Sequence[Fetch],
        logs: Mapping[int, Sequence[int]],
        said: Mapping[int, Sequence[int]],
    ) -> list[list[tuple[int, bool]]]:
        """What the log has for each, (position, sent before), of which the first of its limit, and one more,
        are those that there are.

        Broadcast by broadcast, and each for all who read: its sets may have to be read from the disk.
        """
        found: list[list[tuple[int, bool]]] = [[] for _ in asked]
        readers: dict[int, list[int]] = {}
        for index, fetch in enumerate(asked):
            readers.setdefault(fetch.app, []).append(index)
        for app, log in logs.items():
            reading = readers[app]
            for position in log:
                ledger: BroadcastLedger | None = None
                full: list[int] = []
                for index in reading:
                    fetch = asked[index]
                    if position <= fetch.log_after:
                        continue
                    ledger = ledger or self._broadcasts.get(position, self._reading)
                    if ledger.waits(fetch.ordinal):
                        found[index].append((position, ledger.was_sent(fetch.ordinal)))
                        if len(found[index]) > fetch.limit:
                            full.append(index)
                if full:
                    reading = [index for index in reading if index not in full]
        for index, positions in said.items():
            self._add_said(asked[index], positions, found[index])
        return found

    def _add_said(self, fetch: Fetch, positions: Sequence[int], found: list[tuple[int, bool]]) -> None:
        """Adds what waits for a device of its groups: of no more than it may have, and one."""
        left = fetch.limit + 1
        for position in sorted(positions):
            ledger = self._broadcasts.get(position, self._reading)
            if ledger.waits(fetch.ordinal):
                found.append((position, ledger.was_sent(fetch.ordinal)))
                left -= 1
                if not left:
                    break
        found.sort()

    # --- receipts ---

    async def settle(self, batch: Sequence[Receipt]) -> None:
        """For a group of calls one statement for unicasts, and a set a label for each broadcast."""
        await self._writer.call(self._settle, batch, len(batch))

    def _settle(self, calls: list[Sequence[Receipt]]) -> list[None]:
        receipts = calls[0] if len(calls) == 1 else list(chain.from_iterable(calls))
        claims = claims_of(receipts)
        told = ReceiptRows(receipts, self._fence.owners(claims) if claims else {})
        if told.rows:
            self._settle_unicasts(told)
        for position, of_broadcast in told.broadcasts.items():
            self._settle_broadcast(position, of_broadcast)
        return [None] * len(calls)

    def _settle_unicasts(self, told: ReceiptRows) -> None:
        if told.refused:
            listed = msgspec.json.encode(told.refused).decode()
            note_gaps(self._writing, "dropped", LISTED, listed, told.refused_at)
        rows = tuple(told.rows)
        left = self._writing.run(LEAVE_INBOX, rows)
        self._count_taken(told, rows, left)
        self._writing.run(SETTLE, rows)

    def _count_taken(self, told: ReceiptRows, rows: tuple[bytes, ...], left: int) -> None:
        """Counts what devices have taken by these receipts, which `left` of them had in their inboxes.

        Mostly all did, and then nothing needs to be looked up; others may have been taken before.
        """
        apps = told.taken
        if apps and (left < told.settling or told.settling > sum(apps.values())):
            apps = dict(_taken.decode(self._writing.text(COUNT_TAKEN, rows)))
        for app, count in apps.items():
            self._counts.add(app, told.taken_at, Counted.DELIVERIES, count)

    def _settle_broadcast(self, position: int, receipts: list[Receipt]) -> None:
        taken = [receipt.ordinal for receipt in receipts if receipt.state == TAKEN]
        sets = {ACKED: taken}
        if len(taken) == len(receipts):  # as mostly
            sent = [receipt.ordinal for receipt in receipts if receipt.sent_at]
        else:
            sent = [receipt.ordinal for receipt in receipts if receipt.state == WRITTEN or receipt.sent_at]
            sets = _by_outcome(receipts)
        if sent:
            self._broadcasts.note_sent(position, sent, self._writing)
        for label, ordinals in sets.items():
            if label == DROPPED + TOO_LARGE:
                missed = self._broadcasts.get(position, self._writing).pending() & BitMap(ordinals)
                devices = [device_key(receipts[0].app, ordinal) for ordinal in missed]
                add_dropped(self._writing, devices, max(receipt.at for receipt in receipts))
            moved = self._broadcasts.settle(position, label, BitMap(ordinals), self._writing)
            if label == ACKED and moved:
                self._counts.add(receipts[0].app, receipts[-1].at, Counted.DELIVERIES, moved)

    async def advance(self, batch: Sequence[Cursor]) -> None:
        """One statement for all cursors of a group."""
        await self._writer.call(self._advance, batch, len(batch))

    def _advance(self, calls: list[Sequence[Cursor]]) -> list[None]:
        cursors = [cursor for call in calls for cursor in call]
        owners = self._fence.owners(
            device_key(cursor.app, cursor.ordinal) for cursor in cursors if cursor.epoch
        )
        rows = [
            CURSOR % (device_key(cursor.app, cursor.ordinal), cursor.log_after, cursor.told)
            for cursor in cursors
            if not cursor.epoch
            or owners.get(device_key(cursor.app, cursor.ordinal), cursor.epoch) == cursor.epoch
        ]
        if rows:
            self._writing.run(ADVANCE, tuple(rows))
        return [None] * len(calls)

    async def close_gaps(self, batch: Sequence[Told]) -> None:
        """One statement a step for all devices."""
        await self._writer.call(self._close_gaps, batch, len(batch))

    def _close_gaps(self, calls: list[Sequence[Told]]) -> list[None]:
        close_gaps(self._writing, [told for call in calls for told in call])
        return [None] * len(calls)


def _choose(
    fetch: Fetch, inbox: Sequence[tuple[int, int, int]], found: Sequence[tuple[int, bool]], log_end: int
) -> tuple[list[tuple[int, bool, bool]], int, bool]:
    """The oldest entries (position, broadcast, sent before), how far the log was read, is that all.

    `log_end`: the last position of the log, in the same snapshot.
    """
    entries = [(position, False, bool(sent)) for position, sent, _ in inbox[: fetch.limit + 1]]
    entries += [(position, True, sent) for position, sent in found[: fetch.limit + 1]]
    entries.sort()
    fitting = _fitting(
        fetch.limit, fetch.limit_bytes, entries, {position: length for position, _, length in inbox}
    )
    if len(entries) <= fitting:
        return entries, max(log_end, fetch.log_after), True
    entries = entries[:fitting]
    last = entries[-1][0] if entries else 0
    # What of the log comes before the last of these was looked at, and is among them where it waits.
    return entries, max(fetch.log_after, min(last, log_end)), False


def _pushes(
    entries: Sequence[tuple[int, bool, bool]], messages: Mapping[int, Message]
) -> tuple[PendingPush, ...]:
    return tuple(
        [
            PendingPush(messages[position], position, broadcast, sent)
            for position, broadcast, sent in entries
            if position in messages  # it was purged or its app deleted a moment ago
        ]
    )


def _fitting(
    limit: int, limit_bytes: int, entries: list[tuple[int, bool, bool]], lengths: dict[int, int]
) -> int:
    """How many of the entries one page may have."""
    size = 0
    for count, (position, broadcast, _) in enumerate(entries[:limit]):
        if not broadcast:
            size += lengths[position]
            if size > limit_bytes and size > lengths[position]:
                return count
    return limit


def _arrival(end: _LogEnd, row: _ArrivalRow, behind: bool, gap: Gap | None, told: int) -> Arrival:
    return Arrival(
        row.ordinal,
        bool(row.waits) or behind,
        row.log_after if behind else max(row.log_after, end.last),
        row.banned_until,
        bool(row.session),
        bool(row.shadow),
        gap,
        told,
        None if row.standing is None else Standing(*row.standing),
    )


def _by_outcome(receipts: Sequence[Receipt]) -> dict[str, list[int]]:
    """What became of a broadcast for each device: that it took it, else the first that is said of it."""
    outcomes: dict[int, str] = {}
    for receipt in receipts:
        if receipt.state == TAKEN:
            outcomes[receipt.ordinal] = ACKED
        elif receipt.state != WRITTEN:
            outcomes.setdefault(receipt.ordinal, _label(receipt.state, receipt.reason))
    sets: dict[str, list[int]] = {}
    for ordinal, label in outcomes.items():
        sets.setdefault(label, []).append(ordinal)
    return sets


def _label(state: State, reason: str | None) -> str:
    match state:
        case State.ACKED:
            return ACKED
        case State.EXPIRED:
            return EXPIRED
        case State.COLLAPSED:
            return COLLAPSED
        case _:
            return DROPPED + (reason or "unknown")
