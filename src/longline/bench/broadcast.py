"""`longline bench broadcast`: pushes to everybody through the HTTP API, to the connected devices' receipts.

The load is closed: at most `window` broadcasts are on their way to some device. Afterwards the ledgers of all
of them are asked for: every device that was targeted must have acknowledged.
"""

import http.client
import os
import time
from collections.abc import Sequence

import msgspec

from longline.bench.dialling import dial_all
from longline.bench.fleet import Crew, Effort, Fleet, limit_reached
from longline.bench.hot.audience import STAMP_BYTES, Audience, Listener
from longline.bench.hot.histogram import Histogram
from longline.bench.hot.station import COUNTERS, Station
from longline.bench.hot.wire import Link, Tally
from longline.bench.latencies import Latencies, latencies_of
from longline.bench.ledgers import REQUEST_SECONDS, Api, Verdict, verify
from longline.bench.servers import cores_of, cpu_seconds_by_pid
from longline.bench.targets import BenchFailed, Target, probe, resolve
from longline.bench.unicast import KEEP_ALIVE, device_name

WARM_UP = 1
"""Broadcasts before the measurement begins."""

LOOK_SECONDS = 0.0005
"""Between two looks at how far the devices are."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What `broadcast` shall do."""

    url: str = "http://127.0.0.1:8080"
    key: str
    """The app's server key. The app should have no devices but these."""
    devices: int = 1000
    messages: int = 50
    size: int = 128
    """Bytes of payload."""
    qos: int = 1
    window: int = 4
    """Broadcasts that some device may still lack."""
    stall: float = 10.0
    """Seconds without any progress after which what is missing counts as lost."""


class Share(msgspec.Struct, frozen=True):
    """What one process has measured."""

    received: int
    duplicates: int
    disordered: int
    foreign: int
    lost_links: int
    last_at: list[int]
    cpu: float


class Result(msgspec.Struct, frozen=True):
    """What is read of one message's answer."""

    message_id: str | None = None


class Results(msgspec.Struct, frozen=True):
    """What is read of the answer to a batch."""

    results: list[Result]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `broadcast`."""

    seconds: float
    delivered_per_second: float
    broadcasts_per_second: float
    spread: Latencies
    """From POST to the arrival at the last device."""
    delivered: int
    lost: int
    duplicates: int
    disordered: int
    foreign: int
    """Messages that an earlier run had left to these devices."""
    lost_links: int
    verdict: Verdict
    server_cpu: float | None
    """Cores that the server used."""
    server_cpu_by_pid: dict[int, float] = {}
    """The same, of each process."""
    delivered_per_server_core: float | None
    generator_cpu: list[float]
    generator_was_the_limit: bool

    def sound(self) -> bool:
        """Whether every device had everything once and in order, and the server agrees."""
        wrong = self.lost or self.duplicates or self.disordered or self.lost_links
        return not wrong and self.verdict.clean()


def run(plan: Plan, target: Target, crew: Crew, server_pids: Sequence[int]) -> Figures:
    """Runs `plan`; raises BenchFailed when it cannot be carried out."""
    if plan.size < STAMP_BYTES:
        raise BenchFailed(f"a payload needs {STAMP_BYTES} bytes for its mark and sequence number")
    if plan.devices < crew.processes:
        raise BenchFailed("fewer devices than processes")
    api = Api(plan.url, target.app, plan.key)
    probe(target, device_name(0), KEEP_ALIVE)
    work = Work(plan, target)
    with Fleet(crew, work.run) as fleet:
        fleet.gather(lambda counters: f"connected {counters[2]:,} of {plan.devices:,}")
        caster = Caster(plan, api, work.mark, fleet)
        caster.cast(WARM_UP)
        fleet.tell(b"")
        cpu_before, began = cpu_seconds_by_pid(server_pids), time.monotonic()
        caster.cast(plan.messages)
        cores = cores_of(cpu_before, cpu_seconds_by_pid(server_pids), time.monotonic() - began)
        fleet.tell(b"")
        shares = [
            msgspec.json.decode(report, type=Share)
            for report in fleet.gather(lambda counters: f"delivered {counters[0]:,}")
        ]
        # Asked while the devices are still connected: what is pending now was never acknowledged.
        verdict = verify(api, [], caster.message_ids, plan.stall)
        fleet.tell(b"")
    return figures_of(plan, caster.posted_at, shares, verdict, cores)


def figures_of(
    plan: Plan, posted_at: Sequence[int], shares: Sequence[Share], verdict: Verdict, cores: dict[int, float]
) -> Figures:
    """Adds up what the processes have measured; `cores` is what each of the server's used."""
    last_at = [max(column) for column in zip(*(share.last_at for share in shares), strict=True)]
    spread = Histogram()
    for posted, last in zip(posted_at[WARM_UP:], last_at[WARM_UP:], strict=True):
        spread.record(last - posted)
    seconds = max(1e-9, (max(last_at) - posted_at[WARM_UP]) / 1e9)
    received = sum(share.received for share in shares)
    rate = (received - plan.devices * WARM_UP) / seconds
    used = sum(cores.values())
    efforts = [share.cpu for share in shares]
    return Figures(
        seconds=seconds,
        delivered_per_second=rate,
        broadcasts_per_second=plan.messages / seconds,
        spread=latencies_of(spread),
        delivered=received,
        lost=plan.devices * (plan.messages + WARM_UP) - received,
        duplicates=sum(share.duplicates for share in shares),
        disordered=sum(share.disordered for share in shares),
        foreign=sum(share.foreign for share in shares),
        lost_links=sum(share.lost_links for share in shares),
        verdict=verdict,
        server_cpu=used if cores else None,
        server_cpu_by_pid=cores,
        delivered_per_server_core=rate / used if used else None,
        generator_cpu=efforts,
        generator_was_the_limit=limit_reached(efforts),
    )


