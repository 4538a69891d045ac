"""Where a node listens, and where it tells others that it is reached."""

import socket
from collections.abc import Container

from longline.dispatcher.ranking import TRANSPORTS
from longline.model.addresses import everywhere, joined
from longline.settings import Settings
from longline.settings.listeners import ports

# Addresses kept for examples (RFC 5737, RFC 3849): the way to them is the way to the world outside.
_OUTSIDE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))
_DISCARD = 9  # port; nothing is sent to it


def bound(settings: Settings, roles: Container[str], without: Container[str] = ()) -> dict[str, str]:
    """The listeners of these roles, by protocol, `without` those of some transports."""
    room, center = settings.room, settings.center
    found = {}
    if "room" in roles:
        found = {
            TRANSPORTS[port.transport]: joined(room.host, port.number)
            for port in ports(room)
            if port.transport not in without
        }
    if center.port and ("center" in roles or "dispatcher" in roles):
        found["http"] = f"{scheme(settings)}://{joined(center.host, center.port)}"
    return found


def advertised(settings: Settings, roles: Container[str], without: Container[str] = ()) -> dict[str, str]:
    """What other nodes and clients are told, `without` the listeners of some transports. One on every address
    of a host that has no way out of it is left out: nobody could connect to `0.0.0.0`."""
    room, center = settings.room, settings.center
    found = {}
    if "room" in roles and (opened := ports(room)) and (host := room.advertise or reachable(room.host)):
        found = {
            TRANSPORTS[port.transport]: joined(host, port.number)
            for port in opened
            if port.transport not in without
        }
    if center.port and ("center" in roles or "dispatcher" in roles) and (host := reachable(center.host)):
        found["http"] = f"{scheme(settings)}://{joined(host, center.port)}"
    return found


def scheme(settings: Settings) -> str:
    """How the API's port is spoken to."""
    return "http" if settings.center.tls_cert is None else "https"


def guessed(settings: Settings, roles: Container[str]) -> bool:
    """Whether clients are told an address that nobody has set."""
    room = settings.room
    return "room" in roles and bool(ports(room)) and room.advertise is None and everywhere(room.host)


def reachable(host: str) -> str | None:
    """The host itself; for `0.0.0.0` and `::` the address of this host from which it speaks to others, None
    when it has no way to them."""
    if not everywhere(host):
        return host
    for family, outside in _OUTSIDE:
        if family == socket.AF_INET6 and ":" not in host:
            break
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as asking:
                asking.connect((outside, _DISCARD))
                return str(asking.getsockname()[0])
        except OSError:
            continue
    return None
