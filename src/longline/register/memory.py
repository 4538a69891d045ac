"""The session table of a node that is a whole cluster by itself."""

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice

from longline.errors import Fenced
from longline.model.devices import Binding
from longline.register.port import Bind, Bound, Rebind, Transition, Unbind

SOURCE = "memory"
SPARE = 1024  # entries of sessions that came back which the heap may hold beside as many as still linger


class MemoryRegister:
    """Fulfils `Register` in a dict. `locate_now` serves an engine of the same process without a task switch.

    Epochs and sequences are one row of numbers. It starts at the clock's microseconds, so both rise across
    restarts too: no node binds more than a session a microsecond for its whole life. Of transitions that
    nobody forgets, the latest `outbox` are kept.
    """

    def __init__(self, outbox: int = 100_000) -> None:
        self._apps: dict[int, dict[str, Binding]] = {}
        self._epoch = time.time_ns() // 1_000
        # Epoch → when the session is over, app, device
        self._lingering: dict[int, tuple[int, int, str]] = {}
        self._due: list[tuple[int, int]] = []  # a heap of (when, epoch), also of some that linger no more
        self._dead: set[str] = set()
        # What makes a Transition, but for its source: most are forgotten unread, or read once.
        self._outbox: deque[tuple[int, str, str, int, str, int, int]] = deque(maxlen=outbox)
        self._told = 0
        self._forgotten = 0

    async def bind(self, batch: Sequence[Bind]) -> list[Bound]:
        self._refuse_the_dead(item.node for item in batch)
        bound = []
        for item in batch:
            previous = self._apps.get(item.app, {}).get(item.device)
            bound.append(Bound(self._bind(item, previous, item.now), previous))
        return bound

    async def rebind(self, batch: Sequence[Rebind]) -> list[int | None]:
        self._refuse_the_dead(item.node for item in batch)
        return [self._rebind(item) for item in batch]

    def _refuse_the_dead(self, nodes: Iterable[str]) -> None:
        if self._dead and not self._dead.isdisjoint(nodes):
            raise Fenced

    def _bind(self, item: Bind | Rebind, previous: Binding | None, since: int) -> Binding:
        self._epoch = epoch = self._epoch + 1
        app, device, node = item.app, item.device, item.node
        binding = self._apps.setdefault(app, {})[device] = Binding(node, epoch, since)
        if previous is None:
            self._tell((app, device, "online", epoch, node, item.now, epoch))
            return binding
        self._lingering.pop(previous.epoch, None)
        if previous.node != node:
            self._tell((app, device, "moved", epoch, node, item.now, epoch))
        return binding

    def _rebind(self, item: Rebind) -> int | None:
        held = self._apps.get(item.app, {}).get(item.device)
        if held is None:
            return self._bind(item, None, item.now).epoch
        if held.epoch >= item.epoch and held.node == item.node and held.epoch not in self._lingering:
            return held.epoch  # done before
        if held.epoch > item.epoch:
            return None
        return self._bind(item, held, held.since).epoch

    async def unbind(self, batch: Sequence[Unbind]) -> list[bool]:
        return [self._unbind(item) for item in batch]

    def _unbind(self, item: Unbind) -> bool:
        binding = self._apps.get(item.app, {}).get(item.device)
        if binding is None or binding.epoch != item.epoch:
            return False
        if item.linger > 0:
            self._linger(item.app, item.device, item.epoch, item.now + item.linger)
        else:
            self._end(item.app, item.device, binding, item.now)
        return True

    def _linger(self, app: int, device: str, epoch: int, due: int) -> None:
        self._lingering[epoch] = (due, app, device)
        heapq.heappush(self._due, (due, epoch))
        if len(self._due) > 2 * len(self._lingering) + SPARE:
            # Clients that come and go faster than their time runs out would fill it without end.
            self._due = [(entry[0], epoch) for epoch, entry in self._lingering.items()]
            heapq.heapify(self._due)

    def _end(self, app: int, device: str, binding: Binding, at: int) -> None:
        self._lingering.pop(binding.epoch, None)
        bindings = self._apps[app]
        del bindings[device]
        if not bindings:
            del self._apps[app]
        self._epoch += 1
        self._tell((app, device, "offline", binding.epoch, binding.node, at, self._epoch))

    def _tell(self, transition: tuple[int, str, str, int, str, int, int]) -> None:
        self._outbox.append(transition)  # a full one drops its oldest
        self._told += 1

    async def locate(self, app: int, devices: Sequence[str]) -> list[Binding | None]:
        return self.locate_now(app, devices)

    def locate_now(self, app: int, devices: Sequence[str]) -> list[Binding | None]:
        bindings = self._apps.get(app, {})
        return [bindings.get(device) for device in devices]

    async def count(self, app: int) -> int:
        return len(self._apps.get(app, {}))

    async def end_lingering(self, now: int, limit: int) -> int:
        ended = 0
        while self._due and self._due[0][0] <= now and ended < limit:
            due, epoch = heapq.heappop(self._due)
            entry = self._lingering.get(epoch)
            if entry is not None and entry[0] == due:
                _, app, device = entry
                self._end(app, device, self._apps[app][device], due)
                ended += 1
        return ended

    async def declare_dead(self, node: str) -> None:
        self._dead.add(node)

    async def release(self, node: str, now: int, linger: int, limit: int) -> int:
        """Looks at every session: the one node of a process is there for as long as its register is."""
        found = [
            (app, device, binding)
            for app, bindings in self._apps.items()
            for device, binding in bindings.items()
            if binding.node == node and binding.epoch not in self._lingering
        ][:limit]
        for app, device, binding in found:
            if linger > 0:
                self._linger(app, device, binding.epoch, now + linger)
            else:
                self._end(app, device, binding, now)
        return len(found)

    async def doubted(self, seen: int) -> int:
        never: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        return await never

    async def transitions(self, limit: int) -> list[Transition]:
        return [
            Transition(app, device, state, epoch, node, at, SOURCE, sequence)
            for app, device, state, epoch, node, at, sequence in islice(self._outbox, limit)
        ]

    async def forget(self, transitions: Sequence[Transition]) -> None:
        latest = max((item.sequence for item in transitions if item.source == SOURCE), default=0)
        while self._outbox and self._outbox[0][-1] <= latest:
            self._outbox.popleft()
            self._forgotten += 1

    def statistics(self) -> Mapping[str, int]:
        """Sessions that linger, transitions that wait to be read, and those that nobody read in time."""
        return {
            "lingering": len(self._lingering),
            "transitions": len(self._outbox),
            "transitions_lost": self._told - self._forgotten - len(self._outbox),
        }
