"""`longline bench broadcast`: pushes to everybody, or to a group, through the HTTP API, to their receipts.

The load is closed: at most `window` broadcasts are on their way to some device. Afterwards the ledgers of all
of them are asked for: every device that was targeted must have acknowledged.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

import msgspec

from longline.bench.fleet import Crew, Effort, Fleet, limit_reached, positive
from longline.bench.hot.audience import STAMP_BYTES, Audience, BroadcastDevice
from longline.bench.hot.histogram import LatencyHistogram
from longline.bench.hot.station import COUNTERS, Station
from longline.bench.hot.wire import Handshakes
from longline.bench.latencies import Latencies, latencies_of
from longline.bench.ledgers import Api, ServerVerdict, verify
from longline.bench.push import KEEP_ALIVE, PushFigures, PushPlan, device_name, payload_holds
from longline.bench.servers import cores_of, cpu_seconds_by_pid
from longline.bench.targets import BenchFailed, LoadTarget, probe
from longline.bench.work import Work, part_of, until_ordered

WARM_UP = 1
"""Broadcasts before the measurement begins."""

MEMBERS_AT_ONCE = 1000

LOOK_SECONDS = 0.0005
"""Between two looks at how far the devices are."""


@dataclass(frozen=True, kw_only=True)
class BroadcastPlan(PushPlan):
    """What `broadcast` shall do. The app should have no devices but these."""

    messages: int = 50
    """Broadcasts."""
    qos: int = 1
    """0 or 1."""
    window: int = 4
    """Broadcasts that some device may still lack."""
    group: str = ""
    """Say them in this group, which is made anew with these devices as its members."""

    def check(self) -> None:
        super().check()
        positive(messages=self.messages, window=self.window)
        if self.qos not in (0, 1):
            raise ValueError("--qos is 0 or 1")


class BroadcastShare(msgspec.Struct, frozen=True):
    """What one process has measured."""

    received: int
    duplicates: int
    disordered: int
    foreign: int
    lost_connections: int
    last_at: list[int]
    cpu: float


class Result(msgspec.Struct, frozen=True):
    """What is read of one message's answer."""

    message_id: str | None = None


class Results(msgspec.Struct, frozen=True):
    """What is read of the answer to a batch."""

    results: list[Result]


class BroadcastFigures(PushFigures, frozen=True, kw_only=True):
    """The result of `broadcast`."""

    delivered_per_second: float
    broadcasts_per_second: float
    spread: Latencies
    """From POST to the arrival at the last device."""
    delivered: int
    disordered: int
    delivered_per_server_core: float | None

    def sound(self) -> bool:
        """Whether every device had everything once and in order, and the server agrees."""
        wrong = self.lost or self.duplicates or self.disordered or self.lost_connections
        return not wrong and self.verdict.clean()


def run(plan: BroadcastPlan, target: LoadTarget, crew: Crew) -> BroadcastFigures:
    """Runs `plan`; raises BenchFailed when it cannot be carried out."""
    payload_holds(plan.size, STAMP_BYTES)
    if plan.devices < crew.processes:
        raise BenchFailed("fewer devices than processes")
    api = Api(plan.url, target.app, plan.key)
    probe(target, device_name(0), KEEP_ALIVE)
    work = BroadcastWork(plan, target)
    with Fleet(crew, work.run) as fleet:
        fleet.gather(lambda counters: f"connected {counters[2]:,} of {plan.devices:,}")
        if plan.group:
            make_group(api, plan.group, [device_name(number) for number in range(plan.devices)])
        caster = Caster(plan, api, work.mark, fleet)
        caster.cast(WARM_UP)
        fleet.tell()
        cpu_before, began = cpu_seconds_by_pid(crew.server_pid), time.monotonic()
        caster.cast(plan.messages)
        cores = cores_of(cpu_before, cpu_seconds_by_pid(crew.server_pid), time.monotonic() - began)
        fleet.tell()
        shares = fleet.reports(BroadcastShare, lambda counters: f"delivered {counters[0]:,}")
        # Asked while the devices are still connected: what is pending now was never acknowledged.
        verdict = verify(api, [], caster.message_ids, plan.stall)
        fleet.tell()
    return figures_of(plan, caster.posted_at, shares, verdict, cores)


