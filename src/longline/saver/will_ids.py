"""Ids of wills, by which they are published."""

import random
import secrets
from typing import Final

MARKS: Final = 0x7 << 76 | 0b10 << 62  # version and variant of a UUIDv7 (RFC 9562, section 5.7)


class WillIds:
    """Makes UUIDs of version 7, in 16 bytes."""

    def __init__(self) -> None:
        # An id needs to be unlike others, not secret.
        self._random = random.Random(secrets.randbits(128))

    def make(self, now: int) -> bytes:
        """An id for a will that is left at `now` (ms)."""
        chance = self._random.getrandbits(74)
        value = now << 80 | MARKS | chance >> 62 << 64 | chance & (1 << 62) - 1
        return value.to_bytes(16)
