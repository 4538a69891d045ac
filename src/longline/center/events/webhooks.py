"""Operations on webhooks: where an app's events are sent, and what was never taken there."""

from collections.abc import Callable
from typing import cast

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from longline.center.events.webhook_shapes import (
    KINDS,
    DeadCounts,
    DeadEventList,
    DeadEventView,
    EventKind,
    ReplayAnswer,
    ReplayRequest,
    WebhookBody,
    WebhookInfo,
    WebhookStatus,
)
from longline.center.requests.answers import answer
from longline.center.requests.long_lists import ROW, Rows
from longline.center.requests.operations import AppOperations, Operation
from longline.center.requests.paging import after_event
from longline.center.requests.reading import Body, Query
from longline.center.requests.times import rfc3339, rfc3339_or_none
from longline.center.service import CenterService
from longline.center.shapes import PageQuery
from longline.delivery.event_views import event_view
from longline.delivery.signing import signing_key
from longline.errors import AppNotFound, Conflict, ValidationFailed, WebhookNotFound
from longline.flow.outbound import AddressRefused, Outbound
from longline.model.access import FormerSecret
from longline.model.apps import App
from longline.model.webhooks import REFUSED, DeadEvent, DeadTotals, Progress, Webhook
from longline.saver.bundle import Saver
from longline.saver.port.webhooks import WebhookChange
from longline.settings import WebhookSettings

ATTEMPTS = 8  # to change what whoever sends changes with each batch


def operations(center: CenterService) -> list[Operation]:
    """The rows of webhooks."""
    handlers = _Handlers(center.saver, center.webhooks, center.rows, center.clock)
    one, missing = "/v1/apps/{app}/webhook", (WebhookNotFound,)
    operation = AppOperations(center.keys, "events")
    return [
        operation("GET", one, handlers.get, {200: WebhookInfo}, errors=missing),
        operation("PUT", one, handlers.put, {200: WebhookInfo}, body=WebhookBody, errors=(Conflict,)),
        operation("DELETE", one, handlers.delete, {204: None}, errors=missing),
        operation("GET", f"{one}/dead", handlers.dead, {200: DeadEventList}, query=PageQuery, errors=missing),
        operation(
            "POST",
            f"{one}:replay",
            handlers.replay,
            {202: ReplayAnswer},
            body=ReplayRequest,
            body_required=False,
            errors=missing,
        ),
    ]


