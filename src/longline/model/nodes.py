"""Names of nodes: that of their host, and something that makes each of them unique in time."""

import secrets


def unique(host: str) -> str:
    """A name that no other process has, now or ever."""
    return f"{host}-{secrets.token_hex(4)}"


def host_of(node: str) -> str:
    """The host that a name was made for; a name without one is a host by itself."""
    return node.rpartition("-")[0] or node
