"""What a device remembers when its process starts again: a small file, each line of it one thing learnt.

A line is JSON, with one letter for what it is: `h` was handled; `p` is to be sent, until `d` says that it
was; `n` is where a network's endpoints are, `b` how long a connection may be idle there. A process that is
killed in the middle of a line leaves a piece of one, which is passed over; the next line begins on its own.
`state_file` writes them.

Without a file everything is the same, and ends with the process. When the disk refuses, the device goes on:
what it had not promised to keep (copies, endpoints) is remembered as if there was no file; what it was to
keep is refused to whoever asked for that.
"""

import asyncio
import base64
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from longline.sdk.endpoints import Endpoint
from longline.sdk.handled import Handled
from longline.sdk.send_ids import new_send_id
from longline.sdk.state_file import Said, StateFile
from longline.sdk.topics import checked_topic
from longline.sdk.trust import File

NETWORKS: Final = 16  # of which the latest are remembered
LARGEST: Final = 2**53  # number of a message


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

    __slots__ = ("_file", "_numbers", "found", "handled", "idle", "outbox", "waiting")

    def __init__(self, path: File | None = None) -> None:
        self.handled = Handled()
        self.outbox: dict[int, PostedMessage] = {}
        self.found: dict[str, FoundEndpoints] = {}
        self.idle: dict[str, float] = {}
        self.waiting = 0  # bytes in the outbox
        self._file = None if path is None else StateFile(Path(path), self._known)
        self._numbers = itertools.count(1)

    # --- the file ---------------------------------------------------------------------------------

    @property
    def kept(self) -> bool:
        """Whether there is a file."""
        return self._file is not None

    async def open(self) -> None:
        """Reads what is there; where it cannot be used the log says why, and `post` raises that."""
        if self._file is not None:
            await asyncio.to_thread(self._file.open, self._take)
            self._numbers = itertools.count(max(self.outbox, default=0) + 1)

    async def close(self) -> None:
        """Returns when all of it is written."""
        if self._file is not None:
            await self._file.close()

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
                self._put(PostedMessage(_number(number), checked_topic(topic), data, send_id))
            elif "d" in said:
                self._drop(int(said["d"]))
            elif "n" in said:
                network, until, places = said["n"]
                endpoints = tuple((str(host), int(port)) for host, port in places)
                self._learn(self.found, str(network), FoundEndpoints(endpoints, float(until)))
            elif "b" in said:
                network, interval = said["b"]
                self._learn(self.idle, str(network), float(interval))
        except (msgspec.MsgspecError, ValueError, TypeError, OverflowError, RecursionError):
            return

    def _known(self) -> Callable[[], Iterable[Said]]:
        """All that is worth keeping, as it is now; said later, in a thread."""
        handled, outbox = list(self.handled), list(self.outbox.values())
        networks, idle = list(self.found.items()), list(self.idle.items())

        def lines() -> Iterable[Said]:
            yield from ({"h": id} for id in handled)
            yield from (_post_line(each) for each in outbox)
            yield from ({"n": [name, found.until, found.endpoints]} for name, found in networks)
            yield from ({"b": [name, interval]} for name, interval in idle)

        return lines

    def _note(self, said: Said) -> None:
        """Has it written, some time."""
        if self._file is not None:
            self._file.note(said)

    # --- what is learnt ---------------------------------------------------------------------------

    async def was_handled(self, prefix: str, id: str) -> None:
        """The application is done with a push. Returns when the next process will know."""
        self.handled.add((prefix, id))
        if self._file is not None:
            await self._file.note({"h": [prefix, id]})

    async def post(self, topic: str, payload: bytes) -> PostedMessage:
        """Keeps a message until `settled`. OSError when there is a file and the disk refuses."""
        posted = PostedMessage(next(self._numbers), topic, payload, new_send_id())
        self._put(posted)
        if self._file is not None:
            try:
                await self._file.keep(_post_line(posted))
            except BaseException:
                self.settled(posted.number)  # nobody was told that it is kept
                raise
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


def _number(said: int) -> int:
    """Of a message, as a line says it."""
    if not 0 < said <= LARGEST:
        raise ValueError(f"{said} is no number of a message")
    return int(said)


def _post_line(posted: PostedMessage) -> Said:
    return {"p": [posted.number, posted.topic, base64.b64encode(posted.payload).decode(), posted.send_id]}
