"""Membership, leadership and values of a process that is a whole cluster by itself."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from longline.errors import Conflict, SettingsError, Unavailable
from longline.keeper.port import Kept, Node
from longline.keeper.view import Lead, View, check_name, check_write


class _Book(msgspec.Struct, frozen=True):
    """What outlives the process. `removed` is the highest version that a removed value had."""

    values: dict[str, Kept] = {}
    terms: dict[str, int] = {}
    removed: int = 0


class LocalKeeper:
    """Fulfils `Keeper` in memory; values and terms outlive the process when it was opened on a file.

    All members are of this process; whoever asks first leads a duty until it leaves.
    """

    def __init__(self) -> None:
        self._view = View()
        self._path: Path | None = None
        self._book = _Book()
        self._writing = asyncio.Lock()
        self._closed = False

    @classmethod
    async def open(cls, path: Path) -> "LocalKeeper":
        """Keeps values in a JSON file, whose folder exists. Raises `SettingsError` when it is damaged."""
        keeper = cls()
        keeper._path = path
        keeper._book = await asyncio.to_thread(_load, path)
        keeper._view.put_values(keeper._book.values)
        return keeper

    async def close(self) -> None:
        async with self._writing:
            self._closed = True
        self._view.put_members({})
        self._view.close()

    # --- members ----------------------------------------------------------------------------------

    async def join(self, node: Node) -> None:
        check_name(node.node)
        if self._closed:
            raise Unavailable("the keeper is closed")
        self._view.put_members({**self._view.members, node.node: node})

    async def leave(self, node: str) -> None:
        for duty, lead in self._view.leaders.items():
            if lead.node == node:
                self._view.put_leader(duty, None)
        self._view.put_members({name: member for name, member in self._view.members.items() if name != node})

    async def members(self) -> list[Node]:
        return self._view.by_name()

    def in_touch(self) -> bool:
        return not self._closed

    def age(self) -> float:
        return 0.0

    async def leads(self, duty: str, node: str) -> bool:
        check_name(duty)
        while duty not in self._view.leaders and node in self._view.members and not self._closed:
            await self._lead(duty, node)
        lead = self._view.leaders.get(duty)
        return lead is not None and lead.node == node and not self._closed

    async def _lead(self, duty: str, node: str) -> None:
        async with self._writing:
            if duty in self._view.leaders or node not in self._view.members:
                return
            term = self._book.terms.get(duty, 0) + 1
            # Kept before it is used: a term that somebody was fenced by never comes again.
            await self._keep(msgspec.structs.replace(self._book, terms={**self._book.terms, duty: term}))
            if node in self._view.members:
                self._view.put_leader(duty, Lead(node, term))

    async def term(self, duty: str) -> int:
        return self._book.terms.get(duty, 0)

    # --- values -----------------------------------------------------------------------------------

    async def read(self, key: str) -> Kept | None:
        return self._view.values.get(key)

    async def read_all(self, prefix: str) -> Mapping[str, Kept]:
        return self._view.below(prefix)

    async def write(self, key: str, value: bytes | None, version: int | None = None) -> int:
        check_write(key, value)
        async with self._writing:
            book = self._book
            kept = book.values.get(key)
            present = 0 if kept is None else kept.version
            if version is not None and version != present:
                raise Conflict(f"version {present} of {key} is in force, not {version}")
            values = {other: it for other, it in book.values.items() if other != key}
            if value is None:
                if kept is not None:
                    await self._keep(_Book(values, book.terms, max(present, book.removed)))
                return 0
            # A value that comes back after its removal goes on above every version that was removed.
            new = (present or book.removed) + 1
            values[key] = Kept(value, new)
            await self._keep(_Book(values, book.terms, book.removed))
            return new

    async def changed(self, seen: int) -> int:
        return await self._view.changed(seen)

    async def _keep(self, book: _Book) -> None:
        """Called while writing. Nothing has changed when it raises."""
        if self._closed:
            raise Unavailable("the keeper is closed")
        if self._path is None:
            self._put(book)
            return
        saving = asyncio.create_task(asyncio.to_thread(_save, self._path, book), name="keeper.save")
        try:
            await asyncio.shield(saving)
        finally:
            # What was begun is finished, also when who asked for it is cancelled meanwhile.
            await asyncio.wait([saving])
            if saving.exception() is None:
                self._put(book)

    def _put(self, book: _Book) -> None:
        self._book = book
        self._view.put_values(book.values)


def _load(path: Path) -> _Book:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Book)
    except FileNotFoundError:
        return _Book()
    except (OSError, msgspec.MsgspecError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from None


def _save(path: Path, book: _Book) -> None:
    """Replaces the file in one step: after a crash it holds all of this, or all of what was there before."""
    beside = path.with_suffix(".new")
    try:
        with beside.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)  # values may be secrets
            file.write(msgspec.json.format(msgspec.json.encode(book)))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror or error}") from None
