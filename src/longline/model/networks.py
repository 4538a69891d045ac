"""Who a peer is, for what is counted by peer."""

import ipaddress
from functools import lru_cache

PREFIX = 64  # bits: what one subscriber of IPv6 has at least (RFC 6177), and all of it may be one machine


@lru_cache(maxsize=4096)
def network_of(peer: str) -> str:
    """What stands for a peer of this address: itself, or its /64 of IPv6; an IPv4 one inside IPv6 is itself.

    An address that cannot be read stands for itself.
    """
    if ":" not in peer:
        return peer
    try:
        address = ipaddress.IPv6Address(peer.partition("%")[0])  # without the name of an interface
    except ValueError:
        return peer
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(address), PREFIX), strict=False))
