"""Every engine of every port: the suites here run on each of them, unchanged.

An engine is added by one entry below. The suites know nothing of engines; they ask the fixtures of
`conftest.py` for a fresh one.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from longline.bus.local import LocalBus
from longline.bus.port import Bus
from longline.keeper.local import LocalKeeper
from longline.keeper.port import Keeper
from longline.model import Binding
from longline.register.memory import MemoryRegister
from longline.register.port import Register
from longline.saver.port import Saver
from longline.saver.sqlite import SqliteSaver

Locate = Callable[[int, Sequence[str]], list[Binding | None]]

RETENTION = 3_600_000  # ms: how long ledgers are kept after a message's end
BUS_LIMIT = 4  # commands in a node's queue


@dataclass(frozen=True)
class SaverEngine:
    """`place` makes an empty store for the time of a test, given a directory, and says where it is.

    `open` opens the store at such a place, also after a crash, and in another process.
    """

    place: Callable[[Path], AbstractContextManager[str]]
    open: Callable[[str, Locate], Awaitable[Saver]]


@contextmanager
def _sqlite_place(directory: Path) -> Iterator[str]:
    yield str(directory / "data" / "longline.db")


async def _sqlite(place: str, locate: Locate) -> Saver:
    return await SqliteSaver.open(
        place, locate=locate, queue_limit=100_000, cache_bytes=1 << 24, ledger_retention_ms=RETENTION
    )


@contextmanager
def _memory_register(directory: Path) -> Iterator[Register]:
    yield MemoryRegister()


@contextmanager
def _local_bus(directory: Path) -> Iterator[Bus]:
    yield LocalBus(BUS_LIMIT)


@contextmanager
def _local_keeper(directory: Path) -> Iterator[Keeper]:
    yield LocalKeeper()


SAVERS: dict[str, SaverEngine] = {"sqlite": SaverEngine(_sqlite_place, _sqlite)}
REGISTERS: dict[str, Callable[[Path], AbstractContextManager[Register]]] = {"memory": _memory_register}
BUSES: dict[str, Callable[[Path], AbstractContextManager[Bus]]] = {"local": _local_bus}
KEEPERS: dict[str, Callable[[Path], AbstractContextManager[Keeper]]] = {"local": _local_keeper}
