"""From the JSON of a message to the draft that goes into the pipeline."""

from collections.abc import Sequence

import msgspec
from msgspec import UNSET

from longline.center.messages.audience_shapes import AudienceObject, Comparison, DeviceMatch
from longline.center.messages.message_shapes import MessageBody
from longline.center.messages.payloads import payload_of
from longline.delivery.draft import Draft
from longline.delivery.replies import ReplyAddress, reply_address
from longline.errors import AudienceTooComplex, LonglineError, ValidationFailed
from longline.model.audience import (
    Aliases,
    AllOf,
    AnyOf,
    Devices,
    Equal,
    Everyone,
    Expression,
    Having,
    InGroup,
    NoneOf,
    OnPlatform,
    Ordered,
    Tagged,
    Wanted,
)

_DEEPEST = 64  # objects in one another, whatever the settings allow

_EVERYONE = Everyone()


def any_later(drafts: Sequence[Draft | LonglineError]) -> bool:
    """Whether one of them is to be sent at a time of its own."""
    return any(isinstance(draft, Draft) and draft.send_at is not None for draft in drafts)


def draft_of(asked: MessageBody) -> Draft:
    """What was asked for; raises what its fields, each right by itself, say wrongly together."""
    options = asked.options
    audience, reply = addressed(asked.audience)
    payload, content_type = payload_of(asked.payload, asked.payload_base64)
    return Draft(
        audience=audience,
        payload=payload,
        content_type=content_type,
        ttl=None if options.ttl is msgspec.UNSET else options.ttl,
        qos=options.qos,
        priority=options.priority,
        collapse_key=options.collapse_key,
        label=options.label,
        online_only=options.online_only,
        spread_over=options.spread_over,
        send_at=options.send_at,
        reply=reply,
    )


def addressed(asked: str | AudienceObject) -> tuple[Wanted, ReplyAddress | None]:
    """The audience, and the address where it is the device that is answered."""
    reply = asked.reply if isinstance(asked, AudienceObject) else UNSET
    return audience_of(asked), None if reply is UNSET else reply_address(reply)


def audience_of(asked: str | AudienceObject) -> Wanted:
    """The audience as it was asked for, which the pipeline checks."""
    if not isinstance(asked, AudienceObject):
        return _EVERYONE
    if asked.reply is not UNSET:
        if not (asked.devices is asked.aliases is asked.group is UNSET and _asks_nothing_else(asked)):
            raise _not_alone(asked, "reply")
        return Devices((reply_address(asked.reply).device,))
    devices, aliases = asked.devices, asked.aliases
    if asked.group is not UNSET:
        if devices is not UNSET or aliases is not UNSET or not _asks_nothing_else(asked):
            raise _not_alone(asked, "group")
        return InGroup(asked.group)
    if devices is UNSET and aliases is UNSET:
        return _described(asked, "audience", 1)
    alone = "aliases" if devices is UNSET else "devices"
    if not _asks_nothing_else(asked):
        raise _not_alone(asked, alone)
    if aliases is UNSET:
        assert devices is not UNSET
        return Devices(tuple(devices))
    if devices is not UNSET:
        raise _not_alone(asked, alone)
    return Aliases(tuple(aliases))


def _asks_nothing_else(asked: DeviceMatch) -> bool:
    # In one expression: it is asked for each message to devices.
    return (
        UNSET
        is asked.tag
        is asked.tag_and
        is asked.tag_not
        is asked.platform
        is asked.attributes
        is asked.any
        is asked.every
        is asked.not_
    )


def _not_alone(asked: AudienceObject, alone: str) -> ValidationFailed:
    given = [name for name in AudienceObject.__struct_fields__ if getattr(asked, name) is not UNSET]
    return ValidationFailed(
        "devices, aliases, a group and reply stand alone in an audience",
        details=[
            (f"audience.{name.rstrip('_')}", f"not together with {alone}") for name in given if name != alone
        ],
    )


def _described(asked: DeviceMatch, path: str, depth: int) -> Expression:
    """The expression of an object, all of whose fields have to be true."""
    if depth > _DEEPEST:
        raise AudienceTooComplex(
            "the audience is nested too deeply", details=[("audience", f"at most {_DEEPEST} deep")]
        )
    of: list[Expression] = []
    if asked.tag is not UNSET:
        of.append(Tagged(tuple(asked.tag)))
    if asked.tag_and is not UNSET:
        of += [Tagged((tag,)) for tag in asked.tag_and]
    if asked.tag_not is not UNSET:
        of.append(NoneOf((Tagged(tuple(asked.tag_not)),)))
    if asked.platform is not UNSET:
        of.append(OnPlatform(tuple(asked.platform)))
    if asked.attributes is not UNSET:
        for name, comparison in asked.attributes.items():
            of += _compared(name, comparison, f"{path}.attributes.{name}")
    if asked.any is not UNSET:
        of.append(AnyOf(_each(asked.any, f"{path}.any", depth)))
    if asked.every is not UNSET:
        of += _each(asked.every, f"{path}.every", depth)
    if asked.not_ is not UNSET:
        of.append(NoneOf((_described(asked.not_, f"{path}.not", depth + 1),)))
    if not of:
        raise ValidationFailed("the audience asks nothing", details=[(path, "at least one field")])
    return of[0] if len(of) == 1 else AllOf(tuple(of))


def _each(asked: Sequence[DeviceMatch], path: str, depth: int) -> tuple[Expression, ...]:
    return tuple([_described(each, f"{path}.{n}", depth + 1) for n, each in enumerate(asked)])


def _compared(name: str, asked: Comparison, path: str) -> list[Expression]:
    of: list[Expression] = []
    if asked.eq is not UNSET:
        of.append(Equal(name, (asked.eq,)))
    if asked.ne is not UNSET:
        of.append(NoneOf((Equal(name, (asked.ne,)),)))
    if asked.gt is not UNSET:
        of.append(Ordered(name, "gt", asked.gt))
    if asked.gte is not UNSET:
        of.append(Ordered(name, "gte", asked.gte))
    if asked.lt is not UNSET:
        of.append(Ordered(name, "lt", asked.lt))
    if asked.lte is not UNSET:
        of.append(Ordered(name, "lte", asked.lte))
    if asked.in_ is not UNSET:
        of.append(Equal(name, tuple(asked.in_)))
    if asked.exists is not UNSET:
        of.append(Having(name) if asked.exists else NoneOf((Having(name),)))
    if not of:
        raise ValidationFailed(
            "an attribute is compared with nothing", details=[(path, "at least one field")]
        )
    return of
