"""What the doctor says of one thing."""

from typing import Literal

from msgspec import Struct


class Finding(Struct, frozen=True):
    """One thing looked at. `bad` makes the command fail; `warn` is worth a change but nothing breaks."""

    check: str
    status: Literal["ok", "warn", "bad"]
    found: str
    advice: str = ""
