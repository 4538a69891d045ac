"""Frames in words: `function (file:line)`, the way py-spy writes them too."""

import sysconfig
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import Final

_OURS: Final = str(Path(__file__).parents[1])
_LIBRARIES: Final = tuple(
    {str(Path(path)) for name, path in sysconfig.get_paths().items() if "lib" in name or "stdlib" in name}
)


@lru_cache(maxsize=4096)
def short(filename: str) -> str:
    """A file's name from its package on: that of its topmost folder with an `__init__.py`, or its own."""
    path = Path(filename)
    if not path.is_absolute():
        return filename
    top = path
    for folder in path.parents:
        if not (folder / "__init__.py").exists():
            break
        top = folder
    return path.name if top is path else str(path.relative_to(top.parent))


@lru_cache(maxsize=4096)
def is_own(filename: str) -> bool:
    """Whether a file is Longline's, or what somebody runs beside it, and not a library's."""
    return filename.startswith(_OURS) or not (
        filename.startswith((*_LIBRARIES, "<")) or not Path(filename).is_absolute()
    )


def in_words(frame: FrameType, line: int | None = None) -> str:
    """A frame of Python; the line is the one that runs unless given."""
    code = frame.f_code
    return f"{code.co_qualname} ({short(code.co_filename)}:{line or frame.f_lineno})"


def outwards(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame and those that called it, innermost first."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def stack_of(frame: FrameType | None) -> tuple[str, ...]:
    """A stack in words, outermost first."""
    return tuple(in_words(each) for each in outwards(frame))[::-1]
