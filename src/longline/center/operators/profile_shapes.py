"""Profiles of processes as the API takes and tells them."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from longline.center.shapes import Cursor, MomentText, PageQuery, Strict
from longline.delivery.event_views import Time
from longline.model.profiles import LONGEST, ProfileKind
from longline.profiling.content import Content

ProfileId = Annotated[str, Meta(description="A UUIDv7.", examples=["019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e25"])]
_KIND = Meta(
    description="`cpu` is where it uses its processor, `heap` what it allocates and keeps, `tasks` what"
    " waits on the event loop, and where, `loop` how late that is, and what held it up, `queues` how full"
    " queues are, and who waits for locks.",
    examples=["cpu"],
)
Kind = Annotated[ProfileKind, _KIND]
KindAsked = Annotated[ProfileKind | UnsetType, Meta(description="Those of this kind.")]
Seconds = Annotated[
    int, Meta(ge=1, le=LONGEST, description="How long to watch. Of `tasks` there is only a moment.")
]
Part = Annotated[float, Meta(description="A part of all samples, 0 to 1.", examples=[0.25])]


class TakeQuery(Strict, frozen=True, kw_only=True):
    """Which profile to take."""

    kind: Kind
    seconds: Seconds = 10


class ProfilesQuery(PageQuery, frozen=True, rename={"from_": "from"}):
    """Which profiles, and which page of them."""

    node: Annotated[str | UnsetType, Meta(description="Those of this node, by the name that it had.")] = UNSET
    kind: KindAsked = UNSET
    from_: Annotated[MomentText | UnsetType, Meta(description="Those that were taken then or later.")] = UNSET
    to: Annotated[MomentText | UnsetType, Meta(description="Those that were taken before then.")] = UNSET


class FormatQuery(Strict, frozen=True):
    """In which form."""

    format: Annotated[
        Literal["json", "speedscope", "pprof"],
        Meta(description="`speedscope` is for speedscope.app, `pprof` a gzipped protocol buffer."),
    ] = "json"


class DifferenceQuery(Strict, frozen=True):
    """With which profile to compare."""

    base: Annotated[
        str,
        Meta(
            description="The id of a profile of the same kind, of any node and version.",
            examples=["019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e24"],
        ),
    ]


class ProfileInfo(Struct, frozen=True):
    """A profile that is kept, without what is in it."""

    profile: ProfileId
    node: str
    host: str
    version: Annotated[str, Meta(description="Of Longline, there and then.", examples=["0.1.0"])]
    kind: Kind
    at: Time
    seconds: Annotated[float, Meta(description="How long it took.", examples=[10.4])]
    size: Annotated[int, Meta(description="Bytes that it takes up in the store.", examples=[4096])]


class ProfileWithContent(Struct, frozen=True):
    """A profile. What its `content` looks like depends on its `kind`."""

    profile: ProfileId
    node: str
    host: str
    version: Annotated[str, Meta(description="Of Longline, there and then.", examples=["0.1.0"])]
    kind: Kind
    at: Time
    seconds: Annotated[float, Meta(description="How long it took.", examples=[10.4])]
    size: Annotated[int, Meta(description="Bytes that it takes up in the store.", examples=[4096])]
    content: Content


class ProfileList(Struct, frozen=True):
    """A page of profiles, the latest first."""

    profiles: list[ProfileInfo]
    next_cursor: Cursor


class FrameDifference(Struct, frozen=True):
    """A function, and its part in both profiles: what it did itself, or had done by what is written in C."""

    frame: Annotated[
        str, Meta(description="Without a line.", examples=["Room.start (longline/room/room.py)"])
    ]
    base_share: Part
    share: Part
    change: Annotated[float, Meta(description="`share` less `base_share`.", examples=[0.05])]
    place: Annotated[
        str,
        Meta(
            description="With the line that most of it is at.",
            examples=["Room.start (longline/room/room.py:210)"],
        ),
    ]


class ProfileDifference(Struct, frozen=True):
    """What changed from one profile to another, the largest growth first."""

    base: ProfileInfo
    profile: ProfileInfo
    frames: list[FrameDifference]
