"""What the API tells of profiles of processes."""

from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from longline.sdk.answers import Json

ProfileFormat = Literal["json", "speedscope", "pprof"]

if TYPE_CHECKING:
    ProfileKind = Literal["cpu", "heap", "tasks", "loop", "queues"]
else:
    ProfileKind = str  # whatever a later version says


class ProfileSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A profile that is kept, without what is in it. `seconds`: how long it took; `size` in bytes."""

    profile: str
    node: str
    host: str = ""
    version: str = ""
    kind: ProfileKind
    at: datetime
    seconds: float = 0.0
    size: int = 0


class TakenProfile(ProfileSummary, frozen=True, kw_only=True):
    """A profile. What its `content` looks like depends on its `kind`, as docs/profiling.md says."""

    content: dict[str, Json]


class ChangedFrame(msgspec.Struct, frozen=True, kw_only=True):
    """A function, its part in both profiles, 0 to 1, and the line that most of it is at in the later."""

    frame: str
    base_share: float
    share: float
    change: float
    place: str = ""


class ComparedProfiles(msgspec.Struct, frozen=True, kw_only=True):
    """What changed from `base` to `profile`, the largest growth first."""

    base: ProfileSummary
    profile: ProfileSummary
    frames: tuple[ChangedFrame, ...] = ()
