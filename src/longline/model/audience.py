"""Whom a message is for: named devices, or whoever an expression describes.

These are the two ways into a store. Named devices get an entry each in their inboxes. An expression becomes
one entry in the app's broadcast log, with the set of ordinals that it described at the commit; `resolve` of
an engine is the one place that knows what an expression describes. A further kind of expression is a class
here, a member of `Expression`, and a case of each `resolve`.
"""

import msgspec

MAX_NAMES = 1000  # devices in one audience, messages or devices in one batch


class Everyone(msgspec.Struct, frozen=True, tag="all"):
    """The expression that describes all devices registered at the moment of sending."""


class Devices(msgspec.Struct, frozen=True, tag="devices"):
    """An audience of devices by name, without repetition, in the order given."""

    devices: tuple[str, ...]


Expression = Everyone
Audience = Expression | Devices


def way_of(audience: Audience) -> tuple[tuple[str, ...], Expression | None]:
    """Which way a message goes: to the devices of these names; or, where there is one, to an expression."""
    if isinstance(audience, Devices):
        return audience.devices, None
    return (), audience
