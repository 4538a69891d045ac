"""How many devices, connections and kept sessions the app of a CONNECT may have, over all rooms.

A device that comes back is none more, whether it is connected, lingers or has been here before: so an app
that is at its limits keeps what it has.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from typing import NamedTuple

from longline.delivery.headcounts import Headcounts, bound, nobody
from longline.delivery.limits import LimitsOfApps
from longline.errors import LonglineError, QuotaExceeded, TooManyDevices
from longline.model.apps import App
from longline.register.port import Register
from longline.room.life.quotas import TooManyConnectionsOfApp
from longline.room.session.session import Tenant
from longline.saver.port.sessions import SessionStore


class TooManySessions(QuotaExceeded):
    """The app has as many sessions that outlive their connections as it may."""

    code = "too_many_sessions"


class Comer(NamedTuple):
    """A device of an app that asks to be let in, and to be registered where it `registers`."""

    app: App
    device: str
    registers: bool = True


class Allowances:
    """Owned by admission. `tenants`: the apps with sessions here, by number; `devices`: who is counted."""

    def __init__(
        self,
        limits: LimitsOfApps,
        tenants: Mapping[int, Tenant],
        *,
        register: Register,
        devices: Headcounts,
        sessions: SessionStore,
    ) -> None:
        self._limits = limits
        self._tenants = tenants
        self.connections = Headcounts(register.count, bound(register))
        self.devices = devices
        self.sessions = Headcounts(sessions.count, nobody)

    @asynccontextmanager
    async def entering(self, comers: Sequence[Comer]) -> AsyncIterator[list[LonglineError | None]]:
        """What is in the way of each of these, who are bound and registered in the block."""
        errors: list[LonglineError | None] = [None] * len(comers)
        with ExitStack() as stack:
            for places in _by_app(comers):
                app = comers[places[0]].app
                limits = self._limits.of(app)
                if not (limits.connections or limits.devices):
                    continue
                tenant = self._tenants.get(app.number)
                here = {} if tenant is None else tenant.sessions
                new = [place for place in places if comers[place].device not in here]
                await self._ask(
                    *(stack, self.connections, limits.connections, comers, new),
                    *(errors, TooManyConnectionsOfApp),
                )
                new = [place for place in new if comers[place].registers and errors[place] is None]
                await self._ask(
                    *(stack, self.devices, limits.devices, comers, new),
                    *(errors, TooManyDevices),
                )
            yield errors

    @asynccontextmanager
    async def keeping(self, comers: Sequence[Comer]) -> AsyncIterator[list[LonglineError | None]]:
        """What is in the way of each of these, who get a session that is kept in the block, and have none."""
        errors: list[LonglineError | None] = [None] * len(comers)
        with ExitStack() as stack:
            for places in _by_app(comers):
                most = self._limits.of(comers[places[0]].app).sessions
                await self._ask(stack, self.sessions, most, comers, places, errors, TooManySessions)
            yield errors

    async def _ask(
        self,
        stack: ExitStack,
        headcounts: Headcounts,
        most: int,
        comers: Sequence[Comer],
        places: Sequence[int],
        errors: list[LonglineError | None],
        refusal: type[LonglineError],
    ) -> None:
        """Notes for which of these places, all of one app, there is no room."""
        if not most or not places:
            return
        names = [comers[place].device for place in places]
        try:
            refused = stack.enter_context(await headcounts.adding(comers[places[0]].app.number, most, names))
        except LonglineError as error:  # nobody knows how many there are
            for place in places:
                errors[place] = error
            return
        for place, name in zip(places, names, strict=True):
            if name in refused:
                errors[place] = refusal()


def _by_app(comers: Sequence[Comer]) -> list[list[int]]:
    """The places of those of each app."""
    apps: dict[int, list[int]] = {}
    for place, comer in enumerate(comers):
        apps.setdefault(comer.app.number, []).append(place)
    return list(apps.values())
