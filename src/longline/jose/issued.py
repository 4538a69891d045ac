"""A token that an identity provider has made, verified with its keys.

What is verified with a public key is named by its own algorithm, one that the app has listed and that is of
the key's kind: so a token cannot choose to have a public key taken for a secret (RFC 8725, section 2.1).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import jwt
from jwt.types import Options

from longline.errors import BadToken
from longline.jose.faults import bad_token
from longline.jose.keys import PublicKey
from longline.model.access import TokenIssuer

LEEWAY: Final = 30  # s, for clocks that differ
TRIED: Final = 4  # keys for one token, where it does not name its own

_LOOKED_AT: Final[Options] = {"require": [], "verify_iat": False, "verify_jti": False, "verify_sub": False}


class TokenHeader(NamedTuple):
    """What a token says of itself before anybody has verified it."""

    algorithm: str
    kid: str | None


def header_of(token: bytes) -> TokenHeader:
    """Raises `BadToken`."""
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.InvalidTokenError, RecursionError, TypeError, ValueError) as error:
        raise bad_token(error) from None
    algorithm, kid = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not (kid is None or isinstance(kid, str)):
        raise BadToken("not a valid token: its header is wrong")
    return TokenHeader(algorithm, kid)


def keys_for(header: TokenHeader, keys: Sequence[PublicKey]) -> list[PublicKey]:
    """Those that may have signed it: that which it names; else, those without a name."""
    fitting = [key for key in keys if header.algorithm in key.algorithms]
    if header.kid is None:
        return fitting[:TRIED]
    named = [key for key in fitting if key.kid == header.kid]
    return (named or [key for key in fitting if key.kid is None])[:TRIED]


def claims_of(
    token: bytes, header: TokenHeader, keys: Sequence[PublicKey], issuer: TokenIssuer
) -> dict[str, object]:
    """The claims, once one of `keys_for` has verified them and they are what the app wants; `BadToken`."""
    if header.algorithm not in issuer.algorithms:
        raise BadToken("the token is signed with an algorithm that the app does not take")
    for key in keys:
        try:
            return _claims(token, header.algorithm, key, issuer)
        except jwt.InvalidSignatureError:
            continue
    raise BadToken("the token was not signed by the app's identity provider")


def _claims(token: bytes, algorithm: str, key: PublicKey, issuer: TokenIssuer) -> dict[str, object]:
    options: Options = {
        **_LOOKED_AT,
        "verify_aud": bool(issuer.audience),
        "verify_iss": bool(issuer.issuer),
    }
    try:
        claims: dict[str, object] = jwt.decode(
            token,
            key.key,
            [algorithm],
            options,
            audience=issuer.audience or None,
            issuer=issuer.issuer or None,
            leeway=LEEWAY,
        )
    except jwt.InvalidSignatureError:
        raise
    except (jwt.InvalidTokenError, RecursionError, TypeError, ValueError) as error:
        raise bad_token(error) from None
    return claims
