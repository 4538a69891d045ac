"""`longline bench upstream`: what devices publish to their app server at QoS 1, to its PUBACK.

A PUBACK says that the message is stored. Afterwards the app's events are read: as long as none were removed
unread, every message that was acknowledged has to be among them, once.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from longline.bench.figures import LoadFigures
from longline.bench.fleet import Crew, Effort, Fleet, Order, limit_reached, positive
from longline.bench.hot.histogram import LatencyHistogram, load
from longline.bench.hot.station import Station
from longline.bench.hot.upstream import STAMP_BYTES, Uplink, UplinkDevice
from longline.bench.hot.wire import Handshakes
from longline.bench.latencies import Latencies, latencies_of
from longline.bench.ledgers import Api
from longline.bench.push import KEEP_ALIVE, PushPlan, device_name, payload_holds
from longline.bench.servers import cores_of, cpu_seconds_by_pid
from longline.bench.targets import BenchFailed, LoadTarget, probe
from longline.bench.work import Work, part_of, until_ordered
from longline.mqtt.codec import encode
from longline.mqtt.packets import Publish

WARM_UP = 0.5
"""Seconds of load before the measurement begins."""

TOPIC = "up/bench"

PAGE = 1000
"""Events that are read at once, at most."""


@dataclass(frozen=True, kw_only=True)
class UpstreamPlan(PushPlan):
    """What `upstream` shall do."""

    window: int = 16
    """Messages of each device that are not acknowledged, at most."""
    seconds: float = 10.0
    """Length of the measurement."""

    def check(self) -> None:
        super().check()
        positive(window=self.window)


class UpstreamShare(msgspec.Struct, frozen=True):
    """What one process has measured."""

    seconds: float
    acknowledged: int
    cpu: float
    latencies: list[int]


class UpstreamEnding(msgspec.Struct, frozen=True):
    """How one process's messages stand when no PUBACK comes any more."""

    published: int
    acknowledged: int
    refused: int
    lost_connections: int


class FoundEvent(msgspec.Struct, frozen=True):
    """What is read of an event."""

    type: str
    payload: msgspec.Raw = msgspec.Raw(b"")


class UpstreamPage(msgspec.Struct, frozen=True):
    """What is read of `GET …/upstream`."""

    events: list[FoundEvent]
    next_cursor: str | None = None
    gap: bool = False


class UpstreamFigures(LoadFigures, frozen=True, kw_only=True):
    """The result of `upstream`; lost is what was acknowledged and is not among the events, or was never
    answered."""

    acknowledged_per_second: float
    latency: Latencies
    """From PUBLISH to PUBACK."""
    acknowledged: int
    refused: int
    doubled: int
    """Messages that are among the events more than once."""
    found: int | None
    """Messages among the events; None where some events were removed unread, as there were too many."""

    def sound(self) -> bool:
        """Whether every message was acknowledged, and is stored once."""
        return not (self.lost or self.refused or self.doubled or self.lost_connections)


def run(plan: UpstreamPlan, target: LoadTarget, crew: Crew) -> UpstreamFigures:
    """Runs `plan`; raises BenchFailed when it cannot be carried out."""
    payload_holds(plan.size, STAMP_BYTES)
    if plan.devices < crew.processes:
        raise BenchFailed("fewer devices than processes")
    api = Api(plan.url, target.app, plan.key)
    probe(target, device_name(0), KEEP_ALIVE)
    work = UpstreamWork(plan, target)
    with Fleet(crew, work.run) as fleet:
        fleet.gather(lambda counters: f"connected {counters[2]:,} of {plan.devices:,}")
        behind = newest(api)
        fleet.begin(WARM_UP, plan.seconds)
        before = cpu_seconds_by_pid(crew.server_pid)
        shares = fleet.reports(UpstreamShare, lambda counters: f"acknowledged {counters[0]:,}")
        cores = cores_of(before, cpu_seconds_by_pid(crew.server_pid), max(share.seconds for share in shares))
        fleet.tell()
        endings = fleet.reports(UpstreamEnding, lambda counters: f"acknowledged {counters[0]:,}")
        fleet.tell()
    return figures_of(shares, endings, stored(api, work.mark, behind), cores)


