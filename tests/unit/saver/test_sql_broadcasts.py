"""The cache of broadcasts' ledgers is bounded by what they take up, also where their audiences are small."""

from benchmarks.weighing import held_by
from pyroaring import BitMap

from longline.saver.sql.broadcasts import ACKED, SENT, BroadcastLedger


def test_a_ledger_weighs_no_less_than_the_objects_that_it_is_made_of() -> None:
    ledger = BroadcastLedger(1, BitMap([1, 2]))
    ledger.add({SENT: BitMap([1])})
    ledger.add({SENT: BitMap([2]), ACKED: BitMap([1])})
    ledger.add({ACKED: BitMap([2])})
    (held,) = held_by([ledger])[0].values()
    assert held <= ledger.measure() <= 4 * held
