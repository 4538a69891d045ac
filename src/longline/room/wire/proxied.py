"""A connection behind a proxy, until its PROXY header has told whom it carries.

Only from the addresses that `room.proxy_from` names a header is believed, and from these none is done
without: the proxy that forgets it would lend its own address to everybody. Who comes from elsewhere is served
as if there were no such protocol: a header is then the first packet of somebody who does not speak MQTT.
"""

import asyncio
import ipaddress
from collections.abc import Callable, Sequence
from typing import cast, final

from longline.mqtt.reasons import ReasonCode
from longline.room.session.outlet import Outlet
from longline.room.wire.addresses import address_of
from longline.room.wire.connection import UNDER_WAY, Wire
from longline.room.wire.proxy_header import ProxyHeader

Make = Callable[[str | None], object]
"""Makes what deals with a connection, an asyncio protocol by shape; of the client's address, where a proxy
has told it."""


class Proxies:
    """Which peers are proxies, by their networks (CIDR). Who is past its header counts for `most`, too."""

    def __init__(self, networks: Sequence[str], most: Callable[[], int]) -> None:
        self._networks = [ipaddress.ip_network(network, strict=False) for network in networks]
        self.most = most

    def __contains__(self, peer: str) -> bool:
        address = address_of(peer)
        return any(address in network for network in self._networks)


@final
class Proxied(Outlet):
    """Between a socket and what deals with the connection, until that can be told the client's address.

    A header has as much time as a CONNECT. A connection is closed at once where it would be one more than
    `Proxies.most`, with those that are past their header: each of both is an open file.
    """

    __slots__ = ("_header", "_make", "_peer", "_proxies", "_transport", "_wire")

    def __init__(self, wire: Wire, proxies: Proxies, make: Make) -> None:
        super().__init__()
        self._wire = wire
        self._proxies = proxies
        self._make = make
        self._header: ProxyHeader | None = None  # while it is awaited
        self._peer = "gone"
        self._transport: asyncio.Transport | None = None

    # --- what the transport calls -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        name = transport.get_extra_info("peername")
        if name is None:  # it has gone already
            transport.abort()
            return
        self._peer = str(name[0])
        counters = self._wire.counters
        if self._peer not in self._proxies:
            self._hand_over(None, b"")
        elif counters.headers_awaited + counters.connections >= self._proxies.most():
            self._refuse("too_many_connections", "too many headers of the PROXY protocol are awaited")
        else:
            counters.headers_awaited += 1
            self._header = ProxyHeader()
            self._wire.wheel.set(self, self._wire.limits.connect_timeout + UNDER_WAY)

    def data_received(self, data: bytes) -> None:
        header = self._header
        if header is None:
            return  # it was refused
        header.feed(data)
        if header.problem is not None:
            self._refuse("proxy_header", header.problem)
        elif header.done:
            self._waits_no_more()
            self._hand_over(header.origin, header.rest)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        """Nothing is written here."""

    def resume_writing(self) -> None:
        """Nothing is written here."""

    def connection_lost(self, error: Exception | None) -> None:
        self._waits_no_more()
        self._transport = None

    # --- the end of it ----------------------------------------------------------------------------

    def _hand_over(self, origin: str | None, rest: bytes) -> None:
        transport = self._transport
        if transport is None:
            return
        self._transport = None
        carried = cast(asyncio.Protocol, self._make(origin))  # by shape
        transport.set_protocol(carried)
        carried.connection_made(transport)
        if rest and not transport.is_closing():
            carried.data_received(rest)

    def _refuse(self, code: str, message: str) -> None:
        counters = self._wire.counters
        counters.refused.add(code)
        counters.closed.add(code)
        self._wire.report(code, self._peer, message)
        self.abort()

    def _waits_no_more(self) -> None:
        if self._header is not None:
            self._header = None
            self._wire.counters.headers_awaited -= 1
            self._wire.wheel.clear(self)

    # --- what the room calls ----------------------------------------------------------------------

    def expired(self) -> None:
        self._refuse("proxy_header", "no header of the PROXY protocol in time")

    def close(self, reason: ReasonCode, code: str) -> None:
        self.abort()

    def abort(self) -> None:
        self._waits_no_more()
        transport = self._transport
        if transport is not None:
            transport.abort()
