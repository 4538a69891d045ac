"""Whom a message is for: whether that can be, who goes by its aliases, and how many they are."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from longline.delivery.draft import Draft
from longline.delivery.replies import ReplyAddress
from longline.errors import (
    AudienceTooComplex,
    AudienceTooLarge,
    LonglineError,
    NoTarget,
    ReplyInvalid,
    ValidationFailed,
)
from longline.model.apps import App
from longline.model.audience import (
    MAX_CALLED,
    MAX_NAMES,
    Aliases,
    AllOf,
    AnyOf,
    Audience,
    Devices,
    Equal,
    Everyone,
    Expression,
    InGroup,
    NoneOf,
    OnPlatform,
    Ordered,
    Tagged,
    Wanted,
    aliases_of,
    parts_of,
)
from longline.model.devices import check_device_names
from longline.register.port import Register
from longline.saver.port.audiences import AudienceStore
from longline.saver.port.devices import DeviceStore

NUMBER = 8  # tests that a comparison with a number is worth: it takes more sets than one
SAMPLE = 10_000  # devices of an expression of which it is looked at whether they are connected

# Begins what stands for a device that there is none of. No device is called so, see `DEVICE_NAME`.
_NOBODY = "@"


class AudienceBounds(msgspec.Struct, frozen=True):
    """What an audience may ask of the store.

    `tests`: what it asks of a device, a label each, and `NUMBER` for a comparison with a number. `depth`:
    what is in one another, be it any, every or none. `alias_devices`: devices that have one alias.
    """

    tests: int = 256
    depth: int = 16
    alias_devices: int = 100


class Size(NamedTuple):
    """How many devices an audience has, and how many of them are connected."""

    devices: int
    online: int


def checked(wanted: Wanted, bounds: AudienceBounds) -> Wanted:
    """The audience without repetition; raises what is wrong with it."""
    match wanted:
        case Devices(names):
            _check_count(names, "devices")
            check_device_names(names, "audience.devices")
            return wanted if _is_single(names) else Devices(tuple(dict.fromkeys(names)))
        case Aliases(aliases):
            _check_count(aliases, "aliases")
            return wanted if _is_single(aliases) else Aliases(tuple(dict.fromkeys(aliases)))
        case Everyone() | InGroup():
            return wanted
        case _:
            _check_expression(wanted, bounds)
            return wanted


def _is_single(names: Sequence[str]) -> bool:
    return len(names) == 1


def _check_count(names: Sequence[str], field: str) -> None:
    if not 0 < len(names) <= MAX_NAMES:
        raise ValidationFailed(
            "a field's value is not allowed", details=[(f"audience.{field}", f"1 to {MAX_NAMES} {field}")]
        )


def _check_expression(expression: Expression, bounds: AudienceBounds) -> None:
    tests = 0
    waiting = [(expression, 1)]
    while waiting:
        each, depth = waiting.pop()
        tests += _tests(each)
        if tests > bounds.tests:
            raise AudienceTooComplex(
                "the audience asks for too much",
                details=[
                    ("audience", f"at most {bounds.tests} tests, a comparison with a number is {NUMBER}")
                ],
            )
        if depth > bounds.depth:
            raise AudienceTooComplex(
                "the audience is nested too deeply", details=[("audience", f"at most {bounds.depth} deep")]
            )
        waiting += [(part, depth + 1) for part in parts_of(each)]


def _tests(expression: Expression) -> int:
    """What an expression asks by itself; `ValidationFailed` for nothing."""
    match expression:
        case AnyOf(of) | AllOf(of) | NoneOf(of) | Tagged(of) | OnPlatform(of):
            tests = len(of)
        case Equal(values=values):
            tests = sum(1 if isinstance(value, bool | str) else NUMBER for value in values)
        case Ordered():
            tests = NUMBER
        case _:
            tests = 1
    if tests == 0:
        raise ValidationFailed("the audience asks nothing", details=[("audience", "an empty list")])
    return tests


async def called(
    drafts: Sequence[Draft | LonglineError],
    app: App,
    store: AudienceStore,
    devices: DeviceStore,
    bounds: AudienceBounds,
) -> Mapping[int, Devices | LonglineError]:
    """For each draft to aliases, by its place, the devices that these are, or what is wrong with them; and
    what is wrong with those that answer a device which is not that any more.

    An alias that no device has is a device that does not exist.
    """
    asked: dict[int, tuple[str, ...]] = {}
    replies: dict[int, ReplyAddress] = {}
    found: dict[int, Devices | LonglineError] = {}
    for place, draft in enumerate(drafts):
        if isinstance(draft, LonglineError):
            continue
        if draft.reply is not None:
            if draft.reply.app == app.number:
                replies[place] = draft.reply
            else:
                found[place] = ReplyInvalid()
        elif aliases_of(draft.audience):
            try:
                asked[place] = aliases_of(checked(draft.audience, bounds))
            except LonglineError as error:
                found[place] = error
    if replies:
        there = await devices.find(app.number, [address.device for address in replies.values()])
        for (place, address), device in zip(replies.items(), there, strict=True):
            if device is None or device.ordinal != address.ordinal:  # it was deleted, and may have come anew
                found[place] = NoTarget()
    if asked:
        aliases = list(dict.fromkeys([alias for some in asked.values() for alias in some]))
        holders = await store.holders(app.number, aliases, bounds.alias_devices + 1)
        known = dict(zip(aliases, holders, strict=True))
        for place, some in asked.items():
            try:
                found[place] = _devices_of(some, known, bounds)
            except LonglineError as error:
                found[place] = error
    return found


def _devices_of(
    aliases: Sequence[str], known: Mapping[str, Sequence[str]], bounds: AudienceBounds
) -> Devices:
    names: dict[str, None] = {}
    for number, alias in enumerate(aliases):
        holders = known[alias]
        if len(holders) > bounds.alias_devices:
            rule = f"at most {bounds.alias_devices} devices of one alias"
            raise AudienceTooLarge(
                "an alias has too many devices", details=[(f"audience.aliases.{number}", rule)]
            )
        names.update(dict.fromkeys(holders or (_NOBODY + alias,)))
    if len(names) > MAX_CALLED:
        rule = f"at most {MAX_CALLED} devices"
        raise AudienceTooLarge("the aliases have too many devices", details=[("audience.aliases", rule)])
    return Devices(tuple(names))


async def size(
    wanted: Wanted,
    app: App,
    *,
    audiences: AudienceStore,
    devices: DeviceStore,
    register: Register,
    bounds: AudienceBounds,
) -> Size:
    """Counts the devices that are registered now; raises as `checked` does.

    Of an expression that describes more than `SAMPLE`, who is connected is estimated from so many of them.
    """
    audience = checked(wanted, bounds)
    match audience:
        case Everyone():
            return Size(await devices.count(app.number), await register.count(app.number))
        case Devices(names):
            found = await devices.find(app.number, names)
            some = [device.device for device in found if device is not None]
            return Size(len(some), await _online(app, some, register))
        case Aliases(aliases):
            holders = await audiences.holders(app.number, aliases, bounds.alias_devices + 1)
            called = _devices_of(aliases, dict(zip(aliases, holders, strict=True)), bounds)
            some = [name for name in called.devices if not name.startswith(_NOBODY)]
            return Size(len(some), await _online(app, some, register))
        case _:
            described = await audiences.describe(app.number, audience, SAMPLE)
            online = await _online(app, described.some, register)
            if len(described.some) < described.devices:
                online = round(online * described.devices / max(1, len(described.some)))
            return Size(described.devices, online)


async def _online(app: App, names: Sequence[str], register: Register) -> int:
    if not names:
        return 0
    return sum(binding is not None for binding in await register.locate(app.number, names))


def settled(wanted: Wanted, called: Devices | None) -> Audience:
    """The audience that stores know: `called` is who the aliases are, where it consists of such."""
    if isinstance(wanted, Aliases):
        assert called is not None, "somebody has to be asked first who they are"
        return called
    return wanted
