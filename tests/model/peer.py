"""A client of the model's test: it notes what comes, and acknowledges that at once or not at all."""

import select
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from tests.conformance import wire
from tests.conformance.wire import Packet, Property

WITHIN: Final = 30.0  # s
LIVE: Final = "\U0010fffd/live"  # fences are published here: everything before one has come when it comes
KEPT: Final = "\U0010fffd/retained"  # and this is retained: the last of whatever a filter brings
FENCES: Final = (LIVE, KEPT)


class Peer:
    """One connection. `arrivals` are the messages that are no fences, in their order."""

    def __init__(self, port: int, version: int, name: str, room: str) -> None:
        self.version = version
        self.name = name
        self.room = room
        self.acknowledges = True
        self.arrivals: list[Packet] = []
        self.answers: list[Packet] = []
        self.expecting: list[int] = []  # identifiers for which PUBREL has to come
        self.fences: dict[tuple[str, int], int] = {}  # by room and QoS, the last one
        self.kept_fences = 0
        self.ended = False
        self.told = 0  # the reason in DISCONNECT
        self._aliases: dict[int, str] = {}
        self._held = b""
        self.socket = socket.create_connection(("127.0.0.1", port), WITHIN)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    # --- what comes -------------------------------------------------------------------------------

    def take(self) -> None:
        """Reads what is there; waits for something."""
        try:
            data = self.socket.recv(65536)
        except ConnectionError:
            data = b""
        self.ended = not data
        self._held += data
        while size := wire.frame(self._held):
            found = wire.parse(self._held[:size], self.version)
            self._held = self._held[size:]
            self._note(found)

    def _note(self, found: Packet) -> None:
        if found.kind == wire.PUBLISH:
            self._note_message(found)
        elif found.kind == wire.PUBREL:
            assert found.id in self.expecting, f"{self.name}: PUBREL {found.id} that nothing is waiting for"
            self.expecting.remove(found.id)
            if self.acknowledges:
                self.send(wire.answer(wire.PUBCOMP, found.id))
        elif found.kind == wire.DISCONNECT:
            self.told = found.reason
        else:
            self.answers.append(found)

    def _note_message(self, found: Packet) -> None:
        alias = found.number(wire.ALIAS)
        if alias:
            found.topic = found.topic or self._aliases[alias]
            self._aliases[alias] = found.topic
        if found.topic in FENCES:
            if found.qos:
                self.send(wire.answer(wire.PUBACK, found.id))
            if found.topic == KEPT:
                self.kept_fences += 1
            else:
                room, number = found.payload.decode().split()
                self.fences[room, found.qos] = int(number)
            return
        self.arrivals.append(found)
        if self.acknowledges:
            self.acknowledge(found.qos, found.id)

    # --- what is said -----------------------------------------------------------------------------

    def send(self, *data: bytes) -> None:
        with suppress(ConnectionError):  # what the server has said before is still to be read
            self.socket.sendall(b"".join(data))

    def acknowledge(self, qos: int, id: int, reason: int | None = None) -> None:
        if qos == 1:
            self.send(wire.answer(wire.PUBACK, id, reason))
        elif qos == 2:
            if not reason:
                self.expecting.append(id)
            self.send(wire.answer(wire.PUBREC, id, reason))

    def connect(
        self,
        app: str,
        token: bytes,
        *,
        clean: bool = True,
        will: wire.Will | None = None,
        properties: tuple[Property, ...] = (),
    ) -> Packet:
        """CONNECT that is let in."""
        self.send(
            wire.connect(self.version, self.name, app, token, clean=clean, will=will, properties=properties)
        )
        found = self.answer(wire.CONNACK)
        assert found.reason == 0, found
        return found

    def answer(self, kind: int, id: int = 0) -> Packet:
        """Waits for an answer."""

        def there() -> list[Packet]:
            return [found for found in self.answers if (found.kind, found.id) == (kind, id)]

        wait([self], lambda: bool(there()), f"packet {kind} with the identifier {id}")
        found = there()[0]
        self.answers.remove(found)
        return found

    def ping(self) -> None:
        self.send(wire.PING)
        self.answer(wire.PINGRESP)

    def until_ended(self) -> None:
        wait([self], lambda: self.ended, "the end of the connection", alive=False)
        self.socket.close()


def wait(
    peers: Sequence[Peer],
    look: Callable[[], bool],
    what: str,
    within: float = WITHIN,
    *,
    alive: bool = True,
) -> None:
    """Takes what comes to any of them until what it sees is true."""
    assert see(peers, look, within, alive=alive), f"not within {within:g} s: {what}"


def see(peers: Sequence[Peer], look: Callable[[], bool], within: float, *, alive: bool = True) -> bool:
    """As `wait`; returns whether it was so in time."""
    deadline = time.monotonic() + within
    by_socket = {peer.socket: peer for peer in peers}
    while not look():
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        for ready in select.select(list(by_socket), [], [], left)[0]:
            peer = by_socket[ready]
            peer.take()
            assert not (alive and peer.ended), f"{peer.name}: closed, 0x{peer.told:02x}; {peer.answers}"
    return True
