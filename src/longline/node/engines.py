"""What a process opens below its roles: one engine for each port."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import NamedTuple

from longline.bus.port import Bus
from longline.keeper.port import Keeper
from longline.node.isolation import Signs
from longline.register.port import Register
from longline.saver.bundle import Saver
from longline.settings import Settings
from longline.telemetry.faults import Faults


class Engines(NamedTuple):
    """One engine for each port, and the figures that they have for the metrics, by part; `counters` have
    theirs in slots.

    `measure` asks the store for what it does not say by itself, for these figures, where there is something.
    `signs` tells of the store that all of them share, where there is one; `give_up` ends at once whatever
    waits for it, and whatever will.
    """

    saver: Saver
    register: Register
    bus: Bus
    keeper: Keeper
    figures: Mapping[str, Callable[[], Mapping[str, int]]]
    counters: Mapping[str, object] = {}
    measure: Callable[[], Awaitable[None]] | None = None
    signs: Signs | None = None
    give_up: Callable[[], Awaitable[None]] | None = None


OpenEngines = Callable[[Settings, Faults, AsyncExitStack], Awaitable[Engines]]
