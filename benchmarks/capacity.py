"""From costs to clusters: prints the tables of docs/capacity.md as Markdown.

    python benchmarks/capacity.py            # prints them
    python benchmarks/capacity.py --write    # puts them into docs/capacity.md

Everything is derived from `capacity.toml`: when a cost is measured anew, it is changed there. The tables are
arithmetic, but for the last, for which `storm.py` simulates how clients come back.
"""

import math
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from longline.settings import Settings
from longline.store.slots import SLOTS, slot_of

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.storm import Crowd, simulate

PAGE: Final = Path(__file__).parents[1] / "docs" / "capacity.md"
DAY: Final = 86_400  # s
HEADERS: Final = 90  # B of a push besides its payload: MQTT, TCP, IP, and its share of the ACK
HEARTBEAT_BYTES: Final = 160  # PINGREQ, PINGRESP and an ACK with their headers, both directions together
COMMAND: Final = 14  # B of a broadcast's command besides payload and audiences
SHAPES: Final = (("1 million", 1e6, 1, 1), ("10 million", 10e6, 2, 1), ("100 million", 100e6, 4, 8))


class Load(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What clusters are sized for. `capacity.toml` says of each figure what it is."""

    registered: float
    unicasts: float
    connects: float
    peak: float
    payload: int
    waiting: float
    retention: float
    keep_alive: float


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the parts are loaded with at most."""

    room_connections: int
    host_rooms: int
    master_bytes: float
    busy: float
    recall: float


class Inputs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All of `capacity.toml`. A cost: value, unit, what it is, kind, source."""

    costs: dict[str, tuple[float, str, str, str, str]]
    load: Load
    limits: Limits


INPUTS: Final = msgspec.convert(
    tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8")), Inputs, strict=False
)
LOAD, LIMITS = INPUTS.load, INPUTS.limits


def cost(name: str) -> float:
    """A cost in bytes or in seconds."""
    value, unit, *_ = INPUTS.costs[name]
    return value * 1e-6 if unit == "µs" else value


class Cluster(NamedTuple):
    """One cluster: how many connections, and the processes and servers for them."""

    connections: float
    regions: int
    rooms: int
    centers: int
    dispatchers: int
    coordinators: int
    masters: int
    partitions: int


def cluster(connections: float, regions: int) -> Cluster:
    """One that bears the loss of a region, or of a fifth of the only one."""
    spare = regions / (regions - 1) if regions > 1 else 1.25
    unicasts, connects = busiest(connections, LOAD.unicasts), busiest(connections, LOAD.connects)
    busy = unicasts * (cost("enqueue") + cost("bus") + cost("settle"))
    busy += connects * (cost("bind") + cost("arrive") + cost("unbind"))
    partitions = masters = 0
    for partitions in (64, 256, 1024):
        by_memory = sum(store_bytes(connections, partitions).values()) / LIMITS.master_bytes
        masters = max(3, math.ceil(by_memory), math.ceil(busy / LIMITS.busy))
        if partitions >= 16 * masters:
            break
    lost = connections * (1 - 1 / spare)
    return Cluster(
        connections,
        regions,
        math.ceil(connections / LIMITS.room_connections * spare),
        max(2 * regions, math.ceil(unicasts * cost("center") / LIMITS.busy * spare)),
        max(2 * regions, math.ceil(lost / LIMITS.recall * cost("look_up") * spare)),
        2 * regions,
        masters,
        partitions,
    )


def busiest(connections: float, daily: float) -> float:
    """A second, in the busiest hour, of what every connection does so many times a day."""
    return connections * daily / DAY * LOAD.peak


def store_bytes(connections: float, partitions: int, retention: float | None = None) -> dict[str, float]:
    """What the masters of a cluster hold together; `retention` of ledgers in days."""
    devices = connections * LOAD.registered
    rate = connections * LOAD.unicasts / DAY
    rows = rate * DAY * (LOAD.retention if retention is None else retention)
    rows_a_bucket = max(1.0, rate * 0.256 / partitions)
    return {
        "devices": devices * cost("device"),
        "sessions": connections * cost("session"),
        "pending": (devices - connections) * LOAD.waiting * cost("pending"),
        "ledger": rows * (cost("row") + cost("bucket") / rows_a_bucket),
    }


def table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Markdown. The first column is to the left, and so are others with words."""
    marks = ["---:" if n and str(cell)[:1].isdigit() else "---" for n, cell in enumerate(rows[0])]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in (head, marks, *rows))


