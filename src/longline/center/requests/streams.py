"""Answers that do not end: server-sent events, as the HTML standard has them.

A comment goes out when nothing has happened for a while, so that everybody on the way knows that the stream
lives. The key is looked at again every few seconds. A stream ends when others need its place, and when its
reader does not take what was written (`READ_WITHIN` of `http/connection.py`).
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Send

from longline.center.counters import CenterCounters
from longline.center.errors.responses import error_answer
from longline.errors import LonglineError, RateLimited, Unavailable

MEDIA_TYPE: Final = "text/event-stream"
HEARTBEAT: Final = 15.0  # s without an event after which a comment is sent
LOOK_AGAIN: Final = 4.0  # s after which the key of whoever waits is looked at again
COME_BACK: Final = 1000  # ms after which a reader whose stream has ended connects again

_encode = msgspec.json.Encoder().encode


class EventStreams:
    """The streams of one process: at most `limit()` of an app."""

    def __init__(self, counters: CenterCounters, limit: Callable[[], int], ready: Callable[[], bool]) -> None:
        self.ready = ready
        self._counters = counters
        self._limit = limit
        self._of_app: Counter[int] = Counter()

    @contextmanager
    def one(self, app: int) -> Iterator[None]:
        """A stream of an app, in a `with` block; `RateLimited` when it has as many as it may."""
        if self._of_app[app] >= self._limit():
            raise RateLimited("there are as many streams of events as there may be", retry_after=5.0)
        self._of_app[app] += 1
        self._counters.event_streams += 1
        try:
            yield
        finally:
            self._counters.event_streams -= 1
            self._of_app[app] -= 1
            if not self._of_app[app]:
                del self._of_app[app]


class ServerSentEvents(Response):
    """An answer that goes on: how it begins, and how its reader is told what ends it."""

    def __init__(self) -> None:
        self.status_code = 200
        self.body = b""
        self.background = None
        self.init_headers({"Content-Type": MEDIA_TYPE, "X-Accel-Buffering": "no"})
        del self.headers["Content-Length"]

    async def _answer(self, send: Send, go_on: Callable[[], Awaitable[None]]) -> None:
        """All of the answer; `go_on` writes what is between its beginning and its end."""
        headers = self.raw_headers
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        try:
            await write(send, b"retry: %d\n\n" % COME_BACK)
            await go_on()
        except ClientDisconnect:
            raise
        except Exception as error:
            known = isinstance(error, LonglineError)
            told = error if isinstance(error, LonglineError) else Unavailable("the stream has failed")
            await write(send, b"event: error\ndata: %b\n\n" % _encode(error_answer(told)))
            if not known:
                raise
        await send({"type": "http.response.body", "body": b"", "more_body": False})


async def write(send: Send, data: bytes) -> None:
    """A piece of a stream."""
    await send({"type": "http.response.body", "body": data, "more_body": True})


def wants_stream(request: Request) -> bool:
    """Whether the caller accepts server-sent events, and says so before anything else."""
    first = request.headers.get("accept", "").split(",")[0].split(";")[0].strip().lower()
    return first == MEDIA_TYPE
