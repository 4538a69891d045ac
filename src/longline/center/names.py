"""Names of devices in requests."""

from collections.abc import Sequence

from longline.errors import ValidationFailed
from longline.model.devices import valid_device_name


def checked_name(name: str, field: str = "device") -> str:
    """The name; `ValidationFailed` with `field` when no device can have it."""
    if not valid_device_name(name):
        raise ValidationFailed("a device's name is not allowed", details=[(field, "not a device name")])
    return name


def checked_names(names: Sequence[str], field: str) -> Sequence[str]:
    """The names, each as `checked_name` has it; the error names the place of the first wrong one."""
    for index, name in enumerate(names):
        if not valid_device_name(name):
            checked_name(name, f"{field}.{index}")
    return names
