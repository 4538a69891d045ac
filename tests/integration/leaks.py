"""Where a secret is that must be nowhere, whatever form it has there."""

import base64
from collections.abc import Mapping, Sequence
from urllib.parse import quote

Places = Mapping[str, Sequence[bytes]]


def forms(secret: bytes) -> list[bytes]:
    """A secret as it is, as addresses have it, and in base64, wherever in a longer text it stood."""
    found = [secret, quote(secret).encode(), quote(secret, safe="").encode()]
    for before in range(3):
        whole = base64.b64encode(bytes(before) + secret)
        # Digits that also depend on what stands beside it are left out.
        digits = whole.rstrip(b"=")[-(-before * 4 // 3) : (before + len(secret)) * 4 // 3]
        found += [digits, digits.translate(bytes.maketrans(b"+/", b"-_"))]
    return found


def leaks(places: Places, secrets: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """Which secrets are where."""
    return [
        (what, place)
        for what, secret in secrets.items()
        for place, texts in places.items()
        if any(form in text for form in forms(secret) for text in texts)
    ]
