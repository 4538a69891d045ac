"""Device tokens: JSON Web Tokens (RFC 7519), signed with HS256 and the app's device secret.

`sub` is the device. `exp` and `nbf` are honoured where present, with some leeway for clocks that differ.
Nothing else is looked at: what an app server puts in for itself, or for others who read its tokens, is its
own. What an identity provider has signed (`jose/issued.py`) is looked at more closely, and names the device
in the claim that the app has said.
"""

import hmac
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Final, NamedTuple

import jwt
import msgspec
from jwt.types import Options

from longline.errors import BadToken
from longline.model.apps import App

LEEWAY: Final = 30  # s
ALGORITHMS: Final = ("HS256",)
DEVICE_CLAIM: Final = "sub"
LOOKED_AT: Final[Options] = {
    "require": [DEVICE_CLAIM],
    "verify_aud": False,
    "verify_iat": False,
    "verify_iss": False,
    "verify_jti": False,
}

_decode = jwt.PyJWT(LOOKED_AT).decode  # with the options made up once, not for each token
_claims_in = msgspec.json.Decoder(dict[str, object]).decode


def _segment(data: bytes) -> bytes:
    """As a token has it: base64url without padding (RFC 7515, section 2)."""
    return urlsafe_b64encode(data).rstrip(b"=")


# What nearly all tokens begin with: that they are signed with HS256, and nothing else.
PLAIN: Final = frozenset(
    map(_segment, (b'{"alg":"HS256","typ":"JWT"}', b'{"typ":"JWT","alg":"HS256"}', b'{"alg":"HS256"}'))
)


class TokenHolder(NamedTuple):
    """Whom a good token was made for, and until when it is good, in ms; 0: for ever."""

    device: str
    until: int


def by_secret(app: App, token: bytes | None, now: int) -> TokenHolder:
    """Whom a token by the app's secret is for; `BadToken` says what is wrong, without repeating it.

    `now` in ms. One by a secret that was replaced is good for no longer than that is.
    """
    if not token:
        raise BadToken("no token: the password of CONNECT must be one")
    for number, secret in enumerate(app.device_secrets(now)):
        try:
            claims = _plain_claims(token, secret) or _decode(token, secret, ALGORITHMS, leeway=LEEWAY)
        except jwt.InvalidSignatureError:
            continue
        except jwt.ExpiredSignatureError:
            raise BadToken("the token has expired") from None
        except jwt.InvalidTokenError as error:
            raise BadToken(f"not a valid token: {type(error).__name__}") from None
        except (RecursionError, TypeError, ValueError) as error:  # what PyJWT does not see coming
            raise BadToken(f"not a valid token: {type(error).__name__}") from None
        holder = holder_of(claims, DEVICE_CLAIM, now)
        former = app.access.former_device_secret
        if number and former is not None:
            return holder._replace(until=min(holder.until or former.until, former.until))
        return holder
    raise BadToken("the token was not signed with this app's device secret")


def _plain_claims(token: bytes, secret: str) -> dict[str, object] | None:
    """The claims of a token with nothing unusual and nothing wrong about it; None for PyJWT to look at.

    That takes several times as long, and what it refuses is never taken here.
    """
    signed, _, signature = token.rpartition(b".")
    header, _, body = signed.partition(b".")
    if header not in PLAIN:
        return None
    made = _segment(hmac.digest(secret.encode(), signed, "sha256"))
    if not hmac.compare_digest(made, signature):
        return None
    try:
        text = urlsafe_b64decode(body + b"=" * (-len(body) % 4))
        claims = _claims_in(text)
    except (ValueError, msgspec.DecodeError, RecursionError):
        return None
    if _segment(text) != body or type(claims.get(DEVICE_CLAIM)) is not str:
        return None
    now = int(time.time())
    begins, expires = claims.get("nbf", now), claims.get("exp", now)
    if type(begins) is not int or begins > now + LEEWAY:
        return None
    if type(expires) is not int or expires <= now - LEEWAY:
        return None
    return claims


def holder_of(claims: Mapping[str, object], claim: str, now: int) -> TokenHolder:
    """Whom verified claims are for. One that is good only by leeway is so until that is over."""
    device = claims.get(claim)
    if not isinstance(device, str) or not is_text(device):
        raise BadToken(f"the token's {claim} is not a device name")
    expires = claims.get("exp")
    if not isinstance(expires, int | float):
        return TokenHolder(device, 0)
    until = int(expires * 1000)
    return TokenHolder(device, until if until > now else until + 1000 * LEEWAY)


def is_text(text: str) -> bool:
    """Whether UTF-8 can say it: JSON can escape half of a surrogate pair, which no store or packet holds."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
