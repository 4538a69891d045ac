"""Events as app servers are told of them: the one form of what they read, and of what is sent to them."""

import base64
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from longline.model.cursors import cursor_after
from longline.model.devices import JsonObject
from longline.model.events import UPSTREAM, Event
from longline.model.times import rfc3339

DATE_TIME: JsonObject = {"format": "date-time"}
Time = Annotated[
    str,
    Meta(
        description="RFC 3339, UTC, milliseconds.",
        extra_json_schema=DATE_TIME,
        examples=["2026-01-31T12:00:00.250Z"],
    ),
]
NameAndValue = Annotated[list[str], Meta(min_length=2, max_length=2, examples=[["unit", "kelvin"]])]


DeviceStates = Literal["online", "moved", "offline", "registered", "retired", "deleted"]


class EventView(Struct, frozen=True, omit_defaults=True):
    """Something that happened to a device; which fields there are depends on its type."""

    cursor: Annotated[str, Meta(description="To go on behind this event.")]
    type: Annotated[
        str,
        Meta(
            description="`upstream`, `presence`, `receipt` or `device`; more to come.", examples=["upstream"]
        ),
    ]
    device: str
    at: Time
    state: DeviceStates | UnsetType = UNSET
    epoch: Annotated[int | UnsetType, Meta(description="Of the session that began or ended.")] = UNSET
    sequence: Annotated[int | UnsetType, Meta(description="Rises with every transition of a device.")] = UNSET
    room: Annotated[str | UnsetType, Meta(description="The node of that session.")] = UNSET
    id: Annotated[
        str | UnsetType,
        Meta(description="Of what a device sent: two events with the same one are one, stored twice."),
    ] = UNSET
    topic: Annotated[str | UnsetType, Meta(description="As the device published it.")] = UNSET
    payload: Annotated[str | UnsetType, Meta(description="What the device sent, where it is UTF-8.")] = UNSET
    payload_base64: Annotated[str | UnsetType, Meta(description="What it sent, else.")] = UNSET
    content_type: str | UnsetType = UNSET
    user_properties: Annotated[
        list[NameAndValue] | UnsetType, Meta(description="Names and values, in the device's order.")
    ] = UNSET
    reply_to: Annotated[
        str | UnsetType, Meta(description="For an answer, where the device has asked for one.")
    ] = UNSET
    repeated: Annotated[
        bool, Meta(description="The device says that it may have sent this before: DUP in MQTT.")
    ] = False
    send_id: Annotated[
        str | UnsetType,
        Meta(
            description="The device's own id for what it sent (MQTT 5). Two events of a device with the same "
            "one are one message, which it sent again.",
            examples=["q3vK0bX1c9_d"],
        ),
    ] = UNSET
    message_id: Annotated[str | UnsetType, Meta(description="Of the message that a receipt is for.")] = UNSET
    name: Annotated[
        str | UnsetType, Meta(description="What became of it: `shown`, `opened`, `dismissed`, …")
    ] = UNSET


class _Told(msgspec.Struct, frozen=True):
    """What the store has of an event, as far as this version knows it."""

    state: DeviceStates | UnsetType = UNSET
    epoch: int | UnsetType = UNSET
    sequence: int | UnsetType = UNSET
    room: str | UnsetType = UNSET
    id: str | UnsetType = UNSET
    topic: str | UnsetType = UNSET
    content_type: str | UnsetType = UNSET
    user_properties: list[list[str]] | UnsetType = UNSET
    reply_to: str | UnsetType = UNSET
    repeated: bool = False
    send_id: str | UnsetType = UNSET
    message_id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET


_told = msgspec.json.Decoder(_Told)


def event_view(cursor: str, event: Event) -> EventView:
    """An event of the store as app servers are told of it; `cursor` as the store gave it."""
    try:
        told = _told.decode(event.data)
    except msgspec.DecodeError:  # of a release that says it in another way
        told = _Told()
    text, data = _payload(event)
    return EventView(
        cursor_after(cursor),
        event.kind,
        event.device,
        rfc3339(event.at),
        told.state,
        told.epoch,
        told.sequence,
        told.room,
        told.id,
        told.topic,
        text,
        data,
        told.content_type,
        told.user_properties,
        told.reply_to,
        told.repeated,
        told.send_id,
        told.message_id,
        told.name,
    )


def _payload(event: Event) -> tuple[str | UnsetType, str | UnsetType]:
    """Of what a device sent; neither for a receipt that says no more."""
    return (UNSET, UNSET) if not event.payload and event.kind != UPSTREAM else text_or_base64(event.payload)


def text_or_base64(payload: bytes) -> tuple[str | UnsetType, str | UnsetType]:
    """A payload as its text where it is UTF-8, else in base64; the other one is unset."""
    try:
        return payload.decode(), UNSET
    except UnicodeDecodeError:
        return UNSET, base64.b64encode(payload).decode("ascii")
