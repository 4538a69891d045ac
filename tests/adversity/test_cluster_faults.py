"""Any process of a cluster killed, paused or cut off: nothing promised is lost, nobody has two owners."""

import asyncio
import itertools
import random
import statistics
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from tests.adversity.ledger import Ledger
from tests.adversity.ledger_books import now
from tests.cluster.cluster import Cluster
from tests.cluster.network import Network
from tests.cluster.role_process import RoleProcess
from tests.integration.shapes import standing

pytestmark = [pytest.mark.adversity, pytest.mark.shape("cluster"), pytest.mark.timeout(3600)]

KINDS = ("room", "center", "dispatcher", "coordinator")
CUT_OFF = tuple(f"{kind}-2" for kind in KINDS)  # those that run in namespaces
SESSION = 3.0  # s out of touch with ZooKeeper, after which a process is no member any more
# Longer than the session alone, and long enough to be declared dead and have one's devices taken away.
ABSENCES = (SESSION + 2, SESSION + 6)
CHECKED = 1500  # messages whose ledgers are looked at after each test

Fault = Callable[[RoleProcess, float], Awaitable[int]]  # returns when (ms) it was over


@pytest.fixture(scope="module")
def network() -> Iterator[Network | None]:
    if Network.missing():
        yield None
        return
    with Network(CUT_OFF) as network:
        yield network


@pytest.fixture(scope="module")
def cluster(network: Network | None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    settings = {"LONGLINE_KEEPER__SESSION_TIMEOUT": str(SESSION)}
    with standing(tmp_path_factory.mktemp("faults"), settings=settings, network=network) as cluster:
        yield cluster


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_is_lost_though_processes_are_killed(
    cluster: Cluster,
    kind: str,
    tmp_path: Path,
    rounds: int,
    chance: random.Random,
    tell: Callable[[str], None],
) -> None:
    async def kill(victim: RoleProcess, _: float) -> int:
        await victim.kill()
        killed = now()
        victim.start()
        await victim.ready()
        return killed

    async with Ledger(cluster, f"kill-{kind}", tmp_path) as ledger:
        times = Times(kind, "killed")
        for victim in itertools.islice(itertools.cycle(of_kind(cluster, kind)), rounds):
            await go_through(ledger, victim, kill, 0.0, times)
        await close(ledger, times, chance, tell)


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_is_lost_though_processes_are_paused_for_longer_than_their_session(
    cluster: Cluster,
    kind: str,
    tmp_path: Path,
    rounds: int,
    chance: random.Random,
    tell: Callable[[str], None],
) -> None:
    async def pause(victim: RoleProcess, absence: float) -> int:
        victim.pause()
        try:
            await asyncio.sleep(absence)
        finally:
            victim.resume()
        return now()

    async with Ledger(cluster, f"pause-{kind}", tmp_path) as ledger:
        times = Times(kind, "paused")
        victims = itertools.cycle(of_kind(cluster, kind))
        for victim, absence in itertools.islice(
            zip(victims, itertools.cycle(ABSENCES), strict=False), rounds
        ):
            await go_through(ledger, victim, pause, absence, times)
        await close(ledger, times, chance, tell)


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_is_lost_though_a_process_is_cut_off(
    cluster: Cluster,
    network: Network | None,
    kind: str,
    tmp_path: Path,
    rounds: int,
    chance: random.Random,
    tell: Callable[[str], None],
) -> None:
    if network is None:
        pytest.skip(str(Network.missing()))
    victim = next(each for each in of_kind(cluster, kind) if each.name in network.names)

    async def cut(victim: RoleProcess, absence: float) -> int:
        network.cut(victim.name)
        try:
            await asyncio.sleep(absence)
        finally:
            network.mend(victim.name)
        return now()

    async with Ledger(cluster, f"cut-{kind}", tmp_path) as ledger:
        times = Times(kind, "cut off")
        for absence in itertools.islice(itertools.cycle(ABSENCES), rounds):
            if kind == "coordinator":
                await make_leader(cluster, ledger, victim)
            await go_through(ledger, victim, cut, absence, times)
        await close(ledger, times, chance, tell)


def of_kind(cluster: Cluster, kind: str) -> Sequence[RoleProcess]:
    processes: dict[str, list[RoleProcess]] = {
        "room": cluster.rooms,
        "center": cluster.centers,
        "dispatcher": cluster.dispatchers,
        "coordinator": cluster.coordinators,
    }
    return processes[kind]


class Times:
    """How long recovery took in each round, in seconds, by what had to recover."""

    def __init__(self, kind: str, fault: str) -> None:
        self.kind = kind
        self.fault = fault
        self.rounds = 0
        self._taken: dict[str, list[float]] = {}

    def add(self, what: str, seconds: float) -> None:
        self._taken.setdefault(what, []).append(seconds)

    def __str__(self) -> str:
        """Median and most of each."""
        return ", ".join(
            f"{what} {statistics.median(taken):.1f} s (most {max(taken):.1f})"
            for what, taken in self._taken.items()
        )


async def make_leader(cluster: Cluster, ledger: Ledger, chosen: RoleProcess) -> None:
    """Has one coordinator do all the work: the others are killed, and come back when it has taken over."""
    others = [each for each in cluster.coordinators if each is not chosen]
    for other in others:
        await other.kill()
    await ledger.heard(now())
    for other in others:
        other.start()
        await other.ready()


async def go_through(ledger: Ledger, victim: RoleProcess, fault: Fault, absence: float, times: Times) -> None:
    """One round: all is well, a fault, all is well again, and everybody agrees who is where."""
    await ledger.quiet()
    since = now()
    over = await fault(victim, absence)
    await victim.ready()
    await ledger.quiet(now())
    await ledger.expect_one_owner_each()
    until = now()
    books = ledger.books
    books.read()
    if absence:
        times.add("pushes after the fault", books.recovery(since, over))
        times.add("pushes after its end", books.recovery(over, until))
    else:
        times.add("pushes", books.recovery(since, until))
    times.add("presence", books.presence_recovery(since, until))
    times.add("look-ups", books.lookup_recovery(since, until))
    times.rounds += 1


async def close(ledger: Ledger, times: Times, chance: random.Random, tell: Callable[[str], None]) -> None:
    """What must hold at the end, and the figures."""
    summary = await ledger.finish()
    ledger.expect_kept(summary)
    checked = await ledger.expect_balanced(chance, CHECKED)
    moves = sum(event.state == "moved" for event in ledger.books.heard.entries)
    tell(
        f"{times.kind} {times.fault}, {times.rounds} rounds: {summary.promised} promised, lost 0, "
        f"out of order 0, double owners 0, stale writes 0 ({checked} ledgers, {moves} moves), "
        f"duplicates {summary.duplicates}, refused {summary.refusals}; recovered: {times}"
    )
