"""The order of endpoints for one client.

Each endpoint draws a number for the client from a hash of both, bent by the endpoint's weight so that the
share of clients for which it draws the highest is its share of the weights (weighted rendezvous hashing:
Thaler and Ravishankar 1998; Schindelhauer and Schomaker 2005 for the weights). So every dispatcher gives a
client the same answer without asking anybody, a room that goes or comes moves only its own share, and a
client that comes back finds the room it had.
"""

import math
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from heapq import nsmallest
from operator import itemgetter

import msgspec

from longline.keeper.port import Node
from longline.model.addresses import parted

TRANSPORTS = {"tcp": "mqtt", "tls": "mqtts", "ws": "ws", "wss": "wss"}

# A room that is behind is not cut off at once: its share sinks with what it has left.
LAG_TOLERATED = 0.05  # s of the loop's lag that cost a room nothing
LEAST = 0.02  # of its weight, for a room that is full or late: somebody has to find out that it is well again


class Endpoint(msgspec.Struct, frozen=True):
    """One address that clients may connect to; several rooms of a host may share it.

    `weight` is the share that it should get, `share` what is left of it under its load.
    """

    host: str
    port: int
    transport: str
    weight: float
    share: float
    region: str
    networks: tuple[str, ...]
    address: str
    seed: int


def endpoints(rooms: Iterable[Node], transport: str) -> list[Endpoint]:
    """The addresses of rooms for a transport; of rooms behind one address the weights add up."""
    found: dict[str, list[Node]] = {}
    for room in rooms:
        address = room.addresses.get(TRANSPORTS[transport])
        if address and room.weight > 0:
            found.setdefault(address, []).append(room)
    return [_endpoint(address, transport, rooms) for address, rooms in sorted(found.items())]


def _endpoint(address: str, transport: str, rooms: Sequence[Node]) -> Endpoint:
    host, port = parted(address)
    return Endpoint(
        host,
        port,
        transport,
        weight=sum(room.weight for room in rooms),
        share=sum(room.weight * headroom(room) for room in rooms),
        region=rooms[0].region,
        networks=tuple(sorted({network for room in rooms for network in room.networks})),
        address=address,
        seed=_hash(address.encode()),
    )


def headroom(room: Node) -> float:
    """What of its weight a room can stand for now, from `LEAST` to 1.

    It falls over the last fifth of its connections, over the last fifth of its core, and with its loop's lag.
    """
    load = room.load
    free = 1.0
    if load.capacity > 0:
        free = min(free, (load.capacity - load.connections) / (0.2 * load.capacity))
    free = min(free, (1.0 - load.cpu) / 0.2 if load.cpu > 0.8 else 1.0)
    if load.lag > LAG_TOLERATED:
        free = min(free, LAG_TOLERATED / load.lag)
    return max(LEAST, min(1.0, free))


def ranked(
    candidates: Sequence[Endpoint], client: bytes, *, region: str, network: str, limit: int
) -> list[Endpoint]:
    """The best endpoints for a client: well connected to its network first, then near, then by its draw."""

    number = _hash(client)
    drawn = [(distance(each, region, network), -_draw(each, number), each) for each in candidates]
    return [each for _, _, each in nsmallest(limit, drawn, key=itemgetter(0, 1))]


def distance(endpoint: Endpoint, region: str, network: str) -> int:
    """How far an endpoint is from a client, from 0 to 3; a client that says nothing is near to all."""
    far_network = bool(network) and network not in endpoint.networks
    far_region = bool(region) and region != endpoint.region
    return 2 * far_network + far_region


def _hash(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=8).digest())


def _draw(endpoint: Endpoint, client: int) -> float:
    # The two hashes mixed as SplitMix64 does it (Steele, Lea and Flood 2014), so that a client is hashed once
    # and not again for every endpoint.
    number = client ^ endpoint.seed
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    number = (number ^ number >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return endpoint.share / -math.log(((number ^ number >> 31) + 1) / (2**64 + 1))
