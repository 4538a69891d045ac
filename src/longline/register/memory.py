"""The session table of a node that is a whole cluster by itself."""

import asyncio
import heapq
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from longline.errors import Fenced
from longline.model.devices import NODE_DIED, Binding
from longline.register.port import Bind, Bound, Rebind, Transition, Unbind

SOURCE = "memory"
MARGIN = 1 << 32  # numbers that a life may have given without telling anybody
SPARE = 1024  # entries of sessions that came back which the heap may hold beside as many as still linger


# What makes a Transition, but for its source: most are forgotten unread, or read once.
_Told = tuple[int, str, str, int, str, int, int]


class Left(NamedTuple):
    """A session that a life before this one has told of, and not of its end."""

    app: int
    device: str
    epoch: int
    node: str


class MemoryRegister:
    """Fulfils `Register` in a dict. `locate_now` serves an engine of the same process without a task switch.

    Epochs and sequences are one row of numbers. It starts at the clock's microseconds, and above what a life
    before this one has told, so both rise across restarts too, also when the clock stepped back: no node
    binds more than a session a microsecond for its whole life. Of transitions that nobody forgets, `outbox`
    are kept, and above that the latest of each device.

    `left` is told of each session that ends (app, device, at in ms), before it is out of the table; `parted`
    of each connection that does (app, device, epoch, at in ms, why), unless another takes its place. An epoch
    of 0 is that of the latest.
    """

    def __init__(self, outbox: int = 100_000) -> None:
        self._apps: dict[int, dict[str, Binding]] = {}
        self._epoch = time.time_ns() // 1_000
        # Epoch → when the session is over, app, device
        self._lingering: dict[int, tuple[int, int, str]] = {}
        self._due: list[tuple[int, int]] = []  # a heap of (when, epoch), also of some that linger no more
        self._dead: set[str] = set()
        self._limit = outbox
        self._outbox: deque[_Told] = deque()
        # What was told since the outbox is full, by app and device: as many as there are devices at most.
        self._late: dict[tuple[int, str], _Told] = {}
        self._missed: set[int] = set()  # sequences of those that stand for earlier ones, which were left out
        self._left_out = 0
        self.left: Callable[[int, str, int], None] = lambda app, device, at: None
        self.parted: Callable[[int, str, int, int, str], None] = lambda app, device, epoch, at, reason: None

    def resume(self, told: int, left: Iterable[Left], now: int) -> None:
        """Goes on after a life before this one. `told`: the highest sequence that anybody has read of it.

        With it ended the sessions of all of its clients, whether or not it could still say so.
        """
        self._epoch = max(self._epoch, told + MARGIN)
        for session in left:
            self._epoch += 1
            self.left(session.app, session.device, now)
            # What was told is its first epoch: of connections that took over on the same node nobody heard.
            self.parted(session.app, session.device, 0, now, NODE_DIED)
            self._tell(
                (session.app, session.device, "offline", session.epoch, session.node, now, self._epoch)
            )

    async def bind(self, batch: Sequence[Bind]) -> list[Bound]:
        self._refuse_the_dead(batch)
        bound = []
        for item in batch:
            bindings = self._apps.setdefault(item.app, {})
            previous = bindings.get(item.device)
            bound.append(Bound(self._bind(bindings, item, previous, item.now), previous))
        return bound

    async def rebind(self, batch: Sequence[Rebind]) -> list[int | None]:
        self._refuse_the_dead(batch)
        return [self._rebind(item) for item in batch]

    def _refuse_the_dead(self, batch: Sequence[Bind | Rebind]) -> None:
        if self._dead and not self._dead.isdisjoint(item.node for item in batch):
            raise Fenced

    def _bind(
        self, bindings: dict[str, Binding], item: Bind | Rebind, previous: Binding | None, since: int
    ) -> Binding:
        self._epoch = epoch = self._epoch + 1
        app, device, node = item.app, item.device, item.node
        binding = bindings[device] = Binding(node, epoch, since)
        if previous is None:
            self._tell((app, device, "online", epoch, node, item.now, epoch))
            return binding
        self._lingering.pop(previous.epoch, None)
        if previous.node != node:
            self._tell((app, device, "moved", epoch, node, item.now, epoch))
        return binding

    def _rebind(self, item: Rebind) -> int | None:
        bindings = self._apps.setdefault(item.app, {})
        held = bindings.get(item.device)
        if held is None:
            return self._bind(bindings, item, None, item.now).epoch
        if held.epoch >= item.epoch and held.node == item.node and held.epoch not in self._lingering:
            return held.epoch  # done before
        if held.epoch > item.epoch:
            return None
        return self._bind(bindings, item, held, held.since).epoch

    async def unbind(self, batch: Sequence[Unbind]) -> list[bool]:
        return [self._unbind(item) for item in batch]

    def _unbind(self, item: Unbind) -> bool:
        binding = self._apps.get(item.app, {}).get(item.device)
        if binding is None or binding.epoch != item.epoch:
            return False
        if item.epoch not in self._lingering:
            self.parted(item.app, item.device, item.epoch, item.now, item.reason)
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
        self.left(app, device, at)
        self._lingering.pop(binding.epoch, None)
        bindings = self._apps[app]
        del bindings[device]
        if not bindings:
            del self._apps[app]
        self._epoch += 1
        self._tell((app, device, "offline", binding.epoch, binding.node, at, self._epoch))

    def _tell(self, transition: _Told) -> None:
        late = self._late
        if not late and len(self._outbox) < self._limit:
            self._outbox.append(transition)
            return
        whose = transition[:2]
        earlier = late.pop(whose, None)
        if earlier is not None:
            self._left_out += 1
            self._missed.discard(earlier[-1])
            self._missed.add(transition[-1])
        late[whose] = transition  # at the end: the sequences rise

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
            self.parted(app, device, binding.epoch, now, NODE_DIED)
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
            Transition(app, device, state, epoch, node, at, SOURCE, sequence, sequence in self._missed)
            for app, device, state, epoch, node, at, sequence in islice(self._outbox, limit)
        ]

    async def forget(self, transitions: Sequence[Transition]) -> None:
        latest = max((item.sequence for item in transitions if item.source == SOURCE), default=0)
        outbox, missed = self._outbox, self._missed
        while outbox and outbox[0][-1] <= latest:
            sequence = outbox.popleft()[-1]
            if missed:
                missed.discard(sequence)
        if self._late and not outbox:
            outbox.extend(self._late.values())
            self._late = {}

    def statistics(self) -> Mapping[str, int]:
        """Sessions that linger, transitions that wait to be read, and those left out for later ones of
        theirs."""
        return {
            "lingering": len(self._lingering),
            "transitions": len(self._outbox) + len(self._late),
            "transitions_left_out": self._left_out,
        }
