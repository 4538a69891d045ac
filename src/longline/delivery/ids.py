"""Message ids: UUIDs of version 7 (RFC 9562, section 5.7), strictly rising within a process.

Compiled: one is made for each message.
"""

import random
import secrets
from typing import Final, final

_LATEST: Final = (1 << 48) - 1  # ms: year 10889
_RANDOM_BITS: Final = 74  # rand_a and rand_b together
_MAX_STEP_BITS: Final = 32
_LOW: Final = (1 << 48) - 1  # what of it is the last part of the text
_MIDDLE: Final = (1 << 14) - 1
_VARIANT: Final = 0b10 << 14


@final
class MessageIds:
    """Makes ids whose text sorts in the order in which they were made.

    Within a millisecond, the random part of the id before is increased by a random step (RFC 9562, section
    6.2, method 2), so an id tells neither how many were made before it nor the next one. A clock that
    goes back is not followed.
    """

    __slots__ = ("_begin", "_last", "_millisecond", "_random")

    def __init__(self) -> None:
        self._millisecond = -1
        self._begin = ""  # of the texts of this millisecond: its 48 bits, and the version
        self._last = 0
        # An id needs to be unlike others, not secret, so a step need not cost a system call.
        self._random = random.Random(secrets.randbits(128)).getrandbits

    def make(self, now: int) -> str:
        """An id for a message accepted at `now` (ms)."""
        if now > self._millisecond:
            self._millisecond = now
            self._begin = f"{now >> 16:08x}-{now & 0xFFFF:04x}-7"
            # One bit short of the field: it leaves the steps of one millisecond 2^73 of space.
            last = self._random(_RANDOM_BITS - 1)
        else:
            last = self._last + 1 + self._random(_MAX_STEP_BITS)
        self._last = last
        # 12 random bits, variant 0b10, 62 random bits.
        rest = (last >> 62, _VARIANT | last >> 48 & _MIDDLE, last & _LOW)
        return self._begin + "%03x-%04x-%012x" % rest  # noqa: UP031 - it takes half as long as an f-string


def least_id(at: int) -> str:
    """What is before all ids that were made at that time (ms) and later, and behind all others."""
    return _text(min(max(at, 0), _LATEST) << 80)


def _text(value: int) -> str:
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
