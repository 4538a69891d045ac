"""Whom a message is for: named devices, or whoever an expression describes.

These are the two ways into a store. Named devices get an entry each in their inboxes. An expression becomes
one entry in the app's broadcast log, with the set of ordinals that it described at the commit; `resolve` of
an engine is the one place that knows what an expression describes. A further kind of expression is a class
here, a member of `Expression`, and a case of each `resolve`.

Devices called by their aliases are named devices once somebody has asked who they are, which is done before
the store is given anything.
"""

from typing import Literal

import msgspec

MAX_NAMES = 1000  # devices or aliases in one audience, messages or devices in one batch
MAX_CALLED = 5000  # devices that the aliases of one audience may come to

Value = bool | int | float | str  # of an attribute that is compared; what else there may be only exists
Order = Literal["gt", "gte", "lt", "lte"]


class Everyone(msgspec.Struct, frozen=True, tag="all"):
    """The expression that describes all devices registered at the moment of sending."""


class Tagged(msgspec.Struct, frozen=True, tag="tag"):
    """Those with one of these tags, or several of them."""

    tags: tuple[str, ...]


class OnPlatform(msgspec.Struct, frozen=True, tag="platform"):
    """Those whose platform is one of these."""

    platforms: tuple[str, ...]


class InZone(msgspec.Struct, frozen=True, tag="zone"):
    """Those whose time zone is one of these."""

    zones: tuple[str, ...]


class Having(msgspec.Struct, frozen=True, tag="has"):
    """Those that have an attribute of this name, whatever it is."""

    name: str


class Equal(msgspec.Struct, frozen=True, tag="eq"):
    """Those whose attribute is one of these values. 1 and 1.0 are one value; 1, true and "1" are three."""

    name: str
    values: tuple[Value, ...]


class Ordered(msgspec.Struct, frozen=True, tag="order"):
    """Those whose attribute is a number, and on this side of another. Numbers are IEEE doubles."""

    name: str
    order: Order
    number: float


class InGroup(msgspec.Struct, frozen=True, tag="group"):
    """The members of a group. It is an audience by itself, and no part of another."""

    group: str


class AnyOf(msgspec.Struct, frozen=True, tag="any"):
    """Those that at least one of the expressions describes."""

    of: "tuple[Expression, ...]"


class AllOf(msgspec.Struct, frozen=True, tag="every"):
    """Those that all of the expressions describe."""

    of: "tuple[Expression, ...]"


class NoneOf(msgspec.Struct, frozen=True, tag="not"):
    """All devices but those that one of the expressions describes."""

    of: "tuple[Expression, ...]"


class Devices(msgspec.Struct, frozen=True, tag="devices"):
    """An audience of devices by name, without repetition, in the order given."""

    devices: tuple[str, ...]


class Aliases(msgspec.Struct, frozen=True, tag="aliases"):
    """An audience of all devices that have one of these aliases, before anybody knows which these are."""

    aliases: tuple[str, ...]


Expression = (
    Everyone | Tagged | OnPlatform | InZone | Having | Equal | Ordered | InGroup | AnyOf | AllOf | NoneOf
)
Audience = Expression | Devices
Wanted = Audience | Aliases


def way_of(audience: Audience) -> tuple[tuple[str, ...], Expression | None]:
    """Which way a message goes: to the devices of these names; or, where there is one, to an expression."""
    if isinstance(audience, Devices):
        return audience.devices, None
    return (), audience


def aliases_of(wanted: Wanted) -> tuple[str, ...]:
    """The aliases that an audience consists of; none of one that is known by other means."""
    return wanted.aliases if isinstance(wanted, Aliases) else ()


def group_of(wanted: Wanted) -> str | None:
    """The group that an audience is; None for any other."""
    return wanted.group if isinstance(wanted, InGroup) else None


def parts_of(expression: Expression) -> "tuple[Expression, ...]":
    """What an expression is put together from; nothing for one that asks something of devices itself."""
    return expression.of if isinstance(expression, AnyOf | AllOf | NoneOf) else ()
