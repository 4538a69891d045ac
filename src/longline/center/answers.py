"""What the API answers, as types; `openapi.py` documents them, msgspec encodes them."""

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.responses import Response

from longline.center.errors.responses import ErrorInfo
from longline.center.schemas import AnyJson
from longline.delivery.event_views import DATE_TIME, EventView, Time
from longline.model.access import Allow
from longline.model.ledger import State

Cursor = Annotated[str | None, Meta(description="For the next page; null: this was the last.")]
MessageId = Annotated[str, Meta(description="A UUIDv7.", examples=["019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e21"])]
Word = Annotated[str, Meta(description="Its sender's word for it.", examples=["goals"])]
DeliveryState = Literal["pending", "acked", "expired", "collapsed", "dropped"]
STATES: dict[State, DeliveryState] = {
    State.PENDING: "pending",
    State.ACKED: "acked",
    State.EXPIRED: "expired",
    State.COLLAPSED: "collapsed",
    State.DROPPED: "dropped",
}

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
    end_at_expiry: bool
    created_at: Time


class TokenIssuerInfo(Struct, frozen=True, omit_defaults=True):
    """The identity provider whose tokens an app takes; of `jwks_url` and `keys` one is there."""

    issuer: str
    audience: list[str]
    algorithms: list[str]
    device_claim: str
    device_secret: bool
    jwks_url: str | UnsetType = UNSET
    keys: list[AnyJson] | UnsetType = UNSET


class AclRuleInfo(Struct, frozen=True):
    """Something that devices may do."""

    allow: Allow
    filter: str


class AclInfo(Struct, frozen=True):
    """All rules of an app. With any, nothing else is allowed on topics that are not the platform's."""

    rules: list[AclRuleInfo]


class LimitsInForce(Struct, frozen=True, kw_only=True):
    """The limits that hold: the app's own, and the defaults where it has none. 0 is without limit."""

    messages_per_second: int
    deliveries_per_second: int
    devices: int
    connections: int
    sessions: int
    groups: int
    requests: int
    inbox_messages: int
    inbox_bytes: int
    retained_messages: int
    retained_bytes: int
    waiting_messages: int
    schedules: int
    ledger_retention: int
    retire_after: int


class LimitsInfo(Struct, frozen=True, kw_only=True):
    """The limits of an app's own, null where the default holds, and those in force."""

    messages_per_second: int | None
    deliveries_per_second: int | None
    devices: int | None
    connections: int | None
    sessions: int | None
    groups: int | None
    requests: int | None
    inbox_messages: int | None
    inbox_bytes: int | None
    retained_messages: int | None
    retained_bytes: int | None
    waiting_messages: int | None
    schedules: int | None
    ledger_retention: int | None
    retire_after: int | None
    in_force: LimitsInForce


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


class ClientView(Struct, frozen=True):
    """What a device's program says that it is, in its CONNECT (MQTT 5)."""

    name: Annotated[str, Meta(examples=["longline"])]
    version: Annotated[str, Meta(description="Empty when it did not say.", examples=["1.0"])]


class ConnectionView(Struct, frozen=True):
    """A connection that a device had, or has."""

    connected_at: Time
    ended_at: Annotated[Time | None, Meta(description="null: it goes on, or the reason is `unknown`.")]
    reason: Annotated[
        str | None,
        Meta(
            description="Why it ended: `disconnected` by the device, `connection_lost`, `taken_over` by its "
            "next one, `kicked`, `node_died`, `unknown`, and others, as `longline_room_closed_total` counts "
            "them. null: it goes on.",
            examples=["connection_lost"],
        ),
    ]
    room: Annotated[str, Meta(description="The node that held it.")]
    epoch: Annotated[int, Meta(description="Rises with every connection of the device.")]
    address: Annotated[str | None, Meta(description="From which it came.", examples=["192.0.2.7"])]
    protocol: Annotated[str | None, Meta(examples=["MQTT 5.0"])]
    client: ClientView | None


class ConnectionList(Struct, frozen=True):
    """A page of a device's connections, the latest first."""

    connections: list[ConnectionView]
    next_cursor: Cursor


class KeptSessionView(Struct, frozen=True):
    """The MQTT session that is kept for a device."""

    expires_at: Annotated[Time | None, Meta(description="null: it is connected, or kept for ever.")]


class DeviceState(DeviceView, frozen=True):
    """A registered device, where it is connected, and when and how it last was.

    `room`, `since` and `epoch` are null when it is not connected; what follows is null for one that never
    was.
    """

    online: bool
    room: Annotated[str | None, Meta(description="The node that holds its connection.")]
    since: Time | None
    epoch: Annotated[int | None, Meta(description="Rises with every connection of the device.")]
    last_seen: Annotated[Time | None, Meta(description="When its connection ended; now, while it has one.")]
    address: Annotated[str | None, Meta(description="From which it came last.", examples=["192.0.2.7"])]
    protocol: Annotated[str | None, Meta(description="By which it came.", examples=["MQTT 5.0"])]
    client: ClientView | None
    session: Annotated[KeptSessionView | None, Meta(description="null: none is kept.")]
    parked: Annotated[
        bool, Meta(description="Whether it is sent no pushes, having acknowledged none for long.")
    ]
    parked_since: Time | None
    banned_until: Annotated[Time | None, Meta(description="Until when it is kept out; null: it is not.")]


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


