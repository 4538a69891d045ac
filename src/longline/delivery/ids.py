"""Message ids: UUIDs of version 7 (RFC 9562, section 5.7), strictly rising within a process."""

import random
import secrets

_LATEST = (1 << 48) - 1  # ms: year 10889
_RANDOM_BITS = 74  # rand_a and rand_b together
_MAX_STEP_BITS = 32
_LOW = (1 << 62) - 1
_MARKS = 0x7 << 76 | 0b10 << 62  # the version and the variant


class MessageIds:
    """Makes ids whose text sorts in the order in which they were made.

    Within a millisecond, the random part of the id before is increased by a random step (RFC 9562, section
    6.2, method 2), so an id tells neither how many were made before it nor the next one. A clock that
    goes back is not followed.
    """

    __slots__ = ("_last", "_millisecond", "_steps")

    def __init__(self) -> None:
        self._millisecond = -1
        self._last = 0
        # An id needs to be unlike others, not secret, so a step need not cost a system call.
        self._steps = random.Random(secrets.randbits(128))

    def make(self, now: int) -> str:
        """An id for a message accepted at `now` (ms)."""
        if now > self._millisecond:
            self._millisecond = now
            # One bit short of the field: it leaves the steps of one millisecond 2^73 of space.
            self._last = self._steps.getrandbits(_RANDOM_BITS - 1)
        else:
            self._last += 1 + self._steps.getrandbits(_MAX_STEP_BITS)
        # 48 bits of time, version 7, 12 random bits, variant 0b10, 62 random bits.
        value = self._millisecond << 80 | _MARKS | self._last >> 62 << 64 | self._last & _LOW
        return _text(value)


def least_id(at: int) -> str:
    """What is before all ids that were made at that time (ms) and later, and behind all others."""
    return _text(min(max(at, 0), _LATEST) << 80)


def _text(value: int) -> str:
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
