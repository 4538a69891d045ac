"""`longline bench connections`: opens idle connections, holds them, and weighs the server meanwhile."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from longline.bench.dialling import AT_ONCE, dial
from longline.bench.figures import RunFigures
from longline.bench.fleet import Crew, Effort, Fleet, limit_reached, positive
from longline.bench.hot.histogram import LatencyHistogram, load
from longline.bench.hot.idle import IdleClient, KeepAlive
from longline.bench.hot.station import Station
from longline.bench.hot.wire import Handshakes, LoadClient
from longline.bench.latencies import Latencies, latencies_of
from longline.bench.servers import Memory, cores_of, cpu_seconds_by_pid, memory_of
from longline.bench.targets import AnyTarget, probe
from longline.bench.work import Work, part_of, until_ordered

PING_SHARE = 0.75
"""Of the keep alive: how long a client waits between two pings. The rest is for a ping to be late."""

SETTLE_SECONDS = 5.0
"""Between the last handshake and the second weighing: a server hands back what only the arrivals took."""


@dataclass(frozen=True, kw_only=True)
class ConnectionsPlan:
    """What `connections` shall do."""

    connections: int = 1000
    """How many, in all."""
    rate: float = 0.0
    """New ones a second, of all processes together; 0: as fast as they are accepted."""
    at_once: int = AT_ONCE
    """Of each process, those that may wait for their CONNACK side by side."""
    hold: float = 5.0
    """Seconds to stay."""
    keep_alive: int = 60
    """Keep alive in seconds; 0: none."""

    def check(self) -> None:
        """Raises ValueError for what makes no sense."""
        positive(connections=self.connections, at_once=self.at_once)


class OpenedShare(msgspec.Struct, frozen=True):
    """What became of the connections of one process."""

    live: int
    refused: dict[str, int]
    seconds: float
    cpu: float
    handshakes: list[int]


class HeldShare(msgspec.Struct, frozen=True):
    """What became of them while they were held."""

    lost: int
    pings: int


class ConnectionsFigures(RunFigures, frozen=True, kw_only=True):
    """The result of `connections`."""

    opened: int
    refused: dict[str, int]
    """By reason: a name from errno, or the CONNACK code."""
    lost: int
    """Connections that the server closed while they were held."""
    connects_per_second: float
    handshake: Latencies
    """From connect() to CONNACK."""
    held_seconds: float
    pings: int
    memory_before: Memory | None
    memory_after: Memory | None
    server_cpu: float | None
    """Cores that the server used while they were opened."""
    rss_bytes_per_connection: float | None
    private_bytes_per_connection: float | None

    def sound(self) -> bool:
        """Whether every connection was accepted and stayed."""
        return not (self.refused or self.lost)


def run(plan: ConnectionsPlan, target: AnyTarget, crew: Crew) -> ConnectionsFigures:
    """Runs `plan`; raises BenchFailed when it cannot be carried out."""
    # The first connection of all makes a server load things that are not the price of a connection.
    limits = probe(target, "bench-probe", plan.keep_alive)
    # [MQTT-3.2.2-21] A server's keep alive replaces ours.
    keep_alive = plan.keep_alive if limits.keep_alive is None else limits.keep_alive
    work = ConnectionsWork(plan, target, keep_alive)
    with Fleet(crew, work.run) as fleet:
        fleet.gather(lambda counters: "making tokens and packets")
        before = memory_of(crew.server_pid) if crew.server_pid else None
        cpu_before = cpu_seconds_by_pid(crew.server_pid)
        fleet.tell()
        opened = fleet.reports(
            OpenedShare, lambda counters: f"opened {counters[2]:,} of {plan.connections:,}"
        )
        cpu_after = cpu_seconds_by_pid(crew.server_pid)
        time.sleep(SETTLE_SECONDS)
        after = memory_of(crew.server_pid) if crew.server_pid else None
        fleet.tell()
        held = fleet.reports(HeldShare, lambda counters: f"holding {counters[0]:,}")
    cores = cores_of(cpu_before, cpu_after, max(part.seconds for part in opened))
    return figures_of(plan, opened, held, before, after, cores)


def figures_of(
    plan: ConnectionsPlan,
    opened: Sequence[OpenedShare],
    held: Sequence[HeldShare],
    before: Memory | None,
    after: Memory | None,
    cores: dict[int, float],
) -> ConnectionsFigures:
    """Adds up what the processes have measured; `cores` is what each of the server's used to let them in."""
    handshakes = LatencyHistogram()
    refused: dict[str, int] = {}
    for part in opened:
        handshakes.merge(load(part.handshakes))
        for reason, count in part.refused.items():
            refused[reason] = refused.get(reason, 0) + count
    live = sum(part.live for part in opened)
    seconds = max(part.seconds for part in opened)
    efforts = [part.cpu for part in opened]
    weighed = before is not None and after is not None and live > 0
    return ConnectionsFigures(
        opened=live,
        refused=refused,
        lost=sum(part.lost for part in held),
        seconds=seconds,
        connects_per_second=live / seconds,
        handshake=latencies_of(handshakes),
        held_seconds=plan.hold,
        pings=sum(part.pings for part in held),
        memory_before=before,
        memory_after=after,
        server_cpu=sum(cores.values()) if cores else None,
        rss_bytes_per_connection=(after.rss - before.rss) / live if weighed and before and after else None,
        private_bytes_per_connection=(
            (after.private - before.private) / live if weighed and before and after else None
        ),
        generator_cpu=efforts,
        generator_was_the_limit=limit_reached(efforts),
    )


class ConnectionsWork(Work[ConnectionsPlan]):
    """Connections that do nothing but stay."""

    def __init__(self, plan: ConnectionsPlan, target: AnyTarget, keep_alive: int) -> None:
        super().__init__(plan, target)
        self.keep_alive = keep_alive

    def run(self, station: Station) -> None:
        """Opens, holds and reports as ordered."""
        plan, poller = self.plan, station.poller
        handshakes = Handshakes(self.cipher())
        keeper = KeepAlive(self.keep_alive * PING_SHARE)
        clients: list[LoadClient] = [
            IdleClient(poller, handshakes, keeper, self.target.connect(f"bench-{number}", self.keep_alive))
            for number in part_of(station, plan.connections)
        ]
        station.report(b"")
        until_ordered(station, poller.turn)

        effort, began = Effort(), time.monotonic()
        rate = plan.rate / station.of
        dial(station, handshakes, self.address, clients, plan.connections, rate, plan.at_once, keeper.ping)
        opened = OpenedShare(
            handshakes.live,
            handshakes.refused,
            time.monotonic() - began,
            effort.share(),
            handshakes.taken.dump(),
        )
        station.report(msgspec.json.encode(opened))

        def turn(timeout: float) -> int:
            served = poller.turn(timeout)
            keeper.ping(time.monotonic_ns())
            station.counters[0] = handshakes.live
            return served

        until_ordered(station, turn)
        end = time.monotonic() + plan.hold
        while time.monotonic() < end:
            turn(0.05)
        station.report(msgspec.json.encode(HeldShare(handshakes.lost, keeper.pings)))
