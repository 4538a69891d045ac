"""`longline bench fanout`: topics, their subscribers, and publishers that wait for them.

`topics=1, subscribers=1000` is fan-out; `topics=50, subscribers=1` is routing from one to one. The load
is closed by a window, see `hot.pump`; latencies are therefore those of a server at work, from PUBLISH to
receipt, queueing included.
"""

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from longline.bench.figures import LoadFigures
from longline.bench.fleet import Crew, Effort, Fleet, Order, limit_reached, positive
from longline.bench.hot.histogram import LatencyHistogram, load
from longline.bench.hot.pump import NEVER, CreditLine, LoadTopic, PublishingClient, Pump, SubscribingClient
from longline.bench.hot.station import Station
from longline.bench.hot.wire import Handshakes, LoadClient
from longline.bench.latencies import Latencies, latencies_of
from longline.bench.servers import cores_of, cpu_seconds_by_pid
from longline.bench.targets import AnyTarget, BrokerLimits, probe
from longline.bench.work import Work, until_ordered

KEEP_ALIVE = 1800
"""Seconds. Subscribers send nothing at QoS 0, and no run is this long: not a ping disturbs it."""

WARM_UP = 0.5
"""Seconds of load before the measurement begins."""


@dataclass(frozen=True, kw_only=True)
class FanoutPlan:
    """What `fanout` shall do."""

    topics: int = 1
    """Topics."""
    subscribers: int = 1000
    """Subscribers of each topic."""
    publishers: int = 0
    """Publishing connections in all; 0: one a topic."""
    size: int = 128
    """Bytes of payload."""
    qos: int = 0
    """0, 1 or 2."""
    window: int = 8
    """Messages per topic and publisher that some subscriber may still lack."""
    seconds: float = 10.0
    """Length of the measurement."""
    stall: float = 5.0
    """Seconds without progress until what is missing is lost."""

    def check(self) -> None:
        """Raises ValueError for what makes no sense."""
        positive(topics=self.topics, subscribers=self.subscribers, window=self.window)
        if self.qos not in (0, 1, 2):
            raise ValueError("--qos is 0, 1 or 2")

    def publishing(self) -> int:
        """How many connections publish."""
        return self.publishers or self.topics

    def publishers_of(self, topic: int) -> list[int]:
        """The publishing connections of a topic: one, or an equal share of a larger number."""
        count = self.publishing()
        return [topic % count] if count <= self.topics else list(range(topic, count, self.topics))

    def home_of(self, topic: int, processes: int) -> int:
        """The process that publishes a topic; topics that share a publisher share it."""
        return topic % min(self.publishing(), self.topics) % processes

    def shares(self, topic: int, processes: int) -> list[int]:
        """How many of a topic's subscribers each process holds: all are at home when topics abound."""
        home = self.home_of(topic, processes)
        if self.topics >= processes:
            return [self.subscribers if process == home else 0 for process in range(processes)]
        each, more = divmod(self.subscribers, processes)
        return [each + ((process - home) % processes < more) for process in range(processes)]

    def topic_window(self, topic: int) -> int:
        """How many messages of a topic may be on their way."""
        return self.window * len(self.publishers_of(topic))


class FanoutShare(msgspec.Struct, frozen=True):
    """What one process has measured."""

    seconds: float
    received: int
    published: int
    cpu: float
    latencies: list[int]
    published_ever: list[int]
    """Of each topic, the warm-up included."""


class FanoutEnding(msgspec.Struct, frozen=True):
    """What one process lacks when nothing comes any more."""

    lost: int
    surplus: int
    disordered: int
    unfinished: int
    lost_connections: int


class FanoutFigures(LoadFigures, frozen=True, kw_only=True):
    """The result of `fanout`."""

    delivered_per_second: float
    published_per_second: float
    latency: Latencies
    surplus: int
    """Deliveries that nobody had published, or twice."""
    disordered: int
    """Of the sampled deliveries, those out of their order."""
    unfinished: int
    """Exchanges of QoS 2 that the server left open."""
    delivered_per_server_core: float | None

    def sound(self) -> bool:
        """Whether everything arrived, once and in order, and every exchange ended."""
        return not (self.lost or self.surplus or self.disordered or self.unfinished or self.lost_connections)


