"""How full the queues between the parts of a process are, for a profile of its event loop."""

from collections.abc import Callable, Mapping
from typing import Final

_QUEUES: Final[Mapping[str, tuple[str, ...]]] = {
    "saver": ("write_queue", "read_queue", "visits_waiting"),
    "register": ("transitions", "unsure"),
    "bus": ("waiting",),
    "store": ("waiting", "waiting_bytes"),
    "store_urgent": ("waiting", "waiting_bytes"),
}


def depths(figures: Mapping[str, Callable[[], Mapping[str, int]]]) -> dict[str, float]:
    """What waits in each queue of the engines now, by the names that `/metrics` has for them."""
    found: dict[str, float] = {}
    for part, names in _QUEUES.items():
        read = figures.get(part)
        told = {} if read is None else read()
        found |= {f"{part}_{name}": float(told[name]) for name in names if name in told}
    return found
