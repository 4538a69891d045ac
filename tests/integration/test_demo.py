"""`longline demo` is what a stranger runs first: it ends well, and leaves nothing behind."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec

from longline.model.ledger import Ledger


class Shown(msgspec.Struct):
    ok: bool
    ledgers: dict[str, Ledger]


def demo(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "longline", "demo", *arguments],
        env=os.environ | {"TMPDIR": str(folder)} | environ,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_every_push_arrives_and_every_ledger_balances(tmp_path: Path) -> None:
    done = demo(tmp_path, "--json")
    assert done.returncode == 0, done.stderr
    shown = msgspec.json.decode(done.stdout, type=Shown)
    assert shown.ok
    assert {name: ledger.acked for name, ledger in shown.ledgers.items()} == {
        "unicast": 1,
        "broadcast": 3,
        "across a crash": 1,
    }
    for ledger in shown.ledgers.values():
        assert (ledger.targeted, ledger.pending) == (ledger.acked, 0)
    assert list(tmp_path.iterdir()) == []


def test_people_see_each_push_arrive(tmp_path: Path) -> None:
    done = demo(tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["phone", "received:", "Your", "parcel", "has", "been", "shipped"] in lines
    assert ["watch", "came", "back", "and", "received:", "Your", "table", "is", "booked", "for", "8"] in lines
    assert ["broadcast", "3", "3", "0", "0", "0", "0"] in lines


def test_a_node_that_cannot_start_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    done = demo(tmp_path, LONGLINE_NODE__LOOP="no such loop")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "the node ended with status 1" in done.stderr
    assert "node.loop" in done.stderr
    assert list(tmp_path.iterdir()) == []