def run(plan: FanoutPlan, target: AnyTarget, crew: Crew) -> FanoutFigures:
    """Runs `plan`; raises BenchFailed when it cannot be carried out."""
    limits = probe(target, "bench-probe", KEEP_ALIVE)
    work = FanoutWork(plan, target, limits, crew.processes)
    with Fleet(crew, work.run) as fleet:
        work.leave_lines()
        fleet.gather(lambda counters: f"connected {counters[2]:,} of {work.connections:,}")
        fleet.begin(WARM_UP, plan.seconds)
        before = cpu_seconds_by_pid(crew.server_pid)
        shares = fleet.reports(FanoutShare, lambda counters: f"delivered {counters[0]:,}")
        after = cpu_seconds_by_pid(crew.server_pid)
        published = [sum(column) for column in zip(*(s.published_ever for s in shares), strict=True)]
        fleet.tell(msgspec.json.encode(published))
        expected = sum(published) * plan.subscribers
        endings = fleet.reports(FanoutEnding, lambda counters: f"delivered {counters[0]:,} of {expected:,}")
    cores = cores_of(before, after, max(share.seconds for share in shares))
    return figures_of(shares, endings, cores)


def figures_of(
    shares: Sequence[FanoutShare], endings: Sequence[FanoutEnding], cores: dict[int, float]
) -> FanoutFigures:
    """Adds up what the processes have measured; `cores` is what each of the server's used."""
    latencies = LatencyHistogram()
    for share in shares:
        latencies.merge(load(share.latencies))
    delivered = sum(share.received / share.seconds for share in shares)
    used = sum(cores.values())
    efforts = [share.cpu for share in shares]
    return FanoutFigures(
        seconds=max(share.seconds for share in shares),
        delivered_per_second=delivered,
        published_per_second=sum(share.published / share.seconds for share in shares),
        latency=latencies_of(latencies),
        lost=sum(ending.lost for ending in endings),
        surplus=sum(ending.surplus for ending in endings),
        disordered=sum(ending.disordered for ending in endings),
        unfinished=sum(ending.unfinished for ending in endings),
        lost_connections=sum(ending.lost_connections for ending in endings),
        server_cpu=used if cores else None,
        server_cpu_by_pid=cores,
        delivered_per_server_core=delivered / used if used else None,
        generator_cpu=efforts,
        generator_was_the_limit=limit_reached(efforts),
    )


