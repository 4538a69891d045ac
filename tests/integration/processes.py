"""Looks at processes, by what the kernel says of them."""

from contextlib import suppress
from pathlib import Path


def children(pid: int) -> list[int]:
    """The processes that a process has started and that run, in the order of their numbers."""
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            state = _state(int(path.name))
            if state is not None and state[1] == pid:
                found.append(int(path.name))
    return sorted(found)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not looked after yet does not."""
    return _state(pid) is not None


def command(pid: int) -> str:
    """Its command line."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def _state(pid: int) -> tuple[str, int] | None:
    """Its state and its parent; None when it has ended."""
    with suppress(FileNotFoundError, ProcessLookupError):
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
        return None if state in "ZX" else (state, int(parent))
    return None
