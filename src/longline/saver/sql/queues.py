"""The queues of sessions: messages enter them where filters match, and leave them step by step.

A message is stored once, and has a row in each queue that it is in. A session's row says how much its queue
holds and which place was the last.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import chain, islice
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import replace

from longline.errors import AppNotFound, Fenced, TopicTooCostly
from longline.model.pubsub import Publication
from longline.saver.port.queues import (
    Complete,
    Declined,
    Given,
    GroupChoice,
    HandedOver,
    LeftForGroup,
    Published,
    QueueBounds,
    Queued,
    QueueEntry,
    QueuePage,
    QueuePublication,
    Read,
    Settle,
    Step,
)
from longline.saver.publications import bytes_of
from longline.saver.sql.bodies import parts
from longline.saver.sql.database import Database, device_key, integer
from longline.saver.sql.entering import RETAIN, Entered, Entering
from longline.saver.sql.events import SqlEvents
from longline.saver.sql.fencing import Locate
from longline.saver.sql.group_filters import GroupFilters
from longline.saver.sql.matching import Found, Matching
from longline.saver.sql.members import Members
from longline.saver.sql.positions import Positions
from longline.saver.sql.remains import LEFT_PLACE, OF_GROUPS, STEP, TAKE_OUT, drop, take_on
from longline.saver.sql.states import divided
from longline.saver.sql.worker import Later, Worker
from longline.saver.subscriptions import AS_PUBLISHED

ROWS = 4096  # places in queues after which a transaction takes no further message

_Row = tuple[int, int, int, int, str]
_queues = msgspec.json.Decoder(list[list[_Row]])
_bodies = msgspec.json.Decoder(list[tuple[int, str]])
_of_groups = msgspec.json.Decoder(list[tuple[int, int, int, int | None, int, str, int, str]])
_unpack = msgspec.msgpack.Decoder(Publication).decode

# A packet identifier's record: device, session, packet identifier.
COMPLETED = b"%019d%019d%05d"
COMPLETE = f"""
DELETE FROM received WHERE (device, number, packet_id) IN
 (SELECT {integer(1, 19)}, {integer(20, 19)}, {integer(39, 5)} FROM carray(?1))"""

# A sending's record: device, session, place.
SENT = b"%019d%019d%019d"
NOTE_SENT = f"""
UPDATE sessions SET sent = max(sent, given.place)
  FROM (SELECT {integer(1, 19)} AS device, {integer(20, 19)} AS number, {integer(39, 19)} AS place
          FROM carray(?1)) AS given
 WHERE sessions.device = given.device AND sessions.number = given.number"""

# Of each queue what is behind a place: place, message, bytes, options, identifiers.
READ = """
SELECT json_group_array(json((
  SELECT json_group_array(json_array(place, n, bytes, options, identifiers)) FROM
   (SELECT w.place, p.n, w.bytes, w.options, w.identifiers
      FROM sessions AS s
     CROSS JOIN waiting AS w ON w.device = s.device AND w.number = s.number AND w.place > asked.value ->> 2
     CROSS JOIN publications AS p ON p.n = w.publication
           AND (p.expires_at = 0 OR p.expires_at > asked.value ->> 3)
     WHERE s.device = asked.value ->> 0 AND s.number = asked.value ->> 1
       AND (s.ends_at IS NULL OR s.ends_at > asked.value ->> 3)
     ORDER BY w.place LIMIT ?2))))
  FROM json_each(?1) AS asked"""


BODIES = """
SELECT json_group_array(json_array(n, hex(body))) FROM carray(?1) CROSS JOIN publications ON n = value"""


_Answer = Entered | Declined

NOBODY: Final[Found] = {}


class Publishing(NamedTuple):
    """A call of `publish` on its way: what is still to be done, and the answers to what was before it."""

    batch: Sequence[QueuePublication]
    answers: tuple[_Answer, ...]

    def go_on(self, answers: tuple[_Answer, ...]) -> "tuple[_Answer, ...] | Later":
        """With the answers to some of it."""
        rest = self.batch[len(answers) :]
        answers = self.answers + answers
        return Later(Publishing(rest, answers)) if rest else answers


class SqlQueues:
    """Fulfils `QueueStore`. `locate`: where devices are bound; `deleted`: apps that are gone."""

    def __init__(
        self,
        writer: Worker,
        reader: Worker,
        writing: Database,
        reading: Database,
        *,
        members: Members,
        positions: Positions,
        locate: Locate,
        deleted: AbstractSet[int],
        bounds: QueueBounds,
        events: SqlEvents,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._members = members
        self._positions = positions
        self._locate = locate
        self._deleted = deleted
        self._bounds = bounds
        self._events = events
        self._matching = Matching(writing, bounds.match_limit)
        self._sharing = GroupFilters(writing, bounds.match_limit)

    # --- into queues ---

    async def publish(self, batch: Sequence[QueuePublication]) -> list[Published | Declined]:
        """All of a group in one transaction, unless its messages enter more than `ROWS` queues."""
        size = sum([bytes_of(item.publication) for item in batch])
        entered = await self._writer.call(self._publish, Publishing(batch, ()), len(batch), size)
        return [self._located(answer) for answer in entered]

    def _publish(self, calls: list[Publishing]) -> list[tuple[_Answer, ...] | Later]:
        batch = [item for call in calls for item in call.batch]
        entering = Entering(self._writing, self._positions, self._bounds)
        heard = entering.judge(batch)
        answers: list[_Answer] = []
        while len(answers) < len(batch) and entering.entered < ROWS:
            part = slice(len(answers), len(answers) + self._matching.at_once)
            topics = dict.fromkeys((item.app, item.publication.topic) for item in batch[part] if item.matches)
            found = dict(zip(topics, self._matching.match(list(topics)), strict=True))
            groups = self._groups(batch[part])
            entering.load(device for sessions in found.values() if sessions for device in sessions)
            entering.load(device_key(item.app, to.ordinal) for item in batch[part] for to in item.given)
            for item, is_heard in zip(batch[part], heard[part], strict=True):
                if entering.entered >= ROWS:
                    break
                sessions = found[item.app, item.publication.topic] if item.matches else NOBODY
                wanted = groups.get((item.app, item.publication.topic), ())
                answers.append(
                    self._enter(item, sessions, wanted, entering) if is_heard else Declined(Fenced.code)
                )
        entering.write()
        self._events.insert(
            [
                item.event
                for item, answer in zip(batch, answers, strict=False)
                if item.event is not None and isinstance(answer, Entered) and not answer.again
            ]
        )
        rest = iter(answers)
        return [call.go_on(tuple(islice(rest, len(call.batch)))) for call in calls]

    def _groups(self, batch: Sequence[QueuePublication]) -> dict[tuple[int, str], list[str]]:
        """The groups of which sessions may be chosen for these publications, by app and topic."""
        asked = [
            (item.app, item.publication.topic)
            for item in batch
            if item.shares is not None and item.shares.only is None
        ]
        having = self._sharing.having(app for app, _ in asked)
        topics = [topic for topic in dict.fromkeys(asked) if topic[0] in having]
        return dict(zip(topics, self._sharing.groups(topics), strict=True))

    def _enter(
        self, item: QueuePublication, found: Found | None, groups: Iterable[str], entering: Entering
    ) -> _Answer:
        if self._members.of(item.app) is None:
            return Declined(AppNotFound.code)
        if found is None:
            return Declined(TopicTooCostly.code)
        shares = item.shares
        if shares is None:
            return entering.enter(item, found)
        if shares.only is not None:
            groups = shares.only
        return self._enter_groups(item, found, [key for key in groups if key not in shares.served], entering)

    def _enter_groups(
        self, item: QueuePublication, found: Found, groups: Sequence[str], entering: Entering
    ) -> Entered:
        """Queues a message for whom it is given, whose filters match, and one session of each group."""
        chosen: list[Given] = []
        served: list[str] = []
        full = 0
        for key in groups:
            members = self._sharing.members(item.app, key)
            entering.load(member.device for member in members)
            member, crowded = entering.choose(members, item.now, bytes_of(item.publication))
            if member is None:
                full += crowded
                continue
            ordinal, options = member.device & 0xFFFF_FFFF, member.options
            as_published = bool(options & AS_PUBLISHED)
            chosen.append(Given(ordinal, member.number, options & 3, as_published, member.identifier, key))
            served.append(key)
        entered = entering.enter(replace(item, given=(*item.given, *chosen)), found)
        entered.full += full
        entered.groups = tuple(served)
        return entered

    def _located(self, answer: _Answer) -> Published | Declined:
        if isinstance(answer, Declined):
            return answer
        bindings = self._locate(answer.app, answer.devices) if answer.devices else ()
        found = zip(answer.devices, answer.ordinals, bindings, answer.places, strict=True)
        queued = tuple([Queued(*item) for item in found])
        return Published(answer.id, queued, answer.full, answer.again, answer.groups)

    # --- out of queues ---

    async def read(self, batch: Sequence[Read]) -> list[QueuePage]:
        """One statement for all queues, and one or a few for the messages."""
        there: Sequence[Read] = batch
        if self._deleted:
            there = [read for read in batch if read.app not in self._deleted]
        pages = iter(await self._reader.call(self._read, there, len(there)) if there else ())
        return [QueuePage((), True) if read.app in self._deleted else next(pages) for read in batch]

    def _read(self, calls: list[Sequence[Read]]) -> list[list[QueuePage]]:
        asked = [read for call in calls for read in call]
        found = self._reading.text(
            READ,
            msgspec.json.encode(
                [(device_key(item.app, item.ordinal), item.number, item.after, item.now) for item in asked]
            ).decode(),
            max(item.limit for item in asked) + 1,
        )
        queues = _queues.decode(found)
        chosen = [_fitting(read, rows) for read, rows in zip(asked, queues, strict=True)]
        bodies = self._bodies({n: size for rows in chosen for _, n, size, _, _ in rows})
        return divided(
            calls,
            [
                QueuePage(
                    tuple(
                        [
                            _entry(row, bodies[row[1]])
                            for row in rows
                            if row[1] in bodies  # else it was settled a moment ago
                        ]
                    ),
                    len(rows) == len(whole),
                )
                for rows, whole in zip(chosen, queues, strict=True)
            ],
        )

    def _bodies(self, lengths: dict[int, int]) -> dict[int, Publication]:
        found: dict[int, Publication] = {}
        for part in parts(list(lengths), lengths):
            for n, digits in _bodies.decode(self._reading.text(BODIES, part)):
                found[n] = _unpack(bytes.fromhex(digits))
        return found

    async def settle(self, batch: Sequence[Settle]) -> None:
        """A few statements for all steps of a group."""
        await self._writer.call(self._settle, batch, len(batch))

    def _settle(self, calls: list[Sequence[Settle]]) -> list[None]:
        sent: dict[tuple[int, int], int] = {}
        steps: dict[tuple[int, int, int], Step] = {}
        for item in chain.from_iterable(calls):
            key = device_key(item.app, item.ordinal)
            if item.step == Step.SENT:
                sent[key, item.number] = max(sent.get((key, item.number), 0), item.place)
            else:
                place = (key, item.number, item.place)
                steps[place] = max(steps.get(place, item.step), item.step)
        if sent:
            self._writing.run(NOTE_SENT, tuple([SENT % (*queue, place) for queue, place in sent.items()]))
        if steps:
            take_on(self._writing, tuple([STEP % (*place, step) for place, step in steps.items()]))
        return [None] * len(calls)

    async def untold(self, before: int, limit: int) -> list[tuple[int, Queued]]:
        """None: who publishes and who reads are one process."""
        return []

    async def hand_over(self, now: int, limit: int) -> HandedOver:
        """One transaction: each message is in one queue or the other."""
        moved, left, more = await self._writer.call(self._hand_over, (now, limit))
        queued = [
            (entered.app, place)
            for entered in moved
            if isinstance(published := self._located(entered), Published)
            for place in published.queued
        ]
        return HandedOver(tuple(queued), tuple(left), more)

    def _hand_over(
        self, calls: list[tuple[int, int]]
    ) -> list[tuple[list[Entered], list[LeftForGroup], bool]]:
        return [self._hand_over_some(now, limit) for now, limit in calls]

    def _hand_over_some(self, now: int, limit: int) -> tuple[list[Entered], list[LeftForGroup], bool]:
        rows = _of_groups.decode(self._writing.text(OF_GROUPS, limit))
        if not rows:
            return [], [], False
        entering = Entering(self._writing, self._positions, self._bounds)
        moved: list[Entered] = []
        left: list[LeftForGroup] = []
        for device, _, _, _, options, share, sent, body in rows:
            app, qos = device >> 32, options & 3
            if not body or (sent and qos == 2) or self._members.of(app) is None:
                continue  # the client has it, or may have it [MQTT-4.8.2-5]
            publication = replace(_unpack(bytes.fromhex(body)), qos=qos)
            if 0 < publication.expires_at <= now:
                continue
            item = QueuePublication(app, publication, now, matching=False, shares=GroupChoice(only=(share,)))
            entered = self._enter_groups(item, NOBODY, [share], entering)
            if entered.groups:
                moved.append(entered)
            else:
                left.append(LeftForGroup(app, share, publication))
        entering.write()
        places = tuple([LEFT_PLACE % (device, number, place) for device, number, place, *_ in rows])
        self._writing.run(TAKE_OUT, places)
        drop(self._writing, [publication for _, _, _, publication, *_ in rows if publication is not None])
        return moved, left, len(rows) >= limit

    async def complete(self, batch: Sequence[Complete]) -> None:
        """One statement for all."""
        await self._writer.call(self._complete, batch, len(batch))

    def _complete(self, calls: list[Sequence[Complete]]) -> list[None]:
        rows = [
            COMPLETED % (device_key(item.app, item.ordinal), item.number, item.packet_id)
            for call in calls
            for item in call
        ]
        if rows:
            self._writing.run(COMPLETE, tuple(rows))
        return [None] * len(calls)


def _fitting(read: Read, rows: list[_Row]) -> list[_Row]:
    """As many as one page may have."""
    size = 0
    for count, row in enumerate(rows[: read.limit]):
        size += row[2]
        if size > read.limit_bytes and count:
            return rows[:count]
    return rows[: read.limit]


def _entry(row: _Row, publication: Publication) -> QueueEntry:
    place, _, _, options, identifiers = row
    told = tuple(map(int, identifiers.split(","))) if identifiers else ()
    return QueueEntry(place, publication, options & 3, bool(options & RETAIN), told)
