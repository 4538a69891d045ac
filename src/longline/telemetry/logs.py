"""The log: JSON lines for machines, a console for people, no secrets in either, and no way to flood it.

Our code logs through structlog; what libraries say through `logging` comes out of the same pipe in the same
form. All of it goes to standard error, so that a command's results on standard output stay clean.

Logging never raises and never waits. Whoever logs is in the middle of something that matters more than the
line: what cannot be put into words, or written because the disk is full, the pipe closed or its reader
asleep, is counted in `lost` and forgotten.
"""

import logging
import os
import re
import select
import sys
from collections.abc import Mapping
from typing import Final, TextIO, final

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from longline.model.networks import network_of
from longline.telemetry.counters import Tally

HIDDEN: Final = "[hidden]"

# By name: an event's field, or a key inside one, whose value is never to be shown.
_SECRET_NAME: Final = re.compile(
    r"(?:^|[_-])(?:key|keys|secret|secrets|token|tokens|password|passwd|authorization|cookie|credentials)$",
    re.IGNORECASE,
)
_NOT_SECRET: Final = frozenset({"collapse_key", "collapse-key", "idempotency_key"})

# By look: what is a secret wherever it stands. A JWT (RFC 7519) is two or three base64url parts of which the
# first is a JSON object, hence begins with `eyJ`. Our own keys and secrets have a letter of theirs after
# `ll`, and end with 43 characters of base64url.
_SECRET_TEXT: Final = re.compile(
    r"(?i:\bbearer\s+)\S+|\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"
    r"|\bll[akns]_(?:[a-z0-9_-]{1,64}[._])?[\w-]{43}"
)

_MAX_DEPTH: Final = 6


def without_secrets(text: str) -> str:
    """A text without what looks like a secret in it."""
    return _SECRET_TEXT.sub(HIDDEN, text)


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor that hides secrets, by the names of fields and by what a text looks like."""
    return {name: _redacted(name, value, 0) for name, value in event.items()}


def _redacted(name: str, value: object, depth: int) -> object:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if name not in _NOT_SECRET and _SECRET_NAME.search(name):
        return HIDDEN
    if isinstance(value, str):
        return without_secrets(value)
    if depth < _MAX_DEPTH:
        if isinstance(value, Mapping):
            return {str(key): _redacted(str(key), inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [_redacted("", inner, depth + 1) for inner in value]
    return value


lost: Final = Tally()
"""Lines that were not written, by why: `unwritable`, `unspeakable`."""

_node: dict[str, str] = {}
_root: Final = logging.getLogger()


def set_level(level: str) -> None:
    """From now on nothing less severe than this is logged; as the setting `node.log_level`."""
    _root.setLevel(level.upper())


def _filtered(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    if logging.getLevelNamesMapping()[str(event["level"]).upper()] < _root.level:
        raise structlog.DropEvent
    return event


def name_node(name: str) -> None:
    """From now on every event of this process says which node it is of."""
    _node["node"] = name


def _add_node(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {**_node, **event}


def configure(level: str = "info", form: str = "auto", stream: TextIO | None = None) -> None:
    """Set up logging for this process.

    `level` and `form` are the settings `node.log_level` and `node.log_format`; `stream` is standard error
    unless given.
    """
    out = _Lines(stream or sys.stderr)
    console = form == "console" or (form == "auto" and out.terminal)
    if console and stream is None and sys.stderr is not None:
        out.encoding = sys.stderr.encoding
    finish: list[Processor] = (
        [redact, _console(out.terminal)] if console else [_format_exception, redact, _as_json]
    )
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        _add_node,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[_Words([shared[0], _filtered, *shared[1:], *finish])],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=lambda *_: out,
        cache_logger_on_first_use=True,
    )
    handler = _Handler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finish],
        )
    )
    logging.basicConfig(handlers=[handler], force=True)
    set_level(level)


_format_exception: Final = structlog.processors.format_exc_info


def _console(colours: bool) -> Processor:
    # Plain tracebacks: the pretty ones print local variables, and those may be secrets.
    return structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)


def _as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()


@final
class _Words:
    """Processors one after the other, of which none may raise but to drop the event."""

    def __init__(self, processors: list[Processor]) -> None:
        self._processors = processors

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        words: object = event
        try:
            for processor in self._processors:
                words = processor(logger, method, words)  # type: ignore[arg-type]
        except structlog.DropEvent:
            raise
        except Exception:  # a value that cannot be shown
            lost.add("unspeakable")
            raise structlog.DropEvent from None
        return str(words)


@final
class _Lines:
    """Where lines go: structlog's logger, and the stream of `logging`'s handler."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.terminal = stream is not None and stream.isatty()
        self.encoding = "utf-8"
        self._ready: select.poll | None = None
        try:
            self._file = -1 if stream is None else stream.fileno()
            if self._file >= 0:
                self._ready = select.poll()
                self._ready.register(self._file, select.POLLOUT)
        except (OSError, ValueError):
            self._file = -1  # one in memory, or closed

    def msg(self, line: str) -> None:
        """Writes a line, or counts it as lost."""
        self.write(line + "\n")

    debug = info = warning = warn = error = critical = fatal = exception = log = msg

    def write(self, text: str) -> None:
        try:
            if self._ready is None:
                if self._stream is not None:
                    self._stream.write(text)
                    self._stream.flush()
                return
            data = memoryview(text.encode(self.encoding, "backslashreplace"))
            while data:
                # A pipe or a socket that says it is ready takes so much at once without waiting. Not through
                # Python's buffers, since what these could not write would fail again when the process ends.
                if not self._ready.poll(0):
                    raise BlockingIOError
                data = data[os.write(self._file, data[: select.PIPE_BUF]) :]
        except (OSError, ValueError):
            lost.add("unwritable")

    def flush(self) -> None:
        """Nothing is kept back."""


class _Handler(logging.StreamHandler[_Lines]):
    """For what libraries log."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Tells nobody: standard error is where it could not be told."""
        lost.add("unspeakable")


@final
class OncePerPeer:
    """Decides whether a peer's fault is worth a line: the first time for each kind and peer.

    A peer that sends the same nonsense all day costs one line; how often it was held back is in `suppressed`,
    by kind. Memory is bounded by `limit` pairs, and so is the log: when that many are known, further peers
    are counted but not logged, until `period` seconds after the first of them everything is forgotten and may
    be logged once more.
    """

    __slots__ = ("_limit", "_period", "_seen", "_since", "suppressed")

    def __init__(self, limit: int, period: float) -> None:
        self._limit = limit
        self._period = period
        self._seen: set[tuple[str, str]] = set()
        self._since = 0.0
        self.suppressed = Tally()

    def first(self, kind: str, peer: str, now: float) -> bool:
        """True when this is to be logged. `now` is a monotonic clock's, in seconds.

        A peer is its address, or its network of IPv6.
        """
        if self._seen and now - self._since >= self._period:
            self._seen.clear()
        if not self._seen:
            self._since = now
        pair = (kind, network_of(peer))
        if pair in self._seen or len(self._seen) >= self._limit:
            self.suppressed.add(kind)
            return False
        self._seen.add(pair)
        return True
