"""What the HTTP API answers, as typed values, and the push that it is asked to make.

The types are named as the API names them and are not the API's own: the server writes just what its document
says, and who reads must bear what other versions write. Fields that a later version adds are ignored, and
words that a type checker does not know are read all the same. Times are aware datetimes in UTC.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from longline.model.devices import JsonObject
from longline.model.ledger import Ledger
from longline.sdk.times import Duration, whole_seconds

if TYPE_CHECKING:
    Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None
    Accepted = Literal["accepted"]
    Status = Literal["scheduled", "accepted", "delivering", "done", "cancelled"]
    State = Literal["pending", "acked", "expired", "collapsed", "dropped"]
    EventType = Literal["upstream", "presence", "receipt", "device"]
    EventState = Literal["online", "offline", "moved", "registered", "retired", "deleted"]
else:
    Json = object
    Accepted = Status = State = EventType = EventState = str

Priority = Literal["normal", "high"]

Audience = str | Mapping[str, object]
"""`"all"`, or an object of the contract: `{"devices": ["d1"]}`, `{"tag": ["beta"]}`, …"""


class AppKeys(msgspec.Struct, frozen=True, kw_only=True):
    """An app's secrets. `server_key` is None unless it was made now: the server keeps only its hash."""

    app: str
    server_key: str | None
    device_secret: str


class AppInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An app without its secrets."""

    app: str
    name: str = ""
    pubsub: bool = False
    client_certificates: bool = False
    end_at_expiry: bool = False
    created_at: datetime | None = None


class DeviceShadow(msgspec.Struct, frozen=True, kw_only=True):
    """What is desired of a device, and what it reports. `version` rises with each change."""

    desired: dict[str, Json]
    reported: dict[str, Json]
    version: int


class CallAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a device has answered to a call, and when."""

    payload: bytes
    at: datetime

    @property
    def text(self) -> str:
        """The payload as UTF-8 text; UnicodeDecodeError when it is none."""
        return self.payload.decode("utf-8")

    def json(self) -> Json:
        """The payload as JSON; ValueError when it is none."""
        anything: Json = msgspec.json.decode(self.payload)
        return anything


class ClientInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a device's program says that it is."""

    name: str
    version: str = ""


class SessionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A device's MQTT session that is kept: until when, None while it is connected, or for ever."""

    expires_at: datetime | None = None


class DeviceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A registered device and where it is: `room`, `since` and `epoch` are None while it is not connected.

    `last_seen` is when its connection ended, and now while it has one. It and the fields after it are None
    for a device that never came.
    """

    device: str
    aliases: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    attributes: dict[str, Json] = {}
    timezone: str | None = None
    platform: str | None = None
    online: bool = False
    room: str | None = None
    since: datetime | None = None
    epoch: int | None = None
    last_seen: datetime | None = None
    address: str | None = None
    protocol: str | None = None
    client: ClientInfo | None = None
    session: SessionInfo | None = None
    parked: bool = False
    parked_since: datetime | None = None
    banned_until: datetime | None = None
    pending: int | None = None


class DeviceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a device is connected, and since when: None while it is not."""

    device: str
    online: bool = False
    since: datetime | None = None


class DeviceSubscription(msgspec.Struct, frozen=True, kw_only=True):
    """A topic filter of a device's session, with its options in MQTT."""

    filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    identifier: int | None = None
    shared: bool = False


class ConnectionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A connection that a device had, or has. `reason`: why it ended; None while it goes on.

    `ended_at` is None then, too, and may be where nobody could tell (`unknown`).
    """

    connected_at: datetime
    ended_at: datetime | None = None
    reason: str | None = None
    room: str
    epoch: int
    address: str | None = None
    protocol: str | None = None
    client: ClientInfo | None = None


class DeviceToken(msgspec.Struct, frozen=True, kw_only=True):
    """What a device gives in its CONNECT; `password` is the token."""

    client_id: str
    username: str
    password: str


class MessageAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """The server has stored the push. `targeted` is None while the audience is still being counted."""

    message_id: str
    status: Accepted = "accepted"
    targeted: int | None = None


class MessageStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Where a push stands: `accepted` while nothing of it is sent, `done` when nothing is pending.

    Before its time, `send_at`, it is `scheduled`, and `cancelled` when it was taken back then; a time without
    a zone is local in each device's own. `firings`: the messages that one became which is sent in each time
    zone at its own moment; its ledger is their sum. `error`: a code, when there was nobody at its time.
    `label`: its sender's word for it.
    """

    message_id: str
    status: Status
    created_at: datetime
    ledger: Ledger
    send_at: datetime | None = None
    firings: tuple["FiringInfo", ...] = ()
    error: str | None = None
    label: str | None = None


class FiringInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One time that something was sent: as which message, or the code of why it was not."""

    at: datetime
    message_id: str | None = None
    error: str | None = None


class ScheduleInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A push that is made again and again. `message` as the API has it.

    `next`: its next times; without a time zone, local ones in each device's own. `firings`: the latest.
    """

    schedule_id: str
    message: dict[str, Json]
    cron: str
    timezone: str
    paused: bool
    created_at: datetime
    next: tuple[datetime, ...] = ()
    firings: tuple[FiringInfo, ...] = ()


class UpstreamEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a device, or that it sent; which fields are there depends on its `type`.

    `cursor`: to go on behind it. `gap`: events before it were removed before they were read. `id`: two events
    with the same one are the same message of the device, stored twice. `send_id` is the device's own id for
    it: two events of a device with the same one are one message, which it sent again.
    """

    cursor: str
    type: EventType
    device: str
    at: datetime
    id: str | None = None
    topic: str | None = None
    payload: str | None = None
    payload_base64: str | None = None
    content_type: str | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    reply_to: str | None = None
    repeated: bool = False
    send_id: str | None = None
    message_id: str | None = None
    name: str | None = None
    state: EventState | None = None
    epoch: int | None = None
    sequence: int | None = None
    room: str | None = None
    gap: bool = False

    @property
    def data(self) -> bytes:
        """What the device sent."""
        if self.payload_base64 is not None:
            return base64.b64decode(self.payload_base64)
        return (self.payload or "").encode()

    def json(self) -> Json:
        """What the device sent, as JSON; ValueError when it is none."""
        anything: Json = msgspec.json.decode(self.data)
        return anything


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One device's row in a message's ledger; None for what has not happened."""

    device: str
    state: State
    reason: str | None = None
    why: str = ""
    accepted_at: datetime | None = None
    sent_at: datetime | None = None
    settled_at: datetime | None = None


class DeliveryTrace(Delivery, frozen=True, kw_only=True):
    """One device's row in a message's ledger, and how the device stands now. `why`: what is behind it, in
    words.
    """

    online: bool = False
    room: str | None = None
    since: datetime | None = None
    last_seen: datetime | None = None
    banned_until: datetime | None = None
    parked_since: datetime | None = None


class DeviceMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A push and where it stands for one device; None for what has not happened, or is not known of a push
    to everyone or to an expression.
    """

    message_id: str
    state: State
    reason: str | None = None
    why: str = ""
    accepted_at: datetime | None = None
    sent_at: datetime | None = None
    settled_at: datetime | None = None
    label: str | None = None


class PushReach(msgspec.Struct, frozen=True, kw_only=True):
    """What a push would do that was only checked: how many devices it is for, and how many of them are
    connected now.
    """

    targeted: int
    online: int


class AudienceSize(msgspec.Struct, frozen=True, kw_only=True):
    """How many devices an audience has, and how many of them are connected."""

    devices: int
    online: int


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """One push to make: give exactly one of `devices`, `aliases`, `tags`, `group`, `everyone`, `audience` and
    `reply`.

    `reply`: the `reply_to` of the upstream message that this answers. `aliases`: all devices that have one of
    these. `tags`: those that have one of these, or several. `group`: what is said in this group, to its
    members. `payload`: bytes travel as they are; a string is delivered as its UTF-8 text; any other JSON
    value as its JSON, and a `msgspec.Raw` is JSON that goes as it is written. With a `ttl` of 0, as with
    `online_only`, it reaches only who is connected now. `send_at` without a time zone is local time in each
    device's own. `label`: a word by which `Center.messages` finds it again. What is None is left to the
    server's default.
    """

    payload: object
    devices: Sequence[str] | None = None
    aliases: Sequence[str] | None = None
    tags: Sequence[str] | None = None
    group: str | None = None
    everyone: bool = False
    audience: Audience | None = None
    reply: str | None = None
    ttl: Duration | None = None
    qos: Literal[0, 1, 2] | None = None
    priority: Priority | None = None
    collapse_key: str | None = None
    label: str | None = None
    online_only: bool | None = None
    send_at: datetime | None = None
    spread_over: Duration | None = None

    def body(self) -> JsonObject:
        """The push as the API wants it; ValueError unless it names one audience."""
        lists = {"devices": self.devices, "aliases": self.aliases, "tag": self.tags}
        audiences: list[object] = []
        for name, given in lists.items():
            if isinstance(given, str):
                # A string is a sequence of strings too: it would be sent to devices of one letter.
                raise ValueError(f"{name} is a list of names, not one name")
            if given is not None:
                audiences.append({name: list(given)})
        if self.group is not None:
            audiences.append({"group": self.group})
        if self.everyone:
            audiences.append("all")
        if self.audience is not None:
            audiences.append(self.audience)
        if self.reply is not None:
            audiences.append({"reply": self.reply})
        if len(audiences) != 1:
            raise ValueError(
                "a push needs exactly one of devices, aliases, tags, group, everyone=True, audience and reply"
            )
        body: JsonObject = {"audience": audiences[0]}
        if isinstance(self.payload, bytes | bytearray | memoryview):
            body["payload_base64"] = base64.b64encode(self.payload).decode("ascii")
        else:
            body["payload"] = self.payload
        options = {
            "ttl": None if self.ttl is None else whole_seconds(self.ttl),
            "qos": self.qos,
            "priority": self.priority,
            "collapse_key": self.collapse_key,
            "label": self.label,
            "online_only": self.online_only,
            "send_at": self.send_at,
            "spread_over": None if self.spread_over is None else whole_seconds(self.spread_over),
        }
        set_options = {name: value for name, value in options.items() if value is not None}
        if set_options:
            body["options"] = set_options
        return body
