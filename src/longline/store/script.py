"""Lua scripts, which are files beside the engines that run them."""

import hashlib
from importlib.resources import files
from typing import Final

_INCLUDE: Final = "-- include:"


class Script:
    """A Lua file, read once: `Script("longline.saver.kv.lua", "enqueue.lua")`.

    Its lines `-- include: ledger.lua` are replaced by the text of those files of the same package, each
    once, however often it is asked for.
    """

    __slots__ = ("name", "sha", "text")

    def __init__(self, package: str, name: str) -> None:
        self.name = name
        self.text = _read(package, name, {name}).encode()
        # The name under which servers know a script; nothing is kept safe by it.
        self.sha = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()

    def __repr__(self) -> str:
        return f"Script({self.name})"


def _read(package: str, name: str, seen: set[str]) -> str:
    lines = []
    for line in files(package).joinpath(name).read_text(encoding="utf-8").splitlines():
        if not line.startswith(_INCLUDE):
            lines.append(line)
            continue
        included = line.removeprefix(_INCLUDE).strip()
        if included not in seen:
            seen.add(included)
            lines.append(_read(package, included, seen))
    return "\n".join(lines)
