"""Whom a message is for."""

import msgspec

MAX_NAMES = 1000  # devices in one audience, messages or devices in one batch


class Everyone(msgspec.Struct, frozen=True, tag="all"):
    """The audience of all devices registered at the moment of sending."""


class Devices(msgspec.Struct, frozen=True, tag="devices"):
    """An audience of devices by name, without repetition, in the order given."""

    devices: tuple[str, ...]


Audience = Everyone | Devices
