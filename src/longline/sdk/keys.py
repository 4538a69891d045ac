"""What the API tells of named keys, and of changes that were made with them."""

from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    Scope = Literal["send", "read", "manage", "operate"]
else:
    Scope = str  # whatever a later version says


class NamedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A named key without its text. `created_by`: the id of the key that made it."""

    key_id: str
    name: str = ""
    scopes: tuple[Scope, ...] = ()
    created_at: datetime | None = None
    created_by: str = ""
    expires_at: datetime | None = None
    last_used_at: datetime | None = None


class CreatedKey(NamedKey, frozen=True, kw_only=True):
    """A new key. Its text, `key`, is given here and never again."""

    key: str

    def __repr__(self) -> str:  # the secret must not reach a log by way of a repr
        return f"CreatedKey({self.key_id!r}, name={self.name!r}, scopes={self.scopes})"


class OwnKey(msgspec.Struct, frozen=True, kw_only=True):
    """What the key of a `Center` may do. `app`: the only one that it reaches, None for all of them.

    `key_id` is `admin` or `server` for those without a name.
    """

    key_id: str
    name: str = ""
    app: str | None = None
    scopes: tuple[Scope, ...] = ()
    expires_at: datetime | None = None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A change that was made through the API: who asked for it, and what became of that.

    `status` is that of the answer; None while it is under way, or where nobody knows whether it was made.
    """

    at: datetime
    key_id: str
    key_name: str = ""
    address: str = ""
    request_id: str = ""
    method: str = ""
    path: str = ""
    status: int | None = None
    app: str | None = None
    subject: str | None = None
    detail: str | None = None
    error: str | None = None
