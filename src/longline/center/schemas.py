"""What callers may send: the request bodies and queries of the API, as strict types.

The types are the validation, the documentation (`openapi.py` reads descriptions, bounds and examples
from here) and the decoders. A field that is UNSET was not in the request, which is not the same as null.
"""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Raw, Struct, UnsetType

from longline.delivery.calendar import MAX_CRON
from longline.delivery.replies import MAX_WORD
from longline.model.access import MAX_FILTER, RULE_FILTER, Algorithm, Allow
from longline.model.apps import APP_NAME
from longline.model.audience import MAX_NAMES
from longline.model.devices import DEVICE_NAME
from longline.model.groups import GROUP_NAME
from longline.model.limits import BOUNDS
from longline.model.messages import MAX_COLLAPSE_KEY, MAX_SPREAD, MAX_TTL

MAX_LABELS = (
    1000  # aliases, and tags, of one device, whatever the settings are; and labels in a test of an audience
)
MAX_TOKEN_LIFE = 315_360_000  # seconds: ten years
MAX_BAN = 315_360_000  # seconds
MAX_GRACE = 2_592_000  # seconds: thirty days
MAX_TOKEN_KEYS = 64
MAX_PAGE = 1000
MAX_MEMBERS = 1_000_000  # of a group in one request, whatever the settings are
MAX_SEQUENCE = (1 << 53) - 1  # the largest integer that every JSON reader has exactly
MAX_MESSAGES = 100  # in a page of a list

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
Labels = Annotated[list[Label], Meta(max_length=MAX_LABELS)]
ShortText = Annotated[str, Meta(min_length=1, max_length=64, pattern=_NO_CONTROLS)]
DisplayName = Annotated[str, Meta(min_length=1, max_length=200, pattern=_NO_CONTROLS)]
AnyJson = Annotated[object, Meta(extra_json_schema={"description": "Any JSON value."})]
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
    end_at_expiry: (
        Annotated[
            bool,
            Meta(
                description="Whether a connection ends when the token or certificate does that it was let in "
                "with; of those made from now on."
            ),
        ]
        | UnsetType
    ) = UNSET


class Rotation(Strict, frozen=True):
    """Which of the app's secrets to replace, at least one, and whether its devices' connections end."""

    server_key: bool = True
    device_secret: bool = False
    disconnect: bool = False
    grace_seconds: Annotated[
        int, Meta(ge=0, le=MAX_GRACE, description="For so long the former ones are good, too.")
    ] = 0


class TokenIssuerBody(Strict, frozen=True):
    """An identity provider whose tokens the app takes: exactly one of `jwks_url` and `keys`."""

    jwks_url: Annotated[
        Annotated[str, Meta(min_length=1, max_length=2048)] | UnsetType,
        Meta(
            description="Where its JSON Web Key Set is: `https`, on the public internet, unless the server's "
            "settings allow others.",
            examples=["https://id.example.org/.well-known/jwks.json"],
        ),
    ] = UNSET
    keys: Annotated[
        Annotated[list[AnyJson], Meta(min_length=1, max_length=MAX_TOKEN_KEYS)] | UnsetType,
        Meta(description="Its public keys: JSON Web Keys (RFC 7517), or PEM as text."),
    ] = UNSET
    issuer: Annotated[
        str, Meta(max_length=1024, description="What `iss` has to be. Wanted with `jwks_url`.")
    ] = ""
    audience: Annotated[
        Annotated[str, Meta(min_length=1, max_length=1024)]
        | Annotated[list[Annotated[str, Meta(min_length=1, max_length=1024)]], Meta(max_length=16)],
        Meta(description="`aud` has to name one of these. Wanted with `jwks_url`."),
    ] = []
    algorithms: Annotated[
        tuple[Algorithm, ...],
        Meta(min_length=1, max_length=10, description="Which of these the tokens may be signed with."),
    ] = ("RS256", "ES256", "EdDSA")
    device_claim: Annotated[
        str, Meta(min_length=1, max_length=256, description="The claim that names the device.")
    ] = "sub"
    device_secret: Annotated[
        bool, Meta(description="Whether tokens by the app's own secret (HS256) are taken as well.")
    ] = True


class DisconnectQuery(Strict, frozen=True):
    """Whether the connections that the app's devices have end, so that they come in by what holds now."""

    disconnect: bool = False


class AclRuleBody(Strict, frozen=True):
    """Something that devices may do."""

    allow: Allow
    filter: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=MAX_FILTER,
            description="An MQTT topic filter. `{device}` stands for the device's name.",
            extra_json_schema={"pattern": f"^(?:{RULE_FILTER}){_END}"},
            examples=["home/{device}/#"],
        ),
    ]


class AclBody(Strict, frozen=True):
    """All rules of the app; none: everything is allowed."""

    rules: list[AclRuleBody]


