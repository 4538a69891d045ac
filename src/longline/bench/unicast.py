"""`longline bench unicast`: durable messages through the HTTP batch API to the devices' receipts.

Every message is for one device, is answered 202 after it is stored, and counts when its device has
received it and has sent the PUBACK. Afterwards the server is asked: nothing may be pending at any
device that is looked at, and the ledgers of a sample must balance.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from longline.bench.fleet import Crew, Effort, Fleet, Order, limit_reached, positive
from longline.bench.hot.courier import STAMP_BYTES, Courier, Poster, UnicastDevice
from longline.bench.hot.histogram import LatencyHistogram, load
from longline.bench.hot.station import Station
from longline.bench.hot.wire import Handshakes
from longline.bench.latencies import Latencies, latencies_of
from longline.bench.ledgers import Api, ServerVerdict, verify
from longline.bench.push import KEEP_ALIVE, AcceptedFigures, PushPlan, device_name, payload_holds
from longline.bench.servers import cores_of, cpu_seconds_by_pid
from longline.bench.targets import BenchFailed, LoadTarget, probe, resolve
from longline.bench.work import Work, part_of, until_ordered

WARM_UP = 0.5
"""Seconds of load before the measurement begins, when it is by time."""

UNLIMITED = 1 << 62

A_DAY = 86_400.0

DEVICES_ASKED = 1000
"""Of which `pending` is looked up at the end, at most."""


@dataclass(frozen=True, kw_only=True)
class UnicastPlan(PushPlan):
    """What `unicast` shall do: for `seconds`, or `messages` of them when that is not 0."""

    batch: int = 500
    """Messages per request."""
    single: bool = False
    """A request of its own for each message (`POST .../messages`) in place of batches."""
    rate: float = 0.0
    """Messages a second of all processes; 0: as fast as the window allows."""
    concurrency: int = 4
    """HTTP connections of each process."""
    window: int = 10_000
    """Messages of each process that are neither received nor refused, at most."""
    seconds: float = 10.0
    """Length of the measurement."""
    messages: int = 0
    """So many messages instead of a time."""

    def check(self) -> None:
        super().check()
        positive(batch=self.batch, concurrency=self.concurrency, window=self.window)
        if self.rate < 0:
            raise ValueError("--rate is at least 0")

    def part(self, total: int, index: int, of: int) -> int:
        """The share of a total that process `index` takes."""
        return total // of + (index < total % of)


class UnicastShare(msgspec.Struct, frozen=True):
    """What one process has measured."""

    seconds: float
    received: int
    cpu: float
    receipts: list[int]
    answers: list[int]


class UnicastEnding(msgspec.Struct, frozen=True):
    """How one process's messages stand when nothing comes any more."""

    accepted: int
    received: int
    refused: dict[str, int]
    duplicates: int
    foreign: int
    lost_connections: int
    message_ids: list[str]


class UnicastFigures(AcceptedFigures, frozen=True, kw_only=True):
    """The result of `unicast`."""

    acknowledged_per_second: float
    receipt: Latencies
    """From POST to the message's arrival at its device."""
    answer: Latencies
    """From POST to 202."""
    acknowledged: int


def run(plan: UnicastPlan, target: LoadTarget, crew: Crew) -> UnicastFigures:
    """Runs `plan`; raises BenchFailed when it cannot be carried out."""
    payload_holds(plan.size, STAMP_BYTES)
    if plan.batch > plan.window:
        raise BenchFailed(f"a window of {plan.window} never has room for a batch of {plan.batch}")
    if min(plan.devices, plan.messages or UNLIMITED) < crew.processes:
        raise BenchFailed("fewer devices or messages than processes")
    api = Api(plan.url, target.app, plan.key)
    probe(target, device_name(0), KEEP_ALIVE)
    work = UnicastWork(plan, target, api)
    with Fleet(crew, work.run) as fleet:
        fleet.gather(lambda counters: f"connected {counters[2]:,} of {plan.devices:,}")
        fleet.begin(0.0 if plan.messages else WARM_UP, A_DAY if plan.messages else plan.seconds)
        before = cpu_seconds_by_pid(crew.server_pid)
        shares = fleet.reports(
            UnicastShare, lambda counters: f"accepted {counters[0]:,}, received {counters[1]:,}"
        )
        after = cpu_seconds_by_pid(crew.server_pid)
        fleet.tell()
        endings = fleet.reports(
            UnicastEnding, lambda counters: f"received {counters[1]:,} of {counters[0]:,}"
        )
        # Asked while the devices are still connected: an inbox that is empty now has been acknowledged.
        names = [device_name(number) for number in range(min(plan.devices, DEVICES_ASKED))]
        verdict = verify(api, names, [name for ending in endings for name in ending.message_ids], plan.stall)
        fleet.tell()
    cores = cores_of(before, after, max(share.seconds for share in shares))
    return figures_of(shares, endings, verdict, cores)


