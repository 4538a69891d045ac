"""`longline bench connections`: opens idle connections, holds them, and weighs the server meanwhile."""

import time
from collections.abc import Sequence

import msgspec

from longline.bench.dialling import dial
from longline.bench.fleet import Crew, Effort, Fleet, limit_reached
from longline.bench.hot.histogram import Histogram, load
from longline.bench.hot.idle import IdleLink, KeepAlive
from longline.bench.hot.station import Station
from longline.bench.hot.wire import Link, Tally
from longline.bench.latencies import Latencies, latencies_of
from longline.bench.servers import Memory, memory_of
from longline.bench.targets import Target, probe, resolve

PING_SHARE = 0.75
"""Of the keep alive: how long a link waits between two pings. The rest is for a ping to be late."""

SETTLE_SECONDS = 1.0
"""Between the last handshake and the second weighing, for buffers of the handshakes to be given back."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What `connections` shall do."""

    connections: int = 1000
    rate: float = 0.0
    """New connections a second, of all processes together; 0 means as fast as they are accepted."""
    hold: float = 5.0
    """Seconds to stay connected."""
    keep_alive: int = 60
    """Seconds; 0 means none."""


class Opened(msgspec.Struct, frozen=True):
    """What became of the connections of one process."""

    live: int
    refused: dict[str, int]
    seconds: float
    cpu: float
    handshakes: list[int]


class Held(msgspec.Struct, frozen=True):
    """What became of them while they were held."""

    lost: int
    pings: int


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `connections`."""

    opened: int
    refused: dict[str, int]
    """By reason: a name from errno, or the CONNACK code."""
    lost: int
    """Connections that the server closed while they were held."""
    seconds: float
    connects_per_second: float
    handshake: Latencies
    """From connect() to CONNACK."""
    held_seconds: float
    pings: int
    memory_before: Memory | None
    memory_after: Memory | None
    rss_bytes_per_connection: float | None
    private_bytes_per_connection: float | None
    generator_cpu: list[float]
    generator_was_the_limit: bool

    def sound(self) -> bool:
        """Whether every connection was accepted and stayed."""
        return not (self.refused or self.lost)


def run(plan: Plan, target: Target, crew: Crew, server_pids: Sequence[int]) -> Figures:
    """Runs `plan`; raises BenchFailed when it cannot be carried out."""
    # The first connection of all makes a server load things that are not the price of a connection.
    limits = probe(target, "bench-probe", plan.keep_alive)
    # [MQTT-3.2.2-21] A server's keep alive replaces ours.
    keep_alive = plan.keep_alive if limits.keep_alive is None else limits.keep_alive
    work = Work(plan, target, keep_alive)
    with Fleet(crew, work.run) as fleet:
        fleet.gather(lambda counters: "making tokens and packets")
        before = memory_of(server_pids) if server_pids else None
        fleet.tell(b"")
        opened = [
            msgspec.json.decode(report, type=Opened)
            for report in fleet.gather(lambda counters: f"opened {counters[2]:,} of {plan.connections:,}")
        ]
        time.sleep(SETTLE_SECONDS)
        after = memory_of(server_pids) if server_pids else None
        fleet.tell(b"")
        held = [
            msgspec.json.decode(report, type=Held)
            for report in fleet.gather(lambda counters: f"holding {counters[0]:,}")
        ]
    return figures_of(plan, opened, held, before, after)


def figures_of(
    plan: Plan, opened: Sequence[Opened], held: Sequence[Held], before: Memory | None, after: Memory | None
) -> Figures:
    """Adds up what the processes have measured."""
    handshakes = Histogram()
    refused: dict[str, int] = {}
    for part in opened:
        handshakes.merge(load(part.handshakes))
        for reason, count in part.refused.items():
            refused[reason] = refused.get(reason, 0) + count
    live = sum(part.live for part in opened)
    seconds = max(part.seconds for part in opened)
    efforts = [part.cpu for part in opened]
    weighed = before is not None and after is not None and live > 0
    return Figures(
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
        rss_bytes_per_connection=(after.rss - before.rss) / live if weighed and before and after else None,
        private_bytes_per_connection=(
            (after.private - before.private) / live if weighed and before and after else None
        ),
        generator_cpu=efforts,
        generator_was_the_limit=limit_reached(efforts),
    )


class Work:
    """The part of a plan that one process carries out. Made before the processes part."""

    def __init__(self, plan: Plan, target: Target, keep_alive: int) -> None:
        self.plan = plan
        self.target = target
        self.keep_alive = keep_alive
        self.address = resolve(target.host, target.port)

    def run(self, station: Station) -> None:
        """Opens, holds and reports as ordered."""
        plan, poller = self.plan, station.poller
        tally = Tally()
        keeper = KeepAlive(self.keep_alive * PING_SHARE)
        links: list[Link] = [
            IdleLink(poller, tally, keeper, self.target.connect(f"bench-{number}", self.keep_alive))
            for number in range(station.index, plan.connections, station.of)
        ]
        station.report(b"")
        while not station.ordered():
            poller.turn(0.05)
        station.take()

        effort, began = Effort(), time.monotonic()
        rate = plan.rate / station.of
        dial(station, tally, self.address, links, plan.connections, rate, keeper.ping)
        seconds = time.monotonic() - began
        station.report(
            msgspec.json.encode(
                Opened(tally.live, tally.refused, seconds, effort.share(), tally.handshakes.dump())
            )
        )
        end: float | None = None
        while end is None or time.monotonic() < end:
            poller.turn(0.05)
            keeper.ping(time.monotonic_ns())
            station.counters[0] = tally.live
            if end is None and station.ordered():
                station.take()
                end = time.monotonic() + plan.hold
        station.report(msgspec.json.encode(Held(tally.lost, keeper.pings)))