def _limit(name: str, means: str) -> Meta:
    low, high = BOUNDS[name]
    return Meta(ge=low, le=high, description=means)


class LimitsBody(Strict, frozen=True, kw_only=True):
    """All limits of the app's own. Null, or absent: the default, which the settings say; 0: without limit."""

    messages_per_second: (
        Annotated[
            int,
            _limit("messages_per_second", "Messages taken in, over all processes; a second's worth at once."),
        ]
        | None
    ) = None
    deliveries_per_second: (
        Annotated[
            int,
            _limit(
                "deliveries_per_second", "Deliveries of messages to everyone, tags and groups, in all rooms."
            ),
        ]
        | None
    ) = None
    devices: Annotated[int, _limit("devices", "Registered devices.")] | None = None
    connections: Annotated[int, _limit("connections", "Devices that are connected, in all rooms.")] | None = (
        None
    )
    sessions: Annotated[int, _limit("sessions", "MQTT sessions that outlive their connections.")] | None = (
        None
    )
    groups: Annotated[int, _limit("groups", "Groups.")] | None = None
    requests: Annotated[int, _limit("requests", "Requests under way at once, at each process.")] | None = None
    inbox_messages: Annotated[int, _limit("inbox_messages", "Messages that wait for a device.")] | None = None
    inbox_bytes: (
        Annotated[
            int,
            _limit("inbox_bytes", "What the payloads that wait for a device may add up to, about."),
        ]
        | None
    ) = None
    retained_messages: Annotated[int, _limit("retained_messages", "Retained messages.")] | None = None
    retained_bytes: Annotated[int, _limit("retained_bytes", "What they may add up to.")] | None = None
    waiting_messages: (
        Annotated[
            int,
            _limit("waiting_messages", "Messages with a `send_at` that wait for their time."),
        ]
        | None
    ) = None
    schedules: Annotated[int, _limit("schedules", "Schedules.")] | None = None
    ledger_retention: (
        Annotated[
            int,
            _limit("ledger_retention", "Seconds for which a ledger is kept after its message's end."),
        ]
        | None
    ) = None
    retire_after: (
        Annotated[int, _limit("retire_after", "Seconds that a device may be away until it is retired.")]
        | None
    ) = None
    in_force: Annotated[
        dict[str, AnyJson] | UnsetType,
        Meta(description="Not heeded: so that what `GET` answers can be put again."),
    ] = UNSET


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


class ShadowBody(Strict, frozen=True):
    """What to change of a shadow: each document is merged with what is given (RFC 7396); null empties it."""

    desired: Annotated[
        dict[str, AnyJson] | UnsetType | None, Meta(description="What the device should be like.")
    ] = UNSET
    reported: Annotated[
        dict[str, AnyJson] | UnsetType | None, Meta(description="What it says that it is like.")
    ] = UNSET


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
    parked: bool | UnsetType = UNSET
    prefix: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=128,
                description="How its name begins. Devices are in the order of their names then.",
                examples=["phone-"],
            ),
        ]
        | UnsetType
    ) = UNSET


class StatusRequest(Strict, frozen=True):
    """Devices to look up."""

    devices: DeviceNames


class TokenRequest(Strict, frozen=True):
    """How long the token is good for; without it, until the device secret is rotated."""

    expires_in: TokenLife | UnsetType = UNSET


class SendQuery(Strict, frozen=True):
    """Whether to send a message, or only to check it."""

    validate: Annotated[bool, Meta(description="Only check it: nothing is stored or sent.")] = False


class KickQuery(Strict, frozen=True):
    """Whether to keep the device out."""

    ban_seconds: BanSeconds | UnsetType = UNSET


# --- events --------------------------------------------------------------------------------------


class UpstreamQuery(PageQuery, frozen=True):
    """From where to read events, and how long to wait for some."""

    wait: Annotated[
        int, Meta(ge=0, le=60, description="Seconds to hold the answer back while there are none.")
    ] = 0
    tail: Annotated[
        bool, Meta(description="Without a cursor: begin behind the newest event, not with the oldest.")
    ] = False


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


