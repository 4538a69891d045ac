"""Storing messages, a whole group of submissions in a dozen statements; and taking them back."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import msgspec

from longline.model.ledger import State
from longline.saver.port.messages import IdempotencyConflict, Outcome, Submission
from longline.saver.sql.broadcasts import DROPPED, BroadcastLedgers
from longline.saver.sql.collapsing import Collapsing
from longline.saver.sql.database import Database, id_bytes
from longline.saver.sql.expiry import END
from longline.saver.sql.fencing import Locate
from longline.saver.sql.overflow import Overflow
from longline.saver.sql.rows import (
    INSERT_DELIVERIES,
    INSERT_INBOX,
    INSERT_MESSAGES,
    SubmissionRows,
)
from longline.saver.sql.storing import Prepared, Results, Storing
from longline.saver.sql.worker import Worker

CANCELLED = "cancelled"

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


class SqlMessages:
    """Fulfils `MessageStore`. `deleted`: apps that are gone; `locate`: where devices are bound."""

    def __init__(
        self,
        writer: Worker,
        database: Database,
        storing: Storing,
        *,
        broadcasts: BroadcastLedgers,
        overflow: Overflow,
        locate: Locate,
        deleted: AbstractSet[int],
    ) -> None:
        self._writer = writer
        self._database = database
        self._storing = storing
        self._broadcasts = broadcasts
        self._collapsing = Collapsing(database, broadcasts)
        self._overflow = overflow
        self._locate = locate
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
        keys = self._storing.named(submissions)
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
            draft = self._storing.store(submission, keys, group)
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

    def _newest(self, apps: AbstractSet[int], now: int) -> dict[int, int]:
        """The last broadcast in the log of each app, by its position; only where there is one."""
        return dict(_pairs.decode(self._database.text(NEWEST, msgspec.json.encode(list(apps)).decode(), now)))

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
