"""Calls that are cut off at any moment leave a client with which others get through."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx

from longline.flow.clients import Clients
from tests.waiting import WITHIN

CONTEXT = ssl.create_default_context()
MOMENTS = 120  # turns of the loop after which a call is cut off: more than one takes


@asynccontextmanager
async def answering() -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


def one_of_two_places(context: ssl.SSLContext) -> httpx.AsyncClient:
    return httpx.AsyncClient(verify=context, trust_env=False, limits=httpx.Limits(max_connections=2))


async def test_calls_that_are_cut_off_take_no_places_from_others() -> None:
    clients = Clients(one_of_two_places)

    async def call(url: str) -> int:
        async with clients.client(CONTEXT) as client:
            return (await client.get(url)).status_code

    async with answering() as url:
        for moment in range(MOMENTS):
            task = asyncio.create_task(call(url))
            for _ in range(moment):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        async with asyncio.timeout(WITHIN):
            assert await call(url) == httpx.codes.OK
        await clients.close()


async def test_a_client_is_closed_with_the_last_of_its_calls() -> None:
    made: list[httpx.AsyncClient] = []

    def make(context: ssl.SSLContext) -> httpx.AsyncClient:
        made.append(httpx.AsyncClient(verify=context))
        return made[-1]

    clients = Clients(make)
    with suppress(TimeoutError):
        async with clients.client(CONTEXT) as first:
            with suppress(TimeoutError):
                async with clients.client(CONTEXT) as second:
                    assert second is first
                    raise TimeoutError
            assert not first.is_closed, "it has a call under way"
            async with clients.client(CONTEXT) as third:
                assert third is not first
            raise TimeoutError
    assert first.is_closed
    assert not third.is_closed
    await clients.close()
    assert third.is_closed
    assert len(made) == 2
