"""A device's end of its MQTT session, as far as pushes with QoS 2 are concerned."""

from tests.conformance import wire
from tests.model.peer import Peer


class Session:
    """What a client remembers of packet identifiers, and of what it has taken in a session that is kept."""

    def __init__(self) -> None:
        self.kept = False
        self._resumed = False
        self._held: dict[int, bytes] = {}  # what came, and has had no PUBREC
        self._releasing: set[int] = set()  # what has had one, and no PUBREL
        self._taken: set[bytes] = set()

    def begin(self, *, keep: bool) -> None:
        """CONNECT is sent; what comes then may come before CONNACK is looked at."""
        self._resumed = keep and self.kept
        if not self._resumed:
            self._held.clear()
            self._releasing.clear()
            self._taken.clear()
        self.kept = keep

    def begun(self, *, present: bool) -> None:
        """CONNACK has come."""
        assert present == self._resumed, f"session present: {present}, which is wrong"

    def comes(self, packet: wire.Packet) -> None:
        """A PUBLISH with QoS 2: a new one, or one that is repeated as what it was."""
        assert packet.payload not in self._taken, f"{packet.topic} again, which is exactly once"
        assert packet.id not in self._releasing, f"identifier {packet.id} is not released"
        known = self._held.get(packet.id)
        assert known in (None, packet.payload), f"identifier {packet.id} for {packet.payload!r} and {known!r}"
        if known is None:
            assert packet.payload not in self._held.values(), f"{packet.topic} under two identifiers"
        else:
            assert packet.dup, f"{packet.topic} is repeated, and not marked"
        self._held[packet.id] = packet.payload

    def receives(self, id: int) -> None:
        """PUBREC is sent."""
        self._taken.add(self._held.pop(id))
        self._releasing.add(id)

    def is_released(self, id: int) -> None:
        """PUBREL: after PUBREC, or instead of a message that is over, which may have been lost on its way."""
        known = id in self._releasing or id in self._held
        assert known or self._resumed, f"PUBREL {id} that nothing is waiting for"
        self._releasing.discard(id)
        self._held.pop(id, None)


class Line(Peer):
    """A connection of a device, which acknowledges when the machine says so, and completes QoS 2 at once."""

    def __init__(self, port: int, version: int, name: str, session: Session) -> None:
        super().__init__(port, version, name, "")
        self.acknowledges = False
        self.session = session

    def _note(self, found: wire.Packet) -> None:
        if found.kind == wire.PUBREL:
            self.session.is_released(found.id)
            self.send(wire.answer(wire.PUBCOMP, found.id))
            return
        if found.kind == wire.PUBLISH and found.qos == 2:
            self.session.comes(found)
        super()._note(found)

    def acknowledge(self, qos: int, id: int, reason: int | None = None) -> None:
        if qos == 2:
            self.session.receives(id)
        super().acknowledge(qos, id, reason)
