# Made by tools/blocking.py of longline/sdk/calls/events.py: change that one, and run it.
"""What devices send, and where it is sent on to."""

import logging
from collections.abc import Iterator, Sequence

import msgspec

from longline.errors import LonglineError
from longline.model.devices import JsonObject
from longline.sdk.answers import UpstreamEvent
from longline.sdk.backoff import Backoff
from longline.sdk.blocking.http import SyncHttp
from longline.sdk.paths import app_path, given, webhook_path
from longline.sdk.times import Duration, whole_seconds
from longline.sdk.webhooks import DeadUpstreamEvent, WebhookInfo

_log = logging.getLogger("longline.sdk")

FOLLOWING = 5  # s for which the server holds back an answer without events: less than a try may take


class _UpstreamPage(msgspec.Struct):
    events: list[UpstreamEvent]
    next_cursor: str | None = None
    gap: bool = False


class _DeadList(msgspec.Struct):
    events: list[DeadUpstreamEvent]
    next_cursor: str | None = None


class _Replaying(msgspec.Struct):
    replaying: int


class SyncEventCalls:
    """A part of `SyncCenter`."""

    _http: SyncHttp

    def upstream(
        self,
        app: str,
        *,
        after: str | None = None,
        tail: bool = False,
        follow: bool = True,
        page_size: int | None = None,
    ) -> Iterator[UpstreamEvent]:
        """What devices sent, and what happened to them, from behind a `cursor` on; each device's in order.

        It waits for those to come, and goes on where it was whatever becomes of the connection or the server;
        without `follow` it ends when there are no more. With `tail`, and no `after`, it is only those that
        come from now on. Keep the cursor of the last one that is dealt with, and nothing is missed; where too
        much waited, an event has `gap`. Raises what going on cannot help.
        """
        cursor = after
        gap = False
        backoff = Backoff(random=self._http.random)
        while True:
            params: dict[str, str | int] = given(
                cursor=cursor,
                limit=page_size,
                wait=FOLLOWING if follow else None,
                tail="true" if tail and cursor is None else None,
            )
            try:
                page = self._http.call(
                    "GET", f"{app_path(app)}/upstream", _UpstreamPage, params=params, safe=True
                )
            except LonglineError as error:
                if not (follow and error.retryable):
                    raise
                _log.info("the events of %s: %s", app, error)
                self._http.sleep((error.retry_after or 0.0) + backoff.next())
                continue
            backoff.reset()
            gap = gap or page.gap
            for event in page.events:
                yield msgspec.structs.replace(event, gap=True) if gap else event
                gap = False
            cursor = page.next_cursor or cursor
            if not page.events and not follow:
                return

    def put_webhook(
        self,
        app: str,
        url: str,
        *,
        secret: str | None = None,
        events: Sequence[str] | None = None,
        grace: Duration | None = None,
    ) -> WebhookInfo:
        """Sends the app's events to a URL from now on: of these types, or all.

        `secret` may be left out where there is one; where it replaces one, that signs as well for `grace`, a
        day unless given. Raises `ValidationFailed` for a target that may not be called.
        """
        body: JsonObject = {"url": url}
        if secret is not None:
            body["secret"] = secret
        if events is not None:
            body["events"] = [*events]
        if grace is not None:
            body["grace_seconds"] = whole_seconds(grace)
        return self._http.call("PUT", webhook_path(app), WebhookInfo, body=body, safe=True)

    def webhook(self, app: str) -> WebhookInfo:
        """Where the app's events are sent, and how that fares. Raises `WebhookNotFound`."""
        return self._http.call("GET", webhook_path(app), WebhookInfo, safe=True)

    def delete_webhook(self, app: str) -> None:
        """Sends the app's events nowhere any more, and forgets those that are dead."""
        self._http.call("DELETE", webhook_path(app), object, safe=False)

    def dead_events(self, app: str) -> Iterator[DeadUpstreamEvent]:
        """Events that the target never took, oldest first, page by page."""
        for page in self._http.pages(f"{webhook_path(app)}/dead", _DeadList):
            yield from page.events

    def replay_webhook(self, app: str, cursors: Sequence[str] | None = None) -> int:
        """Sends dead events once more: those with these cursors, or all. How many that are."""
        body: JsonObject = {} if cursors is None else {"cursors": [*cursors]}
        answer = self._http.call("POST", f"{webhook_path(app)}:replay", _Replaying, body=body, safe=True)
        return answer.replaying
