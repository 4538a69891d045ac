"""Operations on groups for chat: who is a member, and what was said."""

from collections.abc import Callable, Sequence
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from longline.center.requests.answers import answer
from longline.center.requests.long_lists import ROW, Rows
from longline.center.requests.operations import AppOperations, Operation
from longline.center.requests.paging import after_name, cursor_after
from longline.center.requests.reading import Body, Query
from longline.center.requests.times import rfc3339
from longline.center.service import CenterService
from longline.center.shapes import MAX_PAGE, Cursor, DeviceName, DeviceNames, MessageId, PageQuery, Strict
from longline.delivery.event_views import Time, text_or_base64
from longline.delivery.limits import LimitsOfApps
from longline.errors import DeviceNotFound, GroupNotFound, GroupTooLarge, QuotaExceeded, TooManyGroups
from longline.model.apps import App
from longline.model.devices import Device, check_device_names
from longline.model.groups import ChatGroup, Saying, check_group_name
from longline.register.port import Register
from longline.saver.port.devices import DeviceStore
from longline.saver.port.groups import GroupStore

AT_ONCE = 1000  # devices that a store is asked about together
TOLD = 20  # names in an error
MAX_MEMBERS = 1_000_000  # of a group in one request, whatever the settings are
MAX_SEQUENCE = (1 << 53) - 1  # the largest integer that every JSON reader has exactly


class GroupSummary(Struct, frozen=True):
    """A group for chat, without its members."""

    group: str
    created_at: Time
    sequence: Annotated[int, Meta(description="Of the latest message; 0 when there was none.")]
    size: Annotated[int, Meta(description="How many members it has.")]


class GroupView(GroupSummary, frozen=True):
    """A group for chat, who is a member, and which of them are connected; by name."""

    members: list[str]
    online: list[str]


class GroupList(Struct, frozen=True):
    """A page of groups, by name."""

    groups: list[GroupSummary]
    next_cursor: Cursor


class MembersAdded(Struct, frozen=True):
    """How many members are new, and how many there are."""

    added: int
    size: int


class MembersRemoved(Struct, frozen=True):
    """How many were members, and how many are left."""

    removed: int
    size: int


class SayingView(Struct, frozen=True, omit_defaults=True):
    """What was said in a group."""

    sequence: int
    message_id: MessageId
    sender: Annotated[str | None, Meta(description="The member who said it; null: the app server.")]
    at: Time
    content_type: str
    payload: Annotated[str | UnsetType, Meta(description="What was said, where it is UTF-8.")] = UNSET
    payload_base64: Annotated[str | UnsetType, Meta(description="What was said, else.")] = UNSET


class GroupHistory(Struct, frozen=True):
    """What was said in a group, in its order. `sequence`: that of its latest message.

    `next_after` goes on behind this page; null: there is no more. Where the first message is not the one
    after `after`, those between are not kept any more.
    """

    messages: list[SayingView]
    sequence: int
    next_after: int | None


class GroupBody(Strict, frozen=True):
    """Who is to be in a group."""

    members: (
        Annotated[
            list[DeviceName],
            Meta(
                max_length=MAX_MEMBERS,
                description="Exactly these from now on. Absent: who is there stays.",
                examples=[["d1", "d2"]],
            ),
        ]
        | UnsetType
    ) = UNSET


class MembersBody(Strict, frozen=True):
    """Who comes into a group, or leaves it."""

    members: DeviceNames


class HistoryQuery(Strict, frozen=True):
    """Which part of what was said in a group."""

    after: Annotated[
        int, Meta(ge=0, le=MAX_SEQUENCE, description="The sequence behind which to begin.", examples=[0])
    ] = 0
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE, description="Messages, at most.")] = 100


def operations(center: CenterService) -> list[Operation]:
    """The rows of groups."""
    saver = center.saver
    handlers = _Handlers(
        saver.groups, saver.devices, center.register, center.limits, center.rows, center.clock
    )
    every, one = "/v1/apps/{app}/groups", "/v1/apps/{app}/groups/{group}"
    missing = (GroupNotFound,)
    changing = (GroupNotFound, DeviceNotFound, GroupTooLarge, TooManyGroups)
    operation = AppOperations(center.keys, "groups")
    return [
        operation(
            "GET",
            f"{one}/messages",
            handlers.history,
            {200: GroupHistory},
            query=HistoryQuery,
            errors=missing,
        ),
        operation(
            "POST", f"{one}/members:add", handlers.add, {200: MembersAdded}, body=MembersBody, errors=changing
        ),
        operation(
            "POST",
            f"{one}/members:remove",
            handlers.remove,
            {200: MembersRemoved},
            body=MembersBody,
            errors=missing,
        ),
        operation(
            "PUT",
            one,
            handlers.put,
            {200: GroupView, 201: GroupView},
            body=GroupBody,
            body_required=False,
            errors=(*changing, QuotaExceeded),
        ),
        operation("GET", one, handlers.get, {200: GroupView}, errors=missing),
        operation("DELETE", one, handlers.delete, {204: None}, errors=missing),
        operation("GET", every, handlers.page, {200: GroupList}, query=PageQuery),
    ]


