"""Until when certificates are good, out of their files: `ssl` only tells it of those of a peer.

What is read is our own configuration, and of that one field: the rest is OpenSSL's to judge.
"""

import re
import ssl
from datetime import UTC, datetime
from typing import Final

UTC_TIME: Final = 0x17  # two digits of a year from 1950 to 2049; GeneralizedTime has four (RFC 5280, 4.1.2.5)
VERSION: Final = 0xA0

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def valid_until(pem: bytes) -> float | None:
    """The moment from which on one of the certificates is not good any more, in seconds of Unix time.

    None where there is no certificate that can be read.
    """
    ends = [not_after(block.decode("ascii", "replace")) for block in _PEM.findall(pem)]
    found = [end for end in ends if end is not None]
    return min(found) if found and len(found) == len(ends) else None


def not_after(pem: str) -> float | None:
    """The same of a single one."""
    try:
        certificate = ssl.PEM_cert_to_DER_cert(pem)
        body = element(element(certificate, 0)[1], 0)[1]
        at = 0
        # Certificate, TBSCertificate: version, serialNumber, signature, issuer, validity (RFC 5280, 4.1).
        for _ in range(4 if body[0] == VERSION else 3):
            at = element(body, at)[2]
        validity = element(body, at)[1]
        kind, text, _ = element(validity, element(validity, 0)[2])
        digits = text.decode("ascii").rstrip("Z")
        if kind == UTC_TIME:
            digits = ("19" if digits[:2] >= "50" else "20") + digits
        return datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
    except (IndexError, ValueError):
        return None


def element(data: bytes, at: int) -> tuple[int, bytes, int]:
    """The element of DER at a place (X.690, 8.1): its tag, its content, and where the next one begins."""
    tag, length = data[at], data[at + 1]
    at += 2
    if length > 127:
        size = length & 127
        length = int.from_bytes(data[at : at + size])
        at += size
    if at + length > len(data):
        raise ValueError("cut off")
    return tag, data[at : at + length], at + length
