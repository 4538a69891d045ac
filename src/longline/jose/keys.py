"""Public keys that verify tokens: read from JSON Web Keys (RFC 7517) or PEM, each for its algorithms.

A set has keys for other purposes, too, and of kinds that nobody here knows: those are passed over (section
5). A key that an app gives by itself is refused instead, with the reason.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, cast

import jwt
import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import AllowedPublicKeys, ECAlgorithm, OKPAlgorithm, RSAAlgorithm

MOST: Final = 64  # keys of a set
RSA_BITS: Final = (2048, 4096)  # RFC 7518, section 3.3, and what a CONNECT may cost
CHARACTERS: Final = 1024  # of a number, before anybody computes with it
EXPONENT: Final = 1 << 32  # of RSA, at most: verifying takes as long as it is
CURVES: Final = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

Jwk = Mapping[str, object]

_set = msgspec.json.Decoder()


class BadKey(Exception):
    """A key that verifies no tokens here; its text says why, and never repeats the key."""


class PublicKey(NamedTuple):
    """`kid` None: its owner gave it no id. `algorithms`: those that it is good for."""

    kid: str | None
    algorithms: tuple[str, ...]
    key: AllowedPublicKeys


def read_key(given: object) -> PublicKey:
    """A key from a JSON Web Key or PEM text. Raises `BadKey`."""
    if isinstance(given, str):
        key, algorithms = _kind(_pem(given))
        return PublicKey(None, algorithms, key)
    if not isinstance(given, Mapping):
        raise BadKey("neither a JSON Web Key nor PEM")
    jwk = cast(Jwk, given)
    if PRIVATE & jwk.keys() or jwk.get("kty") == "oct":
        raise BadKey("this key is private: give the public one, and make a new pair")
    operations = jwk.get("key_ops")
    if jwk.get("use", "sig") != "sig" or (isinstance(operations, list) and "verify" not in operations):
        raise BadKey("this key is not for signatures")
    key, algorithms = _kind(_jwk(jwk))
    said = jwk.get("alg")
    if said is not None:
        algorithms = tuple(name for name in algorithms if name == said)
        if not algorithms:
            raise BadKey("its alg does not go with its kind")
    kid = jwk.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise BadKey("its kid is no text")
    return PublicKey(kid, algorithms, key)


def read_set(data: bytes) -> list[PublicKey]:
    """Those keys of a JSON Web Key Set that verify tokens, `MOST` at most. Raises `BadKey` for no set."""
    try:
        told = _set.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        raise BadKey("not JSON") from None
    keys = told.get("keys") if isinstance(told, dict) else None
    if not isinstance(keys, list):
        raise BadKey("no JSON Web Key Set: it has no list of `keys`")
    return read_usable(keys)


def read_usable(given: Sequence[object]) -> list[PublicKey]:
    """The same from a list of keys."""
    found: list[PublicKey] = []
    for item in given:
        if len(found) >= MOST:
            break
        try:
            found.append(read_key(item))
        except BadKey:
            continue
    return found


def _pem(text: str) -> object:
    try:
        return load_pem_public_key(text.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise BadKey("not the PEM of a public key") from None


def _jwk(jwk: Jwk) -> object:
    kind = jwk.get("kty")
    fields = dict(jwk)
    if any(isinstance(value, str) and len(value) > CHARACTERS for value in (jwk.get("n"), jwk.get("e"))):
        raise BadKey("an RSA key longer than any that is taken")
    try:
        if kind == "RSA":
            return RSAAlgorithm.from_jwk(fields)
        if kind == "EC":
            return ECAlgorithm.from_jwk(fields)
        if kind == "OKP":
            return OKPAlgorithm.from_jwk(fields)
    # What PyJWT and its decoders make of members that are no text, no base64 or no point of the curve
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, KeyError, UnsupportedAlgorithm):
        raise BadKey("not a key of its kind") from None
    raise BadKey("a kty that nobody here knows")


def _kind(key: object) -> tuple[AllowedPublicKeys, tuple[str, ...]]:
    if isinstance(key, RSAPublicKey):
        least, most = RSA_BITS
        if not least <= key.key_size <= most:
            raise BadKey(f"RSA of {key.key_size} bits: {least} to {most} wanted")
        if key.public_numbers().e > EXPONENT:
            raise BadKey("an RSA key with so large an exponent takes too long to verify with")
        return key, RSA
    if isinstance(key, EllipticCurvePublicKey):
        name = CURVES.get(key.curve.name)
        if name is None:
            raise BadKey("a curve that no algorithm here uses")
        return key, (name,)
    if isinstance(key, Ed25519PublicKey):
        return key, ("EdDSA",)
    raise BadKey("a kind of key that no algorithm here uses")
