"""What callers may send: the request bodies and queries of the API, as strict types.

The types are the validation, the documentation (`openapi.py` reads descriptions, bounds and examples
from here) and the decoders. A field that is UNSET was not in the request, which is not the same as null.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from longline.model.apps import APP_NAME
from longline.model.audience import MAX_NAMES
from longline.model.devices import DEVICE_NAME
from longline.model.messages import MAX_COLLAPSE_KEY, MAX_SPREAD, MAX_TTL

MAX_LABELS = 100  # aliases, and tags, of one device
MAX_ATTRIBUTES = 64  # keys
MAX_ATTRIBUTES_BYTES = 4096  # as JSON
MAX_TOKEN_LIFE = 315_360_000  # seconds: ten years
MAX_BAN = 315_360_000  # seconds
MAX_PAGE = 1000

# `$` alone would also match before a final line feed in Python; with the lookahead it means the end in every
# dialect.
_END = r"$(?!\n)"
_NO_CONTROLS = rf"^[^\x00-\x1f\x7f-\x9f]+{_END}"

_BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"  # RFC 4648, section 4

_APP_NAME = f"^{APP_NAME}{_END}"

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
Label = Annotated[str, Meta(min_length=1, max_length=128, pattern=_NO_CONTROLS)]
Labels = Annotated[list[Label], Meta(max_length=MAX_LABELS)]
ShortText = Annotated[str, Meta(min_length=1, max_length=64, pattern=_NO_CONTROLS)]
DisplayName = Annotated[str, Meta(min_length=1, max_length=200, pattern=_NO_CONTROLS)]
AnyJson = Annotated[object, Meta(extra_json_schema={"description": "Any JSON value."})]
Attributes = Annotated[
    dict[str, AnyJson],
    Meta(
        max_length=MAX_ATTRIBUTES,
        description=(
            f"Anything about the device; at most {MAX_ATTRIBUTES} keys, {MAX_ATTRIBUTES_BYTES} bytes of JSON."
        ),
        examples=[{"plan": "pro", "app_version": "4.2"}],
    ),
]
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
TokenLife = Annotated[int, Meta(ge=1, le=MAX_TOKEN_LIFE, description="Seconds.", examples=[86400])]
BanSeconds = Annotated[
    int,
    Meta(ge=0, le=MAX_BAN, description="Refuse the device for so long. 0 lifts a ban. Absent: no change."),
]
Ttl = Annotated[
    int,
    Meta(
        ge=0,
        le=MAX_TTL,
        description="Seconds for which an offline device may come for it. 0: only who is connected now.",
        examples=[86400],
    ),
]


class Strict(Struct, frozen=True, forbid_unknown_fields=True):
    """A request: a field that the API does not know is a mistake of the caller's, and is told to him."""


# --- apps ----------------------------------------------------------------------------------------


class NewApp(Strict, frozen=True):
    """An app to create."""

    app: AppName
    name: Annotated[DisplayName | UnsetType, Meta(description="For people; the app's name unless given.")] = (
        UNSET
    )
    pubsub: Annotated[bool, Meta(description="Whether devices may use plain MQTT topics.")] = False
    client_certificates: Annotated[
        bool, Meta(description="Whether a TLS client certificate stands in for a device's token.")
    ] = False


class AppChange(Strict, frozen=True):
    """What to change of an app; the rest stays."""

    name: DisplayName | UnsetType = UNSET
    pubsub: bool | UnsetType = UNSET
    client_certificates: bool | UnsetType = UNSET


class Rotation(Strict, frozen=True):
    """Which of the app's secrets to replace, at least one, and whether its devices' connections end."""

    server_key: bool = True
    device_secret: bool = False
    disconnect: bool = False


class PageQuery(Strict, frozen=True):
    """Which page of a list."""

    limit: Limit = 100
    cursor: CursorText | UnsetType = UNSET


# --- devices -------------------------------------------------------------------------------------


class NewProfile(Strict, frozen=True):
    """What is known of a device, whole: what is left out is empty afterwards."""

    aliases: Labels = []
    tags: Annotated[Labels, Meta(examples=[["beta", "berlin"]])] = []
    attributes: Attributes = {}
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


class DeviceQuery(PageQuery, frozen=True):
    """Which devices, and which page of them."""

    tag: Label | UnsetType = UNSET
    alias: Label | UnsetType = UNSET
    online: bool | UnsetType = UNSET


class StatusRequest(Strict, frozen=True):
    """Devices to look up."""

    devices: DeviceNames


