"""The slots of a Cluster: which one a tag is in, and which server has which."""

from binascii import crc_hqx
from typing import Final

from longline.store.addresses import Address
from longline.store.calls import Reply

SLOTS: Final = 16384


def slot_of(tag: bytes) -> int:
    """The slot of all keys with this tag: CRC16 (XMODEM) of the tag, as in the Cluster specification."""
    return crc_hqx(tag, 0) % SLOTS


def read_map(reply: Reply, asked: Address) -> tuple[dict[int, Address], list[Address]]:
    """The answer to CLUSTER SLOTS: each slot's master, and all replicas.

    `asked` is the server that answered: an empty host in its answer means its own.
    """
    masters: dict[int, Address] = {}
    replicas: list[Address] = []
    for row in reply if isinstance(reply, list) else []:
        match row:
            case [int() as first, int() as last, *nodes]:
                pass
            case _:
                continue
        found = [_node(node, asked) for node in nodes]
        if found and found[0] is not None:
            masters.update(dict.fromkeys(range(first, min(last + 1, SLOTS)), found[0]))
        replicas += [node for node in found[1:] if node is not None]
    return masters, replicas


def read_target(text: str, asked: Address) -> tuple[int, Address] | None:
    """The rest of a MOVED reply, `3999 127.0.0.1:6381`; None when it is not one."""
    slot, _, place = text.partition(" ")
    host, _, port = place.rpartition(":")
    if not slot.isdigit() or not port.isdigit() or int(slot) >= SLOTS:
        return None
    return int(slot), Address(host or asked.host, int(port))


def _node(node: Reply, asked: Address) -> Address | None:
    match node:
        case [(bytes() | None) as host, int() as port, *_] if host != b"?":
            return Address(host.decode() if host else asked.host, port)
    return None
