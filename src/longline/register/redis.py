"""The session table of a cluster, in Redis or Valkey.

Where everything is, `lua/sessions.lua` says. A device's session lives in its partition, so what is done to a
device is atomic. What is for all partitions (a dead node, a count) is done in each by itself.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from longline.model.devices import Binding, ConnectionBounds
from longline.register.binding import Binder
from longline.register.layout import Partition, binding, items, number, script, transition
from longline.register.port import Bind, Bound, Rebind, Transition, Unbind
from longline.store.redis import Reply, Store, Word
from longline.store.scatter import Spare, ask_all, gathered, scatter
from longline.store.sharing import shares, work_off
from longline.telemetry.faults import Faults

SLICE: Final = 500  # sessions that one call of a script ends: the store serves nobody else meanwhile
REMEMBERED_DEATH: Final = 86_400  # s: keepers let go of a node that is out of touch within minutes
FOLLOWING: Final = 2_000  # transitions that follow into a partition's stream when some of it was read

_UNBIND: Final = script("unbind.lua")
_END_LINGERING: Final = script("end_lingering.lua")
_RELEASE: Final = script("release.lua")
_FORGET: Final = script("forget.lua")


class RedisRegister:
    """Fulfils `Register` for many processes. `give_up`: seconds a call of the store takes at most.

    A call may be carried out twice, or late. A bind is recognised when it is repeated, and refused when its
    caller has given up by then: it must not take the device from the session that came after it. Where binds
    end as `Unavailable`, those that were carried out nevertheless are withdrawn as soon as the store answers.
    An unbind that is repeated may answer False for a session that it ended itself.

    `kept`: ms for which the end of a connection is told.
    """

    def __init__(
        self,
        store: Store,
        *,
        give_up: float = 5.0,
        kept: int = ConnectionBounds().age,
        faults: Faults | None = None,
    ) -> None:
        self._store = store
        self._kept = kept
        self._faults = faults or Faults()
        self._nowhere: Spare[str, Binding | None] = Spare(
            self._faults, "register.locate", lambda device: None
        )
        self._partitions = [Partition(number) for number in range(store.partitions)]
        self._binder = Binder(store, self._partitions, int(give_up * 1000), kept, self.unbind, self._faults)
        self._turn = 0  # the partition whose transitions were read first
        self._waiting = 0  # transitions, when they were last read
        self._late = 0  # of them those that a stream had no place for, when some were last forgotten

    async def close(self) -> None:
        """Stops withdrawing. What is not withdrawn yet ends with this node, when that is declared dead."""
        await self._binder.close()

    # --- sessions ---------------------------------------------------------------------------------

    async def bind(self, batch: Sequence[Bind]) -> list[Bound]:
        return await self._binder.bind(batch)

    async def rebind(self, batch: Sequence[Rebind]) -> list[int | None]:
        return await self._binder.rebind(batch)

    async def unbind(self, batch: Sequence[Unbind]) -> list[bool]:
        return await scatter(
            batch,
            lambda item: self._store.partition_of(item.app, item.device),
            lambda number, part: self._unbind(self._partitions[number], part),
            lambda number, part, reply: [answer == 1 for answer in items(reply)],
        )

    def _unbind(self, partition: Partition, batch: Sequence[Unbind]) -> Awaitable[Reply]:
        args: list[Word] = [self._kept]
        for item in batch:
            due = item.now + item.linger if item.linger > 0 else 0
            args += item.app, item.device, item.epoch, item.now, due, item.reason
        keys = [*partition.keys, *map(partition.sessions, {item.app for item in batch})]
        return self._store.run(partition.tag, _UNBIND, keys, args, work=len(batch))

    async def end_lingering(self, now: int, limit: int) -> int:
        return await self._work_off(
            limit,
            lambda partition: (b"ZCOUNT", partition.linger, b"-inf", now),
            lambda partition, share: self._store.run(
                partition.tag, _END_LINGERING, partition.keys, [now, share], work=share
            ),
        )

    async def declare_dead(self, node: str) -> None:
        await self._everywhere(lambda partition: (b"SET", partition.dead(node), 1, b"EX", REMEMBERED_DEATH))

    async def release(self, node: str, now: int, linger: int, limit: int) -> int:
        due = now + linger if linger > 0 else 0
        return await self._work_off(
            limit,
            lambda partition: (b"SCARD", partition.at(node)),
            lambda partition, share: self._store.run(
                partition.tag,
                _RELEASE,
                [*partition.keys, partition.at(node)],
                [now, due, share, self._kept],
                work=share,
            ),
        )

    # --- asking -----------------------------------------------------------------------------------

    async def locate(self, app: int, devices: Sequence[str]) -> list[Binding | None]:
        return await scatter(
            devices,
            lambda device: self._store.partition_of(app, device),
            lambda number, part: self._store.call(
                self._partitions[number].tag, b"HMGET", self._partitions[number].sessions(app), *part
            ),
            lambda number, part, reply: [binding(text) for text in items(reply)],
            self._nowhere,
        )

    async def count(self, app: int) -> int:
        return sum(await self._everywhere(lambda partition: (b"HLEN", partition.sessions(app))))

    async def doubted(self, seen: int) -> int:
        return await self._store.doubted(seen)

    def statistics(self) -> Mapping[str, int]:
        """Binds that may have to be withdrawn, and transitions that waited when they were last read.

        Of those that are late, only the latest of each device waits.
        """
        return {
            "unsure": self._binder.unsure(),
            "transitions": self._waiting,
            "transitions_late": self._late,
        }

    # --- transitions ------------------------------------------------------------------------------

    async def transitions(self, limit: int) -> list[Transition]:
        lengths = await self._everywhere(lambda partition: (b"XLEN", partition.moves))
        self._waiting = sum(lengths)
        self._turn = (self._turn + 1) % len(lengths)
        parts = [(self._partitions[n], share) for n, share in shares(lengths, limit, self._turn).items()]
        replies = await gathered(
            [
                self._store.call(partition.tag, b"XRANGE", partition.moves, b"-", b"+", b"COUNT", share)
                for partition, share in parts
            ]
        )
        found: list[Transition] = []
        unreadable: list[Awaitable[Reply]] = []
        for (partition, _), reply in zip(parts, replies, strict=True):
            for entry in items(reply):
                try:
                    found.append(transition(partition.source, entry))
                except Exception as error:  # else nobody would ever get past it
                    self._faults.note("register.transitions", error)
                    if isinstance(entry, list) and isinstance(entry[0], bytes):
                        call = self._store.call(partition.tag, b"XDEL", partition.moves, entry[0])
                        unreadable.append(call)
        await gathered(unreadable)
        return found

    async def forget(self, transitions: Sequence[Transition]) -> None:
        latest: dict[str, int] = {}
        for item in transitions:
            latest[item.source] = max(latest.get(item.source, 0), item.sequence)
        left = await gathered(
            [
                self._store.run(
                    partition.tag, _FORGET, partition.keys, [latest[partition.source] + 1, FOLLOWING]
                )
                for partition in self._partitions
                if partition.source in latest
            ]
        )
        self._late = sum(map(number, left))

    # --- partitions -------------------------------------------------------------------------------

    async def _everywhere(self, command: Callable[[Partition], tuple[Word, ...]]) -> list[int]:
        """What each partition answers to a command, 0 for what is no number. All go out in one write."""
        replies = await ask_all(
            len(self._partitions),
            lambda n: self._store.call(self._partitions[n].tag, *command(self._partitions[n])),
        )
        return [reply if isinstance(reply, int) else 0 for reply in replies]

    async def _work_off(
        self,
        limit: int,
        count: Callable[[Partition], tuple[Word, ...]],
        work: Callable[[Partition, int], Awaitable[Reply]],
    ) -> int:
        """Shares `limit` among the partitions by how much each has to do; how much of it was done."""
        partitions = self._partitions
        return await work_off(
            len(partitions),
            limit,
            SLICE,
            lambda n: self._store.call(partitions[n].tag, *count(partitions[n])),
            lambda n, share: work(partitions[n], share),
        )
