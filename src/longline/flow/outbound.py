"""Reads from addresses that others have named, and only from those that they may name.

A name is resolved, every address that it has is checked, and the connection goes to one that was checked:
whoever owns the name cannot answer differently a second time. No redirect is followed, no proxy is asked, no
cookie is kept, and what is read is bounded in bytes and time. An address of this host or of a network that is
not the public internet is refused unless it is allowed, in whatever form it is written.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

import httpx

from longline.errors import LonglineError
from longline.flow.trust import Trust

# Where an IPv4 address is part of an IPv6 one, it is what is reached: RFC 6052, RFC 3056.
NAT64: Final = ip_network("64:ff9b::/96")
SIX_TO_FOUR: Final = ip_network("2002::/16")

PRIVATE: Final = "it is in this host or in a private network"

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]


class AddressRefused(LonglineError):
    """Calls to this address are not allowed here."""

    code = "address_refused"
    status = 422


class CallFailed(LonglineError):
    """The other side could not be reached, or did not answer as it should."""

    code = "call_failed"
    status = 503
    retryable = True


def public(address: str) -> bool:
    """Whether an address is one of the public internet."""
    parsed = ip_address(address.partition("%")[0])
    if isinstance(parsed, IPv6Address):
        inner = parsed.ipv4_mapped
        if inner is None and parsed in NAT64:
            inner = IPv4Address(int(parsed) & 0xFFFF_FFFF)
        if inner is None and parsed in SIX_TO_FOUR:
            inner = IPv4Address(int(parsed) >> 80 & 0xFFFF_FFFF)
        if inner is not None:
            return public(str(inner))
        if not int(parsed) >> 32:  # what RFC 4291 calls compatible, which nobody uses for anything good
            return False
    return parsed.is_global and not parsed.is_multicast


async def resolve(host: str, port: int) -> Sequence[str]:
    """The addresses of a host. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in found))


class Outbound:
    """Reads of one purpose. `plain`: whether `http` will do; `private`: whether any address will.

    `most` in bytes, `timeout` in seconds for all of a read.
    """

    def __init__(
        self,
        *,
        plain: bool,
        private: bool,
        most: int,
        timeout: float,
        resolve: Resolve = resolve,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.plain = plain
        self.private = private
        self._most = most
        self._timeout = timeout
        self._resolve = resolve
        self._transport = transport
        self._trust = Trust()

    async def get(self, url: str) -> bytes:
        """What is at an address. Raises `AddressRefused` or `CallFailed`; neither repeats the address."""
        parsed = self.checked(url)
        context = await self._trust.context()
        try:
            async with asyncio.timeout(self._timeout):
                addresses = await self.addresses(parsed)
                return await self._read(parsed, addresses[0], context)
        except TimeoutError:
            raise CallFailed(f"no answer within {self._timeout:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise CallFailed(f"no answer: {type(error).__name__}") from None

    def checked(self, url: str) -> httpx.URL:
        """The address, when its form is one that may be read from; `AddressRefused`."""
        try:
            parsed = httpx.URL(url)
            host, port = parsed.host, parsed.port
        except (httpx.InvalidURL, UnicodeError):  # the latter: `xn--` and what is no name's encoding
            raise AddressRefused("not a URL") from None
        if port is not None and not 0 < port < 65536:
            raise AddressRefused("there is no such port")
        if parsed.scheme != "https" and not (self.plain and parsed.scheme == "http"):
            raise AddressRefused("its scheme is not https")
        if not host or parsed.userinfo:
            raise AddressRefused("it has no host, or a user's name and password before it")
        try:
            known = public(host)
        except ValueError:  # a name: what it means is found out when it is used, but for this one (RFC 6761)
            known = host.rstrip(".").rpartition(".")[2].lower() != "localhost"
        if not known and not self.private:
            raise AddressRefused(PRIVATE)
        return parsed

    async def addresses(self, url: httpx.URL) -> Sequence[str]:
        """Those of its host, one at least, all of which were checked. Raises as `get` does, and OSError."""
        found = await self._resolve(url.host, url.port or (443 if url.scheme == "https" else 80))
        if not found:
            raise CallFailed("the name has no address")
        if not self.private and not all(map(public, found)):
            raise AddressRefused(PRIVATE)
        return found

    async def _read(self, url: httpx.URL, address: str, context: ssl.SSLContext) -> bytes:
        # To the checked address, under the name that it was asked for: for TLS, and for the other side.
        headers = {
            "Host": url.netloc.decode("ascii"),
            "Accept": "application/json",
            "Accept-Encoding": "identity",
        }
        async with (
            httpx.AsyncClient(
                verify=context,
                trust_env=False,
                timeout=self._timeout,
                transport=self._transport,
            ) as client,
            client.stream(
                "GET",
                url.copy_with(host=address),
                headers=headers,
                extensions={"sni_hostname": url.raw_host.decode("ascii")},
            ) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise CallFailed(f"it answered {response.status_code}")
            if response.headers.get("content-encoding", "identity") != "identity":
                raise CallFailed("it answered in an encoding that nobody asked for")
            return await bounded(response, self._most)


async def bounded(response: httpx.Response, most: int) -> bytes:
    """An answer's body; `CallFailed` when it is longer than it may be."""
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > most:
            raise CallFailed("its answer is too long")
    return bytes(body)
