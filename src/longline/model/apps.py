"""Apps: the tenants of a cluster, each with its own devices, keys and topics."""

import re

import msgspec

from longline.model.access import AppAccess
from longline.model.limits import AppLimits

# An app's name is a level of topics and a part of URLs and of its server key.
APP_NAME = r"[a-z0-9][a-z0-9_-]{0,63}"


_APP_NAME = re.compile(APP_NAME)


def valid_app_name(name: str) -> bool:
    """Whether an app may have this name: 1 to 64 of `a-z`, `0-9`, `_`, `-`, the last two not in front."""
    return _APP_NAME.fullmatch(name) is not None


class App(msgspec.Struct, frozen=True, kw_only=True):
    """A tenant. `number` is its small integer; `server_key_hash` is SHA-256 of the server key.

    `client_certificates`: a certificate that a room has verified stands in for a device's token.
    `generation` rises when the connections that its devices have are to end: those of an earlier generation.
    `access`: what else lets devices in, and what they may do. `limits`: what it may have and do.
    """

    app: str
    number: int
    name: str
    server_key_hash: bytes
    device_secret: str
    pubsub: bool
    created_at: int
    generation: int = 0
    client_certificates: bool = False
    access: AppAccess = AppAccess()
    limits: AppLimits = AppLimits()

    def device_secrets(self, now: int) -> tuple[str, ...]:
        """Those that sign good tokens now (ms): the one in force first."""
        former = self.access.former_device_secret
        if former is None or former.until <= now:
            return (self.device_secret,)
        return (self.device_secret, former.secret)

    def server_key_hashes(self, now: int) -> tuple[bytes, ...]:
        """Those of the server keys that are good now (ms)."""
        former = self.access.former_server_key
        if former is None or former.until <= now:
            return (self.server_key_hash,)
        return (self.server_key_hash, former.hash)

    def __repr__(self) -> str:  # the secret must not reach a log by way of a repr
        return f"App({self.app!r}, number={self.number}, pubsub={self.pubsub})"
