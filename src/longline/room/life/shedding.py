"""Lets the clients of a room go that cannot do its work, while they find a better place.

A room that is cut off from its store cannot know whether others could serve its clients better, or whether
the store is away for all; its clients can find out. So a hundredth of them goes first, and twice as many in
each further round, as long as they do not come back to be refused. When they do there is nowhere better: the
rest stays, for a connection that is kept is worth more than one that is asked for in vain, and after a while
a hundredth tries again.

Clients with nothing under way go first, as when a room drains (`draining`).
"""

import asyncio
import math
import random as random_module
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from longline.mqtt.reasons import ReasonCode
from longline.room.counters import RoomCounters
from longline.room.life.admission import Admission
from longline.room.life.authority import ANONYMOUS
from longline.room.life.draining import busy, leads
from longline.room.session.session import Session
from longline.room.session.sessions import Sessions

AFTER: Final = 2.0  # s until the first go: the store may be back, and others are to say first if they lack it
FIRST: Final = 0.01  # of the clients
ROUND: Final = 1.2  # s that they have to come back
RETURNING: Final = 0.25  # of those that went: so many that come back say that there is nowhere better
RATE: Final = 5000  # clients a second that go at most
PAUSE: Final = 60.0  # s until the next try then, doubled each time up to
LONGEST: Final = 960.0
LOOK: Final = 0.5  # s between looks for another room, where there is none
SLICE: Final = 2000  # sessions gone through before the loop may serve others
JITTER: Final = 0.5  # s within which a client is asked to be there

log = structlog.get_logger()

Client = tuple[str, str]  # the names of its app and device


class Shedding:
    """One for a room. `run` works until it is cancelled, which is when the room can do its work again; nobody
    is let in meanwhile.

    `others` says whether there are rooms elsewhere; `where` names one, as `host:port`, for a client by the
    names of its app and device and the transport that it came by, or None where it should come back by the
    address that it knows.
    """

    def __init__(
        self,
        sessions: Sessions,
        counters: RoomCounters,
        admission: Admission,
        *,
        others: Callable[[], bool],
        where: Callable[[str, str, str], str | None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        self._sessions = sessions
        self._counters = counters
        self._admission = admission
        self._others = others
        self._where = where
        self._sleep = sleep
        self._random = random
        self._gone: set[Client] = set()  # in this try: no more than there were clients
        self._back: set[Client] = set()

    async def run(self) -> None:
        """Lets clients go, until it is cancelled."""
        pause = PAUSE
        self._admission.turned_away = self._came
        try:
            await self._sleep(AFTER)
            while True:
                await self._try()
                log.warning("shedding_paused", gone=len(self._gone), back=len(self._back), seconds=pause)
                await self._sleep(pause)
                pause = min(LONGEST, 2 * pause)
        finally:
            self._admission.turned_away = None
            self._gone.clear()
            self._back.clear()

    async def _try(self) -> None:
        """Returns when clients come back."""
        self._gone.clear()
        self._back.clear()
        share = FIRST
        total = 0
        while not self._back or len(self._back) < RETURNING * len(self._gone):
            if not self._others():
                await self._sleep(LOOK)
                continue
            idle, occupied = await self._gather()
            total = max(total, len(idle) + len(occupied))
            count = min(math.ceil(total * share), int(RATE * ROUND))
            going = [*idle, *occupied][:count]
            if going:
                log.warning("shedding", clients=len(going), of=total)
            for done, session in enumerate(going, 1):
                self._let_go(session)
                if done % SLICE == 0:
                    await asyncio.sleep(0)
            share = min(1.0, 2 * share)
            await self._sleep(ROUND)

    def _came(self, app: str, device: str) -> None:
        """Somebody asks to be let in, in vain."""
        client = (app, device)
        if client in self._gone:
            self._back.add(client)

    async def _gather(self) -> tuple[list[Session], list[Session]]:
        """Those with nothing under way, and the others."""
        idle: list[Session] = []
        occupied: list[Session] = []
        for tenant in list(self._sessions.tenants.values()):
            for done, session in enumerate(list(tenant.sessions.values()), 1):
                if leads(session):
                    (occupied if busy(session) else idle).append(session)
                if done % SLICE == 0:
                    await asyncio.sleep(0)
        return idle, occupied

    def _let_go(self, session: Session) -> None:
        attachment = session.attachment
        if attachment is None:
            return
        app, device = session.tenant.name, session.device
        if not device.startswith(ANONYMOUS):  # else it comes back by another name
            self._gone.add((app, device))
        self._counters.shed += 1
        after = int(self._random() * JITTER * 1000)
        outlet = attachment.outlet
        outlet.move(ReasonCode.USE_ANOTHER_SERVER, self._where(app, device, outlet.came_by), after)
