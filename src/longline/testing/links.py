"""A client's and a server's link joined in memory, for tests of whatever drives one of them."""

from longline.mqtt.link import Link, Role
from longline.mqtt.packets import Packet

MAX_PACKET_SIZE = 1024 * 1024  # bytes


class LinkPair:
    """Two ends of one connection without a network.

    `step` cuts what travels into chunks of that many bytes, as a network may; 0 leaves the chunks as they
    were written.
    """

    def __init__(self, *, step: int = 0, max_packet_size: int = MAX_PACKET_SIZE) -> None:
        self.client = Link(Role.CLIENT, max_packet_size)
        self.server = Link(Role.SERVER, max_packet_size)
        self._step = step

    def to_server(self, now: float = 0.0) -> list[Packet]:
        """Carries what the client wrote to the server; the packets that arrived there."""
        return carry(self.client.take_output(), self.server, step=self._step, now=now)

    def to_client(self, now: float = 0.0) -> list[Packet]:
        """Carries what the server wrote to the client; the packets that arrived there."""
        return carry(self.server.take_output(), self.client, step=self._step, now=now)


def carry(output: list[bytes], end: Link, *, step: int = 0, now: float = 0.0) -> list[Packet]:
    """Feeds output of one side to the link at the other, cut into chunks of `step` bytes unless that is 0."""
    data = b"".join(output)
    size = step or max(len(data), 1)
    packets: list[Packet] = []
    for start in range(0, len(data), size):
        packets += end.receive(data[start : start + size], now)
    return packets
