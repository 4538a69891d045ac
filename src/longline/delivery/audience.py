"""Whom a message is for: who goes by its aliases, and how many they are."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from longline.delivery.checking import AudienceBounds, checked
from longline.delivery.draft import Draft
from longline.delivery.replies import ReplyAddress
from longline.errors import AudienceTooLarge, LonglineError, NoTarget, ReplyInvalid
from longline.model.apps import App
from longline.model.audience import MAX_CALLED, Aliases, Devices, Everyone, Wanted, aliases_of
from longline.register.port import Register
from longline.saver.port.audiences import AudienceStore
from longline.saver.port.devices import DeviceStore

SAMPLE = 1_000  # devices of an expression of which it is looked at whether they are connected

# Begins what stands for a device that there is none of. No device is called so, see `DEVICE_NAME`.
_NOBODY = "@"


class Size(NamedTuple):
    """How many devices an audience has, and how many of them are connected."""

    devices: int
    online: int


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

    Of an expression that describes more than `SAMPLE`, who is connected is estimated from so many of them at
    most.
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
