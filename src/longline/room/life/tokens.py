"""Device tokens: JSON Web Tokens (RFC 7519), signed with HS256 and the app's device secret.

`sub` is the device. `exp` and `nbf` are honoured where present, with some leeway for clocks that differ.
Nothing else is looked at: what an app server puts in for itself, or for others who read its tokens, is its
own.
"""

from typing import Final

import jwt
from jwt.types import Options

from longline.errors import BadToken
from longline.model.apps import App

LEEWAY: Final = 30  # s
ALGORITHMS: Final = ("HS256",)
LOOKED_AT: Final[Options] = {
    "require": ["sub"],
    "verify_aud": False,
    "verify_iat": False,
    "verify_iss": False,
    "verify_jti": False,
}

_decode = jwt.PyJWT(LOOKED_AT).decode  # with the options made up once, not for each token


def token_device(app: App, token: bytes | None) -> str:
    """The device that a token was made for; `BadToken` says what is wrong with it, without repeating it."""
    if not token:
        raise BadToken("no token: the password of CONNECT must be one")
    try:
        claims = _decode(token, app.device_secret, ALGORITHMS, leeway=LEEWAY)
    except jwt.ExpiredSignatureError:
        raise BadToken("the token has expired") from None
    except jwt.InvalidSignatureError:
        raise BadToken("the token was not signed with this app's device secret") from None
    except jwt.InvalidTokenError as error:
        raise BadToken(f"not a valid token: {type(error).__name__}") from None
    except (RecursionError, TypeError, ValueError) as error:  # what PyJWT does not see coming
        raise BadToken(f"not a valid token: {type(error).__name__}") from None
    device = claims["sub"]
    if not isinstance(device, str) or not is_text(device):
        raise BadToken("the token's sub is not a device name")
    return device


def is_text(text: str) -> bool:
    """Whether UTF-8 can say it: JSON can escape half of a surrogate pair, which no store or packet holds."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
