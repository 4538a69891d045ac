"""Locks for what is read, merged and written back."""

import asyncio
import hashlib

_STRIPES = 64


class Locks:
    """A lock an app or a device, among the requests of this process.

    Some names share one, which costs a wait and no more.
    """

    def __init__(self) -> None:
        self._stripes = tuple(asyncio.Lock() for _ in range(_STRIPES))

    def of(self, app: str, device: str = "") -> asyncio.Lock:
        """The lock of a device, or of the app itself."""
        name = hashlib.blake2b(f"{app}/{device}".encode(), digest_size=2).digest()
        return self._stripes[int.from_bytes(name) % _STRIPES]