def count(value: float) -> str:
    """A number as people read it, without a fraction."""
    return f"{value:,.0f}"


# --- tables ---------------------------------------------------------------------------------------


def costs() -> str:
    """The costs themselves."""
    rows = [(what, f"{value:g} {unit}", *rest) for value, unit, what, *rest in INPUTS.costs.values()]
    return table(("what", "cost", "kind", "source"), rows)


def sizes() -> str:
    """Three sizes, a column each."""
    columns: list[dict[str, str]] = []
    for _, connections, regions, clusters in SHAPES:
        one = cluster(connections / clusters, regions)
        held = sum(store_bytes(one.connections, one.partitions).values())
        host = LIMITS.host_rooms * LIMITS.room_connections * (cost("idle") + cost("kernel"))
        columns.append(
            {
                "clusters, and regions that each spans": f"{clusters} × {regions}",
                "room processes, a core each": count(clusters * one.rooms),
                "connections of a room process": count(one.connections / one.rooms),
                "hosts for rooms, 16 cores each": count(math.ceil(clusters * one.rooms / LIMITS.host_rooms)),
                "memory for connections of such a host, full": f"{host / 1e9:.1f} GB",
                "center processes": count(clusters * one.centers),
                "dispatcher processes": count(clusters * one.dispatchers),
                "coordinator processes": count(clusters * one.coordinators),
                "masters of the store, each with replicas": count(clusters * one.masters),
                "data of a master": f"{held / one.masters / 1e9:.1f} GB",
                "`store.partitions`": count(one.partitions),
                "ZooKeeper servers": count(clusters * (3 if regions == 1 else 5)),
                "unicasts a second, busiest hour": count(busiest(connections, LOAD.unicasts)),
                "connects a second, busiest hour": count(busiest(connections, LOAD.connects)),
            }
        )
    rows = [(name, *(column[name] for column in columns)) for name in columns[0]]
    return table(("connections", *(name for name, *_ in SHAPES)), rows)


def memory() -> str:
    """The store of one cluster of 12.5 million, by how long ledgers are kept."""
    rows = []
    for retention in (1, 3, 7):
        for partitions in (64, 256):
            parts = store_bytes(12.5e6, partitions, retention)
            rows.append(
                (retention, partitions, *(f"{n / 1e9:.1f}" for n in (*parts.values(), sum(parts.values()))))
            )
    return table(("days", "partitions", "devices", "sessions", "pending", "ledger", "all, GB"), rows)


