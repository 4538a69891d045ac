"""What the shapes of several subjects are made of; each subject has its own beside its operations.

What callers may send is a strict type: it is the validation, the decoder, and the documentation, which
`openapi/document.py` makes of descriptions, bounds and examples. A field that is UNSET was not in the
request, which is not the same as null.
"""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from longline.model.apps import APP_NAME
from longline.model.audience import MAX_NAMES
from longline.model.devices import DEVICE_NAME
from longline.model.groups import GROUP_NAME

MAX_LABELS = (
    1000  # aliases, and tags, of one device, whatever the settings are; and labels in a test of an audience
)
MAX_GRACE = 2_592_000  # seconds: thirty days
MAX_PAGE = 1000

# `$` alone would also match before a final line feed in Python; with the lookahead it means the end in every
# dialect.
END = r"$(?!\n)"
_NO_CONTROLS = rf"^[^\x00-\x1f\x7f-\x9f]+{END}"
_APP_NAME = f"^{APP_NAME}{END}"

# What each pattern asks for, for whoever is refused by it.
PATTERNS_IN_WORDS = {
    _APP_NAME: "1 to 64 of `a-z`, `0-9`, `_` and `-` wanted, a letter or a digit first",
    _NO_CONTROLS: "text without control characters wanted",
}

AppName = Annotated[
    str,
    Meta(pattern=_APP_NAME, description="`a-z`, `0-9`, `_`, `-`; at most 64.", examples=["news"]),
]
# The rule is applied by `valid_device_name`; here it is only shown, since a pattern would cost each
# device of each message a second match.
DeviceName = Annotated[
    str,
    Meta(
        description="The device's MQTT client id.",
        extra_json_schema={"pattern": f"^{DEVICE_NAME}$", "maxLength": 128, "minLength": 1},
        examples=["d1"],
    ),
]
# Likewise, by `check_group_name`.
GroupName = Annotated[
    str,
    Meta(
        description="A group's name.",
        extra_json_schema={"pattern": f"^{GROUP_NAME}$", "maxLength": 128, "minLength": 1},
        examples=["team"],
    ),
]
Label = Annotated[str, Meta(min_length=1, max_length=128, pattern=_NO_CONTROLS)]
ShortText = Annotated[str, Meta(min_length=1, max_length=64, pattern=_NO_CONTROLS)]
DisplayName = Annotated[str, Meta(min_length=1, max_length=200, pattern=_NO_CONTROLS)]
AnyJson = Annotated[object, Meta(extra_json_schema={"description": "Any JSON value."})]
DeviceNames = Annotated[
    list[DeviceName],
    Meta(
        min_length=1, max_length=MAX_NAMES, description="Repeated names count once.", examples=[["d1", "d2"]]
    ),
]
Limit = Annotated[int, Meta(ge=1, le=MAX_PAGE, description="Items in a page, at most.")]
CursorText = Annotated[
    str, Meta(max_length=1024, description="`next_cursor` of the page before; absent for the first page.")
]
MomentText = Annotated[
    str, Meta(extra_json_schema={"format": "date-time"}, examples=["2026-12-24T18:00:00+01:00"])
]

Cursor = Annotated[str | None, Meta(description="For the next page; null: this was the last.")]
MessageId = Annotated[str, Meta(description="A UUIDv7.", examples=["019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e21"])]


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """A request: a field that the API does not know is a mistake of the caller's, and is told to him."""


class PageQuery(Strict, frozen=True):
    """Which page of a list."""

    limit: Limit = 100
    cursor: CursorText | UnsetType = UNSET
