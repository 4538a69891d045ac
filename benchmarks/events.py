"""One app's stream of events on Redis, by two checkouts in turns: appended by several processes, and read.

    python -m benchmarks.events OLD/src NEW/src [--masters 3] [--writers 3] [--events 20000] [--rounds 3]

OLD and NEW are folders with `longline` in them, run interpreted by this interpreter. Needs `redis-server`. A
server, or with `--masters` a Cluster, is started for each run on free loopback ports and stopped again.

Rates say little on a machine that is shared, CPU seconds more: of the busiest server, which is the first to
be at its end, of all of them, and of clients. A tail is one event, appended and then read by whoever has read
all before it: what `GET …/upstream` adds to its look every 0.25 s.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.servers.redis_server import RedisCluster, RedisServer

DEVICES = 2000
BATCH = 1000  # as rooms append
PAGE = 500  # as webhooks read
PAYLOAD = b"x" * 128
TAILS = 200
TICK = os.sysconf("SC_CLK_TCK")

Figures = dict[str, float]


async def work(url: str, task: str, app: int, writer: int, count: int) -> None:
    """What a process of one of the checkouts does; prints what it measured."""
    from longline.model.events import UPSTREAM, Event, EventBounds
    from longline.saver.bounds import SaverBounds
    from longline.saver.kv.engine import RedisSaver
    from longline.settings import StoreSettings
    from longline.store.redis import Store

    store = await Store.open(StoreSettings(url=url))
    events = (
        await RedisSaver.open(store, bounds=SaverBounds(events=EventBounds(10_000_000, 1 << 34)))
    ).events

    def some(first: int, size: int) -> list[Event]:
        return [
            Event(app, UPSTREAM, f"d{n % DEVICES}", n, b'{"id":"%d"}' % n, f"~{writer}", n, payload=PAYLOAD)
            for n in range(first, first + size)
        ]

    batches = [some(first, BATCH) for first in range(1, count, BATCH)]
    began, spent = time.perf_counter(), time.process_time()
    tails: list[float] = []
    seen = 0
    if task == "append":
        for batch in batches:
            await events.append(batch)
        seen = count
    elif task == "read":
        cursor = ""
        while page := (await events.read(app, cursor, PAGE)).events:
            seen, cursor = seen + len(page), page[-1][0]
    else:
        cursor = await events.end(app)
        for n in range(TAILS):
            await events.append(some(10**9 + n, 1))
            at = time.perf_counter()
            ((cursor, _),) = (await events.read(app, cursor, PAGE)).events
            tails.append((time.perf_counter() - at) * 1000)
        seen = TAILS
    figures = {
        "events": seen,
        "seconds": time.perf_counter() - began,
        "cpu": time.process_time() - spent,
        "tail": statistics.median(tails) if tails else 0.0,
    }
    print(json.dumps(figures))
    await store.close()


def spent(pid: int) -> float:
    """CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def run(source: str, url: str, task: str, processes: int, count: int, pids: Sequence[int]) -> Figures:
    """One task, by so many processes at once."""
    before = [spent(pid) for pid in pids]
    command = [sys.executable, "-m", "benchmarks.events", "--work", url, task]
    children = [
        subprocess.Popen(
            [*command, "1", str(writer), str(count)],
            env={**os.environ, "PYTHONPATH": f"{source}{os.pathsep}{Path.cwd()}"},
            stdout=subprocess.PIPE,
        )
        for writer in range(processes)
    ]
    told = [json.loads(child.communicate()[0].splitlines()[-1]) for child in children]
    servers = [spent(pid) - was for pid, was in zip(pids, before, strict=True)]
    events = sum(each["events"] for each in told)
    return {
        f"{task}, events/s": events / max(each["seconds"] for each in told),
        f"{task}, µs of the busiest server": 1e6 * max(servers) / events,
        f"{task}, µs of all servers": 1e6 * sum(servers) / events,
        f"{task}, µs of clients": 1e6 * sum(each["cpu"] for each in told) / events,
        **({"tail, ms": told[0]["tail"]} if task == "tail" else {}),
    }


def measure(source: str, options: argparse.Namespace) -> Figures:
    """All tasks on servers of their own."""
    with tempfile.TemporaryDirectory() as folder:
        server: RedisServer | RedisCluster
        if options.masters > 1:
            server = RedisCluster(Path(folder), masters=options.masters, replicas=0)
            nodes = server.nodes
        else:
            server = RedisServer(Path(folder))
            nodes = [server]
        server.start()
        try:
            pids = [node.pid for node in nodes]
            found = run(source, server.url, "append", options.writers, options.events, pids)
            found |= run(source, server.url, "read", 1, 1, pids)
            return found | run(source, server.url, "tail", 1, 1, pids)
        finally:
            server.kill()


def main() -> None:
    """Both checkouts in turns; or, in a child, one task."""
    if sys.argv[1] == "--work":
        url, task, app, writer, count = sys.argv[2:]
        asyncio.run(work(url, task, int(app), int(writer), int(count)))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("--masters", type=int, default=1)
    parser.add_argument("--writers", type=int, default=3)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found: dict[str, list[Figures]] = {options.old: [], options.new: []}
    for number in range(options.rounds):
        turns = [options.old, options.new]
        for source in turns if number % 2 == 0 else reversed(turns):
            found[source].append(measure(source, options))
            print(number, source, found[source][-1], file=sys.stderr)
    print("| what | old | new | new / old |\n|---|---:|---:|---:|")
    for what in found[options.old][0]:
        old, new = (statistics.median(each[what] for each in found[of]) for of in (options.old, options.new))
        print(f"| {what} | {old:,.2f} | {new:,.2f} | {new / old:.2f} |")


if __name__ == "__main__":
    main()
