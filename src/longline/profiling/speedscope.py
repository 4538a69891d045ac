"""Profiles as speedscope reads them: https://www.speedscope.app/file-format-schema.json."""

import re
from typing import Final

import msgspec

from longline.profiling.weighted import Weighted

MEDIA_TYPE: Final = "application/vnd.speedscope+json"

_SCHEMA: Final = "https://www.speedscope.app/file-format-schema.json"
_UNITS: Final = {"bytes": "bytes", "milliseconds": "milliseconds"}  # of those that it knows; else `none`
_FRAME: Final = re.compile(r"(.*) \((.*?)(?::(\d+))?\)")


def parts(frame: str) -> tuple[str, str, int]:
    """Function, file and line of a frame; "" and 0 for what it does not say."""
    found = _FRAME.fullmatch(frame)
    return (frame, "", 0) if found is None else (found[1], found[2], int(found[3] or 0))


def speedscope(profile: Weighted, name: str) -> bytes:
    """A file of one profile, `sampled`."""
    indexes: dict[str, int] = {}
    samples = [[indexes.setdefault(frame, len(indexes)) for frame in frames] for frames, _ in profile.stacks]
    weights = [weight for _, weight in profile.stacks]
    return msgspec.json.encode(
        {
            "$schema": _SCHEMA,
            "exporter": "longline",
            "name": name,
            "activeProfileIndex": 0,
            "shared": {"frames": [_frame(frame) for frame in indexes]},
            "profiles": [
                {
                    "type": "sampled",
                    "name": f"{profile.what} of {name}",
                    "unit": _UNITS.get(profile.unit, "none"),
                    "startValue": 0,
                    "endValue": sum(weights),
                    "samples": samples,
                    "weights": weights,
                }
            ],
        }
    )


def _frame(frame: str) -> dict[str, str | int]:
    function, file, line = parts(frame)
    told: dict[str, str | int] = {"name": function}
    if file:
        told["file"] = file
    if line:
        told["line"] = line
    return told