class FanoutWork(Work[FanoutPlan]):
    """Publishers and subscribers."""

    def __init__(self, plan: FanoutPlan, target: AnyTarget, limits: BrokerLimits, processes: int) -> None:
        super().__init__(plan, target)
        self.limits = limits
        self.connections = plan.topics * plan.subscribers + plan.publishing()
        # Each two processes have a line, by which one tells the other how far its subscribers are.
        self.lines = {(a, b): socket.socketpair() for a in range(processes) for b in range(a)}

    def leave_lines(self) -> None:
        """Closes the conductor's copies, without which a line ends when a worker at its end does."""
        for ends in self.lines.values():
            for end in ends:
                end.close()

    def run(self, station: Station) -> None:
        """Connects, publishes and counts as ordered, reports."""
        pump = Pump(station.poller, self.target.protocol)
        handshakes = Handshakes(self.cipher())
        topics = self.topics_of(station, pump)
        clients = self.clients_of(station, pump, topics, handshakes)
        self.connect(station, handshakes, clients, self.connections)

        station.report(b"")
        order = msgspec.json.decode(until_ordered(station, pump.turn), type=Order)
        station.report(msgspec.json.encode(measure(station, pump, topics, order)))
        published = msgspec.json.decode(until_ordered(station, pump.turn), type=list[int])
        expected = sum(count * topic.subscribers for count, topic in zip(published, topics, strict=True))
        drain(pump, expected, self.plan.stall)
        station.report(msgspec.json.encode(ending_of(pump, clients, published, handshakes.lost)))

    def topics_of(self, station: Station, pump: Pump) -> list[LoadTopic]:
        """Every topic as this process sees it, joined to the other processes where they share it."""
        plan = self.plan
        topics: list[LoadTopic] = []
        lines: dict[int, CreditLine] = {}
        for (a, b), ends in self.lines.items():
            for end, owner, peer in ((ends[0], a, b), (ends[1], b, a)):
                if owner == station.index:
                    end.setblocking(False)
                    lines[peer] = CreditLine(pump, topics)
                    lines[peer].adopt(end, False)
                else:
                    end.close()
        for number in range(plan.topics):
            shares = plan.shares(number, station.of)
            home = plan.home_of(number, station.of)
            topic = LoadTopic(pump, number, plan.topic_window(number), shares[station.index])
            topic.process = station.index
            topic.sequenced = len(plan.publishers_of(number)) == 1
            topic.head, topic.tail = self.target.publish(topic_name(number), plan.qos, plan.size)
            if home != station.index:
                topic.home_line = lines[home]
            else:
                topic.parts = [0 if share else NEVER for share in shares]
            topics.append(topic)
        return topics

    def clients_of(
        self, station: Station, pump: Pump, topics: list[LoadTopic], handshakes: Handshakes
    ) -> list[LoadClient]:
        """This process's subscribers and publishers, not yet connected."""
        plan, target = self.plan, self.target
        clients: list[LoadClient] = []
        for topic in topics:
            then = target.subscribe(topic_name(topic.number), plan.qos)
            for place in range(topic.subscribers):
                hello = target.connect(f"bench-s{topic.number}-{station.index}-{place}", KEEP_ALIVE)
                clients.append(SubscribingClient(pump, topic, handshakes, hello, then))
        publishers: dict[int, PublishingClient] = {}
        for topic in topics:
            if plan.home_of(topic.number, station.of) != station.index:
                continue
            for number in plan.publishers_of(topic.number):
                if number not in publishers:
                    hello = target.connect(f"bench-p{number}", KEEP_ALIVE)
                    quota = self.limits.receive_maximum
                    publishers[number] = PublishingClient(pump, handshakes, hello, plan.qos, quota)
                publishers[number].topics.append(topic)
                topic.publishers.append(publishers[number])
        return [*clients, *publishers.values()]


def topic_name(number: int) -> str:
    """The topic's name on the wire."""
    return f"bench/t{number}"


def measure(station: Station, pump: Pump, topics: list[LoadTopic], order: Order) -> FanoutShare:
    """Publishes from `begin` to `end` and counts from `measure` on."""
    homes = [topic for topic in topics if topic.publishers]
    while pump.turn(0.001) < order.begin:
        pass
    for topic in homes:
        topic.mark()
    counters = station.counters
    while pump.turn(0.05) < order.measure:
        pass
    pump.latencies = LatencyHistogram()
    effort, began = Effort(), time.monotonic()
    received, published = pump.received, pump.published
    while pump.turn(0.05) < order.end:
        counters[0], counters[1] = pump.received, pump.published
    for topic in homes:
        topic.paused = True
    return FanoutShare(
        time.monotonic() - began,
        pump.received - received,
        pump.published - published,
        effort.share(),
        pump.latencies.dump(),
        [topic.published for topic in topics],
    )


def ending_of(
    pump: Pump, clients: list[LoadClient], published: list[int], lost_connections: int
) -> FanoutEnding:
    """What each subscriber has received, held against what was published to its topic."""
    lost, surplus = 0, pump.surplus
    for client in clients:
        if isinstance(client, SubscribingClient):
            lacking = published[client.topic.number] - client.rows
            lost += max(0, lacking)
            surplus += max(0, -lacking)
    return FanoutEnding(lost, surplus, pump.disordered, pump.unfinished, lost_connections)


def drain(pump: Pump, expected: int, stall: float) -> None:
    """Waits for what is on its way, until `stall` seconds pass in which nothing comes."""
    seen, since = (pump.received, pump.unfinished), time.monotonic()
    while pump.received - pump.surplus < expected or pump.unfinished:
        if time.monotonic() - since >= stall:
            break
        pump.turn(0.05)
        if (pump.received, pump.unfinished) != seen:
            seen, since = (pump.received, pump.unfinished), time.monotonic()