class ShadowView(Struct, frozen=True):
    """What is desired of a device, and what it reports: JSON objects. `version` rises with each change."""

    desired: Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"}, examples=[{"on": True}])]
    reported: Annotated[msgspec.Raw, Meta(extra_json_schema={"type": "object"}, examples=[{"on": False}])]
    version: int


class CallView(Struct, frozen=True, omit_defaults=True):
    """What a device has answered to a call, and when."""

    at: Time
    payload: Annotated[str | UnsetType, Meta(description="What the device sent, where it is UTF-8.")] = UNSET
    payload_base64: Annotated[str | UnsetType, Meta(description="What it sent, else.")] = UNSET


class SubscriptionView(Struct, frozen=True):
    """A topic filter of a session, with its options in MQTT."""

    filter: Annotated[str, Meta(examples=["home/+/door"])]
    qos: int
    no_local: bool
    retain_as_published: bool
    identifier: Annotated[int | None, Meta(description="That the client gave it; null: none.")]
    shared: Annotated[bool, Meta(description="Whether it is that of a group, `$share/{name}/…`.")]


class SubscriptionList(Struct, frozen=True):
    """What a device is subscribed to, by the bytes of its filters: all of it."""

    kept: Annotated[
        bool,
        Meta(
            description="Whether its session is kept in the store. Of one that ends with its connection only "
            "its node knows the subscriptions, and the list is empty."
        ),
    ]
    subscriptions: list[SubscriptionView]


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


class MessageReach(Struct, frozen=True):
    """What a message would do that was only checked. `targeted` as in its 202; `online`: of these, how many
    are connected now."""

    targeted: int
    online: int


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


class FiringView(Struct, frozen=True, omit_defaults=True):
    """One time that a message was sent: as which message, or why it was not."""

    at: Annotated[
        str,
        Meta(
            description="When it was due; RFC 3339.",
            examples=["2026-02-02T08:00:00.000Z"],
            extra_json_schema=DATE_TIME,
        ),
    ]
    message_id: MessageId | UnsetType = UNSET
    error: Annotated[str | UnsetType, Meta(description="A code.", examples=["no_target"])] = UNSET


class MessageStatus(Struct, frozen=True, omit_defaults=True):
    """Where a message stands.

    `scheduled`: its time has not come. `accepted`: stored, nothing sent yet. `delivering`: some of it is sent
    or settled. `done`: nothing is pending. `cancelled`: it was taken back before its time. One that is sent
    in each time zone at its own moment has a message for each, which `firings` tells, and here their sum.
    """

    message_id: MessageId
    status: Literal["scheduled", "accepted", "delivering", "done", "cancelled"]
    created_at: Time
    ledger: LedgerView
    send_at: Annotated[str | UnsetType, Meta(description="As it was asked for, until it is sent.")] = UNSET
    firings: list[FiringView] | UnsetType = UNSET
    error: Annotated[
        str | UnsetType, Meta(description="Why nothing was sent at its time.", examples=["no_target"])
    ] = UNSET
    label: Annotated[str | UnsetType, Meta(description="Its sender's word for it.", examples=["goals"])] = (
        UNSET
    )


class MessageList(Struct, frozen=True):
    """A page of messages, the latest first. It may be short, or empty, though there is a next one."""

    messages: list[MessageStatus]
    next_cursor: Cursor


class Delivery(Struct, frozen=True):
    """A message and one of its devices; null for what has not happened."""

    device: str
    state: DeliveryState
    reason: Annotated[str | None, Meta(description="Why it was dropped.")]
    why: Annotated[str, Meta(description="What that means, for people.")]
    accepted_at: Time
    sent_at: Time | None
    settled_at: Time | None


class DeliveryTrace(Delivery, frozen=True):
    """A message and one of its devices, and how the device stands now: what it waits for, or why it was not
    there. Of a message to everyone or to an expression, `sent_at` and `settled_at` are not known."""

    online: bool
    room: Annotated[str | None, Meta(description="The node that holds the device's connection now.")]
    since: Annotated[Time | None, Meta(description="Since when it does.")]
    last_seen: Annotated[Time | None, Meta(description="When its connection ended; now, while it has one.")]
    banned_until: Annotated[Time | None, Meta(description="Until when the device is kept out.")]
    parked_since: Annotated[Time | None, Meta(description="Since when it is sent no pushes.")]


class DeliveryList(Struct, frozen=True):
    """A page of deliveries. A message to everyone has none: its ledger is made of sets."""

    deliveries: list[Delivery]
    next_cursor: Cursor


class DeviceMessageView(Struct, frozen=True, omit_defaults=True):
    """A message and where it stands for one device; null for what has not happened.

    Of a message to everyone or to an expression, `sent_at` and `settled_at` are not known.
    """

    message_id: MessageId
    state: DeliveryState
    reason: Annotated[str | None, Meta(description="Why it was dropped.")]
    why: Annotated[str, Meta(description="What that means, for people.")]
    accepted_at: Time
    sent_at: Time | None
    settled_at: Time | None
    label: Word | UnsetType = UNSET


