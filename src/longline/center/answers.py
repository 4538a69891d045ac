"""What the API answers, as types; `openapi.py` documents them, msgspec encodes them."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.responses import Response

from longline.center.errors import ErrorInfo
from longline.center.schemas import AnyJson

Time = Annotated[
    str,
    Meta(
        description="RFC 3339, UTC, milliseconds.",
        extra_json_schema={"format": "date-time"},
        examples=["2026-01-31T12:00:00.250Z"],
    ),
]
Cursor = Annotated[str | None, Meta(description="For the next page; null: this was the last.")]
MessageId = Annotated[str, Meta(description="A UUIDv7.", examples=["019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e21"])]
DeliveryState = Literal["pending", "acked", "expired", "collapsed", "dropped"]

_encode = msgspec.json.Encoder().encode


def answer(body: Struct, status: int = 200) -> Response:
    """The body as the JSON of a response."""
    return Response(_encode(body), status, media_type="application/json")


# --- apps ----------------------------------------------------------------------------------------


class AppInfo(Struct, frozen=True):
    """An app, without its secrets."""

    app: str
    name: str
    pubsub: bool
    client_certificates: bool
    created_at: Time


class AppList(Struct, frozen=True):
    """A page of apps, by name."""

    apps: list[AppInfo]
    next_cursor: Cursor


class AppKeys(Struct, frozen=True):
    """An app's secrets. The server key is shown here and never again: only its hash is kept."""

    app: str
    server_key: Annotated[str | None, Meta(description="null when it was not made now.")]
    device_secret: Annotated[str, Meta(description="Signs device tokens (HS256).")]


# --- devices -------------------------------------------------------------------------------------


class DeviceView(Struct, frozen=True):
    """A registered device."""

    device: str
    aliases: tuple[str, ...]
    tags: tuple[str, ...]
    attributes: dict[str, AnyJson]
    timezone: str | None
    platform: str | None
    created_at: Time


class DeviceState(DeviceView, frozen=True):
    """A registered device and where it is connected; `room`, `since` and `epoch` are null when it is not."""

    online: bool
    room: Annotated[str | None, Meta(description="The node that holds its connection.")]
    since: Time | None
    epoch: Annotated[int | None, Meta(description="Rises with every connection of the device.")]


class DeviceDetail(DeviceState, frozen=True):
    """A device, where it is connected, and how many messages wait for it."""

    pending: int


class DeviceList(Struct, frozen=True):
    """A page of devices, in the order of their registration. It may be short while there are more pages."""

    devices: list[DeviceState]
    next_cursor: Cursor


class DeviceStatus(Struct, frozen=True):
    """Whether a device is connected, and since when."""

    device: str
    online: bool
    since: Time | None


class DeviceStatusList(Struct, frozen=True):
    """One row a device asked for, in the order asked."""

    devices: list[DeviceStatus]


class DeviceResult(Struct, frozen=True):
    """One device of a batch: its name when it is registered, or why it is not."""

    device: str | UnsetType = UNSET
    error: ErrorInfo | UnsetType = UNSET


class DeviceResults(Struct, frozen=True):
    """One result a device, in the order of the request."""

    results: list[DeviceResult]


class DeviceToken(Struct, frozen=True):
    """What the device gives in its MQTT CONNECT."""

    client_id: str
    username: str
    password: str


# --- messages ------------------------------------------------------------------------------------


class MessageAccepted(Struct, frozen=True):
    """The message is stored. `targeted` counts its devices, also those that do not exist."""

    message_id: MessageId
    status: Literal["accepted"]
    targeted: int | None


class MessageResult(Struct, frozen=True, gc=False):
    """One message of a batch: its id when it is stored, or why it is not."""

    message_id: MessageId | UnsetType = UNSET
    error: ErrorInfo | UnsetType = UNSET


class MessageResults(Struct, frozen=True):
    """One result a message, in the order of the request."""

    results: list[MessageResult]


class LedgerView(Struct, frozen=True):
    """`targeted = pending + acked + expired + collapsed + all of dropped`, at any moment."""

    targeted: int
    pending: int
    acked: int
    expired: int
    collapsed: int
    dropped: Annotated[dict[str, int], Meta(description="By reason.", examples=[{"device_not_found": 1}])]
    routed: Annotated[int, Meta(description="Handed to the node of a connected device.")]
    sent: Annotated[int, Meta(description="Written to a connection.")]


class MessageStatus(Struct, frozen=True):
    """Where a message stands.

    `accepted`: stored, nothing sent yet. `delivering`: some of it is sent or settled. `done`: nothing is
    pending.
    """

    message_id: MessageId
    status: Literal["accepted", "delivering", "done"]
    created_at: Time
    ledger: LedgerView