def shares() -> str:
    """How evenly partitions fall on masters that have equal ranges of slots."""
    rows = []
    for partitions in (16, 64, 256, 1024):
        cells = []
        for masters in (3, 6, 12, 24):
            held = [0] * masters
            for number in range(partitions):
                held[slot_of(b"p%d" % number) * masters // SLOTS] += 1
            cells.append(f"{max(held) / (partitions / masters):.2f}")
        rows.append((partitions, *cells))
    return table(("partitions", "3 masters", "6 masters", "12 masters", "24 masters"), rows)


def membership() -> str:
    """What ZooKeeper has to do: every process tells its load, and reads that of all others."""
    every = Settings().keeper.report_interval
    rows = []
    for processes in (10, 50, 200, 400, 1000):
        age = max(every, processes / 200)  # keeper/zookeeper.py reads at most 200 members a second
        rows.append((processes, count(processes / every), count(processes * processes / age), f"{age:.1f} s"))
    return table(("processes", "writes/s", "reads/s", "age of what is known of a load"), rows)


def heartbeats() -> str:
    """What 100 million idle connections cost while nothing happens."""
    rows = []
    for keep_alive in (60, 120, 240, 600):
        rate = 100e6 / keep_alive
        bandwidth = f"{rate * HEARTBEAT_BYTES * 8 / 1e6:,.0f} Mbit/s"
        cores = f"{rate * cost('heartbeat'):.1f}"
        rows.append((f"{keep_alive} s", count(rate), bandwidth, cores, f"{1.5 * keep_alive:.0f} s"))
    head = ("keep alive", "heartbeats/s", "bandwidth", "cores of rooms", "a dead peer is noticed within")
    return table(head, rows)


def pushes() -> str:
    """What one push costs by the number of rooms: a unicast, and a broadcast to 10 million devices."""
    unicast = cost("enqueue") + cost("bus") + cost("settle")
    rows = []
    for rooms in (1, 4, 20, 100, 400):
        sent = rooms * (64 * cost("audience") + LOAD.payload + COMMAND)
        share = sent / (10e6 * (LOAD.payload + HEADERS))
        rows.append((rooms, 3, f"{unicast * 1e6:.0f} µs", rooms, f"{sent / 1e3:,.0f} kB", f"{share:.4%}"))
    head = ("rooms", "unicast: calls to the store", "its CPU there", "broadcast: queue entries",
            "bytes on the bus", "of the bytes to devices")  # fmt: skip
    return table(head, rows)


def broadcasts() -> str:
    """How long a broadcast takes to its last receipt; rooms and stores work at the same time."""
    delivery = cost("fanout") + 2 * cost("syscall") + cost("receipt")
    rows = []
    for name, connections, regions, clusters in SHAPES:
        one = cluster(connections / clusters, regions)
        rooms = one.connections / one.rooms * delivery
        stores = one.connections / one.masters * cost("mark")
        took = max(rooms, stores)
        traffic = f"{connections * (LOAD.payload + HEADERS) * 8 / took / 1e9:.1f} Gbit/s"
        times = (f"{seconds:.1f} s" for seconds in (rooms, stores, took))
        rows.append((name, *times, count(connections / took), traffic))
    return table(("connected", "rooms", "stores", "all", "deliveries/s", "out of all rooms"), rows)


def storms() -> str:
    """Simulated: what is lost, who comes back, and how soon."""
    large, small = cluster(12.5e6, 4), cluster(3e5, 1)
    of_region = large.rooms // large.regions
    lost = (
        (f"a room process of {small.rooms}", small, 1, small.dispatchers, 0.0),
        (f"a room process of {large.rooms}", large, 1, large.dispatchers, 0.0),
        ("a host", large, LIMITS.host_rooms, large.dispatchers, 0.0),
        ("a region", large, of_region, large.dispatchers * 3 // 4, 0.0),
        ("a region, noticed late", large, of_region, large.dispatchers * 3 // 4, 1.5 * LOAD.keep_alive),
    )
    rows = []
    for name, one, rooms, dispatchers, noticed in lost:
        for hinted in (True, False):
            crowd = crowd_of(one, rooms, dispatchers, noticed, hinted)
            end = simulate(crowd)
            figures = map(count, (crowd.clients, end.peak_rate, end.peak_waiting))
            times = (f"{t:.1f} s" if t < 10 else f"{t:.0f} s" for t in (end.half, end.nearly_all))
            by = "dispatchers" if hinted else "back-off alone"
            rows.append((name, by, *figures, f"{end.attempts:.1f}", *times))
    head = ("lost", "paced by", "clients", "most connects/s", "most waiting in rooms",
            "connects a client", "half are back", "99 % are back")  # fmt: skip
    return table(head, rows)


def crowd_of(one: Cluster, rooms: int, dispatchers: int, noticed: float, hinted: bool) -> Crowd:
    """The clients of so many of a cluster's rooms, and who is left to take them."""
    settings, left = Settings(), one.rooms - rooms
    return Crowd(
        clients=one.connections * rooms / one.rooms,
        noticed_within=noticed,
        rooms=left,
        connect=cost("connect") / LIMITS.busy,
        refuse=cost("refuse") / LIMITS.busy,
        stores=one.masters * LIMITS.busy / (cost("bind") + cost("arrive")),
        queue=settings.room.connect_queue,
        dispatchers=dispatchers,
        look_up=cost("look_up"),
        hint_rate=settings.dispatcher.reconnect_rate * left,
        hinted=hinted,
    )


TABLES: Final = (costs, sizes, memory, shares, membership, heartbeats, pushes, broadcasts, storms)


def blocks() -> dict[str, str]:
    """Every table by its name, between the marks that it has in the page."""
    return {make.__name__: f"<!-- {make.__name__} -->\n\n{make()}\n<!-- end -->\n" for make in TABLES}


def rewritten(page: str) -> str:
    """The page with every table as it is now; `ValueError` when one has no place in it."""
    for name, block in blocks().items():
        before, _, rest = page.partition(f"<!-- {name} -->\n")
        _, found, after = rest.partition("<!-- end -->\n")
        if not found:
            raise ValueError(f"the page has no place for {name}")
        page = before + block + after
    return page


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(rewritten(PAGE.read_text("utf-8")), "utf-8")
    else:
        print("\n".join(blocks().values()), end="")
