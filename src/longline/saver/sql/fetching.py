"""What waits for devices: the reads of a device that comes, for many devices at a time.

Each question is one statement, so it sees one snapshot: a page has no message of a commit without the others.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence

import msgspec

from longline.model.messages import Message
from longline.saver.port.inboxes import Arrival, Arrive, Fetch, Page, Push
from longline.saver.sql.database import Database, device_key
from longline.saver.sql.standings import Standings

BODIES = 2 * 1024 * 1024  # bytes of messages read by one statement

_doors = msgspec.json.Decoder(list[tuple[int, int, int, int] | None])
_waiting = msgspec.json.Decoder(tuple[list[list[tuple[int, int, int]]], list[tuple[int, int]]])
_bodies = msgspec.json.Decoder(list[tuple[int, str]])
_counts = msgspec.json.Decoder(tuple[list[int], list[int]])
_unpack = msgspec.msgpack.Decoder(Message).decode

ARRIVE = """
SELECT json_group_array(iif(d.device IS NULL, NULL, json_array(
         d.device & 0xFFFFFFFF,
         EXISTS (SELECT 1 FROM inbox WHERE inbox.device = d.device)
           OR EXISTS (SELECT 1 FROM log WHERE log.app = d.device >> 32 AND log.kept
                      AND log.position > coalesce(c.log_after, d.log_from)),
         coalesce(c.log_after, d.log_from),
         d.banned_until)))
  FROM carray(?1) AS door
  LEFT JOIN devices AS d ON d.address = CAST(door.value AS TEXT)
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


class _Messages:
    """Recently read broadcasts, at most about `limit` bytes: one object for all devices that get it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._messages: OrderedDict[int, Message] = OrderedDict()

    def get(self, position: int) -> Message | None:
        return self._messages.get(position)

    def put(self, position: int, message: Message) -> None:
        self._messages[position] = message
        self._size += len(message.payload) + 1024
        while self._size > self._limit and len(self._messages) > 1:
            _, forgotten = self._messages.popitem(last=False)
            self._size -= len(forgotten.payload) + 1024


class Fetching:
    """Operations for the reader's thread. `cache_bytes` bounds the broadcasts it remembers."""

    def __init__(self, database: Database, standings: Standings, cache_bytes: int) -> None:
        self._database = database
        self._standings = standings
        self._broadcasts = _Messages(cache_bytes)

    def arrive(self, calls: list[Sequence[Arrive]]) -> list[list[Arrival | None]]:
        """None for a device that is not registered."""
        addresses = tuple([f"{item.app}/{item.device}".encode() for call in calls for item in call])
        if not addresses:
            return [[] for _ in calls]
        rows = iter(_doors.decode(self._database.text(ARRIVE, addresses)))
        return [[_arrival(next(rows)) for _ in call] for call in calls]

    def count_pending(self, calls: list[tuple[int, Sequence[int], int]]) -> list[list[int]]:
        return [self._count_pending(*call) for call in calls]

    def _count_pending(self, app: int, ordinals: Sequence[int], now: int) -> list[int]:
        if not ordinals:
            return []
        keys = tuple(device_key(app, ordinal) for ordinal in ordinals)
        counts, positions = _counts.decode(self._database.text(COUNT_PENDING, keys, now, app))
        for position in positions:
            standing = self._standings.get(position, self._database)
            for index, ordinal in enumerate(ordinals):
                counts[index] += standing.waits(ordinal)
        return counts

    # --- what waits ---

    def fetch(self, calls: list[Sequence[Fetch]]) -> list[list[Page]]:
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
        messages = self._bodies(wanted, lengths)
        pages = iter(
            Page(
                tuple(
                    Push(messages[position], position, broadcast, sent)
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
        found = self._database.text(
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
            standing = self._standings.get(position, self._database)
            if standing.waits(fetch.ordinal):
                entries.append((position, True, standing.was_sent(fetch.ordinal)))
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

    def _bodies(self, wanted: dict[int, bool], lengths: dict[int, int]) -> dict[int, Message]:
        """Messages by position. `wanted`: whether each is a broadcast; those are remembered."""
        messages: dict[int, Message] = {}
        missing: list[int] = []
        for position, broadcast in wanted.items():
            known = self._broadcasts.get(position) if broadcast else None
            if known is None:
                missing.append(position)
            else:
                messages[position] = known
        for part in _parts(missing, lengths):
            found = self._database.text(
                "SELECT json_group_array(json_array(position, hex(body))) FROM carray(?1)"
                " CROSS JOIN messages ON position = value",
                part,
            )
            for position, digits in _bodies.decode(found):
                message = messages[position] = _unpack(bytes.fromhex(digits))
                if wanted[position]:
                    self._broadcasts.put(position, message)
        return messages


def _fitting(fetch: Fetch, entries: list[tuple[int, bool, bool]], lengths: dict[int, int]) -> int:
    """How many of the entries one page may have."""
    size = 0
    for count, (position, broadcast, _) in enumerate(entries[: fetch.limit]):
        if not broadcast:
            size += lengths[position]
            if size > fetch.limit_bytes and size > lengths[position]:
                return count
    return fetch.limit


def _arrival(row: tuple[int, int, int, int] | None) -> Arrival | None:
    if row is None:
        return None
    ordinal, pending, log_after, banned_until = row
    return Arrival(ordinal, bool(pending), log_after, banned_until)


def _parts(positions: list[int], lengths: dict[int, int]) -> Iterable[tuple[int, ...]]:
    """Cuts positions into parts whose messages have at most about BODIES bytes."""
    part: list[int] = []
    size = 0
    for position in positions:
        length = lengths.get(position, BODIES // 8)  # a broadcast's is not known, and can be 256 KiB
        if part and size + length > BODIES:
            yield tuple(part)
            part, size = [], 0
        part.append(position)
        size += length
    if part:
        yield tuple(part)
