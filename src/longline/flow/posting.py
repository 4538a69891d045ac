"""Calls of addresses that others have named, again and again, and only of those that they may name.

What `outbound.py` says of reads holds here, too: the name is resolved for each call, every address that it
has is checked, and the call goes to one of these, under the name. Connections are kept for the next call to
the same target, by the address that was checked, and never shared with another target: one that has the same
address by another name has shown no certificate for it.

Names are looked up in threads of their own, because a name whose servers do not answer holds up its thread
for as long as they please.
"""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Final, NamedTuple

import httpx

from longline.flow.clients import Clients
from longline.flow.outbound import CallFailed, Outbound, Resolve
from longline.flow.trust import Trust
from longline.model.times import wall_clock

LOOKED_UP_AT_ONCE: Final = 16  # names
READ: Final = 65_536  # bytes of an answer, beyond which its connection is not used again
TRIED: Final = 3  # addresses of a name, where nothing is at those before
KEPT_FOR: Final = 30.0  # s that a connection waits for the next call


class Posted(NamedTuple):
    """What came of a call: the status, and for how many seconds the other side wants to be left alone."""

    status: int
    retry_after: float = 0.0


class Lookups:
    """Looks names up, some at once."""

    def __init__(self) -> None:
        self._threads: ThreadPoolExecutor | None = None

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        """The addresses of a host. Raises OSError."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(LOOKED_UP_AT_ONCE, "webhook-names")
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        )
        return list(dict.fromkeys(str(row[4][0]) for row in found))

    def close(self) -> None:
        """Nobody waits for what is being looked up."""
        if self._threads is not None:
            threads, self._threads = self._threads, None
            threads.shutdown(wait=False, cancel_futures=True)


class Posting:
    """Calls of one purpose. `private`: whether any address will do, and `http`; `timeout` in seconds, for all
    of a call."""

    def __init__(
        self,
        *,
        private: bool,
        timeout: float,
        resolve: Resolve | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.timeout = timeout
        self._lookups = Lookups()
        self._checks = Outbound(
            plain=private,
            private=private,
            most=READ,
            timeout=timeout,
            resolve=resolve or self._lookups.resolve,
        )
        self._transport = transport
        self.trust = Trust()

    def checked(self, url: str) -> httpx.URL:
        """The address, when its form is one that may be called; `AddressRefused`."""
        return self._checks.checked(url)

    async def addresses(self, url: httpx.URL) -> Sequence[str]:
        """Those that were checked. Raises `AddressRefused`, `CallFailed` or OSError."""
        return await self._checks.addresses(url)

    def client(self, context: ssl.SSLContext) -> httpx.AsyncClient:
        """What holds the connections to one target."""
        return httpx.AsyncClient(
            verify=context,
            trust_env=False,
            timeout=self.timeout,
            transport=self._transport,
            limits=httpx.Limits(max_connections=2, max_keepalive_connections=1, keepalive_expiry=KEPT_FOR),
        )

    def close(self) -> None:
        """No call may be under way."""
        self._lookups.close()


class PostTarget:
    """One address that is called; the next call comes when the one before is over."""

    __slots__ = ("_clients", "_posting", "_url")

    def __init__(self, posting: Posting, url: str) -> None:
        self._posting = posting
        self._url = url
        self._clients = Clients(posting.client)

    async def post(self, body: bytes, headers: dict[str, str]) -> Posted:
        """Calls it. Raises `AddressRefused` or `CallFailed`, neither of which repeats the address."""
        url = self._posting.checked(self._url)
        context = await self._posting.trust.context()
        try:
            async with asyncio.timeout(self._posting.timeout):
                *others, last = (await self._posting.addresses(url))[:TRIED]
                async with self._clients.client(context) as client:
                    for address in others:
                        with suppress(httpx.ConnectError):
                            return await self._call(client, url, address, body, headers)
                    return await self._call(client, url, last, body, headers)
        except TimeoutError:
            raise CallFailed(f"no answer within {self._posting.timeout:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            raise CallFailed(_in_words(error)) from None

    async def close(self) -> None:
        """Ends its connections."""
        await self._clients.close()

    async def _call(
        self, client: httpx.AsyncClient, url: httpx.URL, address: str, body: bytes, headers: dict[str, str]
    ) -> Posted:
        client.cookies.clear()
        # To the checked address, under the name that it was asked for: for TLS, and for the other side.
        async with client.stream(
            "POST",
            url.copy_with(host=address),
            content=body,
            headers={"Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity", **headers},
            extensions={"sni_hostname": url.raw_host.decode("ascii")},
        ) as response:
            posted = Posted(response.status_code, _seconds(response.headers.get("retry-after", "")))
            # It has answered. The rest is read only so that its connection is good for the next call.
            with suppress(httpx.HTTPError, TimeoutError):
                async with asyncio.timeout(1.0):
                    size = 0
                    async for piece in response.aiter_raw():
                        size += len(piece)
                        if size > READ:
                            break
            return posted


def _seconds(retry_after: str) -> float:
    """Of RFC 9110, section 10.2.3: seconds, or a date."""
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - wall_clock() / 1000)
    except (ValueError, OverflowError, IndexError):
        return 0.0


def _in_words(error: Exception) -> str:
    """What an error says of itself without the address, which it may repeat."""
    said = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return "its certificate is not good for its name, or of nobody who is trusted"
    if isinstance(error, socket.gaierror | UnicodeError):
        return "its name is not known"
    if isinstance(error, httpx.ConnectError):
        return "it takes no connection"
    return f"no answer: {type(error).__name__}"
