"""Audiences as callers write them: who is to get a message."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from longline.center.shapes import MAX_LABELS, DeviceNames, GroupName, Label, Strict
from longline.delivery.replies import MAX_WORD
from longline.model.audience import MAX_NAMES

Scalar = Annotated[
    bool | Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | float | Annotated[str, Meta(max_length=1024)],
    Meta(description="A text, a number, true or false; 1 and 1.0 are the same."),
]

Number = Annotated[float, Meta(examples=[18])]


class Comparison(Strict, frozen=True, rename={"in_": "in"}):
    """What an attribute has to be; all of it. Texts are not put in order."""

    eq: Scalar | UnsetType = UNSET
    ne: Annotated[
        Scalar | UnsetType, Meta(description="Also true of a device that has no such attribute.")
    ] = UNSET
    gt: Number | UnsetType = UNSET
    gte: Number | UnsetType = UNSET
    lt: Number | UnsetType = UNSET
    lte: Number | UnsetType = UNSET
    in_: Annotated[list[Scalar], Meta(min_length=1, max_length=MAX_LABELS)] | UnsetType = UNSET
    exists: bool | UnsetType = UNSET


Tests = Annotated[list[Label], Meta(min_length=1, max_length=MAX_LABELS)]


class DeviceMatch(Strict, frozen=True, rename={"not_": "not"}):
    """What is asked of devices: all of its fields, at least one."""

    tag: Annotated[Tests | UnsetType, Meta(description="One of these.", examples=[["beta", "berlin"]])] = (
        UNSET
    )
    tag_and: Annotated[Tests | UnsetType, Meta(description="All of these.")] = UNSET
    tag_not: Annotated[Tests | UnsetType, Meta(description="None of these.")] = UNSET
    platform: Annotated[Tests | UnsetType, Meta(description="One of these.", examples=[["android"]])] = UNSET
    attributes: (
        Annotated[
            dict[str, Comparison],
            Meta(
                min_length=1, max_length=MAX_LABELS, examples=[{"age": {"gte": 18}, "plan": {"in": ["pro"]}}]
            ),
        ]
        | UnsetType
    ) = UNSET
    any: (
        Annotated[
            list["DeviceMatch"],
            Meta(min_length=1, max_length=MAX_LABELS, description="At least one of these."),
        ]
        | UnsetType
    ) = UNSET
    every: (
        Annotated[list["DeviceMatch"], Meta(min_length=1, max_length=MAX_LABELS, description="All of these.")]
        | UnsetType
    ) = UNSET
    not_: "DeviceMatch | UnsetType" = UNSET


class AudienceObject(DeviceMatch, frozen=True, rename={"not_": "not"}):
    """Devices by name, or by alias, the members of a group, devices by what they are, or the one that is
    answered: one of the five."""

    devices: DeviceNames | UnsetType = UNSET
    group: Annotated[GroupName | UnsetType, Meta(description="The members of this group.")] = UNSET
    aliases: (
        Annotated[
            list[Label],
            Meta(
                min_length=1,
                max_length=MAX_NAMES,
                description="All devices that have one of these. One that nobody has counts as a device that "
                "does not exist.",
                examples=[["ann", "bob"]],
            ),
        ]
        | UnsetType
    ) = UNSET
    reply: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=MAX_WORD,
                description="The `reply_to` of an upstream message: the device that sent it gets this on the "
                "response topic that it named, with its correlation data.",
            ),
        ]
        | UnsetType
    ) = UNSET


AudienceBody = Annotated[
    Literal["all"] | AudienceObject,
    Meta(
        description='`"all"`: every device registered now. Or an object that says which devices.',
        examples=[{"devices": ["d1", "d2"]}, {"tag": ["beta"], "tag_not": ["berlin"]}, "all"],
    ),
]