class _Handlers:
    def __init__(
        self,
        groups: GroupStore,
        devices: DeviceStore,
        register: Register,
        limits: LimitsOfApps,
        rows: Rows,
        clock: Callable[[], int],
    ) -> None:
        self._groups = groups
        self._devices = devices
        self._register = register
        self._limits = limits
        self._rows = rows
        self._clock = clock
        self._group = Body(GroupBody, default=GroupBody())
        self._members = Body(MembersBody)
        self._history = Query(HistoryQuery)
        self._page = Query(PageQuery)

    async def put(self, request: Request, app: App) -> Response:
        """Make a group, or say who is in it from now on.

        201 when it is new, 200 when it was there. Of members who leave, what waits for them of the group is
        dropped as `left_group`. Who comes gets what is said from then on.
        """
        name = request.path_params["group"]
        check_group_name(name, "group")
        body = await self._group.read(request)
        wanted: list[int] | None = None
        if body.members is not UNSET:
            wanted = await self._ordinals(app, body.members)
        now = self._clock()
        made = await self._groups.put(app.number, name, now, self._limits.of(app).groups)
        if wanted is not None:
            there = await self._groups.members(app.number, name) or []
            gone = {member.ordinal for member in there}.difference(wanted)
            await self._groups.change(app.number, name, wanted, sorted(gone), now)
        return answer(await self._view(app, name), 201 if made else 200)

    async def get(self, request: Request, app: App) -> Response:
        """Show a group: who is a member, and which of them are connected."""
        return answer(await self._view(app, request.path_params["group"]))

    async def delete(self, request: Request, app: App) -> Response:
        """Delete a group, with what was said in it.

        What waits for its members is dropped as `group_deleted`.
        """
        if not await self._groups.delete(app.number, request.path_params["group"], self._clock()):
            raise GroupNotFound
        return Response(status_code=204)

    async def page(self, request: Request, app: App) -> Response:
        """List groups, by name."""
        query = self._page.read(request)
        after = after_name(None if query.cursor is UNSET else query.cursor)
        groups = await self._groups.page(app.number, after, query.limit + 1)
        page = groups[: query.limit]
        shown = await self._rows.each(app.number, page, lambda group: GroupSummary(*_info(group)))
        return answer(GroupList(shown, cursor_after(page[-1].group) if len(groups) > len(page) else None))

    async def add(self, request: Request, app: App) -> Response:
        """Take devices into a group. Who is a member stays one.

        They get what is said in the group from then on. All of them have to exist, or nobody is taken in.
        """
        ordinals = await self._ordinals(app, (await self._members.read(request)).members)
        changed = await self._groups.change(
            app.number, request.path_params["group"], ordinals, (), self._clock()
        )
        return answer(MembersAdded(changed.added, changed.members))

    async def remove(self, request: Request, app: App) -> Response:
        """Take devices out of a group. Who is not a member is none afterwards either.

        What waits for them of the group is dropped as `left_group`.
        """
        names = (await self._members.read(request)).members
        check_device_names(names, "members")
        found = [device.ordinal for device in await self._found(app, names) if device is not None]
        changed = await self._groups.change(
            app.number, request.path_params["group"], (), found, self._clock()
        )
        return answer(MembersRemoved(changed.removed, changed.members))

    async def history(self, request: Request, app: App) -> Response:
        """Show what was said in a group, in the order of its sequence.

        The latest `groups.history_messages` messages are kept, for `groups.history_age` at most.
        """
        query, name = self._history.read(request), request.path_params["group"]
        group = await self._groups.find(app.number, name)
        said = await self._groups.history(app.number, name, query.after, query.limit + 1, self._clock())
        if group is None or said is None:
            raise GroupNotFound
        page = said[: query.limit]
        shown = await self._rows.each(app.number, page, _saying, _size)
        more = len(said) > len(page)
        sequence = max(group.sequence, said[-1].sequence if said else 0)
        return answer(GroupHistory(shown, sequence, page[-1].sequence if more else None))

    async def _view(self, app: App, name: str) -> GroupView:
        group = await self._groups.find(app.number, name)
        members = await self._groups.members(app.number, name)
        if group is None or members is None:
            raise GroupNotFound
        names = [member.device for member in members]
        online: list[str] = []
        for start in range(0, len(names), AT_ONCE):
            some = names[start : start + AT_ONCE]
            bindings = await self._register.locate(app.number, some)
            online += [name for name, binding in zip(some, bindings, strict=True) if binding is not None]
        name, created_at, sequence, _ = _info(group)
        return GroupView(name, created_at, sequence, len(names), names, online)

    async def _ordinals(self, app: App, names: Sequence[str]) -> list[int]:
        """Those of devices, all of which have to exist."""
        check_device_names(names, "members")
        names = list(dict.fromkeys(names))
        found = await self._found(app, names)
        missing = [name for name, device in zip(names, found, strict=True) if device is None]
        if missing:
            raise DeviceNotFound(
                f"{len(missing)} of these devices do not exist: {', '.join(missing[:TOLD])}",
                details=[("members", f"{name}: no such device") for name in missing[:TOLD]],
            )
        return [device.ordinal for device in found if device is not None]

    async def _found(self, app: App, names: Sequence[str]) -> list[Device | None]:
        found: list[Device | None] = []
        for start in range(0, len(names), AT_ONCE):
            found += await self._devices.find(app.number, names[start : start + AT_ONCE])
        return found


def _info(group: ChatGroup) -> tuple[str, str, int, int]:
    return group.group, rfc3339(group.created_at), group.sequence, group.members


def _size(saying: Saying) -> int:
    """How many rows a message is worth."""
    return 1 + len(saying.payload) // ROW


def _saying(saying: Saying) -> SayingView:
    return SayingView(
        saying.sequence,
        saying.message_id,
        saying.sender,
        rfc3339(saying.at),
        saying.content_type,
        *text_or_base64(saying.payload),
    )
