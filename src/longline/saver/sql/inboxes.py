"""What waits for devices: the reads of a device that comes, and receipts, for many devices at a time.

Each question is one statement, so it sees one snapshot: a page has no message of a commit without the others.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain
from typing import Final

import msgspec
from pyroaring import BitMap

from longline.model.devices import Profile
from longline.model.ledger import State
from longline.saver.port.inboxes import Arrival, Arrive, Cursor, Fetch, Page, PendingPush, Receipt
from longline.saver.sql.bodies import Bodies
from longline.saver.sql.broadcasts import ACKED, COLLAPSED, DROPPED, EXPIRED, BroadcastLedgers
from longline.saver.sql.database import Database, device_key, integer
from longline.saver.sql.fencing import Fence
from longline.saver.sql.members import Members
from longline.saver.sql.worker import Worker

# By themselves, since a member of an enum costs a look-up for each receipt.
WRITTEN: Final = State.PENDING
TAKEN: Final = State.ACKED

_arrivals = msgspec.json.Decoder(list[tuple[int, int, int, int, int] | None])
_waiting = msgspec.json.Decoder(tuple[list[list[tuple[int, int, int]]], list[tuple[int, int]]])
_counts = msgspec.json.Decoder(tuple[list[int], list[int]])

ARRIVE = """
SELECT json_group_array(iif(d.device IS NULL, NULL, json_array(
         d.device & 0xFFFFFFFF,
         EXISTS (SELECT 1 FROM inbox WHERE inbox.device = d.device)
           OR EXISTS (SELECT 1 FROM log WHERE log.app = d.device >> 32 AND log.kept
                      AND log.position > coalesce(c.log_after, d.log_from)),
         coalesce(c.log_after, d.log_from),
         d.banned_until,
         EXISTS (SELECT 1 FROM sessions WHERE sessions.device = d.device))))
  FROM carray(?1) AS asked
  LEFT JOIN devices AS d ON d.address = CAST(asked.value AS TEXT)
  LEFT JOIN cursors AS c ON c.device = d.device"""

# Per fetch the inbox after its cursor; beside it, once, the open log of all apps that are asked about.
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
  json((SELECT json_group_array(json_array(log.app, log.position))
     FROM json_each(?3) AS apps
    CROSS JOIN log ON log.app = apps.value ->> 0 AND log.kept AND log.position > apps.value ->> 1
                  AND log.expires_at > apps.value ->> 2)))"""

COUNT_PENDING = """
SELECT json_array(
  json((SELECT json_group_array(
     (SELECT count(*) FROM inbox AS i CROSS JOIN messages AS m ON m.position = i.position
       WHERE i.device = asked.value AND m.expires_at > ?2))
     FROM carray(?1) AS asked)),
  json((SELECT json_group_array(position) FROM log WHERE app = ?3 AND kept AND expires_at > ?2)))"""

# A receipt's record: position, device, state, at, sent_at, reason (may be empty).
RECEIPT = b"%019d%019d%d%015d%015d%b"
GIVEN = f"""
SELECT {integer(1, 19)} AS position, {integer(20, 19)} AS device, {integer(39, 1)} AS state,
       {integer(40, 15)} AS at, {integer(55, 15)} AS sent_at, CAST(substr(value, 70) AS TEXT) AS reason
  FROM carray(?1)"""
# What is pending moves to any state, and whatever is not acked yet to acked.
MOVES = f"(deliveries.state = 0 OR given.state = {State.ACKED:d} AND deliveries.state <> {State.ACKED:d})"
SETTLE = f"""
UPDATE deliveries
   SET state = iif({MOVES}, given.state, deliveries.state),
       settled_at = iif({MOVES} AND given.state, given.at, settled_at),
       reason = iif({MOVES}, nullif(given.reason, ''), deliveries.reason),
       sent_at = coalesce(deliveries.sent_at, nullif(given.sent_at, 0))
  FROM ({GIVEN}) AS given
 WHERE deliveries.position = given.position AND deliveries.device = given.device"""
