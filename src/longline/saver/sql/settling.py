"""What receipts say of each push, and the records of those for messages to named devices.

Compiled: this is done for each receipt.
"""

from collections.abc import Mapping, Sequence
from typing import Final, final

from longline.model.ledger import State
from longline.saver.port.inboxes import TOO_LARGE, Receipt
from longline.saver.sql.database import integer

# By themselves, since a member of an enum costs a look-up for each receipt.
WRITTEN: Final = State.PENDING
TAKEN: Final = State.ACKED

# A receipt's record: position, device, state, at, sent_at, reason (may be empty).
_NUMBER: Final = b"%019d"  # a position, and a device
_OUTCOME: Final = b"%d%015d%015d%b"
GIVEN: Final = f"""
SELECT {integer(1, 19)} AS position, {integer(20, 19)} AS device, {integer(39, 1)} AS state,
       {integer(40, 15)} AS at, {integer(55, 15)} AS sent_at, CAST(substr(value, 70) AS TEXT) AS reason
  FROM carray(?1)"""
# What is pending moves to any state, and whatever is not acked yet to acked.
MOVES: Final = (
    f"(deliveries.state = 0 OR given.state = {State.ACKED:d} AND deliveries.state <> {State.ACKED:d})"
)
SETTLE: Final = f"""
UPDATE deliveries
   SET state = iif({MOVES}, given.state, deliveries.state),
       settled_at = iif({MOVES} AND given.state, given.at, settled_at),
       reason = iif({MOVES}, nullif(given.reason, ''), deliveries.reason),
       sent_at = coalesce(deliveries.sent_at, nullif(given.sent_at, 0))
  FROM ({GIVEN}) AS given
 WHERE deliveries.position = given.position AND deliveries.device = given.device"""
# Of receipts for what was taken, those that say so first, by app.
COUNT_TAKEN: Final = f"""
SELECT json_group_array(json_array(app, count)) FROM
 (SELECT deliveries.device >> 32 AS app, count(*) AS count
    FROM ({GIVEN}) AS given
   CROSS JOIN deliveries ON deliveries.position = given.position AND deliveries.device = given.device
   WHERE given.state = {State.ACKED:d} AND deliveries.state <> {State.ACKED:d} GROUP BY 1)"""
LEAVE_INBOX: Final = f"""
DELETE FROM inbox WHERE (device, position) IN
 (SELECT {integer(20, 19)}, {integer(1, 19)} FROM carray(?1) WHERE {integer(39, 1)})"""


def claims_of(receipts: Sequence[Receipt]) -> set[int]:
    """The devices of which sessions say what only their owner may say."""
    return {
        receipt.app << 32 | receipt.ordinal
        for receipt in receipts
        if receipt.epoch and receipt.state != TAKEN
    }


@final
class ReceiptRows:
    """A group of receipts, without those of sessions that do not own their device any more: `owners` has the
    epochs of those that do, by device.

    "Written" and "acked" of one push often meet in one group: one row each, the outcome that counts and the
    first time. `broadcasts`: receipts by position. `settling`: rows that end something; `taken`: how many of
    these say that the device took it, by app, and at `taken_at` the last. `refused`: position and device of
    what was too large, at `refused_at` the last.
    """

    __slots__ = (
        "_outcome",
        "_outcomes",
        "broadcasts",
        "refused",
        "refused_at",
        "rows",
        "settling",
        "taken",
        "taken_at",
    )

    def __init__(self, receipts: Sequence[Receipt], owners: Mapping[int, int]) -> None:
        self.rows: list[bytes] = []
        self.broadcasts: dict[int, list[Receipt]] = {}
        self.settling = 0
        self.taken: dict[int, int] = {}
        self.taken_at = 0
        self.refused: list[tuple[int, int]] = []
        self.refused_at = 0
        # The latest part of a record, and of what: many say the same of one moment.
        self._outcomes = (-1, 0, 0, b"")
        self._outcome = b""
        unicasts: dict[tuple[int, int], Receipt] = {}
        for receipt in receipts:
            device = receipt.app << 32 | receipt.ordinal
            epoch = receipt.epoch
            if owners and epoch and receipt.state != TAKEN and owners.get(device, epoch) != epoch:
                continue
            position = receipt.position
            if receipt.broadcast:
                self.broadcasts.setdefault(position, []).append(receipt)
                continue
            key = (position, device)
            before = unicasts.get(key)
            unicasts[key] = receipt if before is None else _merged(before, receipt)
        for key, receipt in unicasts.items():
            self._add(key, receipt)

    def _add(self, key: tuple[int, int], receipt: Receipt) -> None:
        state, at, sent_at, reason = receipt.state, receipt.at, receipt.sent_at, receipt.reason
        if state == WRITTEN:
            sent_at = sent_at or at
        else:
            self.settling += 1
            if state == TAKEN:
                app = receipt.app
                self.taken[app] = self.taken.get(app, 0) + 1
                self.taken_at = at
        if reason == TOO_LARGE:
            self.refused.append(key)
            self.refused_at = max(self.refused_at, at)
        outcome = (int(state), at, sent_at, reason.encode() if reason else b"")
        if outcome != self._outcomes:
            self._outcomes = outcome
            self._outcome = _OUTCOME % outcome
        self.rows.append(b"".join((_NUMBER % key[0], _NUMBER % key[1], self._outcome)))


def _merged(first: Receipt, second: Receipt) -> Receipt:
    """Two receipts of one push as one: that the device took it, else the first outcome; the first time of
    writing."""
    outcome = second
    if first.state == TAKEN or (first.state != WRITTEN and second.state != TAKEN):
        outcome = first
    return Receipt(
        outcome.app,
        outcome.ordinal,
        outcome.position,
        False,
        outcome.state,
        outcome.at,
        first.sent_at
        or (first.at if first.state == WRITTEN else second.sent_at)
        or (second.at if second.state == WRITTEN else 0),
        outcome.reason,
    )
