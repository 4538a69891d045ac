"""What every worker process does: make its clients, connect them, and move in step with the conductor."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from longline.bench.dialling import dial_all
from longline.bench.hot.cipher import Cipher
from longline.bench.hot.station import Station
from longline.bench.hot.wire import Handshakes, LoadClient
from longline.bench.targets import LoadTarget, resolve

P = TypeVar("P")


class Work(ABC, Generic[P]):
    """The part of a plan that one process carries out. Made before the processes part."""

    def __init__(self, plan: P, target: LoadTarget) -> None:
        self.plan = plan
        self.target = target
        self.address = resolve(target.host, target.port)

    def cipher(self) -> Cipher | None:
        """What this process's clients speak TLS by, where they do."""
        context = self.target.context()
        return None if context is None else Cipher(context, self.target.host)

    @abstractmethod
    def run(self, station: Station) -> None:
        """Carries it out as ordered, reports."""

    def connect(
        self, station: Station, handshakes: Handshakes, clients: Sequence[LoadClient], total: int
    ) -> None:
        """Connects this process's clients, of `total` of all processes; raises BenchFailed unless all are."""
        dial_all(station, handshakes, self.address, list(clients), total)


def part_of(station: Station, total: int) -> range:
    """The numbers, of those below `total`, that are this process's."""
    return range(station.index, total, station.of)


def until_ordered(station: Station, turn: Callable[[float], int]) -> bytes:
    """Serves the sockets by `turn` until the conductor gives the next order; the order."""
    while not station.ordered():
        turn(0.05)
    return station.take()
