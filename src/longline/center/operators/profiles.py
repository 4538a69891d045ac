"""Operations on profiles of processes: taken by the node that they are of, kept in the store."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from uuid import UUID

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from longline.center.gate.sharing import TICKET, Ticket
from longline.center.operators.orders import watched
from longline.center.operators.profile_orders import ORDERS, OUTCOMES, ProfileOrder, order_in, outcome_in
from longline.center.operators.profile_shapes import (
    DifferenceQuery,
    FormatQuery,
    FrameDifference,
    ProfileDifference,
    ProfileInfo,
    ProfileList,
    ProfilesQuery,
    ProfileWithContent,
    TakeQuery,
)
from longline.center.requests.answers import answer
from longline.center.requests.operations import Operation, for_admin
from longline.center.requests.paging import after_name, cursor_after
from longline.center.requests.reading import Query
from longline.center.requests.times import moment, rfc3339
from longline.center.service import CenterService
from longline.delivery.ids import MessageIds, least_id
from longline.errors import (
    BadRequest,
    Conflict,
    LonglineError,
    NodeNotFound,
    NodeSilent,
    ProfileFailed,
    ProfileNotFound,
    ProfilesDiffer,
    ProfileUnderWay,
    ProfileUnreadable,
    Unavailable,
)
from longline.keeper.port import Keeper, nodes_among
from longline.model.profiles import ProcessProfile, ProfileChoice, ProfileHead
from longline.profiling.comparing import FrameChange, compare
from longline.profiling.content import CpuContent, unpack
from longline.profiling.pprof import MEDIA_TYPE as PPROF
from longline.profiling.pprof import pprof
from longline.profiling.speedscope import MEDIA_TYPE as SPEEDSCOPE
from longline.profiling.speedscope import speedscope
from longline.profiling.weighted import weighted
from longline.saver.port.profiles import ProfileStore

PATIENCE: Final = 25.0  # s beyond those that it takes: py-spy reads the symbols of every library first
PLACINGS: Final = 3  # of an order, while what is in its place changes


def operations(center: CenterService) -> list[Operation]:
    """The rows of profiles."""
    handlers = _Handlers(center.saver.profiles, center.keeper, center.clock, center.ready)
    keys, one, tag = center.keys, "/v1/profiles/{profile}", "operators"
    return [
        Operation(
            "GET",
            "/v1/nodes/{node}/profile",
            for_admin(keys, handlers.take, query=True),
            tag,
            {200: ProfileWithContent},
            query=TakeQuery,
            errors=(NodeNotFound, ProfileUnderWay, ProfileFailed, NodeSilent),
        ),
        Operation(
            "GET",
            "/v1/profiles",
            for_admin(keys, handlers.page, query=True),
            tag,
            {200: ProfileList},
            query=ProfilesQuery,
        ),
        Operation(
            "GET",
            one,
            for_admin(keys, handlers.show, query=True),
            tag,
            {200: ProfileWithContent},
            query=FormatQuery,
            errors=(ProfileNotFound, ProfileUnreadable),
        ),
        Operation(
            "GET",
            f"{one}/difference",
            for_admin(keys, handlers.difference, query=True),
            tag,
            {200: ProfileDifference},
            query=DifferenceQuery,
            errors=(ProfileNotFound, ProfileUnreadable, ProfilesDiffer),
        ),
        Operation(
            "DELETE", one, for_admin(keys, handlers.delete), tag, {204: None}, errors=(ProfileNotFound,)
        ),
    ]


class _Handlers:
    def __init__(
        self, store: ProfileStore, keeper: Keeper, clock: Callable[[], int], ready: Callable[[], bool]
    ) -> None:
        self._store = store
        self._keeper = keeper
        self._clock = clock
        self._ready = ready
        self._ids = MessageIds()
        self._asked = Query(TakeQuery)
        self._chosen = Query(ProfilesQuery)
        self._form = Query(FormatQuery)
        self._base = Query(DifferenceQuery)

    # --- taking -------------------------------------------------------------------------------------

    async def take(self, request: Request) -> Response:
        """Have a node take a profile of its process, and keep it.

        It answers when the profile is there: after `seconds`, and a little. A process takes one at a time,
        and of heaps one is taken in the whole cluster: 409 `profile_under_way`. 504 `node_silent` where the
        node does not do it, since its event loop stands still or it is away. A profile holds functions, files
        and lines, and never a value.
        """
        query = self._asked.read(request)
        node = request.path_params["node"]
        await self._check_member(node)
        now = self._clock()
        order = ProfileOrder(id=self._ids.make(now), kind=query.kind, seconds=query.seconds, requested_at=now)
        version = await self._place(node, order)
        try:
            await self._wait(node, order, request.scope[TICKET])
        except BaseException:
            # Whoever asked is told that it failed: it is not to be carried out later.
            with suppress(LonglineError):
                await self._keeper.write(ORDERS + node, None, version)
            raise
        await self._forget_old_outcomes()
        return await _whole(await self._find(order.id))

    async def _check_member(self, node: str) -> None:
        if all(member.node != node for member in nodes_among(await self._keeper.members())):
            raise NodeNotFound

    async def _place(self, node: str, order: ProfileOrder) -> int:
        """Gives the node its order; the version of that. Raises `ProfileUnderWay` where it has another."""
        encoded = msgspec.json.encode(order)
        for _ in range(PLACINGS):
            kept = await self._keeper.read(ORDERS + node)
            present = order_in(kept)
            outcome = outcome_in(await self._keeper.read(OUTCOMES + node))
            if present is not None and (outcome is None or outcome.id != present.id):
                over = present.requested_at + 1000 * (present.seconds + PATIENCE)
                if order.requested_at < over:
                    break
            # The node takes an order away only after its outcome is told: that it did so just now, and no
            # other order, may be what has come between.
            with suppress(Conflict):
                return await self._keeper.write(ORDERS + node, encoded, 0 if kept is None else kept.version)
        raise ProfileUnderWay(retry_after=1.0)

    async def _wait(self, node: str, order: ProfileOrder, ticket: Ticket) -> None:
        """Until the profile is in the store; raises what went wrong instead. It asks nobody meanwhile: the
        keeper tells when something has changed."""
        watch = self._watch(node, order.id)
        try:
            await watched(watch, order.seconds + PATIENCE, ticket, "center.profile")
        except TimeoutError:
            raise (NodeSilent() if self._ready() else Unavailable("this process is about to end")) from None

    async def _watch(self, node: str, id: str) -> None:
        seen = 0
        while self._ready():
            seen = await self._keeper.changed(seen)
            outcome = outcome_in(await self._keeper.read(OUTCOMES + node))
            if outcome is not None and outcome.id == id:
                if outcome.code == ProfileUnderWay.code:
                    raise ProfileUnderWay(outcome.message, retry_after=1.0)
                if outcome.code:
                    raise ProfileFailed(f"{outcome.code}: {outcome.message}")
                return
            order = order_in(await self._keeper.read(ORDERS + node))
            if (order is None or order.id != id) and await self._store.find(id) is not None:
                return  # word of the next came before we looked
            if all(member.node != node for member in await self._keeper.members()):
                raise NodeSilent("the node is no member any more")

    async def _forget_old_outcomes(self) -> None:
        members = {member.node for member in await self._keeper.members()}
        for prefix in (ORDERS, OUTCOMES):
            for key in await self._keeper.read_all(prefix):
                if key.removeprefix(prefix) not in members:
                    with suppress(LonglineError):
                        await self._keeper.write(key, None)

    # --- those that are kept ------------------------------------------------------------------------

    async def page(self, request: Request) -> Response:
        """List the profiles that are kept, of all nodes, the latest first."""
        query = self._chosen.read(request)
        before = "" if query.cursor is UNSET else _id_in(query.cursor)
        if query.to is not UNSET:
            until = least_id(moment(query.to, "to"))
            before = min(before, until) if before else until
        choice = ProfileChoice(
            node="" if query.node is UNSET else query.node,
            kind="" if query.kind is UNSET else query.kind,
            least=least_id(0 if query.from_ is UNSET else moment(query.from_, "from")),
            before=before,
        )
        found = await self._store.latest(choice, query.limit + 1)
        shown = found[: query.limit]
        more = len(found) > len(shown)
        return answer(ProfileList([_info(head) for head in shown], _cursor(shown[-1].id) if more else None))

    async def show(self, request: Request) -> Response:
        """Show a profile, or download it for another tool."""
        form = self._form.read(request).format
        found = await self._find(request.path_params["profile"])
        if form == "json":
            return await _whole(found)
        written = await asyncio.to_thread(_written, found, form)
        name = f"{found.head.node}-{found.head.kind}-{found.head.id}.{_SUFFIXES[form]}"
        return Response(
            written,
            media_type=SPEEDSCOPE if form == "speedscope" else PPROF,
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    async def difference(self, request: Request) -> Response:
        """Compare a profile with another one, which may be of another node or version."""
        base = await self._find(self._base.read(request).base)
        found = await self._find(request.path_params["profile"])
        changes = await asyncio.to_thread(lambda: compare(unpack(base.content), unpack(found.content)))
        return answer(
            ProfileDifference(
                _info(base.head), _info(found.head), [_difference(change) for change in changes]
            )
        )

    async def delete(self, request: Request) -> Response:
        """Delete a profile."""
        if not await self._store.delete(request.path_params["profile"]):
            raise ProfileNotFound
        return Response(status_code=204)

    async def _find(self, id: str) -> ProcessProfile:
        found = await self._store.find(id)
        if found is None:
            raise ProfileNotFound
        return found


_MOST_DIGITS: Final = len(str(1 << 128))
_SUFFIXES: Final = {"speedscope": "speedscope.json", "pprof": "pb.gz"}


def _cursor(id: str) -> str:
    """Holds a number, as those of most lists do."""
    return cursor_after(UUID(id).int)


def _id_in(cursor: str) -> str:
    """The id of the last profile of the page before; `BadRequest`."""
    digits = after_name(cursor)
    if digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS:
        number = int(digits)
        if number < 1 << 128:
            return str(UUID(int=number))
    field = ("cursor", "not a cursor of this list")
    raise BadRequest("the cursor is not one that this list gave", details=[field])


def _written(profile: ProcessProfile, form: str) -> bytes:
    head, content = profile.head, unpack(profile.content)
    stacks = weighted(content)
    if form == "speedscope":
        return speedscope(stacks, f"{head.node} {head.version} {rfc3339(head.at)}")
    rate = content.rate if isinstance(content, CpuContent) else 0
    return pprof(stacks, at=head.at, seconds=head.seconds, rate=rate)


async def _whole(found: ProcessProfile) -> Response:
    content = await asyncio.to_thread(unpack, found.content)
    info = _info(found.head)
    fields = {name: getattr(info, name) for name in ProfileInfo.__struct_fields__}
    return answer(ProfileWithContent(**fields, content=content))


def _info(head: ProfileHead) -> ProfileInfo:
    return ProfileInfo(
        profile=head.id,
        node=head.node,
        host=head.host,
        version=head.version,
        kind=head.kind,
        at=rfc3339(head.at),
        seconds=head.seconds,
        size=head.size,
    )


def _difference(change: FrameChange) -> FrameDifference:
    return FrameDifference(
        frame=change.frame,
        base_share=change.base_share,
        share=change.share,
        change=round(change.share - change.base_share, 6),
        place=change.place,
    )