def figures_of(
    plan: BroadcastPlan,
    posted_at: Sequence[int],
    shares: Sequence[BroadcastShare],
    verdict: ServerVerdict,
    cores: dict[int, float],
) -> BroadcastFigures:
    """Adds up what the processes have measured; `cores` is what each of the server's used."""
    last_at = [max(column) for column in zip(*(share.last_at for share in shares), strict=True)]
    spread = LatencyHistogram()
    for posted, last in zip(posted_at[WARM_UP:], last_at[WARM_UP:], strict=True):
        spread.record(last - posted)
    seconds = max(1e-9, (max(last_at) - posted_at[WARM_UP]) / 1e9)
    received = sum(share.received for share in shares)
    rate = (received - plan.devices * WARM_UP) / seconds
    used = sum(cores.values())
    efforts = [share.cpu for share in shares]
    return BroadcastFigures(
        seconds=seconds,
        delivered_per_second=rate,
        broadcasts_per_second=plan.messages / seconds,
        spread=latencies_of(spread),
        delivered=received,
        lost=plan.devices * (plan.messages + WARM_UP) - received,
        duplicates=sum(share.duplicates for share in shares),
        disordered=sum(share.disordered for share in shares),
        foreign=sum(share.foreign for share in shares),
        lost_connections=sum(share.lost_connections for share in shares),
        verdict=verdict,
        server_cpu=used if cores else None,
        server_cpu_by_pid=cores,
        delivered_per_server_core=rate / used if used else None,
        generator_cpu=efforts,
        generator_was_the_limit=limit_reached(efforts),
    )


class Caster:
    """The conductor's part: posts broadcasts as fast as the devices receive them."""

    def __init__(self, plan: BroadcastPlan, api: Api, mark: bytes, fleet: Fleet) -> None:
        self.plan = plan
        self.api = api
        self.mark = mark
        self.numbers = memoryview(fleet.shared).cast("q")
        self.posted_at: list[int] = []
        self.message_ids: list[str] = []
        self.audience = msgspec.json.encode({"group": plan.group} if plan.group else "all")
        self.connection = api.connect()

    def cast(self, count: int) -> None:
        """Posts so many broadcasts and waits until all devices have them, or nothing moves.

        Raises BenchFailed when nothing moves before all are posted.
        """
        while count:
            free = self.plan.window - self.wait(self.plan.window - 1)
            if free <= 0:
                raise BenchFailed("broadcasts do not reach all devices")
            self.post(min(free, count))
            count -= min(free, count)
        self.wait(0)

    def wait(self, window: int) -> int:
        """Until at most `window` broadcasts are on their way, or nothing moves; returns how many are."""
        seen, since = -1, time.monotonic()
        while True:
            received = sum(self.numbers[::COUNTERS])
            # A broadcast counts until the last device has it.
            left = len(self.posted_at) - received // self.plan.devices
            if left <= window:
                return left
            if received != seen:
                seen, since = received, time.monotonic()
            elif time.monotonic() - since > self.plan.stall:
                return left
            time.sleep(LOOK_SECONDS)

    def post(self, count: int) -> None:
        """Posts the next ones in one request; raises BenchFailed unless all are accepted."""
        padding = b"x" * (self.plan.size - STAMP_BYTES)
        first = len(self.posted_at)
        messages = [
            b'{"audience":%b,"payload":"%b%b%b","options":{"qos":%d}}'
            % (self.audience, self.mark, number.to_bytes(4, "big").hex().encode(), padding, self.plan.qos)
            for number in range(first, first + count)
        ]
        body = b'{"messages":[%b]}' % b",".join(messages)
        self.posted_at += [time.monotonic_ns()] * count
        answer = self.api.request(self.connection, "POST", "/messages:batch", body)
        for result in msgspec.json.decode(answer, type=Results).results:
            if result.message_id is None:
                raise BenchFailed(f"a broadcast was refused: {answer[:200]!r}")
            self.message_ids.append(result.message_id)


def make_group(api: Api, group: str, members: Sequence[str]) -> None:
    """Makes a group with these members, in place of one of that name."""
    path = f"/groups/{quote(group, safe='')}"
    connection = api.connect()
    try:
        api.request(connection, "PUT", path, b'{"members":[]}')
        for first in range(0, len(members), MEMBERS_AT_ONCE):
            body = msgspec.json.encode({"members": members[first : first + MEMBERS_AT_ONCE]})
            api.request(connection, "POST", f"{path}/members:add", body)
    finally:
        connection.close()


class BroadcastWork(Work[BroadcastPlan]):
    """Devices that listen."""

    def __init__(self, plan: BroadcastPlan, target: LoadTarget) -> None:
        super().__init__(plan, target)
        self.mark = os.urandom(4).hex().encode()

    def run(self, station: Station) -> None:
        """Connects, listens as ordered, reports."""
        plan, poller, counters = self.plan, station.poller, station.counters
        audience = Audience(poller, self.target.protocol, self.mark, WARM_UP + plan.messages)
        handshakes = Handshakes(self.cipher())
        names = map(device_name, part_of(station, plan.devices))
        devices = [
            BroadcastDevice(audience, handshakes, self.target.connect(name, KEEP_ALIVE)) for name in names
        ]
        self.connect(station, handshakes, devices, plan.devices)
        station.report(b"")

        def turn(timeout: float) -> int:
            served = poller.turn(timeout)
            counters[0] = audience.received
            return served

        until_ordered(station, turn)
        effort = Effort()
        until_ordered(station, turn)
        share = BroadcastShare(
            audience.received,
            audience.duplicates,
            audience.disordered,
            audience.foreign,
            handshakes.lost,
            audience.last_at,
            effort.share(),
        )
        station.report(msgspec.json.encode(share))
        until_ordered(station, turn)