class Caster:
    """The conductor's part: posts broadcasts as fast as the devices receive them."""

    def __init__(self, plan: Plan, api: Api, mark: bytes, fleet: Fleet) -> None:
        self.plan = plan
        self.api = api
        self.mark = mark
        self.numbers = memoryview(fleet.shared).cast("q")
        self.posted_at: list[int] = []
        self.message_ids: list[str] = []
        self.connection = http.client.HTTPConnection(api.host, api.port, timeout=REQUEST_SECONDS)

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
            b'{"audience":"all","payload":"%b%b%b","options":{"qos":%d}}'
            % (self.mark, number.to_bytes(4, "big").hex().encode(), padding, self.plan.qos)
            for number in range(first, first + count)
        ]
        body = b'{"messages":[%b]}' % b",".join(messages)
        headers = {"Authorization": f"Bearer {self.api.key}", "Content-Type": "application/json"}
        self.posted_at += [time.monotonic_ns()] * count
        try:
            self.connection.request("POST", f"{self.api.base}/messages:batch", body, headers)
            response = self.connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise BenchFailed(f"a broadcast could not be posted: {error}") from error
        if response.status != 202:
            raise BenchFailed(f"a broadcast was answered {response.status}: {answer[:200]!r}")
        for result in msgspec.json.decode(answer, type=Results).results:
            if result.message_id is None:
                raise BenchFailed(f"a broadcast was refused: {answer[:200]!r}")
            self.message_ids.append(result.message_id)


class Work:
    """The part of a plan that one process carries out. Made before the processes part."""

    def __init__(self, plan: Plan, target: Target) -> None:
        self.plan = plan
        self.target = target
        self.mark = os.urandom(4).hex().encode()
        self.room = resolve(target.host, target.port)

    def run(self, station: Station) -> None:
        """Connects, listens as ordered, reports."""
        plan, poller, counters = self.plan, station.poller, station.counters
        audience = Audience(poller, self.target.protocol, self.mark, WARM_UP + plan.messages)
        tally = Tally()
        names = [device_name(number) for number in range(station.index, plan.devices, station.of)]
        listeners: list[Link] = [
            Listener(audience, tally, self.target.connect(name, KEEP_ALIVE)) for name in names
        ]
        dial_all(station, tally, self.room, listeners, plan.devices)
        station.report(b"")

        def until_ordered() -> None:
            while not station.ordered():
                poller.turn(0.05)
                counters[0] = audience.received
            station.take()

        until_ordered()
        effort = Effort()
        until_ordered()
        station.report(
            msgspec.json.encode(
                Share(
                    audience.received,
                    audience.duplicates,
                    audience.disordered,
                    audience.foreign,
                    tally.lost,
                    audience.last_at,
                    effort.share(),
                )
            )
        )
        until_ordered()
