"""What is known of a device, as callers write it, and how much of it there may be."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType, field

from longline.center.shapes import MAX_LABELS, AnyJson, DeviceName, Label, ShortText, Strict
from longline.errors import ValidationFailed
from longline.model.audience import MAX_NAMES
from longline.model.devices import JsonObject, Profile
from longline.settings import CenterSettings

Labels = Annotated[list[Label], Meta(max_length=MAX_LABELS)]

Attributes = Annotated[
    dict[str, AnyJson],
    Meta(
        max_length=MAX_LABELS,
        description=(
            "Anything about the device; at most `center.max_attributes` (64) keys and "
            "`center.max_attributes_bytes` (4096) bytes of JSON."
        ),
        examples=[{"plan": "pro", "app_version": "4.2"}],
    ),
]

_encode = msgspec.json.Encoder().encode


class NewProfile(Strict, frozen=True):
    """What is known of a device, whole: what is left out is empty afterwards."""

    aliases: Labels = field(default_factory=list)
    tags: Annotated[Labels, Meta(examples=[["beta", "berlin"]])] = field(default_factory=list)
    attributes: Attributes = field(default_factory=dict)
    timezone: Annotated[ShortText | None, Meta(description="IANA name.", examples=["Europe/Berlin"])] = None
    platform: Annotated[ShortText | None, Meta(examples=["android"])] = None


class ProfileChange(Strict, frozen=True):
    """What to change of a device: lists are replaced, attributes merged, null deletes (RFC 7396)."""

    aliases: Labels | UnsetType = UNSET
    tags: Labels | UnsetType = UNSET
    attributes: Attributes | UnsetType = UNSET
    timezone: ShortText | UnsetType | None = UNSET
    platform: ShortText | UnsetType | None = UNSET


class BatchDevice(NewProfile, frozen=True, kw_only=True):
    """A device to register, or to replace what is known of it."""

    device: DeviceName


class DeviceBatch(Strict, frozen=True):
    """Devices to register or replace."""

    devices: Annotated[list[BatchDevice], Meta(min_length=1, max_length=MAX_NAMES)]


class RawDeviceBatch(Strict, frozen=True):
    """A `DeviceBatch` of which some devices may be wrong."""

    devices: Annotated[list[Raw], Meta(min_length=1, max_length=MAX_NAMES)]


def new_profile(asked: NewProfile, bounds: CenterSettings) -> Profile:
    """What is known of a device from now on; `ValidationFailed` when it is more than there may be."""
    return _bounded(
        Profile(
            aliases=_once(asked.aliases),
            tags=_once(asked.tags),
            attributes=_merged_attributes({}, asked.attributes),
            timezone=asked.timezone,
            platform=asked.platform,
        ),
        bounds,
    )


def changed_profile(profile: Profile, change: ProfileChange, bounds: CenterSettings) -> Profile:
    """What was known of it, changed; likewise."""
    return _bounded(
        Profile(
            aliases=profile.aliases if change.aliases is UNSET else _once(change.aliases),
            tags=profile.tags if change.tags is UNSET else _once(change.tags),
            attributes=(
                profile.attributes
                if change.attributes is UNSET
                else _merged_attributes(profile.attributes, change.attributes)
            ),
            timezone=profile.timezone if change.timezone is UNSET else change.timezone,
            platform=profile.platform if change.platform is UNSET else change.platform,
        ),
        bounds,
    )


def _bounded(profile: Profile, bounds: CenterSettings) -> Profile:
    if len(profile.tags) > bounds.max_tags:
        raise _too_many("tags", f"at most {bounds.max_tags}")
    if len(profile.aliases) > bounds.max_aliases:
        raise _too_many("aliases", f"at most {bounds.max_aliases}")
    attributes = profile.attributes
    if len(attributes) > bounds.max_attributes or (
        attributes and len(_encode(attributes)) > bounds.max_attributes_bytes
    ):
        rule = f"at most {bounds.max_attributes} keys and {bounds.max_attributes_bytes} bytes of JSON"
        raise _too_many("attributes", rule)
    return profile


def _merged_attributes(known: JsonObject, change: JsonObject) -> JsonObject:
    """RFC 7396 at the first level: null deletes."""
    return {key: value for key, value in {**known, **change}.items() if value is not None}


def _too_many(field: str, rule: str) -> ValidationFailed:
    return ValidationFailed(f"the device has too many {field}", details=[(field, rule)])


def _once(labels: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(labels))
