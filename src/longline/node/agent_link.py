"""An agent's link to the cluster: it is a member, tells what it keeps, and takes orders.

What it tells is a value in the keeper, written when it has changed and at most twice a second. It stays when
the agent is killed; that the agent is there, its membership says, which ends by itself. An order is for one
life of an agent, so none is carried out by an agent that was away when it was given.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import msgspec
import structlog

from longline.agent.agent import Agent
from longline.agent.restart import AgentRestart
from longline.center.operators.agent_orders import ORDERS, STATUSES, order_in, status_in
from longline.errors import AgentSilent, Conflict, Fenced, LonglineError
from longline.keeper.port import AGENT, Keeper, Node
from longline.model.agents import (
    ORDER_TTL,
    AgentOrder,
    AgentStatus,
    OrderAnswer,
    ProcessStatus,
    RestartStatus,
)
from longline.model.nodes import unique
from longline.model.times import wall_clock
from longline.telemetry.faults import Faults
from longline.version import VERSION

ANSWERS: Final = 8  # to the latest orders, which centers may still wait for
LOOK_EVERY: Final = 5.0  # s, at whether it is a member, also when the keeper tells of no change
NEWS: Final = 3.0  # s until it must have heard of its own joining
RETRY_AFTER: Final = 1.0  # s
FORGET_AFTER: Final = 86_400_000  # ms: what agents have told that never came back

log = structlog.get_logger("longline.agent")


class AgentLink:
    """Owned by the host's process, which runs `run` and `carry_out` as tasks and has the agent `tell`."""

    def __init__(
        self,
        name: str,
        keeper: Keeper,
        faults: Faults,
        *,
        clock: Callable[[], int] = wall_clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._keeper = keeper
        self._faults = faults
        self._clock = clock
        self._monotonic = monotonic
        self._since = clock()
        self._member = ""
        self._joined_at = float("-inf")
        self._answers: tuple[OrderAnswer, ...] = ()
        self._begun: asyncio.Queue[AgentRestart] = asyncio.Queue(1)
        self._former: RestartStatus | None = None

    async def open(self) -> None:
        """Learns what a former life has left: a restart that it did not finish is told as interrupted."""
        former = status_in(await self._keeper.read(STATUSES + self._name))
        if former is not None and former.restart is not None:
            self._former = former.restart
            if former.restart.under_way:
                self._former = msgspec.structs.replace(
                    former.restart,
                    state="interrupted",
                    ended_at=self._clock(),
                    reason="the agent was gone; all processes were started anew with it",
                )

    async def tell(self, processes: Sequence[ProcessStatus], restart: RestartStatus | None) -> None:
        """Tells the cluster; without any process that there is no agent any more."""
        status = AgentStatus(
            agent=self._name,
            member=self._member,
            version=VERSION,
            since=self._since,
            told_at=self._clock(),
            processes=tuple(processes),
            restart=restart or self._former,
            answers=self._answers,
        )
        key = STATUSES + self._name
        await self._keeper.write(key, msgspec.json.encode(status) if processes else None)

    async def run(self, agent: Agent) -> None:
        """Is a member, and takes orders, for as long as the process lives."""
        seen, tidied = 0, False
        while True:
            try:
                await self._attend(agent)
                await self._take_order(agent)
                if not tidied:
                    await self._forget_others()
                    tidied = True
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        seen = await self._keeper.changed(seen)
            except LonglineError as error:
                log.warning("agent_not_linked", code=error.code, error=error.message)
                await asyncio.sleep(RETRY_AFTER)
            except Exception as error:
                self._faults.note("agent.link", error)
                await asyncio.sleep(RETRY_AFTER)

    async def carry_out(self, agent: Agent) -> None:
        """Carries out the rolling restarts that were ordered, for as long as the process lives."""
        while True:
            await agent.carry_out(await self._begun.get())

    # --- membership -------------------------------------------------------------------------------

    async def _attend(self, agent: Agent) -> None:
        """Becomes a member, again under another name where the others took it for dead."""
        keeper = self._keeper
        if self._joined_at > float("-inf"):
            listed = any(member.node == self._member for member in await keeper.members())
            if listed or not keeper.in_touch() or self._monotonic() - self._joined_at < NEWS:
                return
            log.warning("agent_taken_for_dead", member=self._member)
            with suppress(LonglineError):
                await keeper.leave(self._member)
            self._member = ""
        self._joined_at = float("-inf")
        self._member = self._member or unique(f"agent-{self._name}")
        try:
            await keeper.join(
                Node(
                    node=self._member,
                    roles=(AGENT,),
                    addresses={},
                    since=self._since,
                    version=VERSION,
                    host=self._name,
                )
            )
        except (Conflict, Fenced):
            self._member = ""
            raise
        self._joined_at = self._monotonic()
        agent.ring()

    # --- orders -----------------------------------------------------------------------------------

    async def _take_order(self, agent: Agent) -> None:
        key = ORDERS + self._name
        kept = await self._keeper.read(key)
        if kept is None:
            return
        try:
            # Before anything is done: who dies now leaves nothing behind that is done a second time.
            await self._keeper.write(key, None, kept.version)
        except Conflict:
            return  # it was taken back, or what we have read is old
        order = order_in(kept)
        if order is None:
            log.warning("agent_order_not_read")
            return
        try:
            self._obey(agent, order)
        except LonglineError as error:
            answer = OrderAnswer(order.id, error.code, error.message)
        else:
            answer = OrderAnswer(order.id)
        log.info("agent_ordered", kind=order.kind, order=order.id, by=order.by, code=answer.code)
        self._answers = (*self._answers, answer)[-ANSWERS:]
        agent.ring()

    def _obey(self, agent: Agent, order: AgentOrder) -> None:
        if order.member != self._member or self._clock() - order.requested_at > ORDER_TTL:
            raise AgentSilent("the order came too late, or the clocks of the hosts differ")
        if order.kind == "cancel":
            agent.cancel()
        else:
            self._begun.put_nowait(agent.begin(order.processes, id=order.id, by=order.by))

    async def _forget_others(self) -> None:
        """Of agents that have been away for a day nothing is kept any more."""
        keeper = self._keeper
        members = {member.node for member in await keeper.members()}
        for key, kept in (await keeper.read_all(STATUSES)).items():
            status = status_in(kept)
            name = key.removeprefix(STATUSES)
            away = status is None or status.member not in members
            old = status is None or self._clock() - status.told_at > FORGET_AFTER
            if away and old and name != self._name:
                with suppress(Conflict):
                    await keeper.write(key, None, kept.version)
                    await keeper.write(ORDERS + name, None)
