import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed448, rsa

from longline.jose.keys import MOST, BadKey, read_key, read_set
from longline.model.access import ALGORITHMS
from tests.unit.jose.identity_provider import jwk_of, pem, private_key, public_jwk


def number(value: int) -> str:
    raw = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_is_good_for_the_algorithms_of_its_kind(algorithm: str) -> None:
    for given in (public_jwk(algorithm, kid="k1", use="sig"), public_jwk(algorithm), pem(algorithm)):
        key = read_key(given)
        assert algorithm in key.algorithms
        assert len(key.algorithms) == (6 if algorithm[:2] in ("RS", "PS") else 1)
        assert key.kid == (given.get("kid") if isinstance(given, dict) else None)


def test_a_key_that_says_its_algorithm_is_good_for_no_other() -> None:
    assert read_key(public_jwk("RS256", alg="RS384")).algorithms == ("RS384",)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (7, "neither"),
        ("not PEM", "not the PEM"),
        ("é", "not the PEM"),
        ({}, "kty"),
        ({"kty": "oct", "k": "c2VjcmV0"}, "private"),
        ({"kty": "RSA"}, "not a key"),
        ({"kty": "RSA", "n": 1, "e": []}, "not a key"),
        ({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, "not a key"),
        ({"kty": "OKP", "crv": "X25519", "x": "AA"}, "not a key"),
        ({"kty": []}, "kty"),
        (lambda: public_jwk("RS256", use="enc"), "signatures"),
        (lambda: public_jwk("RS256", key_ops=["encrypt"]) | {"key_ops": ["encrypt"]}, "signatures"),
        (lambda: public_jwk("RS256", alg="ES256"), "alg"),
        (lambda: public_jwk("RS256", alg="HS256"), "alg"),
        (lambda: public_jwk("RS256", alg=[]), "alg"),
        (lambda: public_jwk("RS256", kid=7), "kid"),
        (lambda: public_jwk("ES256K"), "curve"),
        (lambda: jwk_of(private_key("RS256")), "private"),
        (lambda: jwk_of(private_key("EdDSA")), "private"),
        (lambda: jwk_of(rsa.generate_private_key(65537, 1024).public_key()), "1024 bits"),
        ({"kty": "RSA", "n": number((1 << 4160) + 1), "e": "AQAB"}, "4161 bits"),
        ({"kty": "RSA", "n": "A" * 2000, "e": "AQAB"}, "longer"),
        (lambda: public_jwk("RS256") | {"e": number((1 << 64) + 1)}, "exponent"),
    ],
)
def test_a_key_that_is_none_or_weak_or_costly_or_secret_is_refused(given: Any, said: str) -> None:
    if callable(given):  # keys are made when they are needed: that takes a while
        given = given()
    with pytest.raises(BadKey, match=said) as caught:
        read_key(given)
    if isinstance(given, dict) and "d" in given:
        assert given["d"] not in str(caught.value)


def test_the_wrong_kind_of_pem_is_refused() -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = ed448.Ed448PrivateKey.generate().public_key()
    text = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(BadKey, match="kind"):
        read_key(text)


def test_a_set_has_the_keys_that_verify_and_not_its_others() -> None:
    keys = [
        public_jwk("RS256", kid="a"),
        public_jwk("RS256", use="enc", kid="b"),
        {"kty": "new"},
        None,
        public_jwk("EdDSA", kid="c"),
    ]
    assert [key.kid for key in read_set(json.dumps({"keys": keys, "more": 1}).encode())] == ["a", "c"]


def test_of_very_many_keys_the_first_are_taken() -> None:
    keys = [public_jwk("EdDSA", kid=str(number)) for number in range(MOST + 10)]
    assert len(read_set(json.dumps({"keys": keys}).encode())) == MOST


@pytest.mark.parametrize("data", [b"", b"<html>", b"[]", b"{}", b'{"keys": {}}', b"\xff", b"[" * 100_000])
def test_what_is_no_set_is_refused(data: bytes) -> None:
    with pytest.raises(BadKey):
        read_set(data)