LEAVE_INBOX = f"""
DELETE FROM inbox WHERE (device, position) IN
 (SELECT {integer(20, 19)}, {integer(1, 19)} FROM carray(?1) WHERE {integer(39, 1)})"""

CURSOR = b"%019d%019d"
ADVANCE = f"""
INSERT INTO cursors (device, log_after)
SELECT device, given.log_after
  FROM (SELECT {integer(1, 19)} AS given_device, {integer(20, 19)} AS log_after FROM carray(?1)) AS given
 CROSS JOIN devices ON device = given_device
 WHERE true
    ON CONFLICT (device) DO UPDATE SET log_after = max(log_after, excluded.log_after)"""


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
        broadcasts: BroadcastLedgers,
        bodies: Bodies,
        fence: Fence,
        deleted: AbstractSet[int],
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._members = members
        self._broadcasts = broadcasts
        self._bodies = bodies
        self._fence = fence
        self._deleted = deleted

    # --- who comes ---

    async def arrive(self, batch: Sequence[Arrive]) -> list[Arrival | None]:
        """Those who come back, nearly all of them, cost a read; only who is new waits for a commit."""
        missing: Sequence[Arrive] = batch
        if self._deleted:
            missing = [item for item in batch if item.app not in self._deleted]
        arrivals: dict[tuple[int, str], Arrival | None] = {}
        while missing:
            found = await self._reader.call(self._arrive, missing, len(missing))
            if len(found) == len(batch) and None not in found:
                return found
            for item, arrival in zip(missing, found, strict=True):
                if arrival is not None:
                    arrivals[item.app, item.device] = arrival
            new: Sequence[Arrive] = [item for item in missing if (item.app, item.device) not in arrivals]
            apps = await self._writer.call(self._admit, new, len(new)) if new else set()
            missing = [item for item in new if item.app in apps]
        return [arrivals.get((item.app, item.device)) for item in batch]

    def _arrive(self, calls: list[Sequence[Arrive]]) -> list[list[Arrival | None]]:
        """None for a device that is not registered."""
        addresses = tuple([f"{item.app}/{item.device}".encode() for call in calls for item in call])
        if not addresses:
            return [[] for _ in calls]
        rows = iter(_arrivals.decode(self._reading.text(ARRIVE, addresses)))
        return [[_arrival(next(rows)) for _ in call] for call in calls]

    def _admit(self, calls: list[Sequence[Arrive]]) -> list[set[int]]:
        """Registers those that are new; which of their apps exist."""
        return [self._admit_one(call) for call in calls]

    def _admit_one(self, batch: Sequence[Arrive]) -> set[int]:
        devices: dict[int, dict[str, int]] = {}
        for item in batch:
            devices.setdefault(item.app, {}).setdefault(item.device, item.now)
        existing = set()
        for app, names in devices.items():
            membership = self._members.of(app)
            if membership is None:
                continue
            existing.add(app)
            found = self._members.find([f"{app}/{name}" for name in names])
            new = [
                (name, Profile(), now)
                for (name, now), key in zip(names.items(), found, strict=True)
                if key is None
            ]
            if new:
                self._members.add(app, membership, new)
        return existing

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
        counts, positions = _counts.decode(self._reading.text(COUNT_PENDING, keys, now, app))
        for position in positions:
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
        inboxes, logs = self._waiting(asked)
        chosen = [
            self._choose(fetch, inbox, logs.get(fetch.app, []))
            for fetch, inbox in zip(asked, inboxes, strict=True)
        ]
        lengths = {position: length for inbox in inboxes for position, _, length in inbox}
        wanted = {position: broadcast for entries, _, _ in chosen for position, broadcast, _ in entries}
        messages = self._bodies.read(wanted, lengths)
        pages = iter(
            Page(
                tuple(
                    PendingPush(messages[position], position, broadcast, sent)
                    for position, broadcast, sent in entries
                    if position in messages  # it was purged or its app deleted a moment ago
                ),
                log_after,
                complete,
            )
            for entries, log_after, complete in chosen
        )
        return [[next(pages) for _ in call] for call in calls]

    def _waiting(self, asked: list[Fetch]) -> tuple[list[list[tuple[int, int, int]]], dict[int, list[int]]]:
        """Per fetch what its inbox holds, (position, sent before, bytes); and the open log of each app."""
        apps: dict[int, tuple[int, int]] = {}
        for fetch in asked:
            after, now = apps.get(fetch.app, (fetch.log_after, fetch.now))
            apps[fetch.app] = (min(after, fetch.log_after), max(now, fetch.now))
        found = self._reading.text(
            FETCH,
            msgspec.json.encode(
                [(device_key(item.app, item.ordinal), item.inbox_after, item.now) for item in asked]
            ).decode(),
            max(fetch.limit for fetch in asked) + 1,
            msgspec.json.encode([(app, after, now) for app, (after, now) in apps.items()]).decode(),
        )
        inboxes, log = _waiting.decode(found)
        logs: dict[int, list[int]] = {}
        for app, position in log:
            logs.setdefault(app, []).append(position)
        return inboxes, logs

    def _choose(
        self, fetch: Fetch, inbox: list[tuple[int, int, int]], log: list[int]
    ) -> tuple[list[tuple[int, bool, bool]], int, bool]:
        """The oldest entries (position, broadcast, sent before), how far the log was read, is that all."""
        entries = [(position, False, bool(sent)) for position, sent, _ in inbox[: fetch.limit + 1]]
        read = fetch.log_after
        found = 0
        for position in log:
            if position <= fetch.log_after:
                continue
            if found > fetch.limit:
                break
            ledger = self._broadcasts.get(position, self._reading)
            if ledger.waits(fetch.ordinal):
                entries.append((position, True, ledger.was_sent(fetch.ordinal)))
                found += 1
            read = position
        entries.sort()
        fitting = _fitting(fetch, entries, {position: length for position, _, length in inbox})
        if len(entries) <= fitting:
            return entries, read, True
        entries = entries[:fitting]
        last = entries[-1][0] if entries else fetch.log_after
        passed = [position for position in log if fetch.log_after < position <= last]
        return entries, max(passed, default=fetch.log_after), False

    # --- receipts ---

    async def settle(self, batch: Sequence[Receipt]) -> None:
        """For a group of calls one statement for unicasts, and a set a label for each broadcast."""
        await self._writer.call(self._settle, batch, len(batch))

    def _settle(self, calls: list[Sequence[Receipt]]) -> list[None]:
        # "Written" and "acked" of one push often meet in one group: one row each, the outcome that counts and
        # the first time.
        unicasts: dict[tuple[int, int], Receipt] = {}
        broadcasts: dict[int, list[Receipt]] = {}
        for receipt in self._heard(calls):
            if receipt.broadcast:
                broadcasts.setdefault(receipt.position, []).append(receipt)
                continue
            key = (receipt.position, device_key(receipt.app, receipt.ordinal))
            before = unicasts.setdefault(key, receipt)
            if before is not receipt:
                unicasts[key] = _merged(before, receipt)
        if unicasts:
            self._settle_unicasts(unicasts)
        for position, receipts in broadcasts.items():
            self._settle_broadcast(position, receipts)
        return [None] * len(calls)

    def _heard(self, calls: list[Sequence[Receipt]]) -> Iterable[Receipt]:
        """All receipts, without those of sessions that do not own their device any more."""
        receipts = calls[0] if len(calls) == 1 else list(chain.from_iterable(calls))
        claims = {
            device_key(receipt.app, receipt.ordinal)
            for receipt in receipts
            if receipt.state != TAKEN and receipt.epoch
        }
        if not claims:
            return receipts
        owners = self._fence.owners(claims)
        return [
            receipt
            for receipt in receipts
            if receipt.state == TAKEN
            or receipt.epoch == 0
            or owners.get(device_key(receipt.app, receipt.ordinal), receipt.epoch) == receipt.epoch
        ]

    def _settle_unicasts(self, receipts: dict[tuple[int, int], Receipt]) -> None:
        rows = tuple(
            [
                RECEIPT
                % (
                    position,
                    device,
                    receipt.state,
                    receipt.at,
                    receipt.sent_at or (receipt.at if receipt.state == WRITTEN else 0),
                    receipt.reason.encode() if receipt.reason else b"",
                )
                for (position, device), receipt in receipts.items()
            ]
        )
        self._writing.run(SETTLE, rows)
        self._writing.run(LEAVE_INBOX, rows)

    def _settle_broadcast(self, position: int, receipts: list[Receipt]) -> None:
        outcomes: dict[int, str] = {}
        sent: list[int] = []
        for receipt in receipts:
            if receipt.state == State.PENDING or receipt.sent_at:
                sent.append(receipt.ordinal)
            if receipt.state == State.ACKED:
                outcomes[receipt.ordinal] = ACKED
            elif receipt.state != State.PENDING:
                outcomes.setdefault(receipt.ordinal, _label(receipt.state, receipt.reason))
        if sent:
            self._broadcasts.note_sent(position, sent, self._writing)
        sets: dict[str, list[int]] = {}
        for ordinal, label in outcomes.items():
            sets.setdefault(label, []).append(ordinal)
        for label, ordinals in sets.items():
            self._broadcasts.settle(position, label, BitMap(ordinals), self._writing)

    async def advance(self, batch: Sequence[Cursor]) -> None:
        """One statement for all cursors of a group."""
        await self._writer.call(self._advance, batch, len(batch))

    def _advance(self, calls: list[Sequence[Cursor]]) -> list[None]:
        cursors = [cursor for call in calls for cursor in call]
        owners = self._fence.owners(
            device_key(cursor.app, cursor.ordinal) for cursor in cursors if cursor.epoch
        )
        rows = [
            CURSOR % (device_key(cursor.app, cursor.ordinal), cursor.log_after)
            for cursor in cursors
            if not cursor.epoch
            or owners.get(device_key(cursor.app, cursor.ordinal), cursor.epoch) == cursor.epoch
        ]
        if rows:
            self._writing.run(ADVANCE, tuple(rows))
        return [None] * len(calls)


def _fitting(fetch: Fetch, entries: list[tuple[int, bool, bool]], lengths: dict[int, int]) -> int:
    """How many of the entries one page may have."""
    size = 0
    for count, (position, broadcast, _) in enumerate(entries[: fetch.limit]):
        if not broadcast:
            size += lengths[position]
            if size > fetch.limit_bytes and size > lengths[position]:
                return count
    return fetch.limit


def _arrival(row: tuple[int, int, int, int, int] | None) -> Arrival | None:
    if row is None:
        return None
    ordinal, pending, log_after, banned_until, session = row
    return Arrival(ordinal, bool(pending), log_after, banned_until, bool(session))


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


def _merged(first: Receipt, second: Receipt) -> Receipt:
    """Two receipts of one push as one: that the device took it, else the first outcome; the first time of
    writing."""
    outcome = second
    if first.state == State.ACKED or (first.state != State.PENDING and second.state != State.ACKED):
        outcome = first
    return Receipt(
        outcome.app,
        outcome.ordinal,
        outcome.position,
        False,
        outcome.state,
        outcome.at,
        first.sent_at
        or (first.at if first.state == State.PENDING else second.sent_at)
        or (second.at if second.state == State.PENDING else 0),
        outcome.reason,
    )
