"""The session table of a node that is a whole cluster by itself."""

import time
from collections.abc import Sequence

from longline.model import Binding
from longline.register.port import Bind, Bound, Unbind


class MemoryRegister:
    """Fulfils `Register` in a dict. `locate_now` serves an engine of the same process without a task switch.

    Epochs start at the clock's microseconds, so they rise across restarts too: no node binds more than
    a session a microsecond for its whole life.
    """

    def __init__(self) -> None:
        self._apps: dict[int, dict[str, Binding]] = {}
        self._epoch = time.time_ns() // 1_000

    async def bind(self, batch: Sequence[Bind]) -> list[Bound]:
        bound = []
        for item in batch:
            bindings = self._apps.setdefault(item.app, {})
            self._epoch += 1
            binding = Binding(item.node, self._epoch, item.now)
            bound.append(Bound(binding, bindings.get(item.device)))
            bindings[item.device] = binding
        return bound

    async def unbind(self, batch: Sequence[Unbind]) -> list[bool]:
        return [self._remove(item) for item in batch]

    def _remove(self, item: Unbind) -> bool:
        bindings = self._apps.get(item.app, {})
        binding = bindings.get(item.device)
        if binding is None or binding.epoch != item.epoch:
            return False
        del bindings[item.device]
        if not bindings:
            del self._apps[item.app]
        return True

    async def locate(self, app: int, devices: Sequence[str]) -> list[Binding | None]:
        return self.locate_now(app, devices)

    def locate_now(self, app: int, devices: Sequence[str]) -> list[Binding | None]:
        bindings = self._apps.get(app, {})
        return [bindings.get(device) for device in devices]

    async def count(self, app: int) -> int:
        return len(self._apps.get(app, {}))
