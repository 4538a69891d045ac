"""What the servers of the store say of their memory, and of what they would do to what is kept there."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

from longline.store.calls import Reply
from longline.store.connection import ServerConnection

KEEPS: Final = "noeviction"  # the one policy under which a full server refuses writes and forgets nothing


async def condition(connections: Iterable[ServerConnection]) -> Mapping[str, int]:
    """Plain figures: `memory_bytes` and `memory_limit_bytes` (0: none) of the fullest server, and of how many
    `evicting` is true, which throw away what is kept when they are full, and `forgetful`, which write nothing
    to a disk. Of those that answer; empty when none does.
    """
    told = await asyncio.gather(*(_of(connection) for connection in connections))
    known = [each for each in told if each]
    if not known:
        return {}
    fullest = max(known, key=_share)
    return {
        "memory_bytes": fullest["memory_bytes"],
        "memory_limit_bytes": fullest["memory_limit_bytes"],
        "evicting": sum(each["evicting"] for each in known),
        "forgetful": sum(each["forgetful"] for each in known),
    }


def _share(of: Mapping[str, int]) -> tuple[float, int]:
    limit = of["memory_limit_bytes"]
    return (of["memory_bytes"] / limit if limit else 0.0, of["memory_bytes"])


async def _of(connection: ServerConnection) -> Mapping[str, int]:
    info, saves = await asyncio.gather(
        connection.ask("INFO"), connection.ask("CONFIG", "GET", "save"), return_exceptions=True
    )
    if isinstance(info, BaseException):
        return {}
    # An ACL may forbid the second: then nothing is said of it.
    return read_condition(info, None if isinstance(saves, BaseException) else saves)


def read_condition(info: Reply, saves: Reply) -> dict[str, int]:
    """From the answers to `INFO` and `CONFIG GET save`, None where that is forbidden."""
    text = info.decode("utf-8", "replace") if isinstance(info, bytes) else ""
    lines = dict(line.partition(":")[::2] for line in text.splitlines() if ":" in line)
    rules = saves[1] if isinstance(saves, list) and len(saves) > 1 else None
    snapshots = not isinstance(rules, bytes) or bool(rules.strip())
    return {
        "memory_bytes": _number(lines.get("used_memory")),
        "memory_limit_bytes": _number(lines.get("maxmemory")),
        "evicting": int(
            bool(_number(lines.get("maxmemory"))) and lines.get("maxmemory_policy", KEEPS) != KEEPS
        ),
        "forgetful": int(lines.get("aof_enabled") == "0" and not snapshots),
    }


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdigit() else 0
