"""Operations on what was: lists of messages, of an app and of a device.

A page of such a list looks at a bounded number of messages, however few of them are asked for.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Literal, Protocol, TypeVar

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from longline.center.messages.statuses import STATES, DeliveryState, MessageStatus, listed_view, status_of
from longline.center.requests.answers import answer
from longline.center.requests.long_lists import Rows
from longline.center.requests.operations import Operation, for_app
from longline.center.requests.paging import after_message, cursor_after
from longline.center.requests.reading import Query
from longline.center.requests.times import moment, rfc3339, rfc3339_or_none
from longline.center.service import CenterService
from longline.center.shapes import Cursor, MessageId, MomentText, PageQuery, ShortText
from longline.delivery.event_views import Time
from longline.delivery.ids import least_id
from longline.errors import DeviceNotFound
from longline.model.apps import App
from longline.model.ledger import Ledger, in_words
from longline.saver.port.devices import DeviceStore
from longline.saver.port.ledgers import DeviceRecord, LedgerStore, Listed, MessagesAsked

ROUNDS = 5  # looks at the store that one page takes, when few of the messages are wanted
WORK = 10_000  # after so much, as the store counts it, there is no other look
MAX_MESSAGES = 100  # in a page of a list

Word = Annotated[str, Meta(description="Its sender's word for it.", examples=["goals"])]


class MessageList(Struct, frozen=True):
    """A page of messages, the latest first. It may be short, or empty, though there is a next one."""

    messages: list[MessageStatus]
    next_cursor: Cursor


class DeviceMessageView(Struct, frozen=True, omit_defaults=True):
    """A message and where it stands for one device; null for what has not happened.

    Of a message to everyone or to an expression, `sent_at` and `settled_at` are not known.
    """

    message_id: MessageId
    state: DeliveryState
    reason: Annotated[str | None, Meta(description="Why it was dropped.")]
    why: Annotated[str, Meta(description="What that means, for people.")]
    accepted_at: Time
    sent_at: Time | None
    settled_at: Time | None
    label: Word | UnsetType = UNSET


class DeviceMessageList(Struct, frozen=True):
    """A page of a device's messages, the latest first. It may be short though there is a next one."""

    messages: list[DeviceMessageView]
    next_cursor: Cursor


class MessageQuery(PageQuery, frozen=True, rename={"from_": "from"}):
    """Which messages, and which page of them."""

    from_: Annotated[MomentText | UnsetType, Meta(description="Those that were handed in then or later.")] = (
        UNSET
    )
    to: Annotated[MomentText | UnsetType, Meta(description="Those that were handed in before then.")] = UNSET
    status: Literal["accepted", "delivering", "done"] | UnsetType = UNSET
    label: Annotated[
        ShortText | UnsetType, Meta(description="Those whose `options.label` is this.", examples=["goals"])
    ] = UNSET
    missed: Annotated[
        bool | UnsetType,
        Meta(description="Those of which something expired, was collapsed or dropped; or nothing was."),
    ] = UNSET
    limit: Annotated[int, Meta(ge=1, le=MAX_MESSAGES, description="Items in a page, at most.")] = MAX_MESSAGES


class DeviceMessageQuery(PageQuery, frozen=True):
    """Which messages of a device, and which page of them."""

    state: Literal["pending", "acked", "expired", "collapsed", "dropped"] | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=MAX_MESSAGES, description="Items in a page, at most.")] = MAX_MESSAGES


def operations(center: CenterService) -> list[Operation]:
    """The rows of lists of messages."""
    handlers = _Handlers(center.saver.ledgers, center.saver.devices, center.rows)
    return [
        Operation(
            "GET",
            "/v1/apps/{app}/messages",
            for_app(center.keys, handlers.latest, query=True),
            "messages",
            {200: MessageList},
            query=MessageQuery,
        ),
        Operation(
            "GET",
            "/v1/apps/{app}/devices/{device}/messages",
            for_app(center.keys, handlers.of_device, query=True),
            "devices",
            {200: DeviceMessageList},
            query=DeviceMessageQuery,
            errors=(DeviceNotFound,),
        ),
    ]


class _Row(Protocol):
    @property
    def message_id(self) -> str: ...


T = TypeVar("T", bound=_Row)

# What is before an id, at most so many of it: rows, rest, work.
_Look = Callable[[str | None, int], Awaitable[tuple[Sequence[T], str | None, int]]]


