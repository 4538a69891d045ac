"""Tokens that an app server makes itself, without asking the server."""

from datetime import UTC, datetime

import jwt

from longline.model.devices import valid_device_name
from longline.sdk.times import Duration, whole_seconds


def device_token(device_secret: str, device: str, *, expires_in: Duration | None = None) -> str:
    """A token for a device of the app that has this `device_secret`; without `expires_in` it is good for as
    long as that is. ValueError for what no device is called, and for no secret.
    """
    if not valid_device_name(device):
        raise ValueError("device is no valid name")
    if not device_secret:
        raise ValueError("the secret is empty")
    claims: dict[str, str | int] = {"sub": device}
    if expires_in is not None:
        claims["exp"] = int(datetime.now(UTC).timestamp()) + whole_seconds(expires_in)
    return jwt.encode(claims, device_secret, "HS256")
