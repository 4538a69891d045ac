"""From CONNECT to CONNACK: the session bound, in the index, and told what is waiting for it.

CONNECTs that arrive together are worked on together: one `bind` and one `arrive` for all, and one `open` for
those whose sessions are kept, or have a will. The order of these, with the session put into the room's index
in between, is what makes a push that is sent at this very moment arrive: either its commit comes first and
`arrive` finds it, or its binding is read after `bind` and the room is told of it while the session is there.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, TypeVar

from longline.errors import (
    Fenced,
    LonglineError,
    Overloaded,
    Unavailable,
)
from longline.model.devices import valid_device_name
from longline.model.times import wall_clock
from longline.mqtt.packets import Connect
from longline.mqtt.reasons import ReasonCode
from longline.register.port import Bind, Register
from longline.room.counters import RoomCounters
from longline.room.kept.opening import Opening
from longline.room.life.allowances import Allowances, Comer
from longline.room.life.authority import Authority, DeviceRegistered
from longline.room.life.authority_counters import AuthorityCounters
from longline.room.life.coming import came
from longline.room.life.entrance import Asking, Entrance
from longline.room.life.entrant import Entrant
from longline.room.life.outside import Heard, Outside, Question
from longline.room.life.quotas import Quotas
from longline.room.life.reception import Caller, Reception, here
from longline.room.life.takeovers import Takeovers
from longline.room.push.gaps import Gaps
from longline.room.push.inbox import Inbox
from longline.room.push.pace import BulkPace
from longline.room.push.parking import Parking
from longline.room.session.session import Gone, Session
from longline.room.session.sessions import Sessions
from longline.room.turn import Turn
from longline.room.wire.backlog import Crowd
from longline.saver.app_cache import AppCache
from longline.saver.port.devices import DeviceStore
from longline.saver.port.inboxes import Arrival, Arrive, InboxStore
from longline.settings import RoomSettings
from longline.telemetry.faults import Faults

YIELD_EVERY: Final = 32  # tokens verified before the loop may serve others: under a millisecond
LONG: Final = 0.002  # s of this, after which it may in any case: public keys take longer
PLACE: Final = "room.admission"

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Arrived(NamedTuple):
    """One whose session the store is to open."""

    caller: Caller
    session: Session
    arrival: Arrival


class Admission:
    """Owned by the room, which runs `run` as a task. At most `connect_queue` CONNECTs wait here.

    While `turned_away` is set nobody is let in, and it is told who asks, by app and device. Whatever is wrong
    with one of them costs the others nothing. `arrived` is told of each, and whether its
    device's shadow has something new. `fenced` is told when a node's name, which
    it is given, turns out to have been declared dead.
    """

    def __init__(
        self,
        settings: RoomSettings,
        node: str,
        *,
        counters: RoomCounters,
        turn: Turn,
        faults: Faults,
        sessions: Sessions,
        inboxes: InboxStore,
        devices: DeviceStore,
        register: Register,
        authority: Authority,
        apps: AppCache,
        inbox: Inbox,
        gaps: Gaps,
        parking: Parking,
        opening: Opening,
        takeovers: Takeovers,
        fenced: Callable[[str], None],
        pace: BulkPace,
        arrived: Callable[[Session, bool], None],
        outside_limit: int,
        authority_counters: AuthorityCounters,
        allowances: Allowances,
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._node = node
        self._counters = counters
        self._turn = turn
        self._faults = faults
        self._inboxes = inboxes
        self._devices = devices
        self._register = register
        self._authority = authority
        self._apps = apps
        self._opening = opening
        self._pace = pace
        self._fenced = fenced
        self._suspended = False
        self._allowances = allowances
        self._quotas = Quotas(settings, sessions.tenants, clock)
        self._reception = Reception(
            settings,
            counters=counters,
            sessions=sessions,
            apps=apps,
            inbox=inbox,
            gaps=gaps,
            parking=parking,
            opening=opening,
            takeovers=takeovers,
            arrived=arrived,
            refuse=self._refuse,
        )
        self.turned_away: Callable[[str, str], None] | None = None
        self._clock = clock
        self._entrance = Entrance(self._serve, counters, patience=settings.connect_patience, clock=clock)
        self._outside = Outside(
            outside_limit, authority_counters, faults, back=self._come_back, refuse=self._refuse
        )

    def admit(self, client: Entrant, packet: Connect) -> None:
        """Takes a CONNECT in; answers it at once only when it cannot be served."""
        if self.turned_away is not None:
            self.turned_away(packet.username or "", packet.client_id)
            refuse(client, Unavailable("this node cannot reach its store"))
        elif self._suspended:
            refuse(client, Unavailable("this node takes no clients now"))
        elif self._turn.pressed:
            refuse(client, Overloaded("the stores do not keep up"))
        elif len(self._entrance) >= self._settings.connect_queue:
            refuse(client, Overloaded("too many CONNECTs are waiting"))
        elif (refusal := self._quotas.refusal()) is not None:
            refuse(client, refusal)
        else:
            self._entrance.add(client, packet)

    def _come_back(self, client: Entrant, packet: Connect, heard: Heard) -> None:
        """What a CONNECT waited for outside is known."""
        if self.turned_away is not None or self._suspended:
            refuse(client, Unavailable("this node takes no clients now"))
        else:
            self._entrance.add(client, packet, heard)

    async def close(self) -> None:
        """Nobody who waits outside is let in any more."""
        await self._outside.close()

    def configure(self, settings: RoomSettings) -> None:
        """Goes by other settings from now on."""
        self._settings = self._quotas.settings = self._reception.settings = settings
        self._authority.settings = settings

    async def suspend(self) -> None:
        """Refuses CONNECTs from now on as unavailable; returns when those taken in before are answered."""
        self._suspended = True
        await self._entrance.idle()

    def resume(self, node: str) -> None:
        """Takes CONNECTs in again, for sessions of this node."""
        self._node = node
        self._suspended = False

    def waiting(self) -> int:
        return len(self._entrance)

    def crowd(self) -> Crowd:
        """Who waits, and what became of those before."""
        entrance = self._entrance
        return Crowd(len(entrance), entrance.served, entrance.gone)

    async def run(self) -> None:
        """Answers CONNECTs for as long as the room lives."""
        await self._entrance.run()

    # --- a batch ----------------------------------------------------------------------------------

    async def _serve(self, batch: Sequence[Asking]) -> None:
        try:
            callers = await self._identify(batch)
            if callers:
                await self._let_in(callers)
        except Exception as error:  # something is wrong with one of them that nobody foresaw
            unanswered = [asking for asking in batch if asking[0].unanswered()]
            if len(batch) == 1:
                for asking in unanswered:
                    self._refuse(asking[0], error)
                return
            for asking in unanswered:
                await self._serve([asking])

    async def _identify(self, batch: Sequence[Asking]) -> list[Caller]:
        apps = await self._authority.look_up([asking[1] for asking in batch])
        began = resumed = self._clock()
        callers: list[Caller] = []
        coming: Counter[int] = Counter()  # of each app, in this portion
        for done, (client, packet, heard) in enumerate(batch, 1):
            if client.transport is not None:
                try:
                    app = apps.get(packet.username)
                    if app is None:
                        app = await self._authority.find(packet, client.certificate)
                        apps = {}  # any may have changed meanwhile
                    found = self._authority.identify(packet, app, client.certificate, _came(client), heard)
                    self._opening.check_will(packet, app.pubsub)
                    if isinstance(found, Question):
                        self._outside.wait(client, packet, found)
                    elif self._reception.came_later(app.number, found.device, client):
                        self._entrance.refused += 1
                        client.close(ReasonCode.SESSION_TAKEN_OVER, "taken_over")
                    elif not client.renew(found.until if app.access.end_at_expiry else 0):
                        self._quotas.enter(app.number, found.device, coming[app.number])
                        coming[app.number] += 1
                        callers.append(Caller(client, packet, app, found))
                except Exception as error:
                    self._refuse(client, error)
            if done % YIELD_EVERY == 0 or self._clock() - resumed > LONG:
                await asyncio.sleep(0)
                resumed = self._clock()
                apps = await self._authority.look_up([asking[1] for asking in batch[done:]])
        self._entrance.verifying += self._clock() - began
        return await self._strangers(callers)

    async def _strangers(self, callers: list[Caller]) -> list[Caller]:
        """Leaves out clients without credentials that say they are a registered device."""
        asking: dict[int, list[Caller]] = {}
        for caller in callers:
            name = caller.packet.client_id
            if caller.identity.anonymous and name != caller.device and valid_device_name(name):
                asking.setdefault(caller.app.number, []).append(caller)
        refused: set[Entrant] = set()
        for number, some in asking.items():
            try:
                found = await self._devices.find(number, [caller.packet.client_id for caller in some])
            except Exception as error:
                for caller in some:
                    self._refuse(caller.client, error)
                refused.update(caller.client for caller in some)
                continue
            for caller, device in zip(some, found, strict=True):
                if device is not None:
                    self._refuse(caller.client, DeviceRegistered())
                    refused.add(caller.client)
        return [caller for caller in callers if caller.client not in refused] if refused else callers

    async def _let_in(self, callers: Sequence[Caller]) -> None:
        """Welcomes those for whom their apps have room."""
        comers = [Comer(caller.app, caller.device, self._reception.registers(caller)) for caller in callers]
        async with self._allowances.entering(comers) as errors:
            allowed = []
            for caller, error in zip(callers, errors, strict=True):
                if error is None:
                    allowed.append(caller)
                else:
                    self._refuse(caller.client, error)
            if allowed:
                await self._welcome(allowed)

    async def _welcome(self, callers: Sequence[Caller]) -> None:
        now, node = wall_clock(), self._node
        bounds = await self._ask(
            self._register.bind,
            [Bind(caller.app.number, caller.device, node, now) for caller in callers],
        )
        names = {caller.app.app for caller in callers}
        for name in names:
            if self._apps.remembered(name) is None:  # it was changed while we bound these
                with suppress(LonglineError):
                    await self._apps.find(name)
        # However old that is by now: it was looked up, or looked at, for this portion.
        apps = {name: self._apps.latest(name) for name in names}
        opened = []
        for caller, bound in zip(callers, bounds, strict=True):
            session = self._reception.open(caller, bound, apps[caller.app.app], node)
            if session is not None:
                opened.append((caller, session))
        if not opened:
            return
        unknown = await self._learn([session for _, session in opened])
        arrivals = await self._ask(
            self._inboxes.arrive,
            [
                Arrive(
                    session.tenant.app,
                    session.device,
                    now,
                    self._reception.registers(caller),
                    session.tenant.limits.inbox_messages or 0,
                    came(caller.packet, caller.client.peer),
                    session.epoch,
                    node,
                )
                for caller, session in opened
            ],
        )
        waiting = []
        for (caller, session), answer in zip(opened, arrivals, strict=True):
            arrival = unknown.get(session.tenant.app, answer)
            try:
                if self._reception.answer(caller, session, arrival, now) and isinstance(arrival, Arrival):
                    waiting.append(Arrived(caller, session, arrival))
            except Exception as error:
                session.gone = Gone.CLOSED
                self._refuse(caller.client, error)
        if waiting:
            await self._open_kept(waiting, now)

    async def _learn(self, sessions: Sequence[Session]) -> dict[int, Exception]:
        """Finds out in which of their apps there are sessions that are kept: once for each app.

        Those of which it cannot be found out, and why.
        """
        apps = self._opening.apps
        unknown = apps.unknown(session.tenant.app for session in sessions)
        if not unknown:
            return {}
        try:
            with self._pace.asking():
                await apps.learn(unknown)
        except Exception as error:
            return dict.fromkeys(unknown, error)
        return {}

    async def _open_kept(self, waiting: Sequence[Arrived], now: int) -> None:
        opening = self._opening
        await opening.settled()
        waiting = [item for item in waiting if here(item.caller.client, item.session)]
        new = [item for item in waiting if _is_new(item)]
        comers = [Comer(item.caller.app, item.session.device) for item in new]
        async with self._allowances.keeping(comers) as errors:
            refused = set()
            for item, error in zip(new, errors, strict=True):
                if error is not None:
                    refused.add(item.session)
                    self._refuse(item.caller.client, error)
            await self._open_all([item for item in waiting if item.session not in refused], now)

    async def _open_all(self, waiting: Sequence[Arrived], now: int) -> None:
        opening = self._opening
        if not waiting:
            return
        found = await self._ask(
            opening.open,
            [opening.request(item.session, item.caller.packet, self._node, now) for item in waiting],
        )
        for (caller, session, arrival), answer in zip(waiting, found, strict=True):
            try:
                if not here(caller.client, session):
                    opening.withdrawn(session)
                elif isinstance(answer, Exception):
                    self._refuse(caller.client, answer)
                elif answer is None:
                    self._refuse(caller.client, Unavailable("the device has another session by now"))
                else:
                    opening.resume(caller.client, session, answer)
                    self._reception.accept(caller, session, arrival, answer)
            except Exception as error:
                session.gone = Gone.CLOSED
                self._refuse(caller.client, error)

    async def _ask(
        self, call: Callable[[Sequence[Asked]], Awaitable[Sequence[Answer]]], batch: Sequence[Asked]
    ) -> list[Answer | Exception]:
        """Asks a store for all at once, or, when something nobody foresaw is wrong with one, for each."""
        try:
            with self._pace.asking():
                return list(await call(batch))
        except LonglineError as error:
            return [error] * len(batch)
        except Exception as error:
            if len(batch) == 1:
                return [error]
        return [answer for item in batch for answer in await self._ask(call, [item])]

    def _refuse(self, client: Entrant, error: Exception) -> None:
        if isinstance(error, Fenced):
            self._fenced(self._node)
            error = Unavailable("this node was taken for dead and is about to come back")
        elif not isinstance(error, LonglineError):
            self._faults.note(PLACE, error)
            error = Unavailable("something went wrong with this CONNECT")
        if client.transport is not None:
            self._entrance.refused += 1
        refuse(client, error)


def _is_new(item: Arrived) -> bool:
    """Whether a session begins that is to outlive its connection."""
    kept = item.session.kept
    return kept is not None and kept.durable and not item.arrival.session


def _came(client: Entrant) -> Callable[[], tuple[str | None, str]]:
    return lambda: (client.peer, client.came_by)


def refuse(client: Entrant, error: LonglineError) -> None:
    """Answers a CONNECT with an error's reason, if the client is still there."""
    if client.transport is None:
        return
    if error.retryable:
        client.turn_away(ReasonCode(error.reason), error.code, error.message)
    else:
        client.refuse(ReasonCode(error.reason), error.code, error.message)
