"""Records are paid for as they are deciphered: small ones cost as much as large ones."""

from pathlib import Path

import pytest

from longline.room.turn import BUDGET, Turn
from longline.tls.connection import FEW, PER_RECORD, RECORDS
from tests.unit.tls.client import Above, Client, Site


class Paid:
    """A listener whose deciphering is paid to a turn, and a client that is through with its handshake."""

    def __init__(self, folder: Path, *, half_open: bool = False) -> None:
        self.site = Site(folder)
        self.turn = Turn(self.site.turns.soon, self.site.faults)
        self.site.handshakes.paid_to(self.turn)
        self.above = Above(half_open=half_open)
        self.client: Client = self.site.client(above=self.above)
        self.client.shake()

    def send(self, records: int) -> bytes:
        """So many records of a byte each arrive in one read."""
        text = bytes(number % 251 for number in range(records))
        for byte in text:
            self.client.send(bytes([byte]))
        self.client.deliver(1 << 30)
        return text

    def settle(self) -> None:
        self.site.turns.settle()


@pytest.fixture
def paid(tmp_path: Path) -> Paid:
    return Paid(tmp_path)


def test_one_record_a_read_costs_nothing_beside_what_is_in_it(paid: Paid) -> None:
    assert paid.send(1) == paid.above.text
    assert paid.turn.spent == 0
    assert paid.client.wire.reading


def test_many_records_in_one_read_are_shared_out_over_turns(paid: Paid) -> None:
    text = paid.send(10_000)
    assert len(paid.above.text) == RECORDS
    assert paid.turn.spent == PER_RECORD * (RECORDS - 1)
    assert not paid.client.wire.reading
    turns = 0
    while paid.site.turns.waiting:
        before = len(paid.above.text)
        paid.site.turns.turn()
        turns += 1
        assert len(paid.above.text) - before <= RECORDS
        assert paid.turn.spent <= BUDGET + PER_RECORD * RECORDS
    assert paid.above.text == text
    assert turns >= 4
    assert paid.client.wire.reading
    assert paid.send(3) == paid.above.text[len(text) :]


def test_who_comes_when_the_turn_has_its_work_gets_a_few_done(paid: Paid) -> None:
    paid.turn.spent = BUDGET + 1
    text = paid.send(100)
    assert len(paid.above.text) == FEW
    paid.settle()
    assert paid.above.text == text


def test_who_does_not_want_to_read_is_given_nothing_until_it_does(paid: Paid) -> None:
    """What is above holds one read at most."""
    paid.above.on_data = lambda data: paid.client.connection.pause_reading()
    text = paid.send(5_000)
    paid.settle()
    assert len(paid.above.text) == RECORDS
    paid.client.connection.resume_reading()
    paid.settle()
    assert len(paid.above.text) == 2 * RECORDS
    paid.above.on_data = None
    paid.client.connection.resume_reading()
    paid.settle()
    assert paid.above.text == text
    assert paid.client.wire.reading


@pytest.mark.parametrize("half_open", [False, True])
def test_what_was_said_before_the_end_is_heard_first(tmp_path: Path, half_open: bool) -> None:
    paid = Paid(tmp_path, half_open=half_open)
    text = paid.send(5_000)
    assert paid.client.connection.eof_received() is True
    assert not paid.above.ended
    paid.settle()
    assert paid.above.text == text
    assert paid.above.ended
    assert paid.above.lost is not half_open


def test_what_was_read_before_the_connection_broke_is_heard_first(paid: Paid) -> None:
    text = paid.send(5_000)
    paid.client.connection.connection_lost(None)
    assert not paid.above.lost
    paid.settle()
    assert paid.above.text == text
    assert paid.above.lost


def test_of_a_connection_that_is_gone_nothing_is_kept_for_who_does_not_read(paid: Paid) -> None:
    paid.above.on_data = lambda data: paid.client.connection.pause_reading()
    paid.send(5_000)
    paid.client.connection.connection_lost(None)
    assert paid.above.lost
    paid.settle()
    assert len(paid.above.text) == RECORDS


def test_who_pauses_after_its_connection_has_gone_is_let_go(paid: Paid) -> None:
    paid.send(5_000)
    paid.client.connection.connection_lost(None)
    paid.above.on_data = lambda data: paid.client.connection.pause_reading()
    paid.settle()
    assert paid.above.lost
    assert len(paid.above.text) == 2 * RECORDS


def test_who_closes_in_between_gets_no_more(paid: Paid) -> None:
    paid.send(5_000)
    paid.client.connection.close()
    paid.settle()
    assert len(paid.above.text) == RECORDS
    assert paid.above.lost


def test_a_broken_record_behind_many_ends_the_connection_in_its_turn(paid: Paid) -> None:
    for _ in range(3_000):
        paid.client.send(b"x")
    data = paid.client.outgoing.read()
    paid.client.connection.data_received(data + b"\x17\x03\x03\x00\x20" + bytes(32))
    assert not paid.above.lost
    paid.settle()
    assert paid.above.text == b"x" * 3_000
    assert paid.above.lost
    assert paid.site.counters.failed == {"broken": 1}
