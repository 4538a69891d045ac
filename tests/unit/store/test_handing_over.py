"""The order of calls of one tag while their slot, or their server's process, is another one than before.

From servers that say what they are told to; `done` is what a server carried out, in that order.
"""

import asyncio
from collections.abc import Callable

import pytest

from longline.errors import Unavailable
from longline.store.connection import ServerConnection
from longline.store.redis import Store
from longline.store.server import Server
from longline.store.slots import SLOTS, slot_of
from tests.unit.store.conftest import Open
from tests.unit.store.scripted import ScriptedServer, Words
from tests.waiting import WITHIN, until

TAG = b"p1"
OTHERS, MINE = range(SLOTS // 2), range(SLOTS // 2, SLOTS)  # slots; `TAG` is in one of the second
COPIED = {"wait_replicas": 1, "wait_timeout": 30.0}
DOWN = b"-CLUSTERDOWN Hash slot not served\r\n"


class Pair:
    """Two masters of a Cluster, of which the first has the slot of `TAG`; `replace` gives it to the second.

    Each carries out every X, and notes its number in `done`, unless `refuses` says what it answers instead.
    Neither ever knows of a copy.
    """

    def __init__(self) -> None:
        self.old = ScriptedServer(lambda words: self._answer(0, words), slots=self._slots)
        self.new = ScriptedServer(lambda words: self._answer(1, words), slots=self._slots)
        self.done: tuple[list[int], list[int]] = [], []
        self.refuses: Callable[[int, int], bytes | None] = lambda server, number: None
        self.masters = [(OTHERS, self.new), (MINE, self.old)]

    def replace(self) -> None:
        self.masters = [(OTHERS, self.new), (MINE, self.new)]

    def moved(self) -> bytes:
        return b"-MOVED %d 127.0.0.1:%d\r\n" % (slot_of(TAG), self.new.port)

    def _slots(self) -> list[tuple[range, int]]:
        return [(slots, server.port) for slots, server in self.masters]

    def _answer(self, server: int, words: Words) -> bytes | None:
        if words[0] != b"X":
            return b"+OK\r\n" if words[0] == b"SET" else None
        number = int(words[-1])
        refusal = self.refuses(server, number)
        if refusal is None:
            self.done[server].append(number)
        return refusal or b":%d\r\n" % number

    async def __aenter__(self) -> "Pair":
        await self.old.__aenter__()
        await self.new.__aenter__()
        return self

    async def __aexit__(self, *failed: object) -> None:
        await self.new.__aexit__(None, None, None)
        await self.old.__aexit__(None, None, None)


def give(store: Store, number: int, *, durable: bool = False) -> "asyncio.Future[object]":
    return asyncio.ensure_future(store.call(TAG, "X", number, durable=durable))


async def waits_for_copies(server: ScriptedServer) -> None:
    await until(lambda: server.seen[b"WAIT"] > 0)


async def test_what_a_hanging_master_had_not_copied_goes_to_its_successor_before_what_is_given_later(
    open_store: Open,
) -> None:
    """And at once: it does not wait until the master that hangs has said where its slot is."""
    async with Pair() as pair:
        store = await open_store(pair.old.url, timeout=4.0, **COPIED)
        calls = [give(store, number, durable=True) for number in (1, 2)]
        await waits_for_copies(pair.old)
        pair.old.pause()
        calls.append(give(store, 3, durable=True))
        pair.replace()
        await until(lambda: 3 in pair.done[1])
        calls.append(give(store, 4, durable=True))
        await until(lambda: 4 in pair.done[1])

        assert pair.done == ([1, 2], [1, 2, 3, 4])
        for call in calls:
            call.cancel()


async def test_what_is_not_copied_when_its_slot_is_moved_goes_there_before_what_is_given_later(
    open_store: Open,
) -> None:
    async with Pair() as pair:
        store = await open_store(pair.old.url, timeout=30.0, **COPIED)
        copying = give(store, 1, durable=True)
        await waits_for_copies(pair.old)
        pair.refuses = lambda server, number: pair.moved() if server == 0 else None
        pair.replace()

        assert await give(store, 2) == 2
        assert pair.done == ([1], [1, 2])
        copying.cancel()


async def test_what_is_not_copied_when_its_master_is_started_again_goes_before_what_is_given_later(
    open_store: Open,
) -> None:
    """Also when the connection that asks for copies has not heard of it yet."""
    done: list[int] = []

    def answer(words: Words) -> bytes | None:
        if words[0] != b"X":
            return b"+OK\r\n" if words[0] == b"SET" else None
        done.append(int(words[-1]))
        return b":%b\r\n" % words[-1]

    async with ScriptedServer(answer) as server:
        store = await open_store(server.url, timeout=30.0, **COPIED)
        copying = [give(store, number, durable=True) for number in (1, 2)]
        await waits_for_copies(server)
        server.run = b"2"
        server.cut(1)  # of three: to look, for calls, for copies
        assert await give(store, 3) == 3

        assert done == [1, 2, 1, 2, 3]
        for call in copying:
            call.cancel()


async def test_an_earlier_call_is_not_overtaken_by_one_whose_copies_cannot_be_asked_for(
    open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The earlier one was refused, then left unanswered; neither is out when they go again."""
    done: list[int] = []
    refused = {1, 2}
    adopt = Server._adopt

    def answer(words: Words) -> bytes | None:
        if words[0] != b"X":
            return b"+OK\r\n" if words[0] == b"SET" else None
        number = int(words[-1])
        if number in refused:
            refused.discard(number)
            return DOWN
        if number == 2 and server.run == b"1":
            server.run = b"2"
            server.pause()
            raise ConnectionResetError
        done.append(number)
        return b":%d\r\n" % number

    def adopt_as_a_probe_is_due(adopting: Server, connection: ServerConnection) -> None:
        adopt(adopting, connection)
        if TAG in adopting._lanes:
            adopting._probe(TAG)

    monkeypatch.setattr(Server, "_adopt", adopt_as_a_probe_is_due)
    async with ScriptedServer(answer) as server:
        store = await open_store(server.url, timeout=30.0, **COPIED)
        calls = [give(store, 1), give(store, 2), give(store, 3, durable=True)]
        await waits_for_copies(server)
        await until(lambda: store.statistics()["connected"] == 0)
        repeated = store.statistics()["repeated"]
        server.cut(2)
        await until(lambda: store.statistics()["repeated"] > repeated)
        server.resume()

        assert await asyncio.gather(*calls[:2]) == [1, 2]
        await until(lambda: len(done) == 4)
        assert done == [3, 1, 2, 3]
        calls[2].cancel()


async def test_calls_of_a_slot_that_nobody_had_go_to_whoever_gets_it_in_the_order_given(
    open_store: Open,
) -> None:
    def refuse(server: int, number: int) -> bytes | None:
        if server == 1:
            return None
        return pair.moved() if 2 in pair.done[1] else DOWN  # whose map is an old one for long

    async with Pair() as pair:
        pair.masters = [(OTHERS, pair.old)]
        pair.refuses = refuse
        store = await open_store(pair.old.url, timeout=30.0)
        early = give(store, 1)
        await until(lambda: store.statistics()["repeated"] > 1)
        pair.masters = [(OTHERS, pair.old), (MINE, pair.new)]
        await until(lambda: store.statistics()["servers"] == 2)

        assert await give(store, 2) == 2
        assert await early == 1
        assert pair.done == ([], [1, 2])


async def test_a_store_that_is_closed_while_a_slot_is_handed_over_leaves_nobody_waiting(
    open_store: Open,
) -> None:
    """Whoever gets the slot may be closed first."""

    def moved(server: int, number: int) -> bytes:
        pair.old.pause()  # it never answers the fence
        return pair.moved()

    async with Pair() as pair:
        store = await open_store(pair.old.url, timeout=30.0)
        pair.refuses = moved
        call = give(store, 1)
        await until(lambda: store.statistics()["moved"])
        await store.close()

        async with asyncio.timeout(WITHIN):
            with pytest.raises(Unavailable):
                await call
