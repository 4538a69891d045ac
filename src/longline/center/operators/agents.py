"""Operations on agents: what each keeps running on its host, and rolling restarts."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from longline.center.gate.sharing import TICKET, Ticket
from longline.center.operators.agent_orders import ORDERS, STATUSES, order_in, status_in
from longline.center.operators.agent_shapes import (
    AgentList,
    AgentView,
    ExitView,
    ProcessView,
    RestartRequest,
    RestartView,
)
from longline.center.operators.orders import watched
from longline.center.requests.answers import answer
from longline.center.requests.audit_entries import note
from longline.center.requests.operations import Operation, for_admin
from longline.center.requests.reading import Body
from longline.center.requests.times import rfc3339
from longline.center.service import CenterService
from longline.delivery.ids import MessageIds
from longline.errors import (
    AgentAway,
    AgentNotFound,
    AgentSilent,
    Conflict,
    LonglineError,
    NothingToCancel,
    RestartUnderWay,
    Unavailable,
    ValidationFailed,
)
from longline.keeper.port import Keeper, Node
from longline.model.agents import (
    ORDER_TTL,
    AgentOrder,
    AgentStatus,
    OrderAnswer,
    ProcessStatus,
    RestartStatus,
)

PATIENCE: Final = 10.0  # s until an agent has taken an order
PLACED_WITHIN: Final = 2.0  # s, where another order is on its way

_REFUSALS: Final[Mapping[str, type[LonglineError]]] = {
    error.code: error for error in (RestartUnderWay, NothingToCancel, AgentSilent)
}


def operations(center: CenterService) -> list[Operation]:
    """The rows of agents."""
    handlers = _Handlers(center.keeper, center.clock, center.ready)
    keys, one, tag = center.keys, "/v1/agents/{agent}", "operators"
    orders = (AgentNotFound, AgentAway, AgentSilent)
    return [
        Operation("GET", "/v1/agents", for_admin(keys, handlers.all), tag, {200: AgentList}),
        Operation(
            "POST",
            f"{one}:restart",
            for_admin(keys, handlers.restart),
            tag,
            {202: AgentView},
            body=RestartRequest,
            body_required=False,
            errors=(*orders, RestartUnderWay, ValidationFailed),
        ),
        Operation(
            "POST",
            f"{one}:cancel",
            for_admin(keys, handlers.cancel),
            tag,
            {202: AgentView},
            errors=(*orders, NothingToCancel),
        ),
        Operation("GET", one, for_admin(keys, handlers.show), tag, {200: AgentView}, errors=(AgentNotFound,)),
    ]


class _Handlers:
    def __init__(self, keeper: Keeper, clock: Callable[[], int], ready: Callable[[], bool]) -> None:
        self._keeper = keeper
        self._clock = clock
        self._ready = ready
        self._ids = MessageIds()
        self._restart = Body(RestartRequest, default=RestartRequest())

    async def all(self, request: Request) -> Response:
        """List the agents of all hosts, with the processes that they keep running.

        An agent that was killed stays in the list, as it was; after a day without it another agent that
        starts takes it off.
        """
        members = await self._members()
        told = await self._keeper.read_all(STATUSES)
        statuses = [status for _, kept in sorted(told.items()) if (status := status_in(kept))]
        return answer(AgentList([_view(status, members) for status in statuses]))

    async def show(self, request: Request) -> Response:
        """Show an agent and its processes."""
        return await self._shown(request.path_params["agent"])

    async def restart(self, request: Request) -> Response:
        """Replace an agent's processes by new ones, one after the other.

        202: the agent has begun, and `restart` shows how far it has come. New processes are started first,
        all of them, with the code and the settings that are there now; then the old ones take no new clients,
        move theirs, and end. If the new ones do not get ready within a minute, the old ones stay. 409
        `agent_away` where there is nobody to do it. 504 `agent_silent`: it did not take the order, which is
        taken back. An order is carried out once or not at all, also when this center dies.
        """
        asked = await self._restart.read(request)
        named = () if asked.processes is UNSET else asked.processes
        status = await self._present(request.path_params["agent"])
        known = {process.node for process in status.processes}
        wrong = [
            (f"processes.{n}", "no process of this agent")
            for n, name in enumerate(named)
            if name not in known
        ]
        if wrong:
            raise ValidationFailed("a process is none of this agent's", details=wrong)
        note(request, detail=", ".join(named) or "all processes")
        return await self._order(request, status, named)

    async def cancel(self, request: Request) -> Response:
        """Take a rolling restart back: its new processes end, and the old ones stay.

        That can be done until the new ones are ready. Then the old ones have begun to end, and it is 409
        `nothing_to_cancel`.
        """
        return await self._order(request, await self._present(request.path_params["agent"]), None)

    # --- what is told -------------------------------------------------------------------------------

    async def _members(self) -> dict[str, Node]:
        return {member.node: member for member in await self._keeper.members()}

    async def _find(self, name: str) -> AgentStatus:
        status = status_in(await self._keeper.read(STATUSES + name))
        if status is None:
            raise AgentNotFound
        return status

    async def _present(self, name: str) -> AgentStatus:
        """Raises `AgentAway`, where nobody would carry an order out."""
        status = await self._find(name)
        if status.member not in await self._members():
            raise AgentAway
        return status

    async def _shown(self, name: str, code: int = 200) -> Response:
        return answer(_view(await self._find(name), await self._members()), code)

    # --- orders -------------------------------------------------------------------------------------

    async def _order(
        self, request: Request, status: AgentStatus, restart: tuple[str, ...] | None
    ) -> Response:
        """Has it restart these processes, or cancel that; answers when it has said that it does."""
        ticket: Ticket = request.scope[TICKET]
        now = self._clock()
        order = AgentOrder(
            id=self._ids.make(now),
            kind="cancel" if restart is None else "restart",
            member=status.member,
            requested_at=now,
            processes=restart or (),
            by=ticket.caller.key.id if ticket.caller.key is not None else "",
        )
        version = await self._place(status.agent, order)
        try:
            said = await self._wait(status.agent, order, ticket)
        except LonglineError:
            # Whoever asked is told that it failed: it is not to be carried out later.
            await self._take_back(status.agent, version)
            raise
        except BaseException:
            with suppress(AgentSilent):
                await self._take_back(status.agent, version)
            raise
        if said.code:
            raise _REFUSALS.get(said.code, Conflict)(said.message)
        return await self._shown(status.agent, 202)

    async def _place(self, agent: str, order: AgentOrder) -> int:
        """Gives the agent its order; the version of that. Raises `RestartUnderWay` or `Conflict`.

        It has one order at a time, which it takes within moments.
        """
        keeper, key, seen = self._keeper, ORDERS + agent, 0
        with suppress(TimeoutError):
            async with asyncio.timeout(PLACED_WITHIN):
                while True:
                    if order.kind == "restart":
                        restart = (await self._find(agent)).restart
                        if restart is not None and restart.under_way:
                            raise RestartUnderWay
                    kept = await keeper.read(key)
                    other = order_in(kept)
                    if other is None or order.requested_at > other.requested_at + ORDER_TTL:
                        with suppress(Conflict):  # what we have read is old
                            return await keeper.write(
                                key, msgspec.json.encode(order), 0 if kept is None else kept.version
                            )
                    seen = await keeper.changed(seen)
        if order.kind == "restart":
            raise RestartUnderWay("another order is on its way to the agent")
        raise Conflict("another order is on its way to the agent")

    async def _wait(self, agent: str, order: AgentOrder, ticket: Ticket) -> OrderAnswer:
        """What the agent says to the order. It asks nobody meanwhile: the keeper tells of changes."""
        said = None
        with suppress(TimeoutError):
            said = await watched(self._watch(agent, order), PATIENCE, ticket, "center.agent")
        if said is not None:
            return said
        raise AgentSilent if self._ready() else Unavailable("this process is about to end")

    async def _watch(self, agent: str, order: AgentOrder) -> OrderAnswer | None:
        """None when this process is about to end."""
        seen = 0
        while self._ready():
            seen = await self._keeper.changed(seen)
            status = status_in(await self._keeper.read(STATUSES + agent))
            for said in () if status is None else status.answers:
                if said.id == order.id:
                    return said
            if order.member not in await self._members():
                raise AgentAway
        return None

    async def _take_back(self, agent: str, version: int) -> None:
        """Raises `AgentSilent` where the agent may carry it out all the same."""
        try:
            await self._keeper.write(ORDERS + agent, None, version)
        except LonglineError:
            raise AgentSilent(
                "the agent may have taken the order and has not said so: look at what it does"
            ) from None


def _view(status: AgentStatus, members: Mapping[str, Node]) -> AgentView:
    return AgentView(
        agent=status.agent,
        state="present" if status.member in members else "away",
        version=status.version,
        since=rfc3339(status.since),
        told_at=rfc3339(status.told_at),
        processes=[_process(process, members) for process in status.processes],
        restart=None if status.restart is None else _restart(status.restart),
    )


def _process(process: ProcessStatus, members: Mapping[str, Node]) -> ProcessView:
    member = members.get(process.node or "")
    last = process.last_exit
    return ProcessView(
        kind=process.kind,
        node=process.node,
        pid=process.pid or None,
        state=process.state,
        since=_time(process.since),
        restarts=process.restarts,
        last_exit=None if last is None else ExitView(rfc3339(last.at), last.reason),
        version=None if member is None else member.version,
        settings_version=None if member is None else member.settings_version,
    )


def _restart(restart: RestartStatus) -> RestartView:
    return RestartView(
        id=restart.id or None,
        by=restart.by or None,
        state=restart.state,
        total=restart.total,
        ready=restart.ready,
        replaced=restart.replaced,
        started_at=rfc3339(restart.started_at),
        ended_at=_time(restart.ended_at),
        reason=restart.reason or None,
    )


def _time(at: int) -> str | None:
    return rfc3339(at) if at else None
