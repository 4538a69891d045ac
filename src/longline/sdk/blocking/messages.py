# Made by tools/blocking.py of longline/sdk/calls/messages.py: change that one, and run it.
"""Pushes, their ledgers, schedules and statistics."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from time import monotonic
from typing import Literal

import msgspec

from longline.errors import LonglineError, Unavailable
from longline.model.devices import JsonObject
from longline.sdk.answers import (
    Accepted,
    Audience,
    AudienceSize,
    Delivery,
    DeliveryTrace,
    MessageAccepted,
    MessageStatus,
    Priority,
    Push,
    PushReach,
    ScheduleInfo,
)
from longline.sdk.blocking.http import SyncHttp
from longline.sdk.http import ErrorBody, error_of
from longline.sdk.paths import app_path, given, message_path, quoted, schedule_path
from longline.sdk.statistics import AppStatistics, By
from longline.sdk.times import Duration, seconds


class _MessageList(msgspec.Struct):
    messages: list[MessageStatus]
    next_cursor: str | None = None


class _DeliveryList(msgspec.Struct):
    deliveries: list[Delivery]
    next_cursor: str | None = None


class _ScheduleList(msgspec.Struct):
    schedules: list[ScheduleInfo]
    next_cursor: str | None = None


class _BatchItem(msgspec.Struct):
    message_id: str | None = None
    device: str | None = None
    status: Accepted = "accepted"
    targeted: int | None = None
    error: ErrorBody | None = None


class _Batch(msgspec.Struct):
    results: list[_BatchItem]


class SyncMessageCalls:
    """A part of `SyncCenter`."""

    _http: SyncHttp

    def send(
        self,
        app: str,
        payload: object,
        *,
        devices: Sequence[str] | None = None,
        aliases: Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
        group: str | None = None,
        everyone: bool = False,
        audience: Audience | None = None,
        reply: str | None = None,
        ttl: Duration | None = None,
        qos: Literal[0, 1, 2] | None = None,
        priority: Priority | None = None,
        collapse_key: str | None = None,
        label: str | None = None,
        online_only: bool | None = None,
        send_at: datetime | None = None,
        spread_over: Duration | None = None,
        idempotency_key: str | None = None,
    ) -> MessageAccepted:
        """Pushes to `devices`, to those that have one of the `aliases` or `tags`, to the members of a
        `group`, to `everyone`, to an `audience` of the contract, or in answer to what a device has sent
        (`reply`); see `Push` for the rest.

        When this returns, the server has the push on disk. The call carries an Idempotency-Key, its own
        unless one is given, so that its retries never push twice; give one to keep that promise across
        a restart of the caller.
        """
        push = Push(
            payload=payload,
            devices=devices,
            aliases=aliases,
            tags=tags,
            group=group,
            everyone=everyone,
            audience=audience,
            reply=reply,
            ttl=ttl,
            qos=qos,
            priority=priority,
            collapse_key=collapse_key,
            label=label,
            online_only=online_only,
            send_at=send_at,
            spread_over=spread_over,
        )
        return self.send_push(app, push, idempotency_key=idempotency_key)

    def send_push(
        self, app: str, push: Push | Mapping[str, object], *, idempotency_key: str | None = None
    ) -> MessageAccepted:
        """Makes a push that is a `Push`, or an object of the API, as `send` does."""
        path = f"{app_path(app)}/messages"
        return self._http.keyed(path, MessageAccepted, _body(push), idempotency_key)

    def check(self, app: str, push: Push | Mapping[str, object]) -> PushReach:
        """Checks a push as `send` would, counts whom it would reach, and sends nothing."""
        path, params = f"{app_path(app)}/messages", {"validate": "true"}
        return self._http.call("POST", path, PushReach, body=_body(push), params=params, safe=True)

    def send_batch(
        self, app: str, pushes: Iterable[Push | Mapping[str, object]], *, idempotency_key: str | None = None
    ) -> list[MessageAccepted | LonglineError]:
        """Makes up to 1000 pushes in one request, as `send_push` does; one result for each, in order."""
        body: JsonObject = {"messages": [_body(push) for push in pushes]}
        batch = self._http.keyed(f"{app_path(app)}/messages:batch", _Batch, body, idempotency_key)
        return [_outcome(item) for item in batch.results]

    def statistics(
        self, app: str, *, since: datetime | None = None, until: datetime | None = None, by: By = "hour"
    ) -> AppStatistics:
        """What was counted in each hour, or day, of UTC: the latest 24, or 30, unless it is said.

        `since` and `until` are aware of their time zone.
        """
        params = {"by": by} | {
            name: at.isoformat() for name, at in (("from", since), ("to", until)) if at is not None
        }
        path = f"{app_path(app)}/statistics"
        return self._http.call("GET", path, AppStatistics, params=params, safe=True)

    def estimate(self, app: str, audience: Audience) -> AudienceSize:
        """Counts the devices of an audience; of a large one it is estimated who is connected."""
        path = f"{app_path(app)}/audiences:estimate"
        return self._http.call("POST", path, AudienceSize, body={"audience": audience}, safe=True)

    def message(self, app: str, message_id: str) -> MessageStatus:
        """Where the push stands, with its ledger. Raises `MessageNotFound`."""
        return self._http.call("GET", message_path(app, message_id), MessageStatus, safe=True)

    def messages(
        self,
        app: str,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        status: Literal["accepted", "delivering", "done"] | None = None,
        label: str | None = None,
        missed: bool | None = None,
        page_size: int | None = None,
    ) -> Iterator[MessageStatus]:
        """The app's messages that match, the latest first, page by page.

        `since` and `until` are aware of their time zone. `missed`: only those of which something expired, was
        collapsed or dropped, or only others.
        """
        bounds = {name: at.isoformat() for name, at in (("from", since), ("to", until)) if at is not None}
        params: dict[str, str | int] = given(
            status=status,
            label=label,
            missed=None if missed is None else str(missed).lower(),
            limit=page_size,
        )
        for page in self._http.pages(f"{app_path(app)}/messages", _MessageList, params | bounds):
            yield from page.messages

    def deliveries(self, app: str, message_id: str) -> Iterator[Delivery]:
        """The message's ledger device by device, page by page."""
        path = f"{message_path(app, message_id)}/deliveries"
        for page in self._http.pages(path, _DeliveryList):
            yield from page.deliveries

    def trace(self, app: str, message_id: str, device: str) -> DeliveryTrace:
        """What became of the message for one device, and why. Raises `MessageNotFound`, `DeviceNotFound`, and
        `DeliveryNotFound` where it was never for this device.
        """
        path = f"{message_path(app, message_id)}/deliveries/{quoted(device)}"
        return self._http.call("GET", path, DeliveryTrace, safe=True)

    def cancel(self, app: str, message_id: str) -> MessageStatus:
        """Takes back what is not yet delivered; where the push stands after that."""
        return self._http.call("DELETE", message_path(app, message_id), MessageStatus, safe=False)

    def wait(self, app: str, message_id: str, *, within: Duration) -> MessageStatus:
        """Follows the ledger until nothing is pending; TimeoutError when that takes longer than `within`."""
        last: MessageStatus | None = None
        for status in self.follow(app, message_id, within=within):
            last = status
        assert last is not None  # for it ends with one, or raises
        return last

    def follow(self, app: str, message_id: str, *, within: Duration) -> Iterator[MessageStatus]:
        """Where the push stands, and again whenever that has changed, until nothing is pending.

        TimeoutError when that takes longer than `within`.
        """
        pause, until = 0.02, monotonic() + seconds(within)
        last: MessageStatus | None = None
        while (left := until - monotonic()) > 0:
            try:
                status = self._http.call(
                    "GET", message_path(app, message_id), MessageStatus, safe=True, within=left, until=until
                )
            except Unavailable as error:
                if monotonic() < until:
                    raise
                raise TimeoutError(f"{message_id} is not settled, and {error}") from error
            if status != last:
                yield status
            if status.ledger.pending == 0 and status.status != "scheduled":
                return
            last = status
            self._http.sleep(min(pause, max(until - monotonic(), 0.0)))
            pause = min(pause * 1.5, 1.0)
        raise TimeoutError(f"{message_id} is not settled")

    def schedule(
        self,
        app: str,
        push: Push,
        cron: str,
        *,
        timezone: str | None = None,
        idempotency_key: str | None = None,
    ) -> ScheduleInfo:
        """Has a push made at the times of a cron expression, in a time zone (UTC unless given) or in each
        `device`'s own. It carries an Idempotency-Key, as `send` does. Raises `InvalidCron`,
        `InvalidTimezone`, `QuotaExceeded`.
        """
        body: JsonObject = {"message": push.body(), "cron": cron, **given(timezone=timezone)}
        return self._http.keyed(f"{app_path(app)}/schedules", ScheduleInfo, body, idempotency_key)

    def schedules(self, app: str) -> Iterator[ScheduleInfo]:
        """The app's schedules, page by page."""
        path = f"{app_path(app)}/schedules"
        for page in self._http.pages(path, _ScheduleList):
            yield from page.schedules

    def schedule_info(self, app: str, schedule_id: str) -> ScheduleInfo:
        """A schedule with its next times. Raises `ScheduleNotFound`."""
        return self._http.call("GET", schedule_path(app, schedule_id), ScheduleInfo, safe=True)

    def pause_schedule(self, app: str, schedule_id: str) -> ScheduleInfo:
        """Has a schedule send nothing until it is resumed."""
        path = f"{schedule_path(app, schedule_id)}:pause"
        return self._http.call("POST", path, ScheduleInfo, safe=True)

    def resume_schedule(self, app: str, schedule_id: str) -> ScheduleInfo:
        """Has a schedule go on with its next time from now."""
        path = f"{schedule_path(app, schedule_id)}:resume"
        return self._http.call("POST", path, ScheduleInfo, safe=True)

    def delete_schedule(self, app: str, schedule_id: str) -> None:
        """Deletes a schedule; what it has sent stays sent."""
        self._http.call("DELETE", schedule_path(app, schedule_id), object, safe=False)


def _body(push: Push | Mapping[str, object]) -> JsonObject:
    return push.body() if isinstance(push, Push) else dict(push)


def _outcome(item: _BatchItem) -> MessageAccepted | LonglineError:
    if item.error is not None:
        return error_of(item.error)
    if item.message_id is None:
        raise LonglineError("a result of the batch is neither a message nor an error")
    return MessageAccepted(message_id=item.message_id, status=item.status, targeted=item.targeted)
