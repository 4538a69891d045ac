"""What a device remembers when its process starts again: a small file, each line of it one thing learnt.

A line is JSON, with one letter for what it is: `h` was handled; `p` is to be sent, until `d` says that it
was; `n` is where a network's endpoints are, `b` how long a connection may be idle there. A process that is
killed in the middle of a line leaves a piece of one, which is passed over; the next line begins on its own.
When the file has four times what is worth keeping, it is written anew beside the old one, and takes its
place.

Without a file everything is the same, and ends with the process. When the disk refuses, the device goes on:
what it had not promised to keep (copies, endpoints) is remembered as if there was no file; what it was to
keep is refused to whoever asked for that.
"""

import base64
import itertools
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from longline.sdk.endpoints import Endpoint
from longline.sdk.handled import Handled
from longline.sdk.send_ids import new_send_id
from longline.sdk.trust import File

LEAST: Final = 64 * 1024  # bytes that the file may have, whatever is worth keeping
NETWORKS: Final = 16  # of which the latest are remembered

_log = logging.getLogger("longline.sdk")


@dataclass(frozen=True)
class PostedMessage:
    """A message that is to reach the server, by its number; `send_id` is what app servers know it by."""

    number: int
    topic: str
    payload: bytes
    send_id: str

    @property
    def size(self) -> int:
        return len(self.topic) + len(self.payload)


@dataclass(frozen=True)
class FoundEndpoints:
    """Where a dispatcher said to connect, good `until` then, by the clock on the wall (Unix seconds)."""

    endpoints: tuple[Endpoint, ...]
    until: float


class DeviceMemory:
    """See above; `path` is the file, of one device at a time."""

    __slots__ = (
        "_broken",
        "_file",
        "_numbers",
        "_path",
        "_refused",
        "_size",
        "found",
        "handled",
        "idle",
        "outbox",
        "waiting",
    )

    def __init__(self, path: File | None = None) -> None:
        self.handled = Handled()
        self.outbox: dict[int, PostedMessage] = {}
        self.found: dict[str, FoundEndpoints] = {}
        self.idle: dict[str, float] = {}
        self.waiting = 0  # bytes in the outbox
        self._path = None if path is None else Path(path)
        self._file: int | None = None
        self._size = 0
        self._broken = False  # the last line may have been cut short
        self._refused = False  # the disk has, and somebody was told
        self._numbers = itertools.count(1)

    # --- the file ---------------------------------------------------------------------------------

    def open(self) -> None:
        """Reads what is there. OSError when it cannot be read or written at all."""
        if self._path is None or self._file is not None:
            return
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        self._file = os.open(self._path, flags, 0o600)
        text = self._path.read_bytes()
        for line in text.splitlines():
            self._take(line)
        self._size = len(text)
        self._broken = not text.endswith(b"\n") and bool(text)
        self._numbers = itertools.count(max(self.outbox, default=0) + 1)
        self._shorten()

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def sync(self) -> None:
        """Returns when what was written survives a crash of the host; blocks, so call it from a thread."""
        if self._file is not None:
            os.fsync(self._file)

    def _take(self, line: bytes) -> None:
        """What one line says; nothing where it is a piece of one."""
        try:
            said = msgspec.json.decode(line, type=dict[str, Any])
            if "h" in said:
                prefix, id = said["h"]
                self.handled.add((str(prefix), str(id)))
            elif "p" in said:
                number, topic, payload, *named = said["p"]  # without a name: of a release that gave none
                data = base64.b64decode(payload, validate=True)
                send_id = str(named[0]) if named else new_send_id()
                self._put(PostedMessage(int(number), str(topic), data, send_id))
            elif "d" in said:
                self._drop(int(said["d"]))
            elif "n" in said:
                network, until, places = said["n"]
                endpoints = tuple((str(host), int(port)) for host, port in places)
                self._learn(self.found, str(network), FoundEndpoints(endpoints, float(until)))
            elif "b" in said:
                network, interval = said["b"]
                self._learn(self.idle, str(network), float(interval))
        except (msgspec.MsgspecError, ValueError, TypeError):
            return

    def _lines(self) -> Iterable[Mapping[str, object]]:
        """All that is worth keeping."""
        yield from ({"h": id} for id in self.handled)
        yield from (_post_line(each) for each in self.outbox.values())
        yield from ({"n": [name, found.until, found.endpoints]} for name, found in self.found.items())
        yield from ({"b": [name, interval]} for name, interval in self.idle.items())

    def _write(self, said: dict[str, object]) -> None:
        """Appends a line; OSError when the disk refuses it."""
        if self._file is None:
            return
        line = (b"\n" if self._broken else b"") + msgspec.json.encode(said) + b"\n"
        self._broken = True
        written = os.write(self._file, line)
        self._size += written
        if written < len(line):
            raise OSError(f"{self._path} took a part of a line")
        self._broken = False
        self._refused = False
        if self._size > LEAST:
            self._shorten()

    def _note(self, said: dict[str, object]) -> None:
        """Appends what may be lost."""
        try:
            self._write(said)
        except OSError as error:
            if not self._refused:
                _log.warning("%s cannot be written, and the device goes on without: %s", self._path, error)
            self._refused = True

    def _shorten(self) -> None:
        """Writes the file anew when most of it is of no use any more; leaves it when that fails."""
        if self._path is None or self._file is None:
            return
        text = b"".join(msgspec.json.encode(line) + b"\n" for line in self._lines())
        if self._size <= max(LEAST, 4 * len(text)):
            return
        beside = self._path.with_name(self._path.name + ".new")
        try:
            file = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
            if os.write(file, text) < len(text):
                raise OSError("the disk took a part of it")
            os.replace(beside, self._path)
        except OSError as error:
            _log.warning("%s stays as long as it is: %s", self._path, error)
            return
        os.close(self._file)
        self._file, self._size, self._broken = file, len(text), False

    # --- what is learnt ---------------------------------------------------------------------------

    def was_handled(self, prefix: str, id: str) -> None:
        """The application is done with a push."""
        self.handled.add((prefix, id))
        self._note({"h": [prefix, id]})

    def post(self, topic: str, payload: bytes) -> PostedMessage:
        """Keeps a message until `settled`. OSError when there is a file and the disk refuses."""
        posted = PostedMessage(next(self._numbers), topic, payload, new_send_id())
        self._write(_post_line(posted))
        self._put(posted)
        return posted

    def settled(self, number: int) -> None:
        """The server has it, or does not want it."""
        self._drop(number)
        self._note({"d": number})

    def learn_endpoints(self, network: str, found: FoundEndpoints) -> None:
        """What a dispatcher said on a network."""
        self._learn(self.found, network, found)
        self._note({"n": [network, found.until, found.endpoints]})

    def learn_idle(self, network: str, interval: float) -> None:
        """How long a connection may be idle on a network, in seconds."""
        self._learn(self.idle, network, interval)
        self._note({"b": [network, interval]})

    def _put(self, posted: PostedMessage) -> None:
        self._drop(posted.number)
        self.outbox[posted.number] = posted
        self.waiting += posted.size

    def _drop(self, number: int) -> None:
        posted = self.outbox.pop(number, None)
        if posted is not None:
            self.waiting -= posted.size

    @staticmethod
    def _learn(known: dict[str, Any], network: str, what: object) -> None:
        known.pop(network, None)
        known[network] = what
        if len(known) > NETWORKS:
            del known[next(iter(known))]


def _post_line(posted: PostedMessage) -> dict[str, object]:
    return {"p": [posted.number, posted.topic, base64.b64encode(posted.payload).decode(), posted.send_id]}