class Options(Strict, frozen=True):
    """How a message is delivered."""

    ttl: Ttl | UnsetType = UNSET
    qos: Annotated[int, Meta(ge=0, le=2, description="MQTT quality of service.")] = 1
    priority: Literal["normal", "high"] = "normal"
    collapse_key: Annotated[
        Annotated[str, Meta(min_length=1, max_length=MAX_COLLAPSE_KEY)] | None,
        Meta(description="A newer message of the same key replaces an older one that still waits."),
    ] = None
    label: Annotated[
        ShortText | None,
        Meta(description="A word of the sender's, by which it finds its messages again.", examples=["goals"]),
    ] = None
    online_only: Annotated[bool, Meta(description="Only who is connected now gets it.")] = False
    send_at: Annotated[
        str | None,
        Meta(
            description="When to send it, at most a year ahead. With an offset one moment; without one local "
            "time in each device's own time zone, UTC where it has none. `ttl` counts from then, and who is "
            "in the audience is seen then.",
            examples=["2026-12-24T18:00:00+01:00", "2026-12-24T18:00:00"],
        ),
    ] = None
    spread_over: Annotated[
        int,
        Meta(
            ge=0,
            le=MAX_SPREAD,
            description="Seconds over which a message to everyone, or to tags and attributes, is written to "
            "who is connected, evenly. Without effect on a list of devices.",
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


class CallBody(Strict, frozen=True):
    """A command to a device: exactly one of `payload` and `payload_base64`."""

    payload: Annotated[
        Raw | UnsetType,
        Meta(
            description='Any JSON value but "", up to 256 KiB. A string is delivered as its text.',
            extra_json_schema={"not": {"const": ""}},
            examples=[{"open": "valve"}],
        ),
    ] = UNSET
    payload_base64: Annotated[
        bytes | UnsetType,
        Meta(
            description="Bytes to deliver as they are (standard alphabet, padded).",
            extra_json_schema={"minLength": 4, "pattern": _BASE64},
        ),
    ] = UNSET
    timeout: Annotated[
        int, Meta(ge=1, le=60, description="Seconds to wait for the answer.", examples=[10])
    ] = 10


class MessageQuery(PageQuery, frozen=True, rename={"from_": "from"}):
    """Which messages, and which page of them."""

    from_: Annotated[MomentText | UnsetType, Meta(description="Those that were handed in then or later.")] = (
        UNSET
    )
    to: Annotated[MomentText | UnsetType, Meta(description="Those that were handed in before then.")] = UNSET
    status: Literal["accepted", "delivering", "done"] | UnsetType = UNSET
    label: Annotated[
        ShortText | UnsetType, Meta(description="Those whose `options.label` is this.", examples=["goals"])
    ] = UNSET
    missed: Annotated[
        bool | UnsetType,
        Meta(description="Those of which something expired, was collapsed or dropped; or nothing was."),
    ] = UNSET
    limit: Annotated[int, Meta(ge=1, le=MAX_MESSAGES, description="Items in a page, at most.")] = MAX_MESSAGES


class StatisticsQuery(Strict, frozen=True, rename={"from_": "from"}):
    """Of which hours, or days."""

    from_: Annotated[MomentText | UnsetType, Meta(description="The first is the one that this is in.")] = (
        UNSET
    )
    to: Annotated[
        MomentText | UnsetType, Meta(description="The last is the one before this, or that this is in.")
    ] = UNSET
    by: Literal["hour", "day"] = "hour"


class DeviceMessageQuery(PageQuery, frozen=True):
    """Which messages of a device, and which page of them."""

    state: Literal["pending", "acked", "expired", "collapsed", "dropped"] | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=MAX_MESSAGES, description="Items in a page, at most.")] = MAX_MESSAGES


class MessageBatch(Strict, frozen=True):
    """Messages to push."""

    messages: Annotated[list[MessageBody], Meta(min_length=1, max_length=MAX_NAMES)]


class RawMessageBatch(Strict, frozen=True):
    """A `MessageBatch` of which some messages may be wrong."""

    messages: Annotated[list[Raw], Meta(min_length=1, max_length=MAX_NAMES)]


# --- schedules -----------------------------------------------------------------------------------

CronText = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=MAX_CRON,
        description="Minute, hour, day of month, month, day of week, as cron has them.",
        examples=["0 9 * * 1-5"],
    ),
]
ZoneName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        description="IANA name of the time zone that the expression means, or `device`: each device's own.",
        examples=["Europe/Berlin"],
    ),
]


class NewSchedule(Strict, frozen=True):
    """A message, and when to send it again and again."""

    message: MessageBody
    cron: CronText
    timezone: ZoneName = "UTC"


class RawSchedule(Strict, frozen=True):
    """A `NewSchedule` whose message is kept as it was written."""

    message: Raw
    cron: CronText
    timezone: ZoneName = "UTC"


# --- groups --------------------------------------------------------------------------------------


class GroupBody(Strict, frozen=True):
    """Who is to be in a group."""

    members: (
        Annotated[
            list[DeviceName],
            Meta(
                max_length=MAX_MEMBERS,
                description="Exactly these from now on. Absent: who is there stays.",
                examples=[["d1", "d2"]],
            ),
        ]
        | UnsetType
    ) = UNSET


class MembersBody(Strict, frozen=True):
    """Who comes into a group, or leaves it."""

    members: DeviceNames


class HistoryQuery(Strict, frozen=True):
    """Which part of what was said in a group."""

    after: Annotated[
        int, Meta(ge=0, le=MAX_SEQUENCE, description="The sequence behind which to begin.", examples=[0])
    ] = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE, description="Messages, at most.")] = 100


class EstimateRequest(Strict, frozen=True):
    """An audience to count."""

    audience: AudienceBody
