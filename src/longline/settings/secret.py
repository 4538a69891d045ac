"""Settings that nobody is shown."""

import re
from typing import Final

_VISIBLE_ASCII: Final = re.compile(r"[!-~]{1,512}")


class Secret:
    """A setting's value that is never shown: `repr` and `str` hide it, only `reveal` gives it.

    One to 512 visible ASCII characters, because it travels in an HTTP header (RFC 9110, section 5.5).
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        if not _VISIBLE_ASCII.fullmatch(value):
            raise ValueError("expected 1 to 512 visible ASCII characters")
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(hidden)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)
