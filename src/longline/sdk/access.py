"""Who may come into an app, and what its devices may do there."""

from typing import TYPE_CHECKING, Literal

import msgspec

from longline.sdk.answers import Json

Allow = Literal["publish", "subscribe", "both"]
if TYPE_CHECKING:
    Allowed = Allow
else:
    Allowed = str  # whatever a later version says


class TopicRule(msgspec.Struct, frozen=True, kw_only=True):
    """Something that devices may do with plain topics; `{device}` in the filter is the device's name."""

    allow: Allowed
    filter: str


class TokenIssuerOfApp(msgspec.Struct, frozen=True, kw_only=True):
    """The identity provider whose tokens an app takes; of `jwks_url` and `keys` one is there.

    `device_claim`: where a token names the device. `device_secret`: tokens signed with that are taken, too.
    """

    issuer: str
    audience: tuple[str, ...]
    algorithms: tuple[str, ...]
    device_claim: str
    device_secret: bool
    jwks_url: str | None = None
    keys: tuple[Json, ...] = ()
