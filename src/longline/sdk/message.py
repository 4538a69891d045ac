"""What a device receives."""

from collections.abc import Awaitable, Callable

import msgspec

from longline.mqtt.link import Link


class Message:
    """One message as it reached the device.

    `id` is the id of the push, None for a message of a plain topic. `sent_at` (ms since the epoch) and
    `content_type` come with MQTT 5 only. `duplicate` says that the server has sent it before, and cannot
    know whether it arrived; what was handled already never comes again, with or without the flag.
    """

    __slots__ = (
        "_acknowledge",
        "content_type",
        "duplicate",
        "id",
        "link",
        "packet_id",
        "payload",
        "qos",
        "sent_at",
        "topic",
    )

    def __init__(
        self,
        *,
        id: str | None,
        topic: str,
        payload: bytes,
        qos: int,
        duplicate: bool,
        content_type: str | None,
        sent_at: int | None,
        link: Link,
        packet_id: int,
        acknowledge: Callable[["Message"], Awaitable[None]],
    ) -> None:
        self.id = id
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.duplicate = duplicate
        self.content_type = content_type
        self.sent_at = sent_at
        self.link = link  # the connection that it came by: only there does its packet identifier mean it
        self.packet_id = packet_id
        self._acknowledge = acknowledge

    def __repr__(self) -> str:
        return f"Message(id={self.id!r}, topic={self.topic!r}, {len(self.payload)} bytes, qos={self.qos})"

    @property
    def text(self) -> str:
        """The payload as UTF-8 text; UnicodeDecodeError when it is none."""
        return self.payload.decode("utf-8")

    def json(self) -> object:
        """The payload as JSON; msgspec.DecodeError when it is none."""
        return msgspec.json.decode(self.payload)

    async def ack(self) -> None:
        """Tells the server that this message is done with; a second call does nothing.

        When the connection that brought it is gone, the server will send it once more, and that copy is
        acknowledged without being handed out.
        """
        await self._acknowledge(self)
