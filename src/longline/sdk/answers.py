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
    Status = Literal["accepted", "delivering", "done"]
    State = Literal["pending", "acked", "expired", "collapsed", "dropped"]
else:
    Json = object
    Accepted = Status = State = str

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
    created_at: datetime | None = None


class DeviceInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A registered device and where it is: `room`, `since` and `epoch` are None while it is not connected."""

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
    pending: int | None = None


class DeviceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a device is connected, and since when: None while it is not."""

    device: str
    online: bool = False
    since: datetime | None = None


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
    """Where a push stands: `accepted` while nothing of it is sent, `done` when nothing is pending."""

    message_id: str
    status: Status
    created_at: datetime
    ledger: Ledger


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One device's row in a message's ledger; None for what has not happened."""

    device: str
    state: State
    reason: str | None = None
    accepted_at: datetime | None = None
    sent_at: datetime | None = None
    settled_at: datetime | None = None


class Push(msgspec.Struct, frozen=True, kw_only=True):
    """One push to make: give exactly one of `devices`, `everyone` and `audience`.

    `payload`: bytes travel as they are; a string is delivered as its UTF-8 text; any other JSON value as
    its JSON, and a `msgspec.Raw` is JSON that goes as it is written. With a `ttl` of 0, as with
    `online_only`, it reaches only who is connected now. `send_at` without a time zone is local time in each
    device's own. What is None is left to the server's default.
    """

    payload: object
    devices: Sequence[str] | None = None
    everyone: bool = False
    audience: Audience | None = None
    ttl: Duration | None = None
    qos: Literal[0, 1] | None = None
    priority: Priority | None = None
    collapse_key: str | None = None
    online_only: bool | None = None
    send_at: datetime | None = None
    spread_over: Duration | None = None

    def body(self) -> JsonObject:
        """The push as the API wants it; ValueError unless it names one audience."""
        named = [self.devices is not None, self.everyone, self.audience is not None]
        if sum(named) != 1:
            raise ValueError("a push needs exactly one of devices, everyone=True and audience")
        audience: object = self.audience
        if self.devices is not None:
            if isinstance(self.devices, str):
                # A string is a sequence of strings too: it would be sent to devices of one letter.
                raise ValueError("devices is a list of names, not one name")
            audience = {"devices": list(self.devices)}
        elif self.everyone:
            audience = "all"
        body: JsonObject = {"audience": audience}
        if isinstance(self.payload, bytes | bytearray | memoryview):
            body["payload_base64"] = base64.b64encode(self.payload).decode("ascii")
        else:
            body["payload"] = self.payload
        options = {
            "ttl": None if self.ttl is None else whole_seconds(self.ttl),
            "qos": self.qos,
            "priority": self.priority,
            "collapse_key": self.collapse_key,
            "online_only": self.online_only,
            "send_at": self.send_at,
            "spread_over": None if self.spread_over is None else whole_seconds(self.spread_over),
        }
        given = {name: value for name, value in options.items() if value is not None}
        if given:
            body["options"] = given
        return body
