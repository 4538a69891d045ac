"""What a device receives."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TypeVar, overload

import msgspec

from longline.mqtt.link import Link
from longline.sdk.answers import Json

Decoded = TypeVar("Decoded")


class Message:
    """One message as it reached the device.

    `app` is whose it is: the device's own, or one that is attached. `id` is the id of the push, None for a
    message of a plain topic. `sent_at` (in UTC) and `content_type` come with MQTT 5 only, and so does
    `wants_answer`: its sender waits for `Device.answer`. `duplicate` says that the server has sent it before,
    and cannot know whether it arrived; what was handled already never comes again, with or without the flag.

    What is said in a group says in which `group`; with MQTT 5 also its `sequence` there, 0 with 3.1.1, and
    its `sender`, a device's name: None for the app server.
    """

    __slots__ = (
        "_acknowledge",
        "_report",
        "app",
        "content_type",
        "duplicate",
        "group",
        "id",
        "link",
        "packet_id",
        "payload",
        "prefix",
        "qos",
        "sender",
        "sent_at",
        "sequence",
        "topic",
        "wants_answer",
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
        sent_at: datetime | None,
        link: Link,
        packet_id: int,
        acknowledge: Callable[["Message"], Awaitable[None]],
        report: Callable[["Message", str], Awaitable[None]],
        wants_answer: bool = False,
        app: str = "",
        prefix: str = "",
        group: str | None = None,
        sequence: int = 0,
        sender: str | None = None,
    ) -> None:
        self.app = app
        self.prefix = prefix  # how its topic began on the wire; empty for the device's own
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
        self._report = report
        self.wants_answer = wants_answer
        self.group = group
        self.sequence = sequence
        self.sender = sender

    def __repr__(self) -> str:
        return f"Message(id={self.id!r}, topic={self.topic!r}, {len(self.payload)} bytes, qos={self.qos})"

    @property
    def text(self) -> str:
        """The payload as UTF-8 text; UnicodeDecodeError when it is none."""
        return self.payload.decode("utf-8")

    @overload
    def json(self) -> Json: ...

    @overload
    def json(self, type: type[Decoded]) -> Decoded: ...

    def json(self, type: type[Decoded] | None = None) -> Json | Decoded:
        """The payload as JSON: as it is, or checked and read as a `type`, such as a dataclass, a TypedDict or
        `dict[str, int]`. ValueError when it is not that.
        """
        try:
            if type is None:
                anything: Json = msgspec.json.decode(self.payload)
                return anything
            return msgspec.json.decode(self.payload, type=type)
        except msgspec.MsgspecError as error:
            raise ValueError(f"the payload of {self!r} is not what was expected: {error}") from error

    async def ack(self) -> None:
        """Tells the server that this message is done with; a second call does nothing.

        When the connection that brought it is gone, the server will send it once more, and that copy is
        acknowledged without being handed out.
        """
        await self._acknowledge(self)

    async def report(self, name: str) -> None:
        """Tells the app server what became of a push, in a word of its own; ValueError when it is no push."""
        if self.id is None:
            raise ValueError("only a push can be reported on")
        await self._report(self, name)

    async def shown(self) -> None:
        """Tells the app server that its user was shown this push."""
        await self.report("shown")

    async def opened(self) -> None:
        """Tells the app server that its user opened this push."""
        await self.report("opened")

    async def dismissed(self) -> None:
        """Tells the app server that its user put this push away."""
        await self.report("dismissed")
