"""One connection: calls go out together, replies come back in the order of the calls.

A server carries out all that it has read from one connection before it looks at another one, and answers
nobody until then. So no more is written than `AT_ONCE` units of its work: who has much for it at once has it
done in turns with the others, whose pushes and heartbeats come over connections of theirs.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, Protocol, cast

import structlog

from longline.errors import StoreError, Unavailable
from longline.store.calls import Call, Reply, Word
from longline.store.script import Script
from longline.telemetry.counters import ANSWERS, Histogram

logger = structlog.get_logger(__name__)

Pack = Callable[[tuple[Word, ...]], bytes]
BATCH: Final = 2048  # calls in one write: a longer queue goes out in several, so that others get their turn
AT_ONCE: Final = 128  # units of the server's work that are out, or one call that is more: some milliseconds


class ReplyReader(Protocol):
    """Cuts a stream of bytes into replies; `gets` returns False when there is no whole one."""

    def feed(self, data: bytes, /) -> None: ...
    def gets(self) -> object: ...


class ServerConnection(asyncio.Protocol):
    """A connection and the calls that were sent over it and not yet answered, `sent`.

    Whoever owns the connection sets `on_special`, which gets replies that are errors or belong to a call that
    is not `plain`, and `on_lost`, which is called once, when nothing can be sent or received any more, and
    takes care of the calls left in `sent`; those with `sequence` 0 have been ended by then. It may give it
    the histogram `answers`, and `patience`.
    """

    def __init__(self, pack: Pack, reader: ReplyReader) -> None:
        self.sent: deque[Call] = deque()
        self.sent_bytes = 0  # of the calls in `sent`
        self.sent_work = 0  # and units of the server's work
        self.bytes_in = 0
        self.bytes_out = 0
        self.writable = True
        self.open = False
        self.heard = 0.0  # loop time since when an answer is due, while `sent` is not empty
        self.loaded: set[Script] = set()
        self.broken: dict[Script | None, StoreError] = {}  # scripts that the server would not load
        self.on_special: Callable[[ServerConnection, Call, Reply | StoreError], None] = _answer
        self.on_lost: Callable[[ServerConnection], None] = _ignore
        self.on_writable: Callable[[], None] = _nothing
        self.answers = Histogram(ANSWERS)  # seconds, of calls that have `patience` seconds
        self.patience = 0.0
        self._full = False  # as much work is out as may be
        self._pack = pack
        self._reader = reader
        self._loop = asyncio.get_running_loop()
        self.lost = asyncio.Event()  # set when `on_lost` was called
        self._transport: asyncio.Transport | None = None

    # --- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.open = True

    def data_received(self, data: bytes) -> None:
        self.heard = self._loop.time()
        self.bytes_in += len(data)
        sent = self.sent
        if sent and sent[0].sequence and not sent[0].durable:
            self.answers.observe(self.heard - sent[0].deadline + self.patience)
        gets = self._reader.gets
        try:
            self._reader.feed(data)
            while self.open and (reply := gets()) is not False:
                call = sent.popleft()
                self.sent_bytes -= len(call.payload)
                self.sent_work -= call.work
                if call.plain and reply.__class__ is not StoreError:
                    future = call.future
                    if not future.done():
                        future.set_result(cast(Reply, reply))
                else:
                    self._hand_on(call, cast(Reply | StoreError, reply))
            if self._full and self.sent_work <= AT_ONCE // 2:
                self._full = False
                self.on_writable()
        except Exception:
            # Not what a server says, or a mistake of ours: either way the order of calls and replies cannot
            # be trusted any more. What is in `sent` goes over the next connection.
            logger.exception("store_answer_unreadable")
            self.abort()

    def pause_writing(self) -> None:
        self.writable = False

    def resume_writing(self) -> None:
        self.writable = True
        self.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    # --- the owner's side

    @property
    def takes_more(self) -> bool:
        """Whether calls may be sent. When they may again, `on_writable` is called."""
        return self.writable and not self._full

    def send(self, queue: deque[Call]) -> int:
        """Takes calls off the queue's left, as many as may go, and writes them; returns their bytes.

        Calls that nobody waits for any more are taken and not written.
        """
        sent = self.sent
        loaded = self.loaded
        parts: list[bytes] = []
        taken = before = self.sent_bytes
        if not sent:
            self.heard = self._loop.time()
        dropped = 0
        work = self.sent_work
        for _ in range(min(len(queue), BATCH)):
            if work and work + queue[0].work > AT_ONCE:
                self._full = True
                break
            call = queue.popleft()
            if call.future.done():
                dropped += len(call.payload)
                continue
            work += call.work
            script = call.script
            if script is not None and script not in loaded:
                parts.append(self._load(script))
            sent.append(call)
            parts.append(call.payload)
            taken += len(call.payload)
        self.sent_bytes += taken - before
        self.sent_work = work
        self._write(b"".join(parts))
        return taken - before + dropped

    def send_at_once(self, call: Call) -> None:
        """Writes a call, however much is out."""
        work, self.sent_work = self.sent_work, 0
        self.send(deque((call,)))
        self.sent_work += work

    def ask(self, *command: Word) -> "asyncio.Future[Reply]":
        """The connection's own business: is answered, or fails with the connection (`Unavailable`)."""
        call = Call(self._loop.create_future(), self._pack(command))
        if not self.open:
            call.fail(Unavailable("the connection to the store is closed"))
            return call.future
        if not self.sent:
            self.heard = self._loop.time()
        self.sent.append(call)
        self.sent_bytes += len(call.payload)
        self._write(call.payload)
        return call.future

    def load(self, scripts: Iterable[Script]) -> None:
        """Makes scripts known to the server, ahead of any call sent after this."""
        self._write(b"".join([self._load(script) for script in scripts if script not in self.loaded]))

    def silent(self) -> float:
        """For how many seconds a call has been waiting without any answer."""
        return self._loop.time() - self.heard if self.sent else 0.0

    def abort(self) -> None:
        """Gives the connection up at once."""
        if self._transport is not None:
            self._transport.abort()
        self._end()

    def _load(self, script: Script) -> bytes:
        self.loaded.add(script)
        call = Call(self._loop.create_future(), self._pack((b"SCRIPT", b"LOAD", script.text)))
        call.future.add_done_callback(partial(self._loaded, script))
        self.sent.append(call)
        self.sent_bytes += len(call.payload)
        return call.payload

    def _loaded(self, script: Script, future: "asyncio.Future[Reply]") -> None:
        error = future.exception()
        if isinstance(error, StoreError):
            self.broken[script] = error
            logger.error("store_refused_script", script=script.name, code=error.word, reason=error.text)

    def _write(self, data: bytes) -> None:
        if not data or self._transport is None:
            return
        self.bytes_out += len(data)
        try:
            self._transport.write(data)
        except RuntimeError:  # uvloop says so of a transport that is closing
            self.abort()

    def _hand_on(self, call: Call, reply: Reply | StoreError) -> None:
        if not call.sequence:
            _answer(self, call, reply)
            return
        try:
            self.on_special(self, call, reply)
        except Exception:
            # The call is in nobody's hands now; its future must not be left hanging.
            call.fail(Unavailable("the store's answer could not be dealt with"))
            raise

    def _end(self) -> None:
        if not self.open:
            return
        self.open = False
        left = deque(call for call in self.sent if call.sequence)
        for call in self.sent:
            if not call.sequence:
                call.fail(Unavailable("the connection to the store broke"))
        self.sent = left
        try:
            self.on_lost(self)
        finally:
            self.lost.set()


def _answer(connection: ServerConnection, call: Call, reply: Reply | StoreError) -> None:
    if isinstance(reply, StoreError):
        call.fail(reply)
    else:
        call.answer(reply)


def _ignore(connection: ServerConnection) -> None:
    for call in connection.sent:
        call.fail(Unavailable("the connection to the store broke"))


def _nothing() -> None:
    pass
