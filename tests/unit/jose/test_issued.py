"""Tokens of an identity provider: taken when everything about them is right, and only then."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import msgspec
import pytest

from longline.errors import BadToken
from longline.jose.issued import TRIED, claims_of, header_of, keys_for
from longline.jose.keys import PublicKey, read_key
from longline.model.access import ALGORITHMS, TokenIssuer
from tests.unit.jose.identity_provider import AUDIENCE, ISSUER, issued, pem, public_jwk

TRUSTED = TokenIssuer(issuer=ISSUER, audience=(AUDIENCE, "other"), algorithms=ALGORITHMS)


def verified(token: bytes, *keys: PublicKey, issuer: TokenIssuer = TRUSTED) -> dict[str, object]:
    header = header_of(token)
    return claims_of(token, header, keys_for(header, keys), issuer)


def known(algorithm: str, number: int = 0, **members: object) -> PublicKey:
    return read_key(public_jwk(algorithm, number, **members))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_by_every_algorithm_that_the_app_takes_is_verified(algorithm: str) -> None:
    claims = verified(issued("phone", algorithm, kid="k1"), known(algorithm, kid="k1"))
    assert claims["sub"] == "phone"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_by_another_key_of_the_kind_is_refused(algorithm: str) -> None:
    with pytest.raises(BadToken, match="identity provider"):
        verified(issued("phone", algorithm, number=1), known(algorithm))


def test_an_algorithm_that_the_app_does_not_take_is_refused_though_a_key_goes_with_it() -> None:
    issuer = msgspec.structs.replace(TRUSTED, algorithms=("ES256",))
    with pytest.raises(BadToken, match="algorithm"):
        verified(issued("phone", "RS256"), known("RS256"), issuer=issuer)


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512", "none", "RS256K", ""])
@pytest.mark.parametrize("secret", ["pem", "jwk", "empty"])
def test_no_public_key_is_ever_taken_for_a_secret(algorithm: str, secret: str) -> None:
    """Whoever reads the public key can compute an HMAC with it: RFC 8725, section 2.1."""
    public = {"pem": pem("RS256"), "jwk": json.dumps(public_jwk("RS256")), "empty": ""}[secret]
    head = base64.urlsafe_b64encode(json.dumps({"alg": algorithm}).encode()).rstrip(b"=")
    said = {"sub": "phone", "iss": ISSUER, "aud": AUDIENCE}
    body = base64.urlsafe_b64encode(json.dumps(said).encode()).rstrip(b"=")
    signed = head + b"." + body
    mac = hmac.new(public.encode(), signed, hashlib.sha256).digest()
    token = signed + b"." + (b"" if algorithm == "none" else base64.urlsafe_b64encode(mac).rstrip(b"="))
    # Even where an app could be had to list it.
    for issuer in (TRUSTED, msgspec.structs.replace(TRUSTED, algorithms=(algorithm, "RS256"))):
        with pytest.raises(BadToken):
            verified(token, known("RS256"), issuer=issuer)


def test_the_key_that_a_token_names_is_used_and_no_other() -> None:
    keys = [known("RS256", number, kid=f"k{number}") for number in range(3)]
    assert verified(issued("phone", number=2, kid="k2"), *keys)["sub"] == "phone"
    with pytest.raises(BadToken):
        verified(issued("phone", number=2, kid="k1"), *keys)
    with pytest.raises(BadToken):
        verified(issued("phone", number=2, kid="k9"), *keys)


def test_a_token_that_names_no_key_is_tried_with_some_and_a_key_without_a_name_with_every_token() -> None:
    keys = [known("ES256", number, kid=f"k{number}") for number in range(TRIED + 1)]
    assert verified(issued("phone", "ES256", number=TRIED - 1), *keys)["sub"] == "phone"
    with pytest.raises(BadToken):
        verified(issued("phone", "ES256", number=TRIED), *keys)
    assert verified(issued("phone", "ES256", kid="any"), known("ES256"))["sub"] == "phone"


def from_now(claims: dict[str, Any]) -> dict[str, Any]:
    """The same claims, whose times were said as seconds from now."""
    now = int(time.time())
    return {
        name: now + value if name in ("exp", "nbf", "iat") and isinstance(value, int) else value
        for name, value in claims.items()
    }


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"iss": "https://another.example.org/"}, "issuer"),
        ({"iss": None}, "no claim iss"),
        ({"aud": "another"}, "audience"),
        ({"aud": ["another"]}, "audience"),
        ({"aud": None}, "no claim aud"),
        ({"aud": 7}, "audience"),
        ({"exp": -100}, "expired"),
        ({"exp": "soon"}, "valid"),
        ({"nbf": 100}, "not good yet"),
    ],
)
def test_a_token_that_is_not_for_this_app_or_not_for_now_is_refused(
    claims: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadToken, match=said):
        verified(issued("phone", **from_now(claims)), known("RS256"))


@pytest.mark.parametrize(
    "claims",
    [{"aud": ["x", "other"]}, {"exp": -5}, {"nbf": 5}, {"iat": 1000}, {"exp": None}],
)
def test_a_token_that_is_for_this_app_and_for_now_is_taken(claims: dict[str, Any]) -> None:
    assert verified(issued("phone", **from_now(claims)), known("RS256"))["sub"] == "phone"


def test_an_app_that_names_neither_issuer_nor_audience_has_neither_checked() -> None:
    issuer = TokenIssuer(algorithms=("RS256",))
    assert verified(issued("phone", iss=None, aud="any"), known("RS256"), issuer=issuer)["sub"] == "phone"


@pytest.mark.parametrize("token", [b"", b"a.b", b"\xff.\xff.\xff", b"e30.e30.", b"W10.e30.", b"[" * 5000])
def test_what_is_no_token_is_refused(token: bytes) -> None:
    with pytest.raises(BadToken):
        verified(token, known("RS256"))