class DeviceMessageList(Struct, frozen=True):
    """A page of a device's messages, the latest first. It may be short though there is a next one."""

    messages: list[DeviceMessageView]
    next_cursor: Cursor


class ScheduleView(Struct, frozen=True):
    """A message that is sent again and again."""

    schedule_id: Annotated[
        str, Meta(description="A UUIDv7.", examples=["019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e22"])
    ]
    message: AnyJson
    cron: str
    timezone: str
    paused: bool
    created_at: Time
    next: Annotated[
        list[str],
        Meta(
            description="The next times: RFC 3339, UTC; for the devices' own time zones local, without an "
            "offset. None while it is paused.",
            examples=[["2026-02-02T08:00:00.000Z"]],
        ),
    ]
    firings: Annotated[list[FiringView], Meta(description="The latest, the last one last.")]


class ScheduleList(Struct, frozen=True):
    """A page of schedules, in the order in which they were made."""

    schedules: list[ScheduleView]
    next_cursor: Cursor


# --- groups --------------------------------------------------------------------------------------


class GroupSummary(Struct, frozen=True):
    """A group for chat, without its members."""

    group: str
    created_at: Time
    sequence: Annotated[int, Meta(description="Of the latest message; 0 when there was none.")]
    size: Annotated[int, Meta(description="How many members it has.")]


class GroupView(GroupSummary, frozen=True):
    """A group for chat, who is a member, and which of them are connected; by name."""

    members: list[str]
    online: list[str]


class GroupList(Struct, frozen=True):
    """A page of groups, by name."""

    groups: list[GroupSummary]
    next_cursor: Cursor


class MembersAdded(Struct, frozen=True):
    """How many members are new, and how many there are."""

    added: int
    size: int


class MembersRemoved(Struct, frozen=True):
    """How many were members, and how many are left."""

    removed: int
    size: int


class SayingView(Struct, frozen=True, omit_defaults=True):
    """What was said in a group."""

    sequence: int
    message_id: MessageId
    sender: Annotated[str | None, Meta(description="The member who said it; null: the app server.")]
    at: Time
    content_type: str
    payload: Annotated[str | UnsetType, Meta(description="What was said, where it is UTF-8.")] = UNSET
    payload_base64: Annotated[str | UnsetType, Meta(description="What was said, else.")] = UNSET


class GroupHistory(Struct, frozen=True):
    """What was said in a group, in its order. `sequence`: that of its latest message.

    `next_after` goes on behind this page; null: there is no more. Where the first message is not the one
    after `after`, those between are not kept any more.
    """

    messages: list[SayingView]
    sequence: int
    next_after: int | None


class Estimate(Struct, frozen=True):
    """How many devices an audience has, and how many of them are connected."""

    devices: int
    online: int


# --- events --------------------------------------------------------------------------------------


class EventList(Struct, frozen=True):
    """Events of an app's devices, oldest first."""

    events: list[EventView]
    next_cursor: Annotated[str | None, Meta(description="Where to go on; null: there was no event yet.")]
    gap: Annotated[bool, Meta(description="Events behind the cursor were removed before they were read.")]


# --- statistics ----------------------------------------------------------------------------------


class DevicesCounted(Struct, frozen=True):
    """Devices of an hour, or of a day."""

    new: Annotated[int, Meta(description="Registered.")]
    active: Annotated[int, Meta(description="Distinct ones that were connected.")]
    gone: Annotated[int, Meta(description="Deleted or retired.")]


class StatisticsView(Struct, frozen=True):
    """What was counted in an hour, or a day, of UTC."""

    at: Annotated[Time, Meta(description="When it began.")]
    messages: Annotated[int, Meta(description="Accepted.")]
    deliveries: Annotated[int, Meta(description="Acknowledged by devices.")]
    shown: Annotated[int, Meta(description="As devices told on `event/{message_id}/shown`.")]
    opened: Annotated[int, Meta(description="As devices told on `event/{message_id}/opened`.")]
    devices: DevicesCounted


class StatisticsList(Struct, frozen=True):
    """One row for each hour, or each day, the first first."""

    by: Literal["hour", "day"]
    statistics: list[StatisticsView]


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


class DynamicSetting(Struct, frozen=True):
    """What a setting that can be changed at run time is for, and what it may be."""

    name: str
    default: AnyJson
    type: Annotated[str, Meta(description="Type, bounds and unit in words.")]
    meaning: str


class ConfigView(Struct, frozen=True):
    """The dynamic settings of the cluster; what is not among them, each node has from its own sources."""

    version: Annotated[int, Meta(description="Rises with every change; 0 when there was none.")]
    at: Time | None
    settings: dict[str, AnyJson]
    gray: GrayView | None
    history: Annotated[list[FormerConfig], Meta(description="The latest former versions, latest first.")]
    nodes: list[NodeVersion]
    available: Annotated[list[DynamicSetting], Meta(description="All that can be changed at run time.")]


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