def figures_of(
    shares: Sequence[UpstreamShare],
    endings: Sequence[UpstreamEnding],
    numbers: Sequence[bytes] | None,
    cores: dict[int, float],
) -> UpstreamFigures:
    """Adds up what the processes have measured; `numbers`: of the messages among the events, process and
    number; `cores` is what each of the server's used."""
    latencies = LatencyHistogram()
    for share in shares:
        latencies.merge(load(share.latencies))
    acknowledged = sum(ending.acknowledged for ending in endings)
    refused = sum(ending.refused for ending in endings)
    different = acknowledged if numbers is None else len(set(numbers))
    unanswered = sum(ending.published for ending in endings) - acknowledged - refused
    efforts = [share.cpu for share in shares]
    return UpstreamFigures(
        seconds=max(share.seconds for share in shares),
        acknowledged_per_second=sum(share.acknowledged / share.seconds for share in shares),
        latency=latencies_of(latencies),
        acknowledged=acknowledged,
        refused=refused,
        lost=unanswered + max(0, acknowledged - different),
        doubled=0 if numbers is None else len(numbers) - different,
        found=None if numbers is None else different,
        lost_connections=sum(ending.lost_connections for ending in endings),
        server_cpu=sum(cores.values()) if cores else None,
        server_cpu_by_pid=cores,
        generator_cpu=efforts,
        generator_was_the_limit=limit_reached(efforts),
    )


def newest(api: Api) -> str:
    """A cursor behind all events that there are; empty before the first."""
    connection = api.connect()
    try:
        return (
            msgspec.json.decode(api.get(connection, "/upstream?tail=true"), type=UpstreamPage).next_cursor
            or ""
        )
    finally:
        connection.close()


def stored(api: Api, mark: bytes, cursor: str) -> list[bytes] | None:
    """The stamps of this run's messages among the events behind a cursor.

    None where some of these were removed unread.
    """
    found: list[bytes] = []
    connection = api.connect()
    try:
        while True:
            path = f"/upstream?limit={PAGE}" + (f"&cursor={cursor}" if cursor else "")
            page = msgspec.json.decode(api.get(connection, path), type=UpstreamPage)
            if page.gap:
                return None
            for event in page.events:
                payload = bytes(event.payload)
                if event.type == "upstream" and payload[1 : len(mark) + 1] == mark:
                    found.append(payload[1 : STAMP_BYTES + 1])
            if not page.events or page.next_cursor is None:
                return found
            cursor = page.next_cursor
    finally:
        connection.close()


class UpstreamWork(Work[UpstreamPlan]):
    """Devices that publish."""

    def __init__(self, plan: UpstreamPlan, target: LoadTarget) -> None:
        super().__init__(plan, target)
        self.mark = os.urandom(3).hex().encode()

    def run(self, station: Station) -> None:
        """Connects, publishes as ordered, reports."""
        plan, level = self.plan, self.target.protocol
        mark = self.mark + b"%02x" % (station.index % 256)
        uplink = Uplink(station.poller, level, mark, plan.window)
        handshakes = Handshakes(self.cipher())
        head, tail = publication(level, plan.size)
        devices = [
            UplinkDevice(uplink, handshakes, self.target.connect(device_name(number), KEEP_ALIVE), head, tail)
            for number in part_of(station, plan.devices)
        ]
        self.connect(station, handshakes, devices, plan.devices)
        station.report(b"")
        order = msgspec.json.decode(until_ordered(station, uplink.turn), type=Order)
        station.report(msgspec.json.encode(self.measure(station, uplink, devices, order)))
        until_ordered(station, uplink.turn)
        self.drain(station, uplink)
        ending = UpstreamEnding(uplink.published, uplink.acknowledged, uplink.refused, handshakes.lost)
        station.report(msgspec.json.encode(ending))
        until_ordered(station, uplink.turn)

    def measure(
        self, station: Station, uplink: Uplink, devices: Sequence[UplinkDevice], order: Order
    ) -> UpstreamShare:
        """Publishes from `begin` to `end`."""
        now = uplink.turn(0.001)
        while now < order.begin:
            now = uplink.turn(0.001)
        uplink.going = True
        for device in devices:
            device.publish(uplink.window, now)
        while uplink.turn(0.05) < order.measure:
            pass
        uplink.latencies = LatencyHistogram()
        effort, began, before = Effort(), time.monotonic(), uplink.acknowledged
        while uplink.turn(0.05) < order.end:
            station.counters[0] = uplink.acknowledged
        uplink.going = False
        seconds = time.monotonic() - began
        return UpstreamShare(seconds, uplink.acknowledged - before, effort.share(), uplink.latencies.dump())

    def drain(self, station: Station, uplink: Uplink) -> None:
        """Waits until all is answered, or nothing moves for the stall time."""
        seen, since = -1, time.monotonic()
        while time.monotonic() - since < self.plan.stall:
            answered = uplink.acknowledged + uplink.refused
            if answered == uplink.published:
                return
            if answered != seen:
                seen, since = answered, time.monotonic()
            uplink.turn(0.05)
            station.counters[0] = uplink.acknowledged


def publication(level: int, size: int) -> tuple[bytes, bytes]:
    """A PUBLISH of `size` bytes: what comes before the packet identifier, and what follows the stamp."""
    whole = encode(Publish(TOPIC, b"x" * size, 1, packet_id=1), level)
    return whole[: whole.index(TOPIC.encode()) + len(TOPIC)], whole[len(whole) - size + STAMP_BYTES :]
