"""Moving deliveries out of pending: receipts, cancelling, and the cursors of the log."""

from collections.abc import Sequence

from pyroaring import BitMap

from longline.model.ledger import State
from longline.saver.port.inboxes import Cursor, Receipt
from longline.saver.sql.database import Database, device_key, id_bytes, integer
from longline.saver.sql.expiring import OFFLINE
from longline.saver.sql.fencing import Fence
from longline.saver.sql.standings import ACKED, COLLAPSED, DROPPED, EXPIRED, Standings

CANCELLED = "cancelled"

# A receipt's record: position, device, state, at, sent_at, reason (may be empty).
RECEIPT = b"%019d%019d%d%015d%015d%b"
GIVEN = f"""
SELECT {integer(1, 19)} AS position, {integer(20, 19)} AS device, {integer(39, 1)} AS state,
       {integer(40, 15)} AS at, {integer(55, 15)} AS sent_at, CAST(substr(value, 70) AS TEXT) AS reason
  FROM carray(?1)"""
SETTLE = f"""
UPDATE deliveries
   SET state = iif(deliveries.state = 0, given.state, deliveries.state),
       settled_at = iif(deliveries.state = 0 AND given.state, given.at, settled_at),
       reason = iif(deliveries.state = 0, nullif(given.reason, ''), deliveries.reason),
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


class Settling:
    """Operations that settle, for the writer's thread."""

    def __init__(self, database: Database, standings: Standings, fence: Fence) -> None:
        self._database = database
        self._standings = standings
        self._fence = fence

    def settle(self, calls: list[Sequence[Receipt]]) -> list[None]:
        # "Written" and "acked" of one push often meet in one group: one row each, the first outcome and
        # the first time count.
        unicasts: dict[tuple[int, int], Receipt] = {}
        broadcasts: dict[int, list[Receipt]] = {}
        for receipt in self._heard([receipt for call in calls for receipt in call]):
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

    def _heard(self, receipts: list[Receipt]) -> list[Receipt]:
        """Without those of sessions that do not own their device any more."""
        claims = {
            device_key(receipt.app, receipt.ordinal)
            for receipt in receipts
            if receipt.epoch and receipt.state != State.ACKED
        }
        if not claims:
            return receipts
        owners = self._fence.owners(claims)
        return [
            receipt
            for receipt in receipts
            if receipt.epoch == 0
            or receipt.state == State.ACKED
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
                    receipt.sent_at or (receipt.at if receipt.state == State.PENDING else 0),
                    receipt.reason.encode() if receipt.reason else b"",
                )
                for (position, device), receipt in receipts.items()
            ]
        )
        self._database.run(SETTLE, rows)
        self._database.run(LEAVE_INBOX, rows)

    def _settle_broadcast(self, position: int, receipts: list[Receipt]) -> None:
        outcomes: dict[int, str] = {}
        sent: list[int] = []
        for receipt in receipts:
            if receipt.state == State.PENDING or receipt.sent_at:
                sent.append(receipt.ordinal)
            if receipt.state != State.PENDING:
                outcomes.setdefault(receipt.ordinal, _label(receipt.state, receipt.reason))
        if sent:
            self._standings.note_sent(position, sent, self._database)
        sets: dict[str, list[int]] = {}
        for ordinal, label in outcomes.items():
            sets.setdefault(label, []).append(ordinal)
        for label, ordinals in sets.items():
            self._standings.settle(position, label, BitMap(ordinals), self._database)

    def settle_unwritten(self, calls: list[tuple[int, str]]) -> list[None]:
        """(app, message id): ends an `online_only` broadcast for every device to which it was not written."""
        for app, message_id in calls:
            position = self._database.number(
                "SELECT log.position FROM messages CROSS JOIN log ON log.position = messages.position"
                " WHERE messages.app = ?1 AND messages.id = ?2 AND NOT log.kept",
                app,
                id_bytes(message_id),
            )
            if position is not None:
                standing = self._standings.get(position, self._database)
                unwritten = standing.pending() - standing.written()
                self._standings.settle(position, DROPPED + OFFLINE, unwritten, self._database)
        return [None] * len(calls)

    def advance(self, calls: list[Sequence[Cursor]]) -> list[None]:
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
            self._database.run(ADVANCE, tuple(rows))
        return [None] * len(calls)

    def cancel(self, calls: list[tuple[int, str, int]]) -> list[bool]:
        return [self._cancel(*call) for call in calls]

    def _cancel(self, app: int, message_id: str, now: int) -> bool:
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
            self._standings.settle_pending(position, DROPPED + CANCELLED, self._database)
        return True


def _merged(first: Receipt, second: Receipt) -> Receipt:
    """Two receipts of one push as one: the first outcome, the first time of writing."""
    outcome = first if first.state != State.PENDING else second
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
