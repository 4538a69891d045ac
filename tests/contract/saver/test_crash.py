"""What was answered survives `kill -9`, and the ledger balances afterwards."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from longline.model.ledger import State
from longline.saver.port.inboxes import Fetch
from tests.contract.engines import SAVERS, SaverEngine
from tests.contract.saver.crasher import DEVICES
from tests.contract.store_fixture import StoreFixture

ROOT = Path(__file__).parents[3]
ROUNDS = 5


def run_and_kill(
    engine: str, place: str, round_number: int, lines: int, crasher: str = "tests.contract.saver.crasher"
) -> list[list[str]]:
    """Runs a crasher, kills it after it printed that many lines; every line it got out."""
    with subprocess.Popen(
        [sys.executable, "-m", crasher, engine, place, str(round_number)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["src", *sys.path])},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        process.send_signal(signal.SIGKILL)
        said += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    return [line.split() for line in said if line.endswith("\n")]


async def test_whatever_was_answered_is_there_after_a_kill(saver_engine: SaverEngine, tmp_path: Path) -> None:
    name = next(key for key, engine in SAVERS.items() if engine is saver_engine)
    seed = random.randrange(1 << 30)
    chance = random.Random(seed)
    with saver_engine.place(tmp_path) as place:
        store = StoreFixture(saver_engine, place)
        await store.open()
        await store.begin()
        await store.register(*DEVICES)
        app = store.app
        accepted: dict[str, str] = {}
        acked: set[tuple[str, str]] = set()
        for round_number in range(ROUNDS):
            await store.close()
            for word, message_id, device in run_and_kill(name, place, round_number, chance.randrange(1, 400)):
                if word == "accepted":
                    accepted[message_id] = device
                else:
                    acked.add((message_id, device))
            await store.open()
            await check(store, app, accepted, acked, seed)
        await store.close()


async def check(
    store: StoreFixture, app: int, accepted: dict[str, str], acked: set[tuple[str, str]], seed: int
) -> None:
    waiting: Counter[str] = Counter()
    for known in await store.saver.devices.find(app, DEVICES):
        assert known is not None
        (page,) = await store.saver.inboxes.fetch([Fetch(app, known.ordinal, 0, 0, 1_000_000, store.now)])
        assert page.complete
        for push in page.pushes:
            waiting[push.message.id] += 1
            assert (push.message.id, known.device) not in acked, f"acked, and waits again (seed {seed})"
    for message_id, device in accepted.items():
        ledger = await store.ledger(message_id)
        assert ledger.targeted == (len(DEVICES) if device == "*" else 1)
        assert ledger.pending == waiting[message_id], f"lost or doubled (seed {seed})"
        if device != "*" and (message_id, device) in acked:
            assert ledger.acked == 1
        rows = await store.saver.ledgers.deliveries(app, message_id, -1, 10)
        assert rows is not None
        assert [row.state for _, row in rows if (message_id, row.device) in acked] == [
            State.ACKED for _, row in rows if (message_id, row.device) in acked
        ]
