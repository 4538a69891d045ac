"""`longline bench drain`: devices that come back to what has gathered for them.

The devices are registered, and each is sent its messages while it is away; then all of them connect, and take
and acknowledge what waits. Measured is from the first connect() to the last message.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from longline.bench.fleet import Crew, Effort, Fleet, Order, limit_reached, positive
from longline.bench.hot.courier import STAMP_BYTES, Courier, Poster, UnicastDevice
from longline.bench.hot.station import Station
from longline.bench.hot.wire import Handshakes
from longline.bench.ledgers import Api, ServerVerdict, verify
from longline.bench.push import KEEP_ALIVE, AcceptedFigures, PushPlan, device_name, payload_holds
from longline.bench.servers import cores_of, cpu_seconds_by_pid
from longline.bench.targets import BenchFailed, LoadTarget, probe, resolve
from longline.bench.unicast import DEVICES_ASKED, UnicastEnding, check, ending_of, message_opening, posters_of
from longline.bench.work import Work, part_of, until_ordered

REGISTERED_AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True)
class LoadDrainPlan(PushPlan):
    """What `drain` shall do."""

    devices: int = 100
    """Devices that are away, and come back together."""
    pending: int = 3000
    """Messages that wait for each."""
    batch: int = 500
    """Messages per request, while they are sent."""
    concurrency: int = 4
    """HTTP connections of each process, while they are sent."""

    def check(self) -> None:
        super().check()
        positive(pending=self.pending, batch=self.batch, concurrency=self.concurrency)


class DrainShare(msgspec.Struct, frozen=True):
    """When the last message came to one process, and what it used of its core (monotonic ns)."""

    last_receipt: int
    cpu: float


class DrainFigures(AcceptedFigures, frozen=True, kw_only=True):
    """The result of `drain`."""

    drained_per_second: float
    drained: int


def run(plan: LoadDrainPlan, target: LoadTarget, crew: Crew) -> DrainFigures:
    """Runs `plan`; raises BenchFailed when it cannot be carried out."""
    payload_holds(plan.size, STAMP_BYTES)
    if plan.devices < crew.processes:
        raise BenchFailed("fewer devices than processes")
    api = Api(plan.url, target.app, plan.key)
    probe(target, device_name(0), KEEP_ALIVE)
    names = [device_name(number) for number in range(plan.devices)]
    register(api, names)
    with Fleet(crew, DrainWork(plan, target, api).run) as fleet:
        fleet.gather(lambda counters: f"sent {counters[0]:,} of {plan.devices * plan.pending:,}")
        before = cpu_seconds_by_pid(crew.server_pid)
        began = time.monotonic_ns()
        fleet.tell(msgspec.json.encode(Order(began, began, 0)))
        shares = fleet.reports(DrainShare, lambda counters: f"drained {counters[1]:,} of {counters[0]:,}")
        seconds = max(1e-9, (max(share.last_receipt for share in shares) - began) / 1e9)
        cores = cores_of(before, cpu_seconds_by_pid(crew.server_pid), seconds)
        fleet.tell()
        endings = fleet.reports(UnicastEnding, lambda counters: f"drained {counters[1]:,} of {counters[0]:,}")
        ids = [name for ending in endings for name in ending.message_ids]
        verdict = verify(api, names[:DEVICES_ASKED], ids, plan.stall)
        fleet.tell()
    return figures_of(shares, endings, verdict, cores, seconds)


def figures_of(
    shares: Sequence[DrainShare],
    endings: Sequence[UnicastEnding],
    verdict: ServerVerdict,
    cores: dict[int, float],
    seconds: float,
) -> DrainFigures:
    """Adds up what the processes have measured; `cores` is what each of the server's used."""
    refused: dict[str, int] = {}
    for ending in endings:
        for reason, count in ending.refused.items():
            refused[reason] = refused.get(reason, 0) + count
    drained = sum(ending.received for ending in endings)
    efforts = [share.cpu for share in shares]
    return DrainFigures(
        seconds=seconds,
        drained_per_second=drained / seconds,
        accepted=sum(ending.accepted for ending in endings),
        drained=drained,
        lost=sum(ending.accepted - ending.received for ending in endings),
        duplicates=sum(ending.duplicates for ending in endings),
        foreign=sum(ending.foreign for ending in endings),
        refused=refused,
        lost_connections=sum(ending.lost_connections for ending in endings),
        verdict=verdict,
        server_cpu=sum(cores.values()) if cores else None,
        server_cpu_by_pid=cores,
        generator_cpu=efforts,
        generator_was_the_limit=limit_reached(efforts),
    )


def register(api: Api, names: Sequence[str]) -> None:
    """Registers devices, or leaves those that are."""
    connection = api.connect()
    try:
        for first in range(0, len(names), REGISTERED_AT_ONCE):
            devices = [{"device": name} for name in names[first : first + REGISTERED_AT_ONCE]]
            body = msgspec.json.encode({"devices": devices})
            api.request(connection, "POST", "/devices:batch", body)
    finally:
        connection.close()


class DrainWork(Work[LoadDrainPlan]):
    """Connections that post, and devices that come when all is sent."""

    def __init__(self, plan: LoadDrainPlan, target: LoadTarget, api: Api) -> None:
        super().__init__(plan, target)
        self.api = api
        self.mark = os.urandom(4).hex().encode()
        self.center = resolve(api.host, api.port)

    def run(self, station: Station) -> None:
        """Posts, connects and receives as ordered, reports."""
        plan, counters = self.plan, station.counters
        names = [device_name(number) for number in part_of(station, plan.devices)]
        total = len(names) * plan.pending
        courier = Courier(station.poller, self.target.protocol, self.mark, plan.size, plan.batch, total)
        courier.openings = [message_opening(name) for name in names]
        posters = posters_of(courier, self.api, self.center, plan.concurrency)
        courier.budget = total
        seen, since = -1, time.monotonic()
        while courier.answered < total:
            if courier.answered != seen:
                seen, since = courier.answered, time.monotonic()
            elif time.monotonic() - since > plan.stall:
                raise BenchFailed("the HTTP API answers nothing any more")
            check(posters)
            courier.turn(0.05)
            counters[0] = courier.accepted
        handshakes = Handshakes(self.cipher())
        devices = [
            UnicastDevice(courier, handshakes, self.target.connect(name, KEEP_ALIVE)) for name in names
        ]
        station.report(b"")
        until_ordered(station, courier.turn)
        effort = Effort()
        self.connect(station, handshakes, devices, plan.devices)
        self.receive(station, courier, posters)
        station.report(msgspec.json.encode(DrainShare(courier.last_receipt, effort.share())))
        until_ordered(station, courier.turn)
        station.report(msgspec.json.encode(ending_of(courier, handshakes)))
        until_ordered(station, courier.turn)

    def receive(self, station: Station, courier: Courier, posters: list[Poster]) -> None:
        """Until all is received, or nothing moves for the stall time."""
        seen, since = -1, time.monotonic()
        while courier.received < courier.accepted and time.monotonic() - since < self.plan.stall:
            if courier.received != seen:
                seen, since = courier.received, time.monotonic()
            check(posters)
            courier.turn(0.05)
            station.counters[1] = courier.received
