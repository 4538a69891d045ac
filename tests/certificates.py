"""Certificates for tests, made in the test with `cryptography`."""

import datetime as dt
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Private = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

DAY = dt.timedelta(days=1)


class Pair(NamedTuple):
    """The files of a certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """Signs certificates; `ca` is the file by which they are believed."""

    def __init__(self, folder: Path, name: str = "An authority for tests") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        made = _begun(self._name, self._name, self._key, days=10)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(_pem(made.sign(self._key, hashes.SHA256())))

    def server(
        self,
        name: str = "server",
        *,
        hosts: Sequence[str] = ("localhost", "127.0.0.1", "::1"),
        key: Literal["ec", "rsa"] = "ec",
        days: float = 5,
    ) -> Pair:
        """A server's certificate, in files of this name."""
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        return self._sign(name, subject, ExtendedKeyUsageOID.SERVER_AUTH, names, key, days)

    def client(self, device: str, *apps: str, days: float = 5, name: str | None = None) -> Pair:
        """A device's certificate."""
        subject = x509.Name(
            [
                *(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, app) for app in apps),
                x509.NameAttribute(NameOID.COMMON_NAME, device),
            ]
        )
        return self._sign(
            name or f"client-{device}", subject, ExtendedKeyUsageOID.CLIENT_AUTH, None, "ec", days
        )

    def _sign(
        self,
        name: str,
        subject: x509.Name,
        usage: x509.ObjectIdentifier,
        names: x509.SubjectAlternativeName | None,
        kind: Literal["ec", "rsa"],
        days: float,
    ) -> Pair:
        key: Private
        if kind == "ec":
            key = ec.generate_private_key(ec.SECP256R1())
        else:
            key = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
        made = _begun(subject, self._name, key, days=days)
        made = made.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if names is not None:
            made = made.add_extension(names, critical=False)
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        pair.certificate.write_bytes(_pem(made.sign(self._key, hashes.SHA256())))
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return pair


def _begun(subject: x509.Name, issuer: x509.Name, key: Private, *, days: float) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 20 * DAY)
        .not_valid_after(now + days * DAY)
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
