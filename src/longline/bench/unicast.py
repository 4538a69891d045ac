"""`longline bench unicast`: durable messages through the HTTP batch API to the devices' receipts.

Every message is for one device, is answered 202 after it is stored, and counts when its device has
received it and has sent the PUBACK. Afterwards the server is asked: nothing may be pending at any
device that is looked at, and the ledgers of a sample must balance.
"""

import os
import time
from collections.abc import Sequence

import msgspec

from longline.bench.dialling import dial_all
from longline.bench.fleet import Crew, Effort, Fleet, Order, limit_reached
from longline.bench.hot.courier import STAMP_BYTES, Courier, Device, Poster
from longline.bench.hot.histogram import Histogram, load
from longline.bench.hot.station import Station
from longline.bench.hot.wire import Link, Tally
from longline.bench.latencies import Latencies, latencies_of
from longline.bench.ledgers import Api, Verdict, verify
from longline.bench.servers import cores_of, cpu_seconds_by_pid
from longline.bench.targets import BenchFailed, Target, probe, resolve

KEEP_ALIVE = 1800
"""Seconds: longer than any run."""

WARM_UP = 0.5
"""Seconds of load before the measurement begins, when it is by time."""

UNLIMITED = 1 << 62

DEVICES_ASKED = 1000
"""Of which `pending` is looked up at the end, at most."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What `unicast` shall do: for `seconds`, or `messages` of them when that is not 0."""

    url: str = "http://127.0.0.1:8080"
    key: str
    """The app's server key."""
    devices: int = 1000
    batch: int = 500
    concurrency: int = 4
    """HTTP connections, per process."""
    size: int = 128
    """Bytes of payload."""
    window: int = 10_000
    """Messages posted and neither received nor refused, per process."""
    seconds: float = 10.0
    messages: int = 0
    stall: float = 10.0
    """Seconds without any progress after which what is missing counts as lost."""

    def part(self, total: int, index: int, of: int) -> int:
        """The share of a total that process `index` takes."""
        return total // of + (index < total % of)


class Share(msgspec.Struct, frozen=True):
    """What one process has measured."""

    seconds: float
    received: int
    cpu: float
    receipts: list[int]
    answers: list[int]


class Ending(msgspec.Struct, frozen=True):
    """How one process's messages stand when nothing comes any more."""

    accepted: int
    received: int
    refused: dict[str, int]
    duplicates: int
    foreign: int
    lost_links: int
    message_ids: list[str]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `unicast`; rates are per second of the measured interval."""

    seconds: float
    acknowledged_per_second: float
    receipt: Latencies
    """From POST to the message's arrival at its device."""
    answer: Latencies
    """From POST to 202."""
    accepted: int
    acknowledged: int
    lost: int
    """Answered 202 and never received."""
    duplicates: int
    refused: dict[str, int]
    """By HTTP status, or `in a batch` for single messages of a batch that was answered 202."""
    foreign: int
    """Messages that an earlier run had left to these devices."""
    lost_links: int
    verdict: Verdict
    server_cpu: float | None
    """Cores that the server used."""
    server_cpu_by_pid: dict[int, float] = {}
    """The same, of each process."""
    generator_cpu: list[float]
    generator_was_the_limit: bool

    def sound(self) -> bool:
        """Whether every accepted message arrived once and the server agrees."""
        return not (self.lost or self.duplicates or self.refused or self.lost_links) and self.verdict.clean()


def run(plan: Plan, target: Target, crew: Crew, server_pids: Sequence[int]) -> Figures:
    """Runs `plan`; raises BenchFailed when it cannot be carried out."""
    if plan.size < STAMP_BYTES:
        raise BenchFailed(f"a payload needs {STAMP_BYTES} bytes for its mark, time and sequence number")
    if plan.batch > plan.window:
        raise BenchFailed(f"a window of {plan.window} never has room for a batch of {plan.batch}")
    if min(plan.devices, plan.messages or UNLIMITED) < crew.processes:
        raise BenchFailed("fewer devices or messages than processes")
    api = Api(plan.url, target.app, plan.key)
    probe(target, device_name(0), KEEP_ALIVE)
    work = Work(plan, target, api)
    with Fleet(crew, work.run) as fleet:
        fleet.gather(lambda counters: f"connected {counters[2]:,} of {plan.devices:,}")
        begin = time.monotonic_ns() + 50_000_000
        measure = begin if plan.messages else begin + int(WARM_UP * 1e9)
        end = UNLIMITED if plan.messages else measure + int(plan.seconds * 1e9)
        fleet.tell(msgspec.json.encode(Order(begin, measure, end)))
        time.sleep((measure - time.monotonic_ns()) / 1e9)
        cpu_before = cpu_seconds_by_pid(server_pids)
        shares = [
            msgspec.json.decode(report, type=Share)
            for report in fleet.gather(lambda counters: f"accepted {counters[0]:,}, received {counters[1]:,}")
        ]
        cpu_after = cpu_seconds_by_pid(server_pids)
        fleet.tell(b"")
        endings = [
            msgspec.json.decode(report, type=Ending)
            for report in fleet.gather(lambda counters: f"received {counters[1]:,} of {counters[0]:,}")
        ]
        # Asked while the devices are still connected: an inbox that is empty now has been acknowledged.
        names = [device_name(number) for number in range(min(plan.devices, DEVICES_ASKED))]
        verdict = verify(api, names, [name for ending in endings for name in ending.message_ids], plan.stall)
        fleet.tell(b"")
    cores = cores_of(cpu_before, cpu_after, max(share.seconds for share in shares))
    return figures_of(shares, endings, verdict, cores)


