"""Records of messages and receipts: what several have in common is packed once, and never for another."""

import apsw
import pytest

from longline.model.audience import Devices
from longline.model.devices import Binding
from longline.model.ledger import State
from longline.model.messages import Envelope, Message
from longline.saver.port.inboxes import TOO_LARGE, Receipt
from longline.saver.sql import rows, settling
from longline.saver.sql.settling import ReceiptRows, claims_of

DAY = 86_400_000
HERE = Binding("n1", 1, 0)


def message(number: int, *, lasts: int = DAY, payload: bytes = b"x", priority: str = "normal") -> Message:
    name = f"019c2b3e-8f00-7c11-9d3e-{number:012x}"
    return Message(
        id=name,
        app="news",
        payload=payload,
        content_type="text/plain",
        created_at=1000,
        expires_at=1000 + lasts,
        priority=priority,
    )


def read(sql: str, records: list[bytes]) -> list[tuple[object, ...]]:
    """What the database takes out of records, by the part of a statement that does."""
    connection = apsw.Connection(":memory:")
    try:
        return list(connection.execute(sql[sql.index("SELECT") :], (apsw.carray(tuple(records)),)))
    finally:
        connection.close()


def test_neighbours_that_end_at_other_times_or_have_labels_keep_their_own() -> None:
    group = rows.SubmissionRows(0, {})
    audience = Devices(("d",))
    for number, (lasts, label, missing) in enumerate(
        [(DAY, None, 0), (DAY, "goals", 0), (2 * DAY, "goals", 0), (DAY, None, 3), (DAY, None, 3)]
    ):
        group.add_message(number, 7, Envelope(message(number, lasts=lasts), audience, label), missing)
    found = [
        (row[0], row[1], row[2], row[4], row[5], row[7]) for row in read(rows.INSERT_MESSAGES, group.messages)
    ]
    assert found == [
        (0, 7, 1000 + DAY, 0, 1000, None),
        (1, 7, 1000 + DAY, 0, 1000, "goals"),
        (2, 7, 1000 + 2 * DAY, 0, 1000, "goals"),
        (3, 7, 1000 + DAY, 3, 1000, None),
        (4, 7, 1000 + DAY, 3, 1000, None),
    ]


def test_deliveries_of_other_sizes_priorities_and_places_keep_their_own() -> None:
    group = rows.SubmissionRows(0, {})
    bindings = [HERE, None, HERE, HERE]
    group.add_deliveries(1, message(1), [11, 12], bindings, 0)
    group.add_deliveries(2, message(2, payload=b"xxx"), [11], bindings, 2)
    group.add_deliveries(3, message(3, priority="high"), [11], bindings, 3)
    assert read(rows.INSERT_DELIVERIES, group.deliveries) == [
        (1, 11, 0, 1),
        (1, 12, 0, 0),
        (2, 11, 0, 1),
        (3, 11, 0, 1),
    ]
    assert read(rows.INSERT_INBOX, group.kept) == [
        (11, 1, None, 2),
        (12, 1, None, 2),
        (11, 2, None, 6),
        (11, 3, None, 3),
    ]


def receipt(position: int, state: State, at: int, sent_at: int = 0, reason: str | None = None) -> Receipt:
    return Receipt(1, 5, position, False, state, at, sent_at, reason, 9)


def test_receipts_of_other_moments_outcomes_and_reasons_keep_their_own() -> None:
    told = ReceiptRows(
        [
            receipt(1, State.ACKED, 100, 90),
            receipt(2, State.ACKED, 100, 90),
            receipt(3, State.ACKED, 101, 90),
            receipt(4, State.DROPPED, 101, 90, TOO_LARGE),
            receipt(5, State.PENDING, 101),
            receipt(6, State.ACKED, 101, 90),
        ],
        {},
    )
    device = 1 << 32 | 5
    assert read(settling.GIVEN, told.rows) == [
        (1, device, State.ACKED, 100, 90, ""),
        (2, device, State.ACKED, 100, 90, ""),
        (3, device, State.ACKED, 101, 90, ""),
        (4, device, State.DROPPED, 101, 90, TOO_LARGE),
        (5, device, State.PENDING, 101, 101, ""),
        (6, device, State.ACKED, 101, 90, ""),
    ]
    assert (told.settling, told.taken, told.taken_at) == (5, {1: 4}, 101)
    assert (told.refused, told.refused_at) == ([(4, device)], 101)


@pytest.mark.parametrize("state", [State.PENDING, State.DROPPED])
def test_who_does_not_own_its_device_any_more_is_heard_only_of_what_the_device_took(state: State) -> None:
    receipts = [receipt(1, state, 100), receipt(2, State.ACKED, 100)]
    device = 1 << 32 | 5
    assert claims_of(receipts) == {device}
    assert len(ReceiptRows(receipts, {device: 10}).rows) == 1
    assert len(ReceiptRows(receipts, {device: 9}).rows) == 2
    assert len(ReceiptRows(receipts, {}).rows) == 2