def figures_of(
    shares: Sequence[UnicastShare],
    endings: Sequence[UnicastEnding],
    verdict: ServerVerdict,
    cores: dict[int, float],
) -> UnicastFigures:
    """Adds up what the processes have measured; `cores` is what each of the server's used."""
    receipts, answers = LatencyHistogram(), LatencyHistogram()
    refused: dict[str, int] = {}
    for share in shares:
        receipts.merge(load(share.receipts))
        answers.merge(load(share.answers))
    for ending in endings:
        for reason, count in ending.refused.items():
            refused[reason] = refused.get(reason, 0) + count
    seconds = max(share.seconds for share in shares)
    efforts = [share.cpu for share in shares]
    return UnicastFigures(
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
        lost_connections=sum(ending.lost_connections for ending in endings),
        verdict=verdict,
        server_cpu=sum(cores.values()) if cores else None,
        server_cpu_by_pid=cores,
        generator_cpu=efforts,
        generator_was_the_limit=limit_reached(efforts),
    )


class UnicastWork(Work[UnicastPlan]):
    """Connections that post, and the devices that receive."""

    def __init__(self, plan: UnicastPlan, target: LoadTarget, api: Api) -> None:
        super().__init__(plan, target)
        self.api = api
        self.mark = os.urandom(4).hex().encode()
        self.center = resolve(api.host, api.port)

    def run(self, station: Station) -> None:
        """Connects, posts and receives as ordered, reports."""
        plan = self.plan
        courier = Courier(
            station.poller,
            self.target.protocol,
            self.mark,
            plan.size,
            plan.batch,
            plan.window,
            plan.single,
            plan.rate / station.of,
        )
        handshakes = Handshakes(self.cipher())
        names = [device_name(number) for number in part_of(station, plan.devices)]
        courier.openings = [message_opening(name) for name in names]
        devices = [
            UnicastDevice(courier, handshakes, self.target.connect(name, KEEP_ALIVE)) for name in names
        ]
        self.connect(station, handshakes, devices, plan.devices)
        posters = posters_of(courier, self.api, self.center, plan.concurrency)
        station.report(b"")
        order = msgspec.json.decode(until_ordered(station, courier.turn), type=Order)
        budget = plan.part(plan.messages, station.index, station.of) if plan.messages else UNLIMITED
        share = self.measure(station, courier, posters, order, budget)
        station.report(msgspec.json.encode(share))
        until_ordered(station, courier.turn)
        self.drain(station, courier, posters, wanted=0)
        station.report(msgspec.json.encode(ending_of(courier, handshakes)))
        until_ordered(station, courier.turn)

    def measure(
        self, station: Station, courier: Courier, posters: list[Poster], order: Order, budget: int
    ) -> UnicastShare:
        """Posts from `begin` to `end`, or until the budget is spent and received."""
        while courier.turn(0.001) < order.begin:
            pass
        courier.budget = budget
        while courier.turn(0.05) < order.measure:
            check(posters)
        courier.receipts, courier.answers = LatencyHistogram(), LatencyHistogram()
        effort, began, received = Effort(), time.monotonic(), courier.received
        if self.plan.messages:
            self.drain(station, courier, posters, wanted=budget)
            seconds = max(1e-9, (courier.last_receipt - order.begin) / 1e9)
        else:
            while courier.turn(0.05) < order.end:
                check(posters)
                station.counters[0], station.counters[1] = courier.accepted, courier.received
            seconds = time.monotonic() - began
        courier.budget = 0
        return UnicastShare(
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


def posters_of(courier: Courier, api: Api, center: tuple[str, int], count: int) -> list[Poster]:
    """So many connections to the API, when all are made."""
    head = api.send_head("/messages" if courier.single else "/messages:batch")
    posters = [Poster(courier, head) for _ in range(count)]
    for poster in posters:
        poster.dial(center, "")
    while len(courier.idle) < len(posters):
        check(posters)
        courier.turn(0.05)
    return posters


def check(posters: list[Poster]) -> None:
    """Raises BenchFailed when a connection to the API is lost: what it had posted is in doubt."""
    for poster in posters:
        if poster.failure:
            raise BenchFailed(f"the connection to the HTTP API failed: {poster.failure}")


def ending_of(courier: Courier, handshakes: Handshakes) -> UnicastEnding:
    """How a process's messages stand."""
    return UnicastEnding(
        courier.accepted,
        courier.received,
        courier.refused,
        courier.duplicates,
        courier.foreign,
        handshakes.lost,
        [name.decode() for name in courier.message_ids],
    )


def message_opening(device: str) -> bytes:
    """A message's JSON up to its payload's opening quote."""
    return b'{"audience":{"devices":["%b"]},"payload":"' % device.encode()
