"""Whom a message is for: whether that can be, and how many they are."""

from typing import NamedTuple

from longline.errors import ValidationFailed
from longline.model.apps import App
from longline.model.audience import MAX_NAMES, Audience, Devices, Everyone
from longline.model.devices import check_device_names
from longline.register.port import Register
from longline.saver.port.devices import DeviceStore


class Size(NamedTuple):
    """How many devices an audience has, and how many of them are connected."""

    devices: int
    online: int


def checked(audience: Audience) -> Audience:
    """The audience without repetition; `ValidationFailed` for names that no device can have."""
    if isinstance(audience, Everyone):
        return audience
    names = audience.devices
    if not 0 < len(names) <= MAX_NAMES:
        raise ValidationFailed(
            "a field's value is not allowed", details=[("audience.devices", f"1 to {MAX_NAMES} devices")]
        )
    check_device_names(names, "audience.devices")
    if len(names) == 1:
        return audience
    unique = tuple(dict.fromkeys(names))
    return audience if len(unique) == len(names) else Devices(unique)


async def size(audience: Audience, app: App, devices: DeviceStore, register: Register) -> Size:
    """Counts the devices that are registered now; raises as `checked` does."""
    audience = checked(audience)
    if isinstance(audience, Everyone):
        return Size(await devices.count(app.number), await register.count(app.number))
    found = await devices.find(app.number, audience.devices)
    names = [device.device for device in found if device is not None]
    bindings = await register.locate(app.number, names)
    return Size(len(names), sum(binding is not None for binding in bindings))