def figures_of(
    shares: Sequence[Share], endings: Sequence[Ending], verdict: Verdict, cores: dict[int, float]
) -> Figures:
    """Adds up what the processes have measured; `cores` is what each of the server's used."""
    receipts, answers = Histogram(), Histogram()
    refused: dict[str, int] = {}
    for share in shares:
        receipts.merge(load(share.receipts))
        answers.merge(load(share.answers))
    for ending in endings:
        for reason, count in ending.refused.items():
            refused[reason] = refused.get(reason, 0) + count
    seconds = max(share.seconds for share in shares)
    efforts = [share.cpu for share in shares]
    return Figures(
        seconds=seconds,
        acknowledged_per_second=sum(share.received / share.seconds for share in shares),
        receipt=latencies_of(receipts),
        answer=latencies_of(answers),
        accepted=sum(ending.accepted for ending in endings),
        acknowledged=sum(ending.received for ending in endings),
        lost=sum(ending.accepted - ending.received for ending in endings),
        duplicates=sum(ending.duplicates for ending in endings),
        refused=refused,
        foreign=sum(ending.foreign for ending in endings),
        lost_links=sum(ending.lost_links for ending in endings),
        verdict=verdict,
        server_cpu=sum(cores.values()) if cores else None,
        server_cpu_by_pid=cores,
        generator_cpu=efforts,
        generator_was_the_limit=limit_reached(efforts),
    )


class Work:
    """The part of a plan that one process carries out. Made before the processes part."""

    def __init__(self, plan: Plan, target: Target, api: Api) -> None:
        self.plan = plan
        self.target = target
        self.api = api
        self.mark = os.urandom(4).hex().encode()
        self.room = resolve(target.host, target.port)
        self.center = resolve(api.host, api.port)

    def run(self, station: Station) -> None:
        """Connects, posts and receives as ordered, reports."""
        plan = self.plan
        courier = Courier(station.poller, self.target.protocol, self.mark, plan.size, plan.batch, plan.window)
        tally = Tally()
        names = [device_name(number) for number in range(station.index, plan.devices, station.of)]
        courier.openings = [message_opening(name) for name in names]
        devices: list[Link] = [
            Device(courier, tally, self.target.connect(name, KEEP_ALIVE)) for name in names
        ]
        dial_all(station, tally, self.room, devices, plan.devices)
        posters = [Poster(courier, self.api.batch_head()) for _ in range(plan.concurrency)]
        for poster in posters:
            poster.dial(self.center, "")
        while len(courier.idle) < len(posters):
            check(posters)
            courier.turn(0.05)

        station.report(b"")
        while not station.ordered():
            courier.turn(0.05)
        order = msgspec.json.decode(station.take(), type=Order)
        budget = plan.part(plan.messages, station.index, station.of) if plan.messages else UNLIMITED
        share = self.measure(station, courier, posters, order, budget)
        station.report(msgspec.json.encode(share))
        while not station.ordered():
            courier.turn(0.05)
        station.take()
        self.drain(station, courier, posters, wanted=0)
        station.report(msgspec.json.encode(ending_of(courier, tally)))
        while not station.ordered():
            courier.turn(0.05)

    def measure(
        self, station: Station, courier: Courier, posters: list[Poster], order: Order, budget: int
    ) -> Share:
        """Posts from `begin` to `end`, or until the budget is spent and received."""
        while courier.turn(0.001) < order.begin:
            pass
        courier.budget = budget
        while courier.turn(0.05) < order.measure:
            check(posters)
        courier.receipts, courier.answers = Histogram(), Histogram()
        effort, began, received = Effort(), time.monotonic(), courier.received
        if order.end == UNLIMITED:
            self.drain(station, courier, posters, wanted=budget)
            seconds = max(1e-9, (courier.last_receipt - order.begin) / 1e9)
        else:
            while courier.turn(0.05) < order.end:
                check(posters)
                station.counters[0], station.counters[1] = courier.accepted, courier.received
            seconds = time.monotonic() - began
        courier.budget = 0
        return Share(
            seconds,
            courier.received - received,
            effort.share(),
            courier.receipts.dump(),
            courier.answers.dump(),
        )

    def drain(self, station: Station, courier: Courier, posters: list[Poster], wanted: int) -> None:
        """Waits until `wanted` messages are posted, and all that is posted is answered, and all that is
        accepted is received; or until nothing moves for the stall time.
        """
        seen, since = -1, time.monotonic()
        while time.monotonic() - since < self.plan.stall:
            done = courier.posted >= wanted and courier.answered == courier.posted
            if done and courier.received >= courier.accepted:
                return
            check(posters)
            courier.turn(0.05)
            station.counters[0], station.counters[1] = courier.accepted, courier.received
            if courier.received + courier.answered != seen:
                seen, since = courier.received + courier.answered, time.monotonic()


def check(posters: list[Poster]) -> None:
    """Raises BenchFailed when a connection to the API is lost: what it had posted is in doubt."""
    for poster in posters:
        if poster.failure:
            raise BenchFailed(f"the connection to the HTTP API failed: {poster.failure}")


def ending_of(courier: Courier, tally: Tally) -> Ending:
    """How a process's messages stand."""
    return Ending(
        courier.accepted,
        courier.received,
        courier.refused,
        courier.duplicates,
        courier.foreign,
        tally.lost,
        [name.decode() for name in courier.message_ids],
    )


def device_name(number: int) -> str:
    """The name of a device, of equal length for all, so that all requests have one length."""
    return f"bench-{number:07}"


def message_opening(device: str) -> bytes:
    """A message's JSON up to its payload's opening quote."""
    return b'{"audience":{"devices":["%b"]},"payload":"' % device.encode()
