"""Who may connect at all, by address: lists of networks, counts and rates. Decided before a byte is read."""

import ipaddress
from collections.abc import Callable, Sequence

from longline.flow.bucket import Bucket
from longline.flow.lru import LruCache
from longline.model.networks import network_of
from longline.room.counters import RoomCounters
from longline.room.wire.connection import Connection, ListenerShare

REMEMBERED = 65_536  # addresses whose rate is remembered
PART = 100  # a listener has no more for itself than one in so many

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Addresses:
    """The admission of connections. An address is only asked of the socket where a rule needs it.

    Counts and rates an address are those of a whole /64 of IPv6, which is one subscriber's.
    Of `max_connections`, each listener has `listener_share` for itself, and at most a hundredth: however many
    come by one of them, there is room for some at the others.
    `rate` and `rate_per_address` in connections a second, 0 for any; they and `max_connections` may be set.
    `clock` in seconds, rising.
    """

    def __init__(
        self,
        counters: RoomCounters,
        clock: Callable[[], float],
        *,
        allow: Sequence[str],
        deny: Sequence[str],
        max_connections: int,
        listener_share: int,
        per_address: int,
        rate: float,
        rate_per_address: float,
    ) -> None:
        self._counters = counters
        self._clock = clock
        self._allow = [ipaddress.ip_network(network, strict=False) for network in allow]
        self._deny = [ipaddress.ip_network(network, strict=False) for network in deny]
        self.max_connections = max_connections
        self._listener_share = listener_share
        self._shares: list[ListenerShare] = []
        self._per_address = per_address
        self.rate = rate
        self.rate_per_address = rate_per_address
        self._bucket: Bucket | None = None
        self._held: dict[str, int] = {}
        self._buckets: LruCache[str, Bucket] = LruCache(REMEMBERED)

    def share(self) -> ListenerShare:
        """That of a further listener."""
        share = ListenerShare()
        self._shares.append(share)
        return share

    def admit(self, connection: Connection) -> bool:
        """Whether the connection may stay; counts why not."""
        code = self._refusal(connection)
        if code is None:
            return True
        connection.report(code, "refused before a byte was read")
        return False

    def attempt(self, peer: str | None) -> str | None:
        """Whether a client that is connected may ask once more to be let in: why not, or None.

        It counts as a new connection does for the rates, and for nothing else.
        """
        now = self._clock()
        if self.rate_per_address:
            if peer is None:
                return "address_unknown"
            if not self._within_rate(network_of(peer), now):
                return "connect_rate_per_address"
        return None if self._within_all(now) else "connect_rate"

    def release(self, peer: str) -> None:
        """A counted connection is gone."""
        held = self._held.get(peer, 0) - 1
        if held > 0:
            self._held[peer] = held
        else:
            self._held.pop(peer, None)

    def _refusal(self, connection: Connection) -> str | None:
        if self._counters.connections > self.max_connections - self._kept_from(connection.share):
            return "too_many_connections"
        now = self._clock()
        peer = None
        if self._allow or self._deny or self._per_address or self.rate_per_address:
            peer = connection.peer
            if peer is None:
                return "address_unknown"  # it has gone already
            code = self._list_refusal(peer)
            peer = network_of(peer)
            if code is None:
                code = self._share_refusal(peer, now)
            if code is not None:
                return code
        # Last: whoever is refused for its own address takes nothing from the others.
        if not self._within_all(now):
            return "connect_rate"
        if peer is not None and self._per_address:
            self._held[peer] = self._held.get(peer, 0) + 1
            connection.extras.counted = peer
        return None

    def _kept_from(self, share: ListenerShare) -> int:
        """How many connections are kept for the other listeners, which have fewer than their own."""
        each = min(self._listener_share, self.max_connections // PART)
        return sum(max(0, each - other.connections) for other in self._shares if other is not share)

    def _list_refusal(self, peer: str) -> str | None:
        if self._allow or self._deny:
            address = address_of(peer)
            if any(address in network for network in self._deny):
                return "address_denied"
            if self._allow and not any(address in network for network in self._allow):
                return "address_not_allowed"
        return None

    def _share_refusal(self, peer: str, now: float) -> str | None:
        if self._per_address and self._held.get(peer, 0) >= self._per_address:
            return "too_many_connections_per_address"
        if self.rate_per_address and not self._within_rate(peer, now):
            return "connect_rate_per_address"
        return None

    def _within_all(self, now: float) -> bool:
        if not self.rate:
            return True
        if self._bucket is None:
            self._bucket = Bucket(self.rate, now)
        return self._bucket.take(self.rate, now)

    def _within_rate(self, peer: str, now: float) -> bool:
        bucket = self._buckets.get(peer)
        if bucket is None:
            bucket = Bucket(self.rate_per_address, now)
            self._buckets.put(peer, bucket)
        return bucket.take(self.rate_per_address, now)


def address_of(peer: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """A peer's address; a dual-stack listener shows an IPv4 one inside an IPv6 one (RFC 4291, 2.5.5.2)."""
    address = ipaddress.ip_address(peer)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
