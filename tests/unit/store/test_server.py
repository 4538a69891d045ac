"""What a server may say at any moment, from one that says what it is told to."""

import asyncio
from collections.abc import Awaitable

import pytest

from longline.errors import Unavailable
from longline.store.connection import AT_ONCE, ServerConnection
from longline.store.redis import Reply, Script
from longline.store.server import Server
from longline.testing.clock import settle
from tests.unit.store.conftest import Open
from tests.unit.store.scripted import ScriptedServer, Words
from tests.waiting import stand_still, until

APPEND = Script("tests.unit.store.lua", "append.lua")


async def settled(calls: list[Awaitable[Reply]]) -> list[object]:
    """The replies, or the errors."""
    return list(await asyncio.gather(*calls, return_exceptions=True))


async def test_what_one_tick_gives_goes_out_in_one_write(open_store: Open) -> None:
    async with ScriptedServer(lambda words: b"+OK\r\n") as server:
        store = await open_store(server.url)
        server.chunks.clear()

        for _ in range(3):
            await asyncio.gather(*(store.run(b"p%d" % n, APPEND, [b"k"], [n], work=1) for n in range(100)))

        assert [len(chunk) for chunk in server.chunks] == [101, 100, 100]  # the script goes ahead, once


async def test_a_server_is_given_no_more_work_at_once_than_others_may_wait_for(open_store: Open) -> None:
    """It does all that one connection brings before it looks at another one."""
    work = [AT_ONCE // 4] * 10 + [10 * AT_ONCE] + [1] * 10
    async with ScriptedServer(lambda words: b"+OK\r\n") as server:
        store = await open_store(server.url)
        server.chunks.clear()

        await asyncio.gather(*(store.run(b"p1", APPEND, [b"k"], [n], work=work[n]) for n in range(len(work))))

        chunks = [[int(words[-1]) for words in chunk if words[0] == b"EVALSHA"] for chunk in server.chunks]
        assert [n for chunk in chunks for n in chunk] == list(range(len(work)))
        assert all(sum(work[n] for n in chunk) <= AT_ONCE or len(chunk) == 1 for chunk in chunks)


@pytest.mark.parametrize(
    "refusal",
    [
        b"-LOADING Redis is loading the dataset in memory\r\n",
        b"-CLUSTERDOWN The cluster is down\r\n",
        b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n",
        b"-ASK 3999 127.0.0.1:6381\r\n",
        b"-BUSY Redis is busy running a script\r\n",
        b"-NOREPLICAS Not enough good replicas to write.\r\n",
        b"-READONLY You can't write against a read only replica.\r\n",
        b"-NOSCRIPT No matching script.\r\n",
        b"-ERR Script attempted to access a non local key in a cluster node\r\n",
    ],
)
async def test_what_is_refused_for_a_while_is_repeated_in_the_order_given(
    refusal: bytes, open_store: Open
) -> None:
    left = 13  # so that all of the first ten are refused, and some are refused again

    def answer(words: Words) -> bytes:
        nonlocal left
        left -= 1
        if left >= 0:
            return refusal
        done.append(int(words[-1]))
        return b":" + words[-1] + b"\r\n"

    done: list[int] = []
    async with ScriptedServer(answer) as server:
        store = await open_store(server.url)

        first = [asyncio.ensure_future(store.call(b"p1", "X", n)) for n in range(10)]
        await until(lambda: left <= 2)
        later = [asyncio.ensure_future(store.call(b"p1", "X", n)) for n in range(10, 20)]

        assert await asyncio.gather(*first, *later) == list(range(20))
    assert done == list(range(20))


async def test_a_call_that_is_refused_is_overtaken_by_what_was_sent_with_it_and_by_nothing_given_later(
    open_store: Open,
) -> None:
    """Calls go out without waiting for each other, so a refusal comes too late for those behind it."""
    refusals = 3
    done: list[int] = []

    def answer(words: Words) -> bytes:
        nonlocal refusals
        number = int(words[-1])
        if number == 3 and refusals:
            refusals -= 1
            return b"-CLUSTERDOWN\r\n"
        done.append(number)
        return b":%d\r\n" % number

    async with ScriptedServer(answer) as server:
        store = await open_store(server.url)

        together = [asyncio.ensure_future(store.call(b"p1", "X", n)) for n in range(10)]
        await until(lambda: store.statistics()["repeated"])
        later = [asyncio.ensure_future(store.call(b"p1", "X", n)) for n in range(10, 20)]

        assert await asyncio.gather(*together, *later) == list(range(20))
    assert done == [0, 1, 2, 4, 5, 6, 7, 8, 9, 3, *range(10, 20)]


async def test_a_tag_that_is_held_back_holds_back_no_other(open_store: Open) -> None:
    holding = True

    def answer(words: Words) -> bytes:
        return b"-TRYAGAIN\r\n" if words[1] == b"held" and holding else b"+OK\r\n"

    async with ScriptedServer(answer) as server:
        store = await open_store(server.url)

        held = asyncio.ensure_future(store.call(b"p1", "X", "held"))
        for _ in range(10):
            assert await store.call(b"p2", "X", "free") == b"OK"
        assert not held.done()
        holding = False

        assert await held == b"OK"


async def test_calls_held_back_do_not_all_knock_at_the_door(open_store: Open) -> None:
    """One of them is sent as a probe; the others follow when it is answered."""
    refusals = 3

    def answer(words: Words) -> bytes:
        nonlocal refusals
        refusals -= 1
        return b"-CLUSTERDOWN\r\n" if refusals >= 0 else b"+OK\r\n"

    async with ScriptedServer(answer) as server:
        store = await open_store(server.url)
        await settled([store.call(b"p1", "X", 0)])
        assert len(server.said) == 4
        refusals = 1

        await settled([store.call(b"p1", "X", n) for n in range(100)])
        # All went out; the first came back, and what stood behind it had been answered by then.
        assert len(server.said) == 4 + 101


async def test_what_is_refused_all_along_is_unavailable_at_its_deadline(open_store: Open) -> None:
    async with ScriptedServer(lambda words: b"-CLUSTERDOWN\r\n") as server:
        store = await open_store(server.url, timeout=1.0)

        replies = await settled([store.call(b"p%d" % n, "X", n) for n in range(10)])

        assert [type(reply) for reply in replies] == [Unavailable] * 10
        # The last that knocked may not have its answer yet.
        await until(lambda: store.statistics()["waiting"] == store.statistics()["waiting_bytes"] == 0)


async def test_what_a_broken_connection_left_is_repeated_in_the_order_given(open_store: Open) -> None:
    done: list[int] = []

    def answer(words: Words) -> bytes:
        number = int(words[-1])
        done.append(number)
        if server.connections < 5 and number % 10 == 7:
            raise ConnectionResetError
        return b":%d\r\n" % number

    async with ScriptedServer(answer) as server:
        store = await open_store(server.url)

        replies = await settled([store.call(b"p1", "X", n) for n in range(50)])

    assert replies == list(range(50))
    assert list(dict.fromkeys(done)) == sorted(set(done))


async def test_a_server_that_gives_no_answer_is_left(open_store: Open) -> None:
    def answer(words: Words) -> bytes | None:
        return b"+OK\r\n" if server.connections > 2 else None  # one for `open`, one for calls, and the next

    async with ScriptedServer(answer) as server:
        store = await open_store(server.url, timeout=1.0)

        assert await settled([store.call(b"p1", "X", n) for n in range(3)]) == [b"OK"] * 3
        assert store.statistics()["reconnects"] == 1


async def test_a_process_that_is_held_up_again_and_again_does_not_call_the_server_silent(
    open_store: Open,
) -> None:
    """Its answer may be there all the time, unread."""
    async with ScriptedServer(lambda words: None) as server:
        store = await open_store(server.url, timeout=1.0)
        call = asyncio.ensure_future(store.call(b"p1", "X", 1))
        await until(lambda: server.said)
        for _ in range(5):
            stand_still(0.6)  # longer than a server may be silent
            await settle()
            assert store.statistics()["connected"] == 1
        assert server.connections == 2, "one to look, one for calls"
        call.cancel()


async def test_the_connection_that_was_left_is_ended_at_the_server_first(open_store: Open) -> None:
    """So that what it still had is not carried out behind the back of later calls."""
    async with ScriptedServer(lambda words: b"+OK\r\n") as server:
        store = await open_store(server.url)
        server.cut()
        await store.call(b"p1", "X", 1)

        ended = [words for chunk in server.chunks for words in chunk if words[:2] == [b"CLIENT", b"KILL"]]
        assert ended == [[b"CLIENT", b"KILL", b"ID", b"2"]]


async def test_a_server_that_answers_nonsense_leaves_nobody_waiting(open_store: Open) -> None:
    def answer(words: Words) -> bytes:
        return b"what?\r\n" if server.connections == 2 else b"+OK\r\n"

    async with ScriptedServer(answer) as server:
        store = await open_store(server.url)

        assert await settled([store.call(b"p1", "X", n) for n in range(3)]) == [b"OK"] * 3


async def test_an_answer_that_nobody_asked_for_ends_the_connection(open_store: Open) -> None:
    async with ScriptedServer(lambda words: b"+OK\r\n+OK\r\n") as server:
        store = await open_store(server.url)
        await store.call(b"p1", "X", 1)
        server.answer = lambda words: b"+OK\r\n"

        assert await store.call(b"p1", "X", 2) == b"OK"
        assert store.statistics()["reconnects"] == 1


async def test_a_connection_that_cannot_be_taken_into_use_is_replaced(
    open_store: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with it: without another one every call from then on would be in vain."""
    adopt = Server._adopt
    tries = 0

    def planted(server: Server, connection: ServerConnection) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ZeroDivisionError
        adopt(server, connection)

    monkeypatch.setattr(Server, "_adopt", planted)
    async with ScriptedServer(lambda words: b"+OK\r\n") as server:
        store = await open_store(server.url)
        assert await store.call(b"p1", "X", 1) == b"OK"
    assert tries == 2
