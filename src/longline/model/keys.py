"""Named keys of the HTTP API: what each may do, where, and for how long."""

from typing import Final, Literal, get_args

import msgspec

Scope = Literal["send", "read", "manage", "operate"]
"""What a key may do: `send` messages and calls, `read` what there is, `manage` apps, devices and keys of
apps, `operate` the cluster: nodes, settings, keys of all apps, the audit log."""

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
AppScope = Literal["send", "read", "manage"]
"""What a key of one app may do."""

OF_AN_APP: Final[frozenset[Scope]] = frozenset(get_args(AppScope))


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A named key. `hash` is SHA-256 of its text, which is kept nowhere.

    `id` is a UUIDv7 in its 36-character form: it may be shown and logged, and stands in the key's text.
    `number` and `app` are those of the only app that it reaches; 0 and "": it reaches all. `created_by` is
    the id of the key that made it. `scopes` may have some that only a later version knows. `expires_at` and
    `used_at`, the last use that is known, in ms, 0 for never.
    """

    id: str
    number: int
    app: str
    name: str
    hash: bytes
    scopes: tuple[str, ...]
    created_at: int
    created_by: str
    expires_at: int = 0
    used_at: int = 0

    def is_over(self, now: int) -> bool:
        """Whether its time has passed (ms)."""
        return 0 < self.expires_at <= now

    def __repr__(self) -> str:  # as that of `App`
        return f"ApiKey({self.id!r}, app={self.app!r}, name={self.name!r}, scopes={self.scopes})"
