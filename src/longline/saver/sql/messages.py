"""Storing messages, a whole group of submissions in a dozen statements; and taking them back."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import msgspec
from pyroaring import BitMap

from longline.errors import AppNotFound, GroupNotFound, NoTarget
from longline.model.audience import Expression, way_of
from longline.model.commands import Broadcast, Part, Unicast
from longline.model.ledger import State
from longline.model.messages import Envelope, Message, Said
from longline.model.statistics import Counted
from longline.saver.port.messages import Accepted, IdempotencyConflict, Outcome, Refused, Submission
from longline.saver.sql.audiences import resolve
from longline.saver.sql.broadcasts import DROPPED, BroadcastLedgers
from longline.saver.sql.collapsing import Collapsing
from longline.saver.sql.counts import SqlCounts
from longline.saver.sql.database import Database, id_bytes
from longline.saver.sql.expiry import END
from longline.saver.sql.fencing import Locate
from longline.saver.sql.groups import GroupRow, Sayings
from longline.saver.sql.labels import Labels
from longline.saver.sql.members import AppMembers, Members
from longline.saver.sql.overflow import Overflow
from longline.saver.sql.positions import Positions
from longline.saver.sql.rows import (
    INSERT_DELIVERIES,
    INSERT_INBOX,
    INSERT_MESSAGES,
    SubmissionRows,
    found,
    routed,
)
from longline.saver.sql.worker import Worker

CANCELLED = "cancelled"

Results = tuple[Accepted | Refused, ...]

_remembered = msgspec.json.Decoder(list[tuple[int, str, str]])
_results = msgspec.json.Decoder(Results)
_pairs = msgspec.json.Decoder(list[tuple[int, int]])

NEWEST = """
SELECT json_group_array(json_array(app, position))
  FROM (SELECT apps.value AS app, (SELECT log.position FROM log
                                    WHERE log.app = apps.value AND log.kept AND log.expires_at > ?2
                                    ORDER BY log.position DESC LIMIT 1) AS position
          FROM json_each(?1) AS apps)
 WHERE position IS NOT NULL"""


class Stored(msgspec.Struct, frozen=True, gc=False):
    """What is stored for named devices and still lacks their bindings, which are read after the commit."""

    app: int
    message: Message
    position: int
    log_before: int
    names: list[str]
    ordinals: list[int]


class Prepared(msgspec.Struct, frozen=True):
    """An outcome before the commit."""

    results: Results
    routes: list[Stored | Broadcast]
    replayed: bool = False

    def outcome(self, locate: Locate) -> Outcome:
        """The outcome, with the bindings of this moment: asked for once, since all devices are of one app."""
        unicasts = [route for route in self.routes if isinstance(route, Stored)]
        names = [name for stored in unicasts for name in stored.names]
        bindings = locate(unicasts[0].app, names) if unicasts else ()
        routes: list[Unicast | Broadcast] = []
        first = 0
        for route in self.routes:
            if isinstance(route, Stored):
                routes.append(
                    routed(
                        route.app,
                        route.message,
                        route.position,
                        route.log_before,
                        route.names,
                        route.ordinals,
                        bindings,
                        first,
                    )
                )
                first += len(route.names)
            else:
                routes.append(route)
        return Outcome(self.results, tuple(routes), self.replayed)


class SqlMessages:
    """Fulfils `MessageStore`. `deleted`: apps that are gone; `locate`: where devices are bound."""

    def __init__(
        self,
        writer: Worker,
        database: Database,
        *,
        members: Members,
        labels: Labels,
        positions: Positions,
        broadcasts: BroadcastLedgers,
        overflow: Overflow,
        locate: Locate,
        counts: SqlCounts,
        deleted: AbstractSet[int],
        sayings: Sayings,
    ) -> None:
        self._writer = writer
        self._database = database
        self._sayings = sayings
        self._members = members
        self._labels = labels
        self._positions = positions
        self._broadcasts = broadcasts
        self._collapsing = Collapsing(database, broadcasts)
        self._overflow = overflow
        self._locate = locate
        self._counts = counts
        self._deleted = deleted

    async def enqueue(self, batch: Sequence[Submission]) -> list[Outcome | IdempotencyConflict]:
        """One job of the writer, whatever the batch; bindings are read after its commit."""
        sizes = [len(envelope.message.payload) for submission in batch for envelope in submission.envelopes]
        drafts = await self._writer.call(self._enqueue, batch, len(sizes), sum(sizes))
        return [
            draft if isinstance(draft, IdempotencyConflict) else draft.outcome(self._locate)
            for draft in drafts
        ]

    def _enqueue(self, calls: list[Sequence[Submission]]) -> list[list[Prepared | IdempotencyConflict]]:
        submissions = [submission for call in calls for submission in call]
        remembered = self._recall(submissions)
        keys = self._named(submissions)
        now = max((submission.now for submission in submissions), default=0)
        group = SubmissionRows(now, self._newest({submission.app for submission in submissions}, now))
        answers: list[Prepared | IdempotencyConflict] = []
        fresh: list[tuple[Submission, Results]] = []
        for submission in submissions:
            name = (submission.app, submission.idempotency_key or "")
            before = remembered.get(name) if submission.idempotency_key else None
            if before is not None:
                digest, results = before
                same = digest == submission.digest
                answers.append(Prepared(results, [], replayed=True) if same else IdempotencyConflict())
                continue
            draft = self._store(submission, keys, group)
            answers.append(draft)
            if submission.idempotency_key and draft.routes:
                # Also for the rest of this very group: two requests may race with one key.
                remembered[name] = (submission.digest, draft.results)
                fresh.append((submission, draft.results))
        self._write(group)
        self._remember(fresh)
        rest = iter(answers)
        return [[next(rest) for _ in call] for call in calls]

    # --- idempotency ---

    def _recall(self, submissions: list[Submission]) -> dict[tuple[int, str], tuple[bytes, Results]]:
        keyed = [
            (submission.app, submission.idempotency_key, submission.now)
            for submission in submissions
            if submission.idempotency_key
        ]
        if not keyed:
            return {}
        found = self._database.text(
            "SELECT json_group_array(json_array(asked.key, hex(digest), results)) FROM json_each(?1) AS asked"
            " CROSS JOIN idempotency AS stored"
            " ON stored.app = asked.value ->> 0 AND stored.key = asked.value ->> 1"
            " WHERE stored.ends_at > asked.value ->> 2",
            msgspec.json.encode(keyed).decode(),
        )
        return {
            (keyed[index][0], keyed[index][1]): (bytes.fromhex(digest), _results.decode(results))
            for index, digest, results in _remembered.decode(found)
        }

    def _remember(self, fresh: list[tuple[Submission, Results]]) -> None:
        if not fresh:
            return
        rows = [
            (
                submission.app,
                submission.idempotency_key,
                submission.digest.hex(),
                msgspec.json.encode(results).decode(),
                submission.now + submission.idempotency_ttl,
            )
            for submission, results in fresh
        ]
        # OR REPLACE: an older one of the same key may be over, and not yet swept.
        self._database.run(
            "INSERT OR REPLACE INTO idempotency (app, key, digest, results, ends_at)"
            " SELECT value ->> 0, value ->> 1, unhex(value ->> 2), value ->> 3, value ->> 4"
            " FROM json_each(?1)",
            msgspec.json.encode(rows).decode(),
        )

    # --- rows ---

    def _named(self, submissions: list[Submission]) -> dict[str, int | None]:
        """Keys of all devices named in the group, by address."""
        addresses: list[str] = []
        for submission in submissions:
            prefix = f"{submission.app}/"
            for envelope in submission.envelopes:
                names, _ = way_of(envelope.audience)
                addresses.extend([prefix + name for name in names])
                said = envelope.message.said
                if said is not None and said.sender is not None:
                    addresses.append(prefix + said.sender)
        return dict(zip(addresses, self._members.find(addresses), strict=True))

    def _newest(self, apps: AbstractSet[int], now: int) -> dict[int, int]:
        """The last broadcast in the log of each app, by its position; only where there is one."""
        return dict(_pairs.decode(self._database.text(NEWEST, msgspec.json.encode(list(apps)).decode(), now)))

    def _store(self, submission: Submission, keys: dict[str, int | None], group: SubmissionRows) -> Prepared:
        results: list[Accepted | Refused] = []
        routes: list[Stored | Broadcast] = []
        membership = self._members.of(submission.app)
        self._overflow.bound(submission.app, submission.inbox)
        for envelope in submission.envelopes:
            route: Stored | Broadcast | None = None
            if membership is None:
                results.append(Refused(AppNotFound.code))
                continue
            names, expression = way_of(envelope.audience)
            if expression is None:
                targeted = len(names)
                route = self._store_unicast(submission, envelope, names, keys, group)
            else:
                targets = self._targets(expression, submission.app, membership)
                targeted = len(targets)
                row = None
                if envelope.message.said is not None:
                    row = self._spoken(submission.app, envelope.message.said, targets, keys)
                    if row is None:
                        results.append(Refused(GroupNotFound.code))
                        continue
                if targets:
                    route = self._store_broadcast(submission.app, envelope, targets, group, row)
            if route is None:
                results.append(Refused(NoTarget.code))
            else:
                results.append(Accepted(envelope.message.id, targeted))
                routes.append(route)
        if routes:
            self._counts.add(submission.app, submission.now, Counted.MESSAGES, len(routes))
        return Prepared(tuple(results), routes)

    def _targets(self, expression: Expression, app: int, membership: AppMembers) -> BitMap:
        self._labels.flush()
        return resolve(expression, app, self._database, lambda: self._members.everyone(app, membership))

    def _spoken(self, app: int, said: Said, targets: BitMap, keys: dict[str, int | None]) -> GroupRow | None:
        """The group in which a message is said; None when there is none, or its sender is no member."""
        if said.sender is not None:
            key = keys[f"{app}/{said.sender}"]
            if key is None or (key & 0xFFFF_FFFF) not in targets:
                return None
        return self._sayings.find(app, said.group)

    def _store_unicast(
        self,
        submission: Submission,
        envelope: Envelope,
        audience: tuple[str, ...],
        keys: dict[str, int | None],
        group: SubmissionRows,
    ) -> Stored | None:
        app = submission.app
        names, devices = found(audience, f"{app}/", keys)
        if not devices:
            return None
        message = envelope.message
        position = self._positions.take()
        group.add_message(position, app, envelope, len(audience) - len(devices))
        group.add_deliveries(position, message, devices, self._locate(app, names))
        log_before = group.newest.get(app, 0)
        return Stored(app, message, position, log_before, names, [key & 0xFFFF_FFFF for key in devices])

    def _store_broadcast(
        self, app: int, envelope: Envelope, targets: BitMap, group: SubmissionRows, row: GroupRow | None
    ) -> Broadcast:
        """`row`: the group in which it is said."""
        if row is not None:
            said = self._sayings.add(row, envelope.message, group.now)
            envelope = Envelope(said, envelope.audience, envelope.label)
        message = envelope.message
        position = self._positions.take()
        group.add_message(position, app, envelope, 0)
        frozen = self._broadcasts.create(position, targets, self._database)
        self._database.run(
            "INSERT INTO log (position, app, expires_at, kept, collapse, high, grp)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            position,
            app,
            message.expires_at,
            not message.online_only,
            message.collapse_key or None,
            message.priority == "high",
            row.number if row is not None else 0,
        )
        if message.collapse_key and not message.online_only:
            group.broadcasts.append((position, app, message))
        before = group.newest.get(app, 0)
        if not message.online_only:
            group.newest[app] = position
        return Broadcast(app, message, (Part(position, frozen, before),))

    def _write(self, group: SubmissionRows) -> None:
        run = self._database.run
        if group.messages:
            run(INSERT_MESSAGES, tuple(group.messages))
            run(
                "INSERT INTO expiry (at, kind, first, last)"
                " SELECT value ->> 0, ?2, value ->> 1, value ->> 2 FROM json_each(?1)",
                msgspec.json.encode(group.runs).decode(),
                END,
            )
        if group.deliveries:
            run(INSERT_DELIVERIES, tuple(group.deliveries))
        if group.kept:
            run(INSERT_INBOX, tuple(group.kept))
        # It looks at what is older by position, so all of the group is in place before it.
        self._collapsing.collapse(group)
        self._overflow.add(group.added, group.now)  # what was collapsed takes up no room any more

    # --- taking back ---

    async def cancel(self, app: int, message_id: str, now: int) -> bool:
        """One transaction: out of inboxes and the log, into the ledger."""
        if app in self._deleted:
            return False
        return await self._writer.call(self._cancel, (app, message_id, now))

    def _cancel(self, calls: list[tuple[int, str, int]]) -> list[bool]:
        return [self._cancel_one(*call) for call in calls]

    def _cancel_one(self, app: int, message_id: str, now: int) -> bool:
        run = self._database.run
        position = self._database.number(
            "SELECT position FROM messages WHERE app = ?1 AND id = ?2", app, id_bytes(message_id)
        )
        if position is None:
            return False
        run("UPDATE messages SET cancelled = 1 WHERE position = ?1 AND NOT cancelled", position)
        run(
            "DELETE FROM inbox WHERE (device, position) IN"
            " (SELECT device, position FROM deliveries WHERE position = ?1 AND state = 0)",
            position,
        )
        run(
            f"UPDATE deliveries SET state = {State.DROPPED:d}, reason = ?2, settled_at = ?3"
            " WHERE position = ?1 AND state = 0",
            position,
            CANCELLED,
            now,
        )
        if run("DELETE FROM log WHERE position = ?1", position):
            self._broadcasts.settle_pending(position, DROPPED + CANCELLED, self._database)
        return True
