"""WAIT and WAITAOF: when a write must be copied or synced before it is answered.

Both block the connection that they are sent on, so they have one of their own for each server. A small write
goes ahead of them there; since replicas and the append-only file take writes in order, what was carried out
before that write is safe when it is. Everything that waits shares one round, and what comes meanwhile shares
the next.

A write is only vouched for by the same run of the server that carried it out, as long as that has the write's
slot. When that is so no more, the write may be gone: the call is repeated, by whoever has its slot then.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from longline.errors import Unavailable
from longline.settings import StoreSettings
from longline.store.addresses import Address
from longline.store.calls import Call, Reply
from longline.store.connection import ServerConnection
from longline.store.dial import Dial, Facts

_MARK_SECONDS: Final = 60


class _Entry(NamedTuple):
    call: Call
    reply: Reply
    run: bytes


class Securer:
    """The calls of one server that were carried out and wait to be copied or synced.

    `where` says at which address the server is now; `repeat` takes calls back, to be carried out once more.
    """

    def __init__(
        self,
        dial: Dial,
        settings: StoreSettings,
        *,
        where: Callable[[], Address],
        repeat: Callable[[Iterable[Call]], None],
    ) -> None:
        self._where = where
        self._repeat = repeat
        self._dial = dial
        self._replicas = settings.wait_replicas
        self._fsync = settings.wait_fsync
        self._wait_ms = max(1, round(settings.wait_timeout * 1000))
        self._entries: list[_Entry] = []
        self._round: list[_Entry] = []
        self._connection: ServerConnection | None = None
        self._facts: Facts | None = None
        self._address: Address | None = None
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        return len(self._entries) + len(self._round)

    def calls(self) -> deque[Call]:
        """What is waiting, to look for deadlines that passed."""
        return deque(entry.call for entry in [*self._round, *self._entries])

    def add(self, call: Call, reply: Reply, run: bytes) -> None:
        """Answers a call with `reply` when the write is safe; `run` is the server's that carried it out."""
        self._entries.append(_Entry(call, reply, run))
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._work(), name="store securing")

    def give_up(self, lost: Callable[[Call, bytes], bool]) -> list[Call]:
        """Lets go of the calls that are `lost`, given each and the run of the server that carried it out."""
        given_up = []
        for entries in (self._round, self._entries):
            kept = []
            for entry in entries:
                if not lost(entry.call, entry.run):
                    kept.append(entry)
                elif not entry.call.future.done():
                    given_up.append(entry.call)
            entries[:] = kept
        return given_up

    def close(self) -> None:
        self._closed = True
        if self._task is not None:
            self._task.cancel()
        if self._connection is not None:
            self._connection.abort()
        for entry in [*self._round, *self._entries]:
            entry.call.fail(Unavailable("the store is closed"))
        self._round, self._entries = [], []

    async def closed(self) -> None:
        """Waits until nothing of it is running any more."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _work(self) -> None:
        while self._entries:
            self._round, self._entries = self._entries, []
            try:
                safe = await self._secure(self._round[0].call.tag)
            except Exception:
                # Whatever it is, whether it is safe cannot be said: carry it out again, and ask again.
                self._drop()
                self._repeat([entry.call for entry in self._round])
            else:
                self._settle(safe)
            finally:
                self._round = []

    def _settle(self, safe: bool) -> None:
        run = self._facts.run if self._facts else b""
        self._repeat([entry.call for entry in self._round if entry.run != run])
        for entry in self._round:
            if entry.run == run and safe:
                entry.call.answer(entry.reply)
            elif entry.run == run:
                entry.call.fail(Unavailable("stored, but not copied or synced in time"))

    async def _secure(self, tag: bytes) -> bool:
        if self._connection is None or not self._connection.open or self._address != self._where():
            self._drop()
            self._address = self._where()
            self._connection, self._facts = await self._dial.open(self._address)
        connection = self._connection
        async with asyncio.timeout(self._wait_ms / 1000 + self._dial.patience):
            asked = [connection.ask("SET", b"{" + tag + b"}secured", 1, "EX", _MARK_SECONDS)]
            if self._replicas:
                asked.append(connection.ask("WAIT", self._replicas, self._wait_ms))
            if self._fsync:
                asked.append(connection.ask("WAITAOF", 1, 0, self._wait_ms))
            _, *results = await asyncio.gather(*asked)
        if self._replicas:
            copies = results.pop(0)
            if not isinstance(copies, int) or copies < self._replicas:
                return False
        match results:
            case [[int() as synced, *_]]:
                return synced > 0
        return not results

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.abort()
            self._connection = None