class _Handlers:
    def __init__(self, ledgers: LedgerStore, devices: DeviceStore, rows: Rows) -> None:
        self._ledgers = ledgers
        self._devices = devices
        self._rows = rows
        self._latest = Query(MessageQuery)
        self._of_device = Query(DeviceMessageQuery)

    async def latest(self, request: Request, app: App) -> Response:
        """List messages, the latest first, in the order in which they were handed in.

        `from` and `to` go by when that was, also of a message that was sent later. One whose time has not
        come is not listed. A page looks at a bounded number of messages: with a `status`, a `label` or
        `missed` that few have, it may be short or empty, and `next_cursor` leads on.
        """
        query = self._latest.read(request)
        before = after_message(None if query.cursor is UNSET else query.cursor)
        least = None if query.from_ is UNSET else least_id(moment(query.from_, "from"))
        if query.to is not UNSET:
            until = least_id(moment(query.to, "to"))
            before = until if before is None else min(before, until)
        asked = MessagesAsked(least=least, label=None if query.label is UNSET else query.label)
        all_are_wanted = query.status is UNSET and query.missed is UNSET

        async def look(before: str | None, most: int) -> tuple[Sequence[Listed], str | None, int]:
            limit = query.limit if all_are_wanted else most
            page = await self._ledgers.latest(
                app.number, msgspec.structs.replace(asked, before=before, limit=limit)
            )
            return page.messages, page.rest, page.work

        def is_wanted(each: Listed) -> bool:
            return (query.status is UNSET or query.status == status_of(each.ledger)) and (
                query.missed is UNSET or query.missed == _is_missed(each.ledger)
            )

        found, rest = await _wanted(look, is_wanted, before, query.limit)
        shown = await self._rows.each(app.number, found, listed_view)
        return answer(MessageList(shown, None if rest is None else cursor_after(rest)))

    async def of_device(self, request: Request, app: App) -> Response:
        """List the messages for a device, the latest first, with what became of each.

        With `state=pending`, those that are kept for it until it comes. A page looks at a bounded number of
        the app's messages: where few of them are for this device, or have the `state`, it may be short or
        empty, and `next_cursor` leads on.
        """
        query = self._of_device.read(request)
        before = after_message(None if query.cursor is UNSET else query.cursor)
        (device,) = await self._devices.find(app.number, [request.path_params["device"]])
        if device is None:
            raise DeviceNotFound
        ordinal, waiting = device.ordinal, query.state == "pending"

        async def look(before: str | None, most: int) -> tuple[Sequence[DeviceRecord], str | None, int]:
            page = await self._ledgers.of_device(app.number, ordinal, before, most, waiting=waiting)
            return page.messages, page.rest, page.work

        def is_wanted(each: DeviceRecord) -> bool:
            return query.state is UNSET or query.state == STATES[each.state]

        found, rest = await _wanted(look, is_wanted, before, query.limit)
        shown = await self._rows.each(app.number, found, _view)
        return answer(DeviceMessageList(shown, None if rest is None else cursor_after(rest)))


async def _wanted(
    look: _Look[T], is_wanted: Callable[[T], bool], before: str | None, limit: int
) -> tuple[list[T], str | None]:
    """A page of those that are asked for, and what the next one is before.

    Each look asks every partition of a cluster. So where few are wanted, and the first look was cheap, the
    second takes all that is left for the page.
    """
    found: list[T] = []
    most, seen, left = MAX_MESSAGES, 0, WORK
    for _ in range(ROUNDS):
        messages, rest, work = await look(before, most)
        for each in messages:
            if is_wanted(each):
                found.append(each)
                if len(found) == limit:
                    is_last = rest is None and each is messages[-1]
                    return found, None if is_last else each.message_id
        before = rest
        seen += len(messages)
        left -= work
        unseen = ROUNDS * MAX_MESSAGES - seen
        if rest is None or left <= 0 or unseen <= 0:
            break
        most = max(1, min(unseen, most * left // max(work, 1)))
    return found, before


def _is_missed(ledger: Ledger) -> bool:
    """Whether some device will not get it any more."""
    return ledger.expired + ledger.collapsed + sum(ledger.dropped.values()) > 0


def _view(row: DeviceRecord) -> DeviceMessageView:
    return DeviceMessageView(
        message_id=row.message_id,
        state=STATES[row.state],
        reason=row.reason,
        why=in_words(row.state, row.reason),
        accepted_at=rfc3339(row.accepted_at),
        sent_at=rfc3339_or_none(row.sent_at),
        settled_at=rfc3339_or_none(row.settled_at),
        label=row.label or UNSET,
    )
