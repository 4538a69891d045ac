"""The log: JSON lines for machines, a console for people, no secrets in either, and no way to flood it.

Our code logs through structlog; what libraries say through `logging` comes out of the same pipe in the same
form. All of it goes to standard error, so that a command's results on standard output stay clean.
"""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Final, TextIO, final

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from longline.telemetry.counters import Tally

HIDDEN: Final = "[hidden]"

# By name: an event's field, or a key inside one, whose value is never to be shown.
_SECRET_NAME: Final = re.compile(
    r"(?:^|[_-])(?:key|keys|secret|secrets|token|tokens|password|passwd|authorization|cookie|credentials)$",
    re.IGNORECASE,
)
_NOT_SECRET: Final = frozenset({"collapse_key", "collapse-key", "idempotency_key"})

# By look: what is a secret wherever it stands. A JWT (RFC 7519) is two or three base64url parts of which the
# first is a JSON object, hence begins with `eyJ`.
_SECRET_TEXT: Final = re.compile(r"(?i:\bbearer\s+)\S+|\beyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?")

_MAX_DEPTH: Final = 6


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A structlog processor that hides secrets, by the names of fields and by what a text looks like."""
    return {name: _redacted(name, value, 0) for name, value in event.items()}


def _redacted(name: str, value: object, depth: int) -> object:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if name not in _NOT_SECRET and _SECRET_NAME.search(name):
        return HIDDEN
    if isinstance(value, str):
        return _SECRET_TEXT.sub(HIDDEN, value)
    if depth < _MAX_DEPTH:
        if isinstance(value, Mapping):
            return {str(key): _redacted(str(key), inner, depth + 1) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [_redacted("", inner, depth + 1) for inner in value]
    return value


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
    out = stream or sys.stderr
    console = form == "console" or (form == "auto" and out.isatty())
    finish: list[Processor] = [redact, _console(out)] if console else [_format_exception, redact, _as_json]
    shared: list[Processor] = [
        structlog.processors.add_log_level,
        _add_node,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[shared[0], _filtered, *shared[1:], *finish],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.PrintLoggerFactory(out),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder()],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *finish],
        )
    )
    logging.basicConfig(handlers=[handler], force=True)
    set_level(level)


_format_exception: Final = structlog.processors.format_exc_info


def _console(out: TextIO) -> Processor:
    # Plain tracebacks: the pretty ones print local variables, and those may be secrets.
    return structlog.dev.ConsoleRenderer(
        colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
    )


def _as_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode()


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
        """True when this is to be logged. `now` is a monotonic clock's, in seconds."""
        if self._seen and now - self._since >= self._period:
            self._seen.clear()
        if not self._seen:
            self._since = now
        pair = (kind, peer)
        if pair in self._seen or len(self._seen) >= self._limit:
            self.suppressed.add(kind)
            return False
        self._seen.add(pair)
        return True
