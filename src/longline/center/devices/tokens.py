"""Device tokens: what an app server gives a device so that it may connect.

A token is a JWT (RFC 7519) signed with HS256 and the app's `device_secret`: `sub` is the device, `exp` its
end if it has one. App servers may make tokens themselves; nothing is stored of one.
"""

from typing import Annotated

import jwt
from msgspec import UNSET, Meta, Struct, UnsetType

from longline.center.shapes import Strict
from longline.model.apps import App

MAX_TOKEN_LIFE = 315_360_000  # seconds: ten years
TokenLife = Annotated[int, Meta(ge=1, le=MAX_TOKEN_LIFE, description="Seconds.", examples=[86400])]


class DeviceToken(Struct, frozen=True):
    """What the device gives in its MQTT CONNECT."""

    client_id: str
    username: str
    password: str


class TokenRequest(Strict, frozen=True):
    """How long the token is good for; without it, until the device secret is rotated."""

    expires_in: TokenLife | UnsetType = UNSET


def device_token(app: App, device: str, now: int, expires_in: int | None) -> DeviceToken:
    """What `device` gives in its CONNECT. `now` in ms; `expires_in` in seconds, None for no end."""
    issued = now // 1000
    claims: dict[str, object] = {"sub": device, "iat": issued}
    if expires_in is not None:
        claims["exp"] = issued + expires_in
    return DeviceToken(device, app.app, jwt.encode(claims, app.device_secret, algorithm="HS256"))