class Delivery(Struct, frozen=True):
    """A message and one of its devices; null for what has not happened."""

    device: str
    state: DeliveryState
    reason: Annotated[str | None, Meta(description="Why it was dropped.")]
    accepted_at: Time
    sent_at: Time | None
    settled_at: Time | None


class DeliveryList(Struct, frozen=True):
    """A page of deliveries. A message to everyone has none: its ledger is made of sets."""

    deliveries: list[Delivery]
    next_cursor: Cursor


class Estimate(Struct, frozen=True):
    """How many devices an audience has, and how many of them are connected."""

    devices: int
    online: int


# --- events --------------------------------------------------------------------------------------


class EventView(Struct, frozen=True, omit_defaults=True):
    """Something that happened to a device; which fields there are depends on its type."""

    cursor: Annotated[str, Meta(description="To go on behind this event.")]
    type: Annotated[str, Meta(description="`presence`; more to come.", examples=["presence"])]
    device: str
    at: Time
    state: Literal["online", "moved", "offline"] | UnsetType = UNSET
    epoch: Annotated[int | UnsetType, Meta(description="Of the session that began or ended.")] = UNSET
    sequence: Annotated[int | UnsetType, Meta(description="Rises with every transition of a device.")] = UNSET
    room: Annotated[str | UnsetType, Meta(description="The node of that session.")] = UNSET


class EventList(Struct, frozen=True):
    """Events of an app's devices, oldest first."""

    events: list[EventView]
    next_cursor: Annotated[str | None, Meta(description="Where to go on; null: there was no event yet.")]
    gap: Annotated[bool, Meta(description="Events behind the cursor were removed before they were read.")]


# --- operators -----------------------------------------------------------------------------------


class LoadView(Struct, frozen=True):
    """What a node has measured of itself lately."""

    connections: int
    capacity: Annotated[int, Meta(description="Connections that it takes.")]
    cpu: Annotated[float, Meta(description="Share of one core in use.")]
    lag: Annotated[float, Meta(description="How late its event loop is, in seconds.")]


class DrainView(Struct, frozen=True):
    """An order to move a node's clients elsewhere, and how far that has come."""

    requested_at: Time
    rate: float | None
    deadline: float | None
    dry_run: bool
    progress: Annotated[
        dict[str, AnyJson] | None, Meta(description="As the node tells it; null until it has begun.")
    ]


class NodeView(Struct, frozen=True):
    """A member of the cluster."""

    node: str
    host: Annotated[str, Meta(description="Its machine, which stays the same when it starts again.")]
    roles: tuple[str, ...]
    addresses: dict[str, str]
    since: Time
    version: str
    region: str
    networks: tuple[str, ...]
    pool: str
    weight: float
    load: LoadView
    draining: Annotated[bool, Meta(description="It takes no new clients.")]
    drain: DrainView | None
    settings_version: Annotated[int, Meta(description="Of the dynamic settings in force there.")]


class NodeList(Struct, frozen=True):
    """Who is a member now, by name."""

    nodes: list[NodeView]


class GrayView(Struct, frozen=True):
    """Settings on trial, and the members they are for."""

    nodes: tuple[str, ...]
    settings: dict[str, AnyJson]


class FormerConfig(Struct, frozen=True):
    """What a former version of the dynamic settings said."""

    version: int
    at: Time | None
    settings: dict[str, AnyJson]
    gray: GrayView | None


class NodeVersion(Struct, frozen=True):
    """Which version of the dynamic settings is in force on a member."""

    node: str
    settings_version: int


class ConfigView(Struct, frozen=True):
    """The dynamic settings of the cluster; what is not among them, each node has from its own sources."""

    version: Annotated[int, Meta(description="Rises with every change; 0 when there was none.")]
    at: Time | None
    settings: dict[str, AnyJson]
    gray: GrayView | None
    history: Annotated[list[FormerConfig], Meta(description="The latest former versions, latest first.")]
    nodes: list[NodeVersion]


class SettingView(Struct, frozen=True):
    """A setting that can be changed at run time."""

    name: str
    value: Annotated[AnyJson, Meta(description="For all nodes; null: each has its own.")]
    gray: Annotated[AnyJson, Meta(description="For the nodes on trial; null: none.")]
    default: AnyJson
    type: Annotated[str, Meta(description="Type, bounds and unit in words.")]
    meaning: str
    version: Annotated[int, Meta(description="Of all dynamic settings.")]


class Health(Struct, frozen=True):
    """The node is there (`ok`), or takes traffic (`ready`)."""

    status: Literal["ok", "ready"]
