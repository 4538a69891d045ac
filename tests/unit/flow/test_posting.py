"""Calls of addresses that others have named: by the address that was checked, each time anew."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from longline.flow.outbound import AddressRefused, CallFailed
from longline.flow.posting import Lookups, Posted, Posting, PostTarget
from tests.certificates import Authority

WORLD = "93.184.216.34"
INSIDE = "10.0.0.1"


class Net:
    """Names with their addresses, and what answers there."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)  # to one look-up after the other; the last one stays
        self.requests: list[httpx.Request] = []
        self.response = httpx.Response(200)

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        return (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]).split()

    async def handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        said = self.response
        return httpx.Response(said.status_code, headers=said.headers, stream=httpx.ByteStream(b""))

    def target(self, url: str = "https://hooks.example.org/in?x=1", *, private: bool = False) -> PostTarget:
        posting = Posting(
            private=private, timeout=0.2, resolve=self.resolve, transport=httpx.MockTransport(self.handle)
        )
        return PostTarget(posting, url)


async def test_it_goes_to_the_address_that_was_checked_under_the_name() -> None:
    net = Net(WORLD)
    assert await net.target().post(b"body", {"webhook-id": "msg_1"}) == Posted(200)
    (request,) = net.requests
    assert (request.method, str(request.url)) == ("POST", f"https://{WORLD}/in?x=1")
    assert request.headers["host"] == "hooks.example.org"
    assert request.headers["webhook-id"] == "msg_1"
    assert request.extensions["sni_hostname"] == "hooks.example.org"
    assert request.content == b"body"


async def test_a_name_that_moves_inside_is_refused_at_the_next_call() -> None:
    """Also where only one of its addresses does."""
    net = Net(WORLD, INSIDE, f"{WORLD} {INSIDE}", WORLD)
    target = net.target()
    await target.post(b"", {})
    for _ in range(2):
        with pytest.raises(AddressRefused) as refused:
            await target.post(b"", {})
        assert INSIDE not in str(refused.value)
    await target.post(b"", {})
    assert len(net.requests) == 2


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://localhost/",
        "https://a.localhost./",
        "https://2130706433/",
        "https://0x7f.1/",
        "ftp://example.org/",
        "https://user@example.org/",
    ],
)
async def test_what_may_not_be_called_is_not(url: str) -> None:
    net = Net("127.0.0.1")
    with pytest.raises(AddressRefused):
        await net.target(url).post(b"", {})
    assert net.requests == []


async def test_inside_it_may_be_without_tls() -> None:
    net = Net(INSIDE)
    assert await net.target("http://hooks.internal/", private=True).post(b"", {}) == Posted(200)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("soon", 0.0),
        ("-5", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("9" * 40, 999999999.0),
    ],
)
async def test_who_wants_to_be_left_alone_says_for_how_long(header: str, seconds: float) -> None:
    net = Net(WORLD)
    net.response = httpx.Response(503, headers={"retry-after": header})
    assert await net.target().post(b"", {}) == Posted(503, seconds)


async def test_a_redirect_is_an_answer_and_a_cookie_is_forgotten() -> None:
    net = Net(WORLD)
    net.response = httpx.Response(302, headers={"location": "https://127.0.0.1/", "set-cookie": "a=b"})
    target = net.target()
    assert (await target.post(b"", {})).status == 302
    await target.post(b"", {})
    assert len(net.requests) == 2
    assert "cookie" not in net.requests[1].headers


@asynccontextmanager
async def served(answer: bytes, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Something at a port of this host that says this to everybody, and then nothing."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_who_says_nothing_is_not_waited_for_long() -> None:
    async with served(b"") as port:
        target = PostTarget(Posting(private=True, timeout=0.1), f"http://127.0.0.1:{port}/")
        with pytest.raises(CallFailed, match="no answer within"):
            await target.post(b"x", {})
        await target.close()


async def test_an_answer_counts_when_its_status_is_there_whatever_follows() -> None:
    """A body without an end is not read to the end."""
    async with served(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n" + b"x" * 100_000) as port:
        target = PostTarget(Posting(private=True, timeout=5.0), f"http://localhost:{port}/")
        assert (await target.post(b"x", {})).status == 200
        assert (await target.post(b"x", {})).status == 200
        await target.close()


async def test_a_certificate_of_nobody_who_is_trusted_is_refused(tmp_path: Path) -> None:
    pair = Authority(tmp_path).server()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    async with served(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", context) as port:
        target = PostTarget(Posting(private=True, timeout=5.0), f"https://localhost:{port}/")
        with pytest.raises(CallFailed, match="certificate"):
            await target.post(b"x", {})
        await target.close()


async def test_a_port_that_nobody_is_at_is_told() -> None:
    async with served(b"") as port:
        pass
    target = PostTarget(Posting(private=True, timeout=5.0), f"http://127.0.0.1:{port}/")
    with pytest.raises(CallFailed, match="takes no connection"):
        await target.post(b"x", {})


async def test_where_nothing_is_at_one_address_the_next_is_tried() -> None:
    async with served(b"HTTP/1.1 204 x\r\n\r\n") as port:

        async def resolve(host: str, port: int) -> Sequence[str]:
            return ["127.0.0.9", "::1", "127.0.0.1"]

        posting = Posting(private=True, timeout=5.0, resolve=resolve)
        target = PostTarget(posting, f"http://hooks.internal:{port}/")
        assert (await target.post(b"x", {})).status == 204
        await target.close()


async def test_names_are_looked_up_beside_the_loop() -> None:
    lookups = Lookups()
    assert "127.0.0.1" in await lookups.resolve("localhost", 80)
    lookups.close()
    with pytest.raises(OSError, match=r".+"):
        await lookups.resolve("no-such-name.invalid", 80)
    lookups.close()
