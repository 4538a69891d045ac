"""Cleans up after nodes that died: their devices, their queues, their share of broadcasts.

Rooms join before they open a queue and shut the queue before they leave, so a queue whose node is no member
belongs to a node that died, or that the others take for dead. A node's name is never used again, which
makes every step final and safe to repeat. When to take one for dead, `judgement` says. First the node is
fenced, so that it can bind no device any more even if it is alive after all; then its devices begin to
linger, which gives them time to come back elsewhere without having been away; so do their MQTT sessions,
before whose end by this no will of theirs is due.
"""

import asyncio
import functools
import time
from collections.abc import Callable, Sequence

import structlog

from longline.bus.port import Bus
from longline.coordinator.judgement import Judgement
from longline.flow.contained import contained
from longline.keeper.port import Keeper
from longline.model.times import wall_clock
from longline.register.port import Register
from longline.saver.port.routing import RoutingStore
from longline.saver.port.sessions import SessionStore
from longline.telemetry.faults import Faults

BATCH = 1000

log = structlog.get_logger("longline.coordinator")


class DeadRooms:
    """`round` cleans up after one node at most. `grace`: ms that its devices linger."""

    def __init__(
        self,
        register: Register,
        routing: RoutingStore,
        sessions: SessionStore,
        bus: Bus,
        keeper: Keeper,
        faults: Faults,
        *,
        grace: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.cleaned_up = 0
        self.grace = int(grace * 1000)
        self.judgement = Judgement()
        self._monotonic = monotonic
        self._register = register
        self._routing = routing
        self._sessions = sessions
        self._bus = bus
        self._keeper = keeper
        self._faults = faults

    async def round(self) -> bool:
        """True when there may be more."""
        with_queue = await self._bus.nodes()
        members = {member.node for member in await self._keeper.members()}
        if not members or not self._keeper.in_touch():
            return False  # what is known may be old news
        silent = [node for node in with_queue if node not in members]
        living = [node for node in with_queue if node in members]
        dead = self.judgement.look(silent, living, now=self._monotonic(), age=self._keeper.age())
        if dead is None:
            return False
        await self._clean_up(dead)
        return True

    async def _clean_up(self, node: str) -> None:
        log.warning("node_died", died=node)
        await self._register.declare_dead(node)
        released = 0
        while found := await self._register.release(node, wall_clock(), self.grace, BATCH):
            released += found
            await asyncio.sleep(0)
        abandoned = 0
        while found := await self._sessions.abandon(node, wall_clock(), self.grace, BATCH):
            abandoned += found
            await asyncio.sleep(0)
        finished: set[tuple[int, str]] = set()
        while unfinished := set(await self._routing.unfinished(node, BATCH)) - finished:
            await contained(
                "coordinator.dead-rooms",
                functools.partial(self._finish, node),
                sorted(unfinished),
                self._faults,
            )
            finished = unfinished
        await self._bus.shut(node)
        self.judgement.resume(self._monotonic())
        self.cleaned_up += 1
        log.warning("node_cleaned_up", died=node, devices=released, sessions=abandoned)

    async def _finish(self, node: str, broadcasts: Sequence[tuple[int, str]]) -> None:
        for app, message_id in broadcasts:
            await self._routing.finish(app, message_id, node, wall_clock())
