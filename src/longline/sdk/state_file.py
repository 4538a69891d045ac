"""Lines in a file, each written by a thread: a disk that takes its time holds up nobody on the loop.

One write at a time takes all that waits. A write that the disk refuses, or takes a part of, leaves the file
as it was, as far as the disk lets us. When the file has four times what is worth keeping, it is written anew
beside the old one, and takes its place when all of it is safe there.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

LEAST: Final = 64 * 1024  # bytes that the file may have, whatever is worth keeping

_log = logging.getLogger("longline.sdk")

Said = Mapping[str, object]


class _Line(NamedTuple):
    text: bytes
    durable: bool
    written: asyncio.Future[None]


class StateFile:
    """See above. `known` sees at once what is worth keeping, and gives a function that says it in lines."""

    __slots__ = (
        "_broken",
        "_file",
        "_known",
        "_path",
        "_problem",
        "_refused",
        "_size",
        "_waiting",
        "_worth",
        "_writing",
    )

    def __init__(self, path: Path, known: Callable[[], Callable[[], Iterable[Said]]]) -> None:
        self._path = path
        self._known = known
        self._file: int | None = None
        self._size = 0
        self._worth = 0  # bytes of it that were worth keeping, when it was looked at last
        self._broken = False  # the last line may have been cut short
        self._refused = False  # the disk has, and somebody was told
        self._problem: OSError | None = None  # why there is no file
        self._waiting: list[_Line] = []
        self._writing: asyncio.Future[None] | None = None

    # --- in a thread ------------------------------------------------------------------------------

    def open(self, take: Callable[[bytes], None]) -> None:
        """Has each line taken.

        Of a file that cannot be written, such as one on a disk that its host has made read-only, what can be
        read is taken all the same; from then on `keep` refuses, and `note` does nothing.
        """
        if self._file is not None:
            return
        try:
            self._file = os.open(self._path, _flags(os.O_RDWR), 0o600)
            self._sync_folder()
        except OSError as error:
            self._unusable(error)
        try:
            text = self._path.read_bytes()
        except OSError as error:
            self._unusable(error)
            return
        for line in text.splitlines():
            take(line)
        if self._file is None:
            return
        self._size = len(text)
        self._broken = not text.endswith(b"\n") and bool(text)
        if self._size > LEAST:
            self._write_anew(self._known(), b"")

    def _unusable(self, problem: OSError) -> None:
        """It is as if there was no file, but for what was to be kept in it."""
        if self._problem is None:
            _log.error("%s cannot be used, and the device goes on without: %s", self._path, problem)
        self._problem = problem
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _write(self, text: bytes, durable: bool, known: Callable[[], Iterable[Said]] | None) -> None:
        """Appends lines, or writes all that is known and them; OSError when the disk refuses."""
        if known is not None and self._write_anew(known, text):
            return
        assert self._file is not None
        text = (b"\n" if self._broken else b"") + text
        try:
            written = os.write(self._file, text)
            if written < len(text):
                raise OSError(f"{self._path} took a part of what was to be written")
            if durable:
                os.fsync(self._file)
        except OSError:
            self._take_back()
            raise
        self._size += len(text)
        self._broken = False

    def _take_back(self) -> None:
        assert self._file is not None
        try:
            os.ftruncate(self._file, self._size)
        except OSError:
            self._broken = True

    def _write_anew(self, known: Callable[[], Iterable[Said]], more: bytes) -> bool:
        """When most of the file is of no use any more; leaves it when that fails."""
        kept = b"".join(msgspec.json.encode(said) + b"\n" for said in known())
        self._worth = len(kept)
        if self._size <= max(LEAST, 4 * self._worth):
            return False
        text = kept + more
        beside = self._path.with_name(self._path.name + ".new")
        try:
            file = os.open(beside, _flags(os.O_RDWR | os.O_TRUNC), 0o600)
            try:
                if os.write(file, text) < len(text):
                    raise OSError("the disk took a part of it")
                os.fsync(file)  # else a host that crashes may keep the name and not the content
                os.replace(beside, self._path)
            except OSError:
                os.close(file)
                raise
        except OSError as error:
            _log.warning("%s stays as long as it is: %s", self._path, error)
            return False
        self._sync_folder()
        assert self._file is not None
        os.close(self._file)
        self._file, self._size, self._broken = file, len(text), False
        return True

    def _sync_folder(self) -> None:
        """Has the file's name survive a crash of the host, too, where a folder can be opened for that."""
        try:
            folder = os.open(self._path.parent, os.O_RDONLY)
        except OSError:
            return
        try:
            os.fsync(folder)
        except OSError as error:
            _log.info("%s: %s", self._path.parent, error)
        finally:
            os.close(folder)

    # --- on the loop ------------------------------------------------------------------------------

    def keep(self, said: Said) -> asyncio.Future[None]:
        """Done when a line survives a crash of the host; OSError when the disk refuses it."""
        return self._add(said, durable=True)

    def note(self, said: Said) -> asyncio.Future[None]:
        """Done when a line survives the process, or the disk has refused it: it may be lost."""
        return self._add(said, durable=False)

    def _add(self, said: Said, *, durable: bool) -> asyncio.Future[None]:
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._file is None:
            if durable and self._problem is not None:
                written.set_exception(self._problem)
            else:
                written.set_result(None)
            return written
        self._waiting.append(_Line(msgspec.json.encode(said) + b"\n", durable, written))
        self._begin()
        return written

    def _begin(self) -> None:
        """Has a thread write what waits, unless one is at it."""
        if self._writing is not None or not self._waiting:
            return
        lines, self._waiting = self._waiting, []
        text = b"".join(line.text for line in lines)
        durable = any(line.durable for line in lines)
        known = self._known() if self._size > max(LEAST, 4 * self._worth) else None
        loop = asyncio.get_running_loop()
        self._writing = loop.run_in_executor(None, self._write, text, durable, known)
        self._writing.add_done_callback(lambda done: self._ended(lines, done))

    def _ended(self, lines: list[_Line], writing: asyncio.Future[None]) -> None:
        self._writing = None
        problem = OSError("the process ends") if writing.cancelled() else writing.exception()
        if problem is not None and not self._refused:
            _log.warning("%s cannot be written, and the device goes on without: %s", self._path, problem)
        self._refused = problem is not None
        for line in lines:
            if line.written.done():
                continue
            if problem is not None and line.durable:
                line.written.set_exception(problem)
            else:
                line.written.set_result(None)
        self._begin()

    async def close(self) -> None:
        """Returns when all that was said is written."""
        while self._writing is not None:
            await asyncio.wait([self._writing])
        file, self._file = self._file, None
        if file is not None:
            try:
                os.close(file)
            except OSError as error:  # of a disk that is far away
                _log.warning("%s: %s", self._path, error)


def _flags(how: int) -> int:
    return how | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
