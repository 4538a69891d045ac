"""Device tokens: JSON Web Tokens (RFC 7519), signed with HS256 and the app's device secret.

`sub` is the device. `exp` and `nbf` are honoured where present, with some leeway for clocks that differ.
Nothing else is looked at: what an app server puts in for itself, or for others who read its tokens, is its
own. What an identity provider has signed (`jose/issued.py`) is looked at more closely, and names the device
in the claim that the app has said.

PyJWT says which tokens are good, and what is wrong with the others. To verify one takes it a quarter of what
a whole CONNECT takes, and after an outage everybody comes at once. So a token of the form that app servers'
libraries make is verified here (`_verified`), which takes a tenth of that; what is in any way else, wrong or
only unusual, is PyJWT's.
"""

import hmac
from binascii import Error as NotBase64
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from typing import Final, NamedTuple

import jwt
import msgspec
from jwt.types import Options

from longline.errors import BadToken
from longline.jose.faults import bad_token
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

# Headers as libraries write them: with nothing in them that asks for anything.
USUAL: Final = frozenset(
    b2a_base64(header, newline=False).rstrip(b"=")
    for header in (
        b'{"alg":"HS256","typ":"JWT"}',
        b'{"typ":"JWT","alg":"HS256"}',
        b'{"alg":"HS256"}',
    )
)
SHORT: Final = 1024  # bytes of claims: too few to be nested as deep as any parser goes
LATEST: Final = 1 << 53  # s: who expires later never does

_decode = jwt.PyJWT(LOOKED_AT).decode  # with the options made up once, not for each token
_claims = msgspec.json.Decoder().decode  # takes nothing that PyJWT's takes for no JSON
_URL: Final = bytes.maketrans(b"+/", b"-_")  # RFC 4648, section 5
_PLAIN: Final = bytes.maketrans(b"-_", b"+/")


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
    known = _verified(token, app.device_secret, now)
    if known is not None:
        return holder_of(known, DEVICE_CLAIM, now)
    for number, secret in enumerate(app.device_secrets(now)):
        try:
            claims = _decode(token, secret, ALGORITHMS, leeway=LEEWAY)
        except jwt.InvalidSignatureError:
            continue
        except (jwt.InvalidTokenError, RecursionError, TypeError, ValueError) as error:
            raise bad_token(error) from None
        holder = holder_of(claims, DEVICE_CLAIM, now)
        former = app.access.former_device_secret
        if number and former is not None:
            return holder._replace(until=min(holder.until or former.until, former.until))
        return holder
    raise BadToken("the token was not signed with this app's device secret")


def _verified(token: bytes, secret: str, now: int) -> Mapping[str, object] | None:
    """The claims of a good token in its usual form; None where PyJWT has to look at it."""
    said, _, signature = token.rpartition(b".")
    header, _, body = said.partition(b".")
    if header not in USUAL or len(body) > SHORT:
        return None
    if not hmac.compare_digest(_base64url(hmac.digest(secret.encode(), said, "sha256")), signature):
        return None
    try:
        data = a2b_base64(body.translate(_PLAIN) + b"===")
        claims = _claims(data)
    except (NotBase64, msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if _base64url(data) != body or not isinstance(claims, dict):
        return None
    device, expires, begins = claims.get(DEVICE_CLAIM), claims.get("exp", LATEST), claims.get("nbf", 0)
    if type(device) is not str or type(expires) is not int or type(begins) is not int:
        return None
    if expires > LATEST or not begins - LEEWAY <= now / 1000 < expires + LEEWAY:
        return None
    return claims


def _base64url(data: bytes) -> bytes:
    return b2a_base64(data, newline=False).rstrip(b"=").translate(_URL)


def holder_of(claims: Mapping[str, object], claim: str, now: int) -> TokenHolder:
    """Whom verified claims are for. One that is good only by leeway is so until that is over."""
    device = claims.get(claim)
    if not isinstance(device, str) or not is_text(device):
        raise BadToken(f"the token's {claim} is not a device name")
    expires = claims.get("exp")
    if not isinstance(expires, int | float) or expires > LATEST:
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