class _Handlers:
    def __init__(self, saver: Saver, settings: WebhookSettings, rows: Rows, clock: Callable[[], int]) -> None:
        self._apps = saver.apps
        self._store = saver.webhooks
        self._events = saver.events
        self._settings = settings
        self._rows = rows
        self._clock = clock
        # What says which addresses may be called; nothing is called here.
        self._addresses = Outbound(
            plain=settings.private_addresses, private=settings.private_addresses, most=0, timeout=0
        )
        self._body = Body(WebhookBody)
        self._replay = Body(ReplayRequest, default=ReplayRequest())
        self._page = Query(PageQuery)

    async def get(self, request: Request, app: App) -> Response:
        """Show where an app's events are sent, and how that fares."""
        return answer(await self._view(*await self._found(app)))

    async def put(self, request: Request, app: App) -> Response:
        """Send an app's events to a URL, from now on.

        Calls follow Standard Webhooks: `webhook-id`, `webhook-timestamp` and `webhook-signature`. A body is
        `{"app", "events": […up to 500], "gap"}`, the events as `GET upstream` has them, each device's in
        order. 2xx takes them. Everything else, and 10 s without an answer, is tried again for 24 h, and what
        was not taken by then is dead. What is refused with 4xx is halved until the event that is refused is
        alone, and that is dead. 410 ends all calls. Redirects are not followed. Where there was a webhook, it
        goes on behind what that had sent, and is tried at once.
        """
        asked = await self._body.read(request)
        try:
            self._addresses.checked(asked.url)
        except AddressRefused as error:
            raise _wrong("url", error.message) from None
        if asked.secret is not UNSET:
            try:
                signing_key(asked.secret)
            except ValueError as error:
                raise _wrong("secret", str(error)) from None
        for _ in range(ATTEMPTS):
            found = await self._store.find(app.number)
            before = None if found is None else found[0]
            webhook = await self._made(app, asked, before)
            change = WebhookChange(webhook, 0 if before is None else before.version)
            if await self._store.change(change):
                return answer(await self._view(webhook, DeadTotals() if found is None else found[1]))
        if await self._apps.find(app.app) is None:
            raise AppNotFound
        raise Conflict(retry_after=1.0)

    async def _made(self, app: App, asked: WebhookBody, before: Webhook | None) -> Webhook:
        now = self._clock()
        events = KINDS if asked.events is UNSET else tuple(dict.fromkeys(asked.events))
        if before is None:
            if asked.secret is UNSET:
                raise _wrong("secret", "wanted for a webhook that is new")
            return Webhook(
                app=app.number,
                name=app.app,
                url=asked.url,
                secret=asked.secret,
                events=events,
                created_at=now,
                version=1000 * now,
                progress=Progress(after=await self._events.end(app.number)),
            )
        former = before.former_secret
        secret = before.secret if asked.secret is UNSET else asked.secret
        if secret != before.secret:
            until = now + 1000 * asked.grace_seconds
            former = FormerSecret(before.secret, until) if asked.grace_seconds else None
        # The target is another, or mended: what it did before says nothing of it.
        progress = msgspec.structs.replace(
            before.progress, failures=0, failing_since=0, next_at=0, refused=0, error="", gone=False
        )
        return msgspec.structs.replace(
            before,
            url=asked.url,
            secret=secret,
            former_secret=former,
            events=events,
            version=before.version + 1,
            progress=progress,
        )

    async def delete(self, request: Request, app: App) -> Response:
        """Send an app's events nowhere any more.

        Its dead events are deleted, too; those that wait can still be read with `GET upstream`.
        """
        if not await self._store.remove(app.number):
            raise WebhookNotFound
        return Response(status_code=204)

    async def dead(self, request: Request, app: App) -> Response:
        """List events that the target never took, oldest first."""
        query = self._page.read(request)
        await self._found(app)
        after = "" if query.cursor is UNSET else after_event(query.cursor)
        page = await self._store.dead(app.number, after, query.limit)
        events = await self._rows.each(app.number, page.events, _dead_view, _worth)
        more = page.more and bool(events)
        return answer(DeadEventList(events, events[-1].cursor if more else None))

    async def replay(self, request: Request, app: App) -> Response:
        """Send dead events once more: all of them, or those with some cursors.

        They come between the others, in batches of their own. What is refused again stays dead.
        """
        asked = await self._replay.read(request)
        cursors = None if asked.cursors is UNSET else [after_event(cursor) for cursor in asked.cursors]
        await self._found(app)
        return answer(ReplayAnswer(await self._store.replay(app.number, cursors)), 202)

    async def _found(self, app: App) -> tuple[Webhook, DeadTotals]:
        found = await self._store.find(app.number)
        if found is None:
            raise WebhookNotFound
        return found

    async def _view(self, webhook: Webhook, dead: DeadTotals) -> WebhookInfo:
        now, progress, former = self._clock(), webhook.progress, webhook.former_secret
        waiting = await self._events.read(webhook.app, progress.after, 1)
        lag = max(0, now - waiting.events[0][1].at) / 1000 if waiting.events else 0.0
        broken = progress.failures >= self._settings.failures
        return WebhookInfo(
            url=webhook.url,
            events=[cast(EventKind, kind) for kind in webhook.events],
            created_at=rfc3339(webhook.created_at),
            status=WebhookStatus(
                state="gone" if progress.gone else "failing" if progress.failures else "active",
                circuit="closed" if not broken else "open" if progress.next_at > now else "half_open",
                failures=progress.failures,
                failing_since=rfc3339_or_none(progress.failing_since or None),
                next_try_at=rfc3339_or_none(None if progress.gone else progress.next_at or None),
                last_success_at=rfc3339_or_none(progress.taken_at or None),
                last_failure_at=rfc3339_or_none(progress.failed_at or None),
                last_error=progress.error or None,
                lag_seconds=lag,
                taken=progress.taken,
                gaps=progress.gaps,
                dead=DeadCounts(dead.events, dead.again, dead.dropped),
            ),
            former_secret_until=UNSET if former is None or former.until <= now else rfc3339(former.until),
        )


def _dead_view(dead: DeadEvent) -> DeadEventView:
    return DeadEventView(
        **msgspec.structs.asdict(event_view(dead.cursor, dead.event)),
        reason="refused" if dead.reason == REFUSED else "unanswered",
        error=dead.error,
        given_up_at=rfc3339(dead.at),
        replaying=dead.again,
    )


def _worth(dead: DeadEvent) -> int:
    return 1 + len(dead.event.payload) // ROW


def _wrong(field: str, message: str) -> ValidationFailed:
    return ValidationFailed("a field's value is not allowed", details=[(field, message)])
