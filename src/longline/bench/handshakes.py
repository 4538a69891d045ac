"""`longline bench handshakes`: TLS handshakes and nothing else, against any server that speaks TLS.

Each connection is closed when its handshake is over. A client's part of a handshake costs about as much as
a server's, so the load is easily the limit: what a second of the server's core is worth says more than the
rate.
"""

import socket
import ssl
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from longline.bench.figures import RunFigures
from longline.bench.fleet import Crew, Effort, Fleet, Order, limit_reached, positive
from longline.bench.hot.histogram import LatencyHistogram, load
from longline.bench.hot.shaker import Shakes, ShakingClient
from longline.bench.hot.station import Station
from longline.bench.latencies import Latencies, latencies_of
from longline.bench.servers import cores_of, cpu_seconds_by_pid
from longline.bench.targets import AnyTarget, BenchFailed
from longline.bench.work import Work, until_ordered

WARM_UP = 0.5
"""Seconds of load before the measurement begins."""

NO_TLS = "handshakes are those of TLS: say --tls"

TICKET_WITHIN = 2.0
"""Seconds to wait for a ticket."""


@dataclass(frozen=True, kw_only=True)
class HandshakesPlan:
    """What `handshakes` shall do."""

    at_once: int = 16
    """Handshakes in the air, of each process."""
    resume: bool = False
    """Go on with a session, by a ticket."""
    seconds: float = 5.0
    """Length of the measurement."""

    def check(self) -> None:
        """Raises ValueError for what makes no sense."""
        positive(at_once=self.at_once)


class HandshakesShare(msgspec.Struct, frozen=True):
    """What one process has measured."""

    seconds: float
    done: int
    resumed: int
    versions: dict[str, int]
    failed: dict[str, int]
    cpu: float
    taken: list[int]


class HandshakesFigures(RunFigures, frozen=True, kw_only=True):
    """The result of `handshakes`."""

    handshakes_per_second: float
    resumed_per_second: float
    """Of these, those that a ticket made short."""
    versions: dict[str, int]
    """Handshakes, those of the warm-up too, by the version of TLS that they agreed on."""
    handshake: Latencies
    """From connect() to the end of the handshake."""
    failed: dict[str, int]
    """By reason."""
    server_cpu: float | None
    """Cores that the server used."""
    handshakes_per_server_core: float | None

    def sound(self) -> bool:
        """Whether every handshake succeeded."""
        return not self.failed


def run(plan: HandshakesPlan, target: AnyTarget, crew: Crew) -> HandshakesFigures:
    """Runs `plan`; raises BenchFailed when it cannot be carried out."""
    if not target.tls:
        raise BenchFailed(NO_TLS)
    work = HandshakesWork(plan, target)
    with Fleet(crew, work.run) as fleet:
        fleet.gather(lambda counters: "getting ready")
        fleet.begin(WARM_UP, plan.seconds)
        before = cpu_seconds_by_pid(crew.server_pid)
        shares = fleet.reports(HandshakesShare, lambda counters: f"handshakes: {counters[0]:,}")
        after = cpu_seconds_by_pid(crew.server_pid)
    return figures_of(shares, cores_of(before, after, max(share.seconds for share in shares)))


def figures_of(shares: Sequence[HandshakesShare], cores: dict[int, float]) -> HandshakesFigures:
    """Adds up what the processes have measured; `cores` is what each of the server's used."""
    taken = LatencyHistogram()
    failed: Counter[str] = Counter()
    versions: Counter[str] = Counter()
    for share in shares:
        taken.merge(load(share.taken))
        failed.update(share.failed)
        versions.update(share.versions)
    rate = sum(share.done / share.seconds for share in shares)
    used = sum(cores.values())
    efforts = [share.cpu for share in shares]
    return HandshakesFigures(
        seconds=max(share.seconds for share in shares),
        handshakes_per_second=rate,
        resumed_per_second=sum(share.resumed / share.seconds for share in shares),
        versions=versions,
        handshake=latencies_of(taken),
        failed=failed,
        server_cpu=used if cores else None,
        handshakes_per_server_core=rate / used if used else None,
        generator_cpu=efforts,
        generator_was_the_limit=limit_reached(efforts),
    )


class HandshakesWork(Work[HandshakesPlan]):
    """Clients that shake hands."""

    def run(self, station: Station) -> None:
        """Shakes and counts as ordered, reports."""
        plan, poller = self.plan, station.poller
        cipher = self.cipher()
        if cipher is None:
            raise BenchFailed(NO_TLS)
        if plan.resume:
            cipher.session = a_session(cipher.context, self.address, self.target.host)
        shakes = Shakes(cipher, self.address)
        shakes.idle = [ShakingClient(poller, shakes) for _ in range(plan.at_once)]
        station.report(b"")
        order = msgspec.json.decode(until_ordered(station, poller.turn), type=Order)
        while time.monotonic_ns() < order.measure:
            shakes.turn(poller)
        effort, began = Effort(), time.monotonic()
        done, resumed = shakes.done, shakes.resumed
        shakes.taken = LatencyHistogram()
        while time.monotonic_ns() < order.end:
            shakes.turn(poller)
            station.counters[0] = shakes.done
        share = HandshakesShare(
            time.monotonic() - began,
            shakes.done - done,
            shakes.resumed - resumed,
            shakes.versions,
            shakes.failed,
            effort.share(),
            shakes.taken.dump(),
        )
        station.report(msgspec.json.encode(share))


def a_session(context: ssl.SSLContext, address: tuple[str, int], host: str) -> ssl.SSLSession:
    """A session with its ticket, which in TLS 1.3 comes after the handshake; BenchFailed without one."""
    try:
        with (
            socket.create_connection(address, timeout=TICKET_WITHIN) as plain,
            context.wrap_socket(plain, server_hostname=host) as sock,
        ):
            if sock.version() == "TLSv1.3":
                try:
                    sock.settimeout(TICKET_WITHIN)
                    sock.recv(1)  # the server has nothing to say, but for its ticket
                except TimeoutError:
                    pass
            session = sock.session
    except OSError as error:
        raise BenchFailed(f"no handshake: {error}") from error
    if session is None or not session.has_ticket:
        raise BenchFailed("the server gives no tickets")
    return session
