"""Who may be a device of an app, beside those with a token by its secret, and what a device may do."""

import re
from typing import Final, Literal, get_args

import msgspec

Allow = Literal["publish", "subscribe", "both"]

DEVICE: Final = "{device}"  # in a rule's filter: the name of whoever asks

# What an identity provider may sign with. None of them is symmetric: a key that anybody may read makes no
# tokens.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
ALGORITHMS: Final[tuple[str, ...]] = get_args(Algorithm)


class AclRule(msgspec.Struct, frozen=True, array_like=True):
    """Something that is allowed: on the topics of a filter, in which `{device}` stands for the client."""

    allow: Allow
    filter: str


class TokenIssuer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An identity provider whose tokens an app takes.

    Its public keys are `keys`, a JSON array of JSON Web Keys (RFC 7517), or those that `jwks_url` serves.
    `issuer` "" and `audience` () are not checked. `device_claim` names the claim that is the device.
    `device_secret`: whether tokens by the app's own secret are taken as well.
    """

    jwks_url: str = ""
    keys: str = ""
    issuer: str = ""
    audience: tuple[str, ...] = ()
    algorithms: tuple[str, ...] = ()
    device_claim: str = "sub"
    device_secret: bool = True


class FormerKey(msgspec.Struct, frozen=True):
    """SHA-256 of a server key that was replaced, and is good until a moment, in ms."""

    hash: bytes
    until: int


class FormerSecret(msgspec.Struct, frozen=True):
    """A device secret that was replaced, and is good until a moment, in ms."""

    secret: str
    until: int

    def __repr__(self) -> str:  # as that of `App`
        return f"FormerSecret(until={self.until})"


class AppAccess(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What few apps have. `end_at_expiry`: a connection ends when the token does that it was let in with.

    `rules`: with any, what none of them allows is denied on topics that are not the platform's.
    """

    tokens: TokenIssuer | None = None
    end_at_expiry: bool = False
    former_server_key: FormerKey | None = None
    former_device_secret: FormerSecret | None = None
    rules: tuple[AclRule, ...] = ()


MAX_LEVELS: Final = 128  # as the widest `room.max_topic_levels`
MAX_FILTER: Final = 1024  # characters of a rule's filter

_NAMES: Final = r"(?:[^+#/{}\x00]|\{device\})"
# A rule's filter: levels of names, `+`, and `#` at the end; not of topics that begin with `$`.
RULE_FILTER: Final = rf"#|(?:\+|(?!\$){_NAMES}*)(?:/(?:\+|{_NAMES}*))*(?:/#)?"
_RULE_FILTER: Final = re.compile(RULE_FILTER)


def wrong_with_filter(filter: str) -> str:
    """What is wrong with a rule's filter; "" for nothing."""
    if not 1 <= len(filter) <= MAX_FILTER:
        return f"a filter has 1 to {MAX_FILTER} characters"
    if filter.count("/") >= MAX_LEVELS:
        return f"a filter has at most {MAX_LEVELS} levels"
    if filter.startswith("$"):
        return "rules are for topics that do not begin with $; a shared subscription goes by its filter"
    if _RULE_FILTER.fullmatch(filter) is None:
        return f"+ and # are whole levels, # is the last, and braces are those of {DEVICE}"
    return ""
