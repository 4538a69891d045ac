"""`host:port` as text: an address of IPv6 stands in brackets (RFC 3986, section 3.2.2)."""

from ipaddress import ip_address


def joined(host: str, port: int) -> str:
    """`10.0.0.1:1883`, `[::1]:1883`."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parted(address: str) -> tuple[str, int]:
    """What `joined` joined; ValueError for what it cannot have."""
    host, _, port = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def everywhere(host: str) -> bool:
    """Whether a listener on this host takes what comes to any address of it: `0.0.0.0`, `::`."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return False
