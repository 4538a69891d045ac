"""Ends MQTT sessions whose time is over, and publishes the wills of clients that went without a word.

The store gives a will out under a lease: if whoever publishes it dies before it is done, another does it
again, under the same id. One with QoS 0 is given out once.
"""

import asyncio
import functools
from collections.abc import Iterable, Sequence
from typing import Final

import structlog

from longline.bus.port import Bus
from longline.delivery.acl import Acls
from longline.errors import LonglineError
from longline.flow.contained import contained
from longline.model.commands import Command, Filled, ForGroups, Forward
from longline.model.limits import AppLimits
from longline.model.pubsub import Publication
from longline.model.times import wall_clock
from longline.saver.port.apps import AppStore
from longline.saver.port.queues import LeftForGroup, Published, Queued, QueuePublication, QueueStore
from longline.saver.port.retained import Retain, RetainedStore
from longline.saver.port.sessions import DueWill, SessionStore
from longline.telemetry.faults import Faults

SESSIONS: Final = 1000  # ended in one step, so that the store is never held long
WILLS: Final = 200  # published in one step
LEFT: Final = 500  # messages of groups handed on in one step
LEASE: Final = 5000  # ms
PATIENCE: Final = 2.0  # s that a room may keep the others waiting
TRIES: Final = 3  # to tell a room
PLACE: Final = "coordinator.wills"
NO_LIMITS: Final = AppLimits()

log = structlog.get_logger("longline.coordinator")


class SessionEnds:
    """`round` ends what is due, a batch at most."""

    def __init__(self, store: SessionStore) -> None:
        self._store = store

    async def round(self) -> bool:
        """True when there may be more."""
        return await self._store.sweep(wall_clock(), SESSIONS) >= SESSIONS


class LeftOfGroups:
    """Hands on what sessions that are over have left of groups of shared subscriptions (section 4.8.2).

    The store gives it to other sessions of the group; what none of them can take goes to a room, which looks
    for a member that is connected. `round` does some of it; `handed_on` counts these messages, `lost` those
    that no room could be told of.
    """

    def __init__(self, queues: QueueStore, bus: Bus) -> None:
        self.handed_on = 0
        self.lost = 0
        self._queues = queues
        self._bus = bus

    async def round(self) -> bool:
        """True when there may be more."""
        nodes = await self._bus.nodes()
        if not nodes:
            return False
        found = await self._queues.hand_over(wall_clock(), LEFT)
        told = rooms_with((app, queued) for app, queued in found.queued)
        self.handed_on += len(found.queued) + len(found.left)
        if found.left:
            forwards = [forward_to_group(left) for left in found.left]
            told.setdefault(nodes[0], []).extend(forwards)
        for node, commands in told.items():
            if not await tell(self._bus, node, commands):
                self.lost += sum(isinstance(command, Forward) for command in commands)
        return found.more


