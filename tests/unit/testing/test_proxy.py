"""The bad network does what it is told, to both sides, and leaves nothing behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from longline.testing.clock import settle
from longline.testing.proxy import FaultProxy, ProxyStatistics, reset

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def through_proxy() -> AsyncIterator[tuple[FaultProxy, Streams, Streams]]:
    """A client and a server, each its reader and writer, with the proxy between them."""
    accepted: asyncio.Queue[Streams] = asyncio.Queue()
    server = await asyncio.start_server(lambda *streams: accepted.put_nowait(streams), "127.0.0.1", 0)
    async with server, FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        client = await asyncio.open_connection("127.0.0.1", proxy.port)
        far = await accepted.get()
        client[1].write(b"!")  # once this has passed, the proxy has both directions in place
        await far[0].readexactly(1)
        proxy.statistics = ProxyStatistics(accepted=proxy.statistics.accepted)
        try:
            yield proxy, client, far
        finally:
            for _, writer in (client, far):
                writer.transport.abort()
            await settle()


async def test_bytes_pass_both_ways_and_are_counted() -> None:
    async with through_proxy() as (proxy, (reader, writer), (far_reader, far_writer)):
        writer.write(b"ping")
        assert await far_reader.readexactly(4) == b"ping"
        far_writer.write(b"pong!")
        assert await reader.readexactly(5) == b"pong!"
        assert (proxy.statistics.accepted, proxy.connections) == (1, 1)
        assert (proxy.statistics.upward, proxy.statistics.downward) == (4, 5)


async def test_split_bytes_all_arrive_in_order() -> None:
    async with through_proxy() as (proxy, (_, writer), (far_reader, _)):
        proxy.split = 1
        writer.write(bytes(range(100)))
        assert await far_reader.readexactly(100) == bytes(range(100))


async def test_delayed_bytes_arrive_all_the_same() -> None:
    async with through_proxy() as (proxy, (_, writer), (far_reader, _)):
        proxy.delay = 0.001
        writer.write(b"late")
        assert await far_reader.readexactly(4) == b"late"


async def test_in_a_stall_nothing_arrives_and_after_it_everything() -> None:
    async with through_proxy() as (proxy, (reader, writer), (far_reader, far_writer)):
        proxy.stall()
        writer.write(b"up")
        far_writer.write(b"down")
        arriving = asyncio.gather(far_reader.readexactly(2), reader.readexactly(4))
        await settle()
        assert (proxy.statistics.upward, proxy.statistics.downward) == (0, 0)
        proxy.resume()
        up, down = await arriving
        assert (up, down) == (b"up", b"down")


async def test_in_a_stall_not_even_the_end_of_the_stream_gets_through() -> None:
    async with through_proxy() as (proxy, (_, writer), (far_reader, _)):
        proxy.stall()
        writer.close()
        ending = asyncio.ensure_future(far_reader.read())
        await settle()
        assert not ending.done()
        proxy.resume()
        assert await ending == b""


@pytest.mark.parametrize("split", [0, 1])
async def test_a_lie_is_heard_behind_the_chunk_that_passes(split: int) -> None:
    """Within it, it would make another message of the one that was said."""
    async with through_proxy() as (proxy, (reader, _), (_, far_writer)):
        proxy.split = split
        proxy.stall()
        far_writer.write(b"said")
        await settle()
        proxy.lie(b"!")
        proxy.resume()
        assert await reader.readexactly(5) == b"said!"
        proxy.lie(b"?")
        assert await reader.readexactly(1) == b"?"


async def test_a_cut_resets_both_sides() -> None:
    async with through_proxy() as (proxy, (reader, _), (far_reader, _)):
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        with pytest.raises(ConnectionResetError):
            await far_reader.read()


async def test_a_reset_by_one_side_reaches_the_other_as_a_reset() -> None:
    async with through_proxy() as (_, (_, writer), (far_reader, _)):
        reset(writer)
        with pytest.raises(ConnectionResetError):
            await far_reader.read()


async def test_half_closed_upward_the_server_sees_the_end_and_can_still_speak() -> None:
    async with through_proxy() as (proxy, (reader, writer), (far_reader, far_writer)):
        proxy.close_upward()
        assert await far_reader.read() == b""
        writer.write(b"lost")
        far_writer.write(b"heard")
        assert await reader.readexactly(5) == b"heard"


async def test_half_closed_downward_the_client_sees_the_end_and_can_still_speak() -> None:
    async with through_proxy() as (proxy, (reader, writer), (far_reader, _)):
        proxy.close_downward()
        assert await reader.read() == b""
        writer.write(b"heard")
        assert await far_reader.readexactly(5) == b"heard"


async def test_a_proxy_that_refuses_resets_new_connections_and_keeps_old_ones() -> None:
    async with through_proxy() as (proxy, (_, writer), (far_reader, _)):
        proxy.refusing = True
        refused, other = await asyncio.open_connection("127.0.0.1", proxy.port)
        with pytest.raises(ConnectionResetError):
            await refused.read()
        other.transport.abort()
        writer.write(b"still here")
        assert await far_reader.readexactly(10) == b"still here"
        assert proxy.statistics.refused == 1


async def test_a_server_that_is_gone_is_a_reset_for_the_client() -> None:
    gone = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = gone.sockets[0].getsockname()[1]
    gone.close()
    await gone.wait_closed()
    async with FaultProxy("127.0.0.1", port) as proxy:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.transport.abort()
