"""A device in the words of the API: what is known of it, and where and how it is connected."""

from typing import Annotated

from msgspec import Meta, Struct

from longline.center.requests.times import rfc3339
from longline.center.shapes import AnyJson, Cursor
from longline.delivery.event_views import Time
from longline.model.devices import Binding, Came, Device, JsonObject, Visit
from longline.saver.port.parking import Standing

_Known = tuple[str, tuple[str, ...], tuple[str, ...], JsonObject, str | None, str | None, str]


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


def status_view(found: tuple[str, Binding | None]) -> DeviceStatus:
    """Whether it is connected, by its name and where it is."""
    name, binding = found
    return DeviceStatus(name, binding is not None, None if binding is None else rfc3339(binding.since))


def state_view(found: tuple[Device, Binding | None, Standing | None, Visit, int]) -> DeviceState:
    """A device, where it is, what it acknowledges, when and how it was there last; and what the time is."""
    device, binding, standing, visit, now = found
    seen = visit.last if binding is None else now
    came = visit.came or Came("", "")
    session = None
    if visit.session and (binding is not None or not 0 < visit.ends_at <= now):
        session = KeptSessionView(rfc3339(visit.ends_at) if visit.ends_at else None)
    return DeviceState(
        *_known(device),
        binding is not None,
        None if binding is None else binding.node,
        None if binding is None else rfc3339(binding.since),
        None if binding is None else binding.epoch,
        rfc3339(seen) if seen else None,
        came.address or None,
        came.protocol or None,
        ClientView(came.client, came.version) if came.client else None,
        session,
        *_parked(standing),
        rfc3339(visit.banned_until) if visit.banned_until > now else None,
    )


def is_parked(standing: Standing | None) -> bool:
    """Whether it is sent no pushes, having acknowledged none for long."""
    return standing is not None and standing.parked_since > 0


def _parked(standing: Standing | None) -> tuple[bool, str | None]:
    """The fields that say whether it acknowledges nothing."""
    since = 0 if standing is None else standing.parked_since
    return since > 0, rfc3339(since) if since else None


def device_view(device: Device) -> DeviceView:
    """What is known of a device."""
    return DeviceView(*_known(device))


def _known(device: Device) -> _Known:
    """The fields of `DeviceView`."""
    profile = device.profile
    return (
        device.device,
        profile.aliases,
        profile.tags,
        profile.attributes,
        profile.timezone,
        profile.platform,
        rfc3339(device.created_at),
    )
