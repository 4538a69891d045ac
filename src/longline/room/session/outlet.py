"""A connection as the rest of the room sees it."""

from typing import Final

from longline.mqtt.codec import PublishFrame
from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0
from longline.mqtt.reasons import ReasonCode

UNSET: Final = -1


class Outlet:
    """What sessions write through, what the turn flushes, and whom the wheel tells that its time is up.

    An abstract class and no Protocol: compiled code calls it by a table, as fast as itself.
    """

    __slots__ = ("blocked", "ended", "explains", "mqtt5", "particular", "slot", "touched")

    def __init__(self) -> None:
        self.blocked = False  # it holds more than it should: what can wait is not written
        self.ended = False  # we close: nothing more is taken or written
        self.particular = False  # about what it is sent: `takes` and `abbreviated` are to be asked
        self.mqtt5 = False  # or 3.1.1; once the client has said it
        self.explains = False  # the client may be told why, in words
        self.touched = False  # in the turn's list of connections to flush
        self.slot = UNSET  # where the wheel has it

    @property
    def version(self) -> int:
        """The client's protocol level."""
        return MQTT_5_0 if self.mqtt5 else MQTT_3_1_1

    @property
    def came_by(self) -> str:
        """The transport that the client has come by: `tcp`, `tls`, `ws` or `wss`."""
        raise NotImplementedError

    def takes(self, size: int) -> bool:
        """Whether a packet of so many bytes is within the client's Maximum Packet Size."""
        raise NotImplementedError

    def abbreviated(self, frame: PublishFrame, topic: str) -> PublishFrame:
        """A message as it is to be written next: with an alias for its topic, where that is shorter."""
        raise NotImplementedError

    def ready(self) -> bool:
        """Whether a message written now goes out: the link is open and the client takes what it is sent."""
        raise NotImplementedError

    def write(self, data: bytes) -> None:
        """Adds an encoded PUBLISH to this turn's output; nothing, when the last word has been said."""
        raise NotImplementedError

    def flush(self) -> None:
        """Gives this turn's output to the transport."""
        raise NotImplementedError

    def close(self, reason: ReasonCode, code: str) -> None:
        """Ends the connection from our side; MQTT 5 clients are told the reason."""
        raise NotImplementedError

    def move(self, reason: ReasonCode, server: str | None, after_ms: int) -> None:
        """Sends the client to another server, as `host:port`, and ends the connection.

        None is where it came from. `after_ms` is when it is asked to be there, in milliseconds from now.
        """
        raise NotImplementedError

    def parted(self, app: str, device: str, reason: ReasonCode, code: str, let_in: bool) -> None:
        """A session has been taken from the connection, which goes on: the client is told.

        `let_in`: whether it had been told that it has the session.
        """
        raise NotImplementedError

    def abort(self) -> None:
        """Ends the connection without a word: it cannot be gone on with."""
        raise NotImplementedError

    def expired(self) -> None:
        """The wheel has come to its deadline; it has none any more."""
        raise NotImplementedError