class TokenRequest(Strict, frozen=True):
    """How long the token is good for; without it, until the device secret is rotated."""

    expires_in: TokenLife | UnsetType = UNSET


class KickQuery(Strict, frozen=True):
    """Whether to keep the device out."""

    ban_seconds: BanSeconds | UnsetType = UNSET


# --- events --------------------------------------------------------------------------------------


class UpstreamQuery(PageQuery, frozen=True):
    """From where to read events, and how long to wait for some."""

    wait: Annotated[
        int, Meta(ge=0, le=60, description="Seconds to hold the answer back while there are none.")
    ] = 0


# --- operators -----------------------------------------------------------------------------------


class DrainRequest(Strict, frozen=True):
    """How to move a node's clients elsewhere."""

    rate: (
        Annotated[
            float,
            Meta(
                gt=0,
                le=1_000_000,
                description="Clients moved in the first second; then the pace follows how they get along.",
            ),
        ]
        | UnsetType
    ) = UNSET
    deadline: (
        Annotated[
            float,
            Meta(
                gt=0,
                le=86_400,
                description="Seconds for all of it; who is left then is told that the server shuts down.",
            ),
        ]
        | UnsetType
    ) = UNSET
    dry_run: Annotated[bool, Meta(description="Only say what would be done; nobody is moved.")] = False


class ConfigValue(Strict, frozen=True):
    """A value for a setting."""

    value: AnyJson
    nodes: (
        Annotated[
            list[Annotated[str, Meta(min_length=1, max_length=255)]],
            Meta(
                min_length=1,
                max_length=MAX_NAMES,
                description="Only for these members, by name or host, until it is promoted or rolled back.",
            ),
        ]
        | UnsetType
    ) = UNSET
    version: (
        Annotated[
            int, Meta(ge=0, description="Change it only if the settings have this version; otherwise 409.")
        ]
        | UnsetType
    ) = UNSET


# --- messages ------------------------------------------------------------------------------------


class DevicesAudience(Strict, frozen=True):
    """Devices by name."""

    devices: DeviceNames


AudienceBody = Annotated[
    Literal["all"] | DevicesAudience,
    Meta(
        description='`"all"`: every device registered now. Or named devices.',
        examples=[{"devices": ["d1", "d2"]}, "all"],
    ),
]


class Options(Strict, frozen=True):
    """How a message is delivered."""

    ttl: Ttl | UnsetType = UNSET
    # The contract has 2, and an honest answer to it is "not yet": so it is decoded, and the pipeline refuses.
    qos: Annotated[
        int, Meta(ge=0, description="MQTT quality of service.", extra_json_schema={"maximum": 1})
    ] = 1
    priority: Literal["normal", "high"] = "normal"
    collapse_key: Annotated[
        Annotated[str, Meta(min_length=1, max_length=MAX_COLLAPSE_KEY)] | None,
        Meta(description="A newer message of the same key replaces an older one that still waits."),
    ] = None
    online_only: Annotated[bool, Meta(description="Only who is connected now gets it.")] = False
    # In the contract, and not done by this version: only the value that means "no" is taken.
    send_at: Annotated[str | None, Meta(extra_json_schema={"enum": [None]})] = None
    spread_over: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_SPREAD,
            description="Seconds over which a message to everyone is written to who is connected, evenly. "
            "Without effect on a list of devices.",
        ),
    ] = 0


class MessageBody(Strict, frozen=True):
    """A message to push: an audience, and exactly one of `payload` and `payload_base64`."""

    audience: AudienceBody
    payload: Annotated[
        Raw | UnsetType,
        Meta(
            description='Any JSON value but "", up to 256 KiB. A string is delivered as its text.',
            extra_json_schema={"not": {"const": ""}},
            examples=[{"title": "Goal!", "score": "2:1"}],
        ),
    ] = UNSET
    payload_base64: Annotated[
        bytes | UnsetType,
        Meta(
            description="Bytes to deliver as they are (standard alphabet, padded).",
            extra_json_schema={"minLength": 4, "pattern": _BASE64},
        ),
    ] = UNSET
    options: Options = Options()


class MessageBatch(Strict, frozen=True):
    """Messages to push."""

    messages: Annotated[list[MessageBody], Meta(min_length=1, max_length=MAX_NAMES)]


class RawMessageBatch(Strict, frozen=True):
    """A `MessageBatch` of which some messages may be wrong."""

    messages: Annotated[list[Raw], Meta(min_length=1, max_length=MAX_NAMES)]


class EstimateRequest(Strict, frozen=True):
    """An audience to count."""

    audience: AudienceBody
