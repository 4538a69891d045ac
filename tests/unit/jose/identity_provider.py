"""Somebody who makes tokens: keys of every kind, and what they sign."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://id.example.org/"
AUDIENCE = "longline"

Jwk = dict[str, Any]


@cache
def private_key(algorithm: str, number: int = 0) -> Any:
    if algorithm[:2] in ("RS", "PS"):
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    curves: dict[str, Callable[[], ec.EllipticCurve]] = {
        "ES256": ec.SECP256R1,
        "ES384": ec.SECP384R1,
        "ES512": ec.SECP521R1,
        "ES256K": ec.SECP256K1,
    }
    return ec.generate_private_key(curves[algorithm]())


def jwk_of(key: Any, **members: object) -> Jwk:
    """The public key as JSON, with more members; those that are None are left out."""
    kind: Any = RSAAlgorithm if isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey) else ECAlgorithm
    if isinstance(key, ed25519.Ed25519PublicKey | ed25519.Ed25519PrivateKey):
        kind = OKPAlgorithm
    made: Jwk = {**json.loads(kind.to_jwk(key)), **members}
    made.pop("key_ops", None)
    return {name: value for name, value in made.items() if value is not None}


def public_jwk(algorithm: str, number: int = 0, **members: object) -> Jwk:
    return jwk_of(private_key(algorithm, number).public_key(), **members)


def pem(algorithm: str, number: int = 0) -> str:
    key = private_key(algorithm, number).public_key()
    text: bytes = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


def issued(
    device: str, algorithm: str = "RS256", *, number: int = 0, kid: str | None = None, **claims: Any
) -> bytes:
    """A token; claims that are None are left out."""
    said = {"sub": device, "iss": ISSUER, "aud": AUDIENCE, **claims}
    return jwt.encode(
        {name: value for name, value in said.items() if value is not None},
        private_key(algorithm, number),
        algorithm=algorithm,
        headers=None if kid is None else {"kid": kid},
    ).encode()
