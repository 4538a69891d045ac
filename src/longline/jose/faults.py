"""What is wrong with a token, in words for whoever made it."""

from typing import Final

import jwt

from longline.errors import BadToken

# The first that fits; PyJWT's own messages may repeat parts of the token.
_WORDS: Final = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token is not good yet, by its nbf: is a clock wrong?"),
    (jwt.InvalidAudienceError, "the token is for another audience"),
    (jwt.InvalidIssuerError, "the token is of another issuer"),
    (jwt.InvalidAlgorithmError, "not a valid token: it is signed by another algorithm"),
    (jwt.DecodeError, "not a valid token: it is no JSON Web Token, or a claim is of a wrong type"),
)


def bad_token(error: Exception) -> BadToken:
    """What PyJWT found, or did not see coming, without anything of the token."""
    if isinstance(error, jwt.MissingRequiredClaimError):
        return BadToken(f"the token has no claim {error.claim}")
    for kind, words in _WORDS:
        if isinstance(error, kind):
            return BadToken(words)
    return BadToken(f"not a valid token: {type(error).__name__}")