class WillDuty:
    """`round` publishes what is due, a batch at most. `published` counts them."""

    def __init__(
        self,
        apps: AppStore,
        sessions: SessionStore,
        queues: QueueStore,
        retained: RetainedStore,
        bus: Bus,
        faults: Faults,
    ) -> None:
        self.published = 0
        self._apps = apps
        self._acls = Acls()
        self._sessions = sessions
        self._queues = queues
        self._retained = retained
        self._bus = bus
        self._faults = faults

    async def round(self) -> bool:
        """True when there may be more."""
        now = wall_clock()
        due = await self._sessions.due_wills(now, WILLS, LEASE)
        if due:
            await contained(PLACE, functools.partial(self._publish, now), due, self._faults)
            await self._sessions.published(due)
            self.published += len(due)
        return len(due) >= WILLS

    async def _allowed(self, due: Sequence[DueWill]) -> Sequence[tuple[DueWill, AppLimits]]:
        """Those that their apps' rules allow by now, which may not be those of the CONNECT; and the limits of
        these apps."""
        numbers = list({item.app for item in due})
        found = dict(zip(numbers, await self._apps.numbered(numbers), strict=True))
        allowed = []
        for item in due:
            app = found[item.app]
            acl = None if app is None else self._acls.of(app)
            if acl is None or acl.may_publish(item.device, item.will.topic):
                allowed.append((item, NO_LIMITS if app is None else app.limits))
        return allowed

    async def _publish(self, now: int, due: Sequence[DueWill]) -> None:
        allowed = await self._allowed(due)
        if not allowed:
            return
        due = [item for item, _ in allowed]
        publications = [publication_of(item, now) for item in due]
        given = list(zip(due, publications, strict=True))
        retain = [
            Retain(item.app, publication, now, own.retained_messages or 0, own.retained_bytes or 0)
            for (item, own), publication in zip(allowed, publications, strict=True)
            if publication.retain
        ]
        if retain:
            await self._retained.keep(retain)
        queue = [
            QueuePublication(item.app, publication, now, item.device)
            for item, publication in given
            if publication.qos
        ]
        answers = await self._queues.publish(queue) if queue else []
        nodes = await self._bus.nodes()
        commands: dict[str, list[Command]] = {
            node: [forward_of(item.app, publication, decides=node == nodes[0]) for item, publication in given]
            for node in nodes
        }
        for node, filled in rooms_of(queue, answers).items():
            commands.setdefault(node, []).extend(filled)
        await asyncio.gather(*(tell(self._bus, node, told) for node, told in commands.items()))


async def tell(bus: Bus, node: str, commands: Sequence[Command]) -> bool:
    """To a room that does not take them they are lost, as plain messages are; queues have theirs."""
    for tried in range(TRIES):
        try:
            async with asyncio.timeout(PATIENCE):
                await bus.send(node, commands)
            return True
        except (LonglineError, TimeoutError) as error:
            if tried + 1 == TRIES:
                log.warning("publications_not_told", to=node, error=str(error))
    return False


def publication_of(due: DueWill, now: int) -> Publication:
    """A will as it is published at `now` (ms), from when on its expiry counts (section 3.1.3.2.4)."""
    will = due.will
    return Publication(
        id=due.id,
        topic=will.topic,
        payload=will.payload,
        qos=will.qos,
        retain=will.retain,
        properties=will.properties,
        at=now,
        expires_at=now + 1000 * will.expires_in if will.expires_in else 0,
        sender=due.device,
    )


def forward_of(app: int, publication: Publication, *, decides: bool) -> Forward:
    """A publication for those that subscribe now in a room; `decides`: which chooses for all groups, too.

    Which rooms have members of a shared subscription is known to rooms alone. It takes one of them to decide:
    they hear late that another has no members any more, so that each might leave it to the other.
    """
    return Forward(
        app,
        publication.topic,
        publication.payload,
        publication.qos,
        publication.properties,
        id=publication.id if publication.retain else "",
        queued=publication.qos > 0,
        expires_at=publication.expires_at,
        sender=publication.sender or "",
        share=ForGroups(decides=True) if decides else None,
    )


def forward_to_group(left: LeftForGroup) -> Forward:
    """A message for one member of a group, whichever room that is in."""
    publication = left.publication
    return Forward(
        left.app,
        publication.topic,
        publication.payload,
        publication.qos,
        publication.properties,
        id=publication.id if publication.retain else "",
        queued=True,
        expires_at=publication.expires_at,
        share=ForGroups((left.group,), only=True),
    )


def rooms_of(queue: Sequence[QueuePublication], answers: Sequence[object]) -> dict[str, list[Command]]:
    """For each room, which of its devices' sessions have something in their queues."""
    return rooms_with(
        (item.app, queued)
        for item, answer in zip(queue, answers, strict=True)
        if isinstance(answer, Published)
        for queued in answer.queued
    )


def rooms_with(filled: Iterable[tuple[int, Queued]]) -> dict[str, list[Command]]:
    """The same, of sessions by their app."""
    devices: dict[str, dict[int, dict[str, None]]] = {}
    for app, queued in filled:
        if queued.binding is not None:
            devices.setdefault(queued.binding.node, {}).setdefault(app, {})[queued.device] = None
    return {
        node: [Filled(app, tuple(names)) for app, names in apps.items()] for node, apps in devices.items()
    }
