"""Named keys and the audit log as the API takes and tells them."""

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from longline.center.answers import Cursor
from longline.center.schemas import AppName, DisplayName, MomentText, PageQuery, Strict
from longline.delivery.event_views import Time
from longline.model.keys import OF_AN_APP, SCOPES, AppScope, Scope

KeyId = Annotated[
    str,
    Meta(
        description="A UUIDv7. It may be shown, and stands in logs.",
        examples=["019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e23"],
    ),
]
MadeBy = Annotated[
    str, Meta(description="The id of the key that made it; `admin` or `server` for those without a name.")
]
EndAsked = Annotated[
    MomentText | UnsetType,
    Meta(description="When it ends. Absent: when the key does that makes it, which may be never."),
]
_NO_MORE = "no more than the key may that makes it."
End = Annotated[Time | None, Meta(description="When it ends; null: it does not.")]


class NewKey(Strict, frozen=True):
    """A key that is to reach all apps: what for, what it may do, and until when."""

    name: DisplayName
    scopes: Annotated[
        list[Scope], Meta(min_length=1, max_length=len(SCOPES), description="What it may do, " + _NO_MORE)
    ]
    expires_at: EndAsked = UNSET


class NewAppKey(Strict, frozen=True):
    """A key of an app that is to be made: what for, what it may do, and until when."""

    name: DisplayName
    scopes: Annotated[
        list[AppScope],
        Meta(min_length=1, max_length=len(OF_AN_APP), description="What it may do, " + _NO_MORE),
    ]
    expires_at: EndAsked = UNSET


class KeyInfo(Struct, frozen=True):
    """A named key, without its text."""

    key_id: KeyId
    name: str
    scopes: list[str]
    created_at: Time
    created_by: MadeBy
    expires_at: End
    last_used_at: Annotated[
        Time | None, Meta(description="When it was used last, to the minute; null: never.")
    ]


class MadeKey(Struct, frozen=True):
    """A new key. Its text, `key`, is shown here and never again: only its hash is kept."""

    key_id: KeyId
    key: Annotated[str, Meta(description="`lln_`, its id, and 256 random bits.")]
    name: str
    scopes: list[str]
    created_at: Time
    created_by: MadeBy
    expires_at: End


class NewSession(Strict, frozen=True):
    """The key that a session of the console is to stand for."""

    key: Annotated[str, Meta(pattern=r"^[!-~]{1,512}$", description="As in `Authorization: Bearer`.")]

    def __repr__(self) -> str:
        return "NewSession()"


class OwnKeyInfo(Struct, frozen=True):
    """What the key of a request may do; `app` is the only one that it reaches, null: all of them."""

    key_id: MadeBy
    name: str
    app: Annotated[str | None, Meta(examples=["news"])]
    scopes: list[str]
    expires_at: End


class KeyList(Struct, frozen=True):
    """A page of keys, in the order in which they were made."""

    keys: list[KeyInfo]
    next_cursor: Cursor


class AuditQuery(PageQuery, frozen=True, rename={"from_": "from"}):
    """Which changes, and which page of them."""

    from_: Annotated[MomentText | UnsetType, Meta(description="Those that were asked for then or later.")] = (
        UNSET
    )
    to: Annotated[MomentText | UnsetType, Meta(description="Those that were asked for before then.")] = UNSET
    app: Annotated[AppName | UnsetType, Meta(description="Those of this app.")] = UNSET


class ChangeView(Struct, frozen=True, omit_defaults=True):
    """A change: who asked for it, and what became of that."""

    at: Time
    key_id: MadeBy
    key_name: str
    address: Annotated[str, Meta(description="Whose connection it was.", examples=["192.0.2.7"])]
    request_id: Annotated[
        str, Meta(description="`X-Request-ID` of the request, or of the answer where the request had none.")
    ]
    method: Annotated[str, Meta(examples=["DELETE"])]
    path: Annotated[
        str,
        Meta(description="With the names of its parameters.", examples=["/v1/apps/{app}/devices/{device}"]),
    ]
    status: Annotated[
        int | None,
        Meta(description="Of the answer; null: it is under way, or nobody knows whether it was made."),
    ]
    app: str | UnsetType = UNSET
    subject: Annotated[
        str | UnsetType, Meta(description="What was changed, such as a device.", examples=["d1"])
    ] = UNSET
    detail: Annotated[str | UnsetType, Meta(description="To what.")] = UNSET
    error: Annotated[str | UnsetType, Meta(description="The code, where it was refused.")] = UNSET


class ChangeList(Struct, frozen=True):
    """A page of changes, the latest first."""

    changes: list[ChangeView]
    next_cursor: Cursor
