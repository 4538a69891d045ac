"""Retained messages: a row for each topic, found by an index in the order of topics."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final

import msgspec

from longline.model.pubsub import Publication
from longline.saver.port.retained import FindRetained, Retain, RetainedPage
from longline.saver.publications import pack_publication, size_of, unpack_publication
from longline.saver.sql.database import Database, integer
from longline.saver.sql.members import Members
from longline.saver.sql.worker import Worker
from longline.saver.topic_order import NOWHERE, behind, first_topic, following, has_wildcards

LOOKS: Final = 1000  # topics that the reads of one call look at, and FEWEST for each of them in any case
FEWEST: Final = 50
LEAST: Final = 16  # topics in the first statement of a walk, twice as many in the next while none is in vain
MOST: Final = 512

Totals = dict[int, tuple[int, int]]  # of apps: messages, bytes

_known = msgspec.json.Decoder(list[tuple[int | None, int]])
_totals = msgspec.json.Decoder(list[tuple[int, int, int]])
_topics = msgspec.json.Decoder(list[tuple[str, int]])
_sizes = msgspec.json.Decoder(list[tuple[int, int]])
_bodies = msgspec.json.Decoder(list[tuple[str, str]])
_over = msgspec.json.Decoder(list[tuple[int, int, int]])

# A place's record: app, topic. Each is found, or not, in the order given.
PLACE = b"%010d%b"
FIND = f"""
SELECT json_group_array(json_array(retained.id, coalesce(retained.size, 0)))
  FROM carray(?1) AS place
  LEFT JOIN retained ON app = {integer(1, 10)} AND topic = CAST(substr(place.value, 11) AS TEXT)"""

# A message's record: app, expires at, size, lengths of topic and sender, topic, sender, body.
MESSAGE = b"%010d%019d%010d%05d%05d%b%b%b"
LENGTH, NAMED = integer(40, 5), integer(45, 5)
INSERT = f"""
INSERT INTO retained (app, expires_at, size, topic, sender, body)
SELECT {integer(1, 10)}, {integer(11, 19)}, {integer(30, 10)}, CAST(substr(value, 50, {LENGTH}) AS TEXT),
       CAST(substr(value, 50 + {LENGTH}, {NAMED}) AS TEXT), substr(value, 50 + {LENGTH} + {NAMED})
  FROM carray(?1)"""

# Of a device that goes, whether it has left any; of the first of those that have, these, whose body says when
# they were published; and that these devices have none any more.
LEAVE = """
INSERT OR REPLACE INTO retained_left (app, sender, at)
SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT 1 FROM retained WHERE app = ?1 AND sender = ?2 AND sender <> '')"""
LEFT = """
SELECT json_group_array(json_array(id, app, size)) FROM
 (SELECT r.id, r.app, r.size
    FROM (SELECT app, sender, at FROM retained_left ORDER BY app, sender LIMIT ?1) AS page
   CROSS JOIN retained AS r ON r.app = page.app AND r.sender = page.sender AND r.sender <> ''
   WHERE substr(r.body, 9, 8) <= page.at LIMIT ?1)"""
LEFT_NONE = """
DELETE FROM retained_left WHERE (app, sender) IN
 (SELECT app, sender FROM retained_left ORDER BY app, sender LIMIT ?1)"""

TOTALS = """
SELECT json_group_array(json_array(app, messages, bytes)) FROM carray(?1)
 CROSS JOIN retained_totals ON app = value"""
REMEMBER = """
INSERT INTO retained_totals (app, messages, bytes) VALUES (?1, ?2, ?3)
    ON CONFLICT (app) DO UPDATE SET messages = messages + excluded.messages, bytes = bytes + excluded.bytes"""

TOPICS = """
SELECT json_group_array(json_array(topic, id)) FROM
 (SELECT topic, id FROM retained WHERE app = ?1 AND topic >= ?2 ORDER BY topic LIMIT ?3)"""
# Of these rows, in the order given, those that are not over.
SIZES = """
SELECT json_group_array(json_array(id, size)) FROM carray(?1)
 CROSS JOIN retained ON id = value AND (expires_at = 0 OR expires_at > ?2)"""
BODIES = """
SELECT json_group_array(json_array(topic, hex(body))) FROM carray(?1) CROSS JOIN retained ON id = value"""


class SqlRetained:
    """Fulfils `RetainedStore`. `max_messages` and `max_bytes` are those of an app."""

    def __init__(
        self,
        writer: Worker,
        reader: Worker,
        writing: Database,
        reading: Database,
        *,
        members: Members,
        deleted: AbstractSet[int],
        max_messages: int,
        max_bytes: int,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._members = members
        self._deleted = deleted
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._stale = False  # what is counted here may not be on disk
        self.messages = 0  # of all apps
        self._count()

    async def keep(self, batch: Sequence[Retain]) -> list[str | None]:
        """All of a group in a few statements."""
        size = sum(len(item.publication.payload) for item in batch)
        return await self._writer.call(self._keep, batch, len(batch), size)

    async def find(self, batch: Sequence[FindRetained]) -> list[RetainedPage]:
        """Topics from the index first, so that of what does not match nothing else is read."""
        return await self._reader.call(self._find, batch, len(batch))

    async def count(self, app: int) -> int:
        """One row."""
        return 0 if app in self._deleted else await self._reader.call(self._counted, app)

    # --- the writer's thread ---

    def rolled_back(self) -> None:
        """A transaction failed: what was counted may not be on disk."""
        self._stale = True

    def _keep(self, calls: list[Sequence[Retain]]) -> list[list[str | None]]:
        items = [item for batch in calls for item in batch]
        codes = iter(self._keep_all(items)) if items else iter(())
        return [[next(codes) for _ in batch] for batch in calls]

    def _keep_all(self, items: list[Retain]) -> list[str | None]:
        database = self._writing
        places = [(item.app, item.publication.topic.encode()) for item in items]
        known = dict(zip(places, self._places(places), strict=True))
        totals = self._totals({app for app, _ in places})
        change = dict.fromkeys(totals, (0, 0))
        ended: set[int] = set()
        kept: dict[tuple[int, bytes], bytes] = {}
        codes: list[str | None] = []
        for item, place in zip(items, places, strict=True):
            app, topic = place
            if self._members.of(app) is None:
                codes.append("app_not_found")
                continue
            publication = item.publication
            over = not publication.payload or 0 < publication.expires_at <= item.now
            body = b"" if over else pack_publication(publication)
            row, size = known[place]
            messages, used = totals[app]
            more = int(not over) - int(size > 0)
            larger = (0 if over else size_of(topic, body)) - size
            if not over and (
                (more and messages + more > (item.most or self._max_messages))
                or (larger > 0 and used + larger > (item.most_bytes or self._max_bytes))
            ):
                codes.append("quota_exceeded")
                continue
            codes.append(None)
            if row is not None:
                ended.add(row)
            totals[app] = messages + more, used + larger
            change[app] = change[app][0] + more, change[app][1] + larger
            known[place] = None, size + larger
            if over:
                kept.pop(place, None)
            else:
                sender = publication.sender.encode()
                head = (app, publication.expires_at, size + larger, len(topic), len(sender))
                kept[place] = MESSAGE % (*head, topic, sender, body)
        if ended:
            database.run("DELETE FROM retained WHERE id IN (SELECT value FROM carray(?1))", tuple(ended))
        if kept:
            database.run(INSERT, tuple(kept.values()))
        self._change(change)
        return codes

    def _places(self, places: list[tuple[int, bytes]]) -> list[tuple[int | None, int]]:
        """The row of each, None for none, and its size."""
        return _known.decode(self._writing.text(FIND, tuple([PLACE % place for place in places])))

    def _totals(self, apps: set[int]) -> Totals:
        found = _totals.decode(self._writing.text(TOTALS, tuple(apps)))
        return dict.fromkeys(apps, (0, 0)) | {app: (messages, used) for app, messages, used in found}

    def _change(self, change: Totals) -> None:
        """Adds to what apps have; an app that has nothing left needs no row."""
        database = self._writing
        for app, (messages, used) in change.items():
            if messages or used:
                database.run(REMEMBER, app, messages, used)
                if messages < 0:
                    database.run("DELETE FROM retained_totals WHERE app = ?1 AND messages = 0", app)
                self.messages += messages
        if self._stale:
            self._stale = False
            self._count()

    def _count(self) -> None:
        self.messages = self._writing.number("SELECT sum(messages) FROM retained_totals") or 0

    def sweep(self, now: int, limit: int) -> int:
        """Removes at most `limit` whose time is over; how many it removed."""
        over = _over.decode(
            self._writing.text(
                "SELECT json_group_array(json_array(id, app, size)) FROM (SELECT id, app, size FROM retained"
                " WHERE expires_at > 0 AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
                now,
                limit,
            )
        )
        done = self._remove(over)
        return done + self._clear_left(limit - done) if done < limit else done

    def _clear_left(self, limit: int) -> int:
        """Removes what devices have left that are gone; how many messages, and devices."""
        left = _over.decode(self._writing.text(LEFT, limit))
        done = self._remove(left)
        return done + self._writing.run(LEFT_NONE, limit) if done < limit else done

    def purge(self, app: int, limit: int) -> int:
        """Removes at most `limit` of a deleted app; how many it removed."""
        left = _over.decode(
            self._writing.text(
                "SELECT json_group_array(json_array(id, app, size)) FROM (SELECT id, app, size FROM retained"
                " WHERE app = ?1 LIMIT ?2)",
                app,
                limit,
            )
        )
        return self._remove(left)

    def _remove(self, rows: list[tuple[int, int, int]]) -> int:
        if rows:
            ids = tuple([id for id, _, _ in rows])
            self._writing.run("DELETE FROM retained WHERE id IN (SELECT value FROM carray(?1))", ids)
            change: Totals = {}
            for _, app, size in rows:
                messages, used = change.get(app, (0, 0))
                change[app] = messages - 1, used - size
            self._change(change)
        return len(rows)

    # --- the reader's thread ---

    def _counted(self, calls: list[int]) -> list[int]:
        sql = "SELECT messages FROM retained_totals WHERE app = ?1"
        return [self._reading.number(sql, app) or 0 for app in calls]

    def _find(self, calls: list[Sequence[FindRetained]]) -> list[list[RetainedPage]]:
        items = [item for batch in calls for item in batch]
        # One snapshot: between two statements a message could be replaced, and be found in neither form.
        self._reading.run("BEGIN")
        try:
            pages = iter(self._find_all(items))
        finally:
            self._reading.roll_back()
        return [[next(pages) for _ in batch] for batch in calls]

    def _find_all(self, items: list[FindRetained]) -> list[RetainedPage]:
        """Filters without wildcards by one statement for all of them, the others one after the other."""
        apps = {item.app for item in items} - self._deleted
        found = _totals.decode(self._reading.text(TOTALS, tuple(apps))) if apps else []
        some = {app for app, _, _ in found}
        exact = [
            item
            for item in items
            if item.app in some and not has_wildcards(item.filter) and item.filter >= item.start
        ]
        rows: dict[tuple[int, str], int | None] = {}
        if exact:
            places = tuple([PLACE % (item.app, item.filter.encode()) for item in exact])
            known = _known.decode(self._reading.text(FIND, places))
            rows = {(item.app, item.filter): row for item, (row, _) in zip(exact, known, strict=True)}
        wild = sum(item.app in some and has_wildcards(item.filter) for item in items)
        looks = max(FEWEST, LOOKS // max(1, wild))
        pages = []
        for item in items:
            if item.app not in some:
                pages.append(RetainedPage(()))
            elif has_wildcards(item.filter):
                topics, next = self._walk(item, looks)
                pages.append(self._page(item, topics, next))
            else:
                row = rows.get((item.app, item.filter))
                pages.append(self._page(item, [] if row is None else [(item.filter, row)], NOWHERE))
        return pages

    def _walk(self, item: FindRetained, looks: int) -> tuple[list[tuple[str, int]], str]:
        """Topics that match, with their rows, and where to go on."""
        levels = item.filter.split("/")
        at = max(item.start, first_topic(item.filter))
        found: list[tuple[str, int]] = []
        chunk = LEAST
        while looks > 0:
            chunk = min(chunk, looks)
            asked = at
            topics = _topics.decode(self._reading.text(TOPICS, item.app, asked, chunk))
            looks -= max(1, len(topics))
            in_vain = 0
            for topic, row in topics:
                if topic < at:  # a branch that is left out
                    in_vain += 1
                    continue
                seek = following(levels, topic)
                if seek == NOWHERE:
                    return found, NOWHERE
                at = behind(topic) if seek is None else seek
                if seek is None:
                    found.append((topic, row))
                    if len(found) == item.limit:
                        return found, at
            if len(topics) < chunk:
                return found, NOWHERE
            chunk = LEAST if in_vain > chunk // 2 else min(MOST, 2 * chunk)
        return found, at

    def _page(self, item: FindRetained, topics: list[tuple[str, int]], next: str) -> RetainedPage:
        """What of these is not over, as much as there is room for on a page."""
        if not topics:
            return RetainedPage((), next)
        names = {row: topic for topic, row in topics}
        sizes = _sizes.decode(self._reading.text(SIZES, tuple(names), item.now))
        used = 0
        chosen: list[int] = []
        for row, size in sizes:
            used += size
            if chosen and used > item.limit_bytes:
                next = names[row]
                break
            chosen.append(row)
        if not chosen:
            return RetainedPage((), next)
        bodies = _bodies.decode(self._reading.text(BODIES, tuple(chosen)))
        return RetainedPage(tuple([_publication(*body) for body in bodies]), next)


def _publication(topic: str, digits: str) -> Publication:
    return unpack_publication(topic, bytes.fromhex(digits))
