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
    AppNotFound,
    BadToken,
    Banned,
    Fenced,
    LonglineError,
    Overloaded,
    Unavailable,
)
from longline.model.apps import App
from longline.model.devices import valid_device_name
from longline.model.times import wall_clock
from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Connack, Connect
from longline.mqtt.properties import Properties, PropertyId, get_int
from longline.mqtt.reasons import ReasonCode
from longline.register.port import Bind, Bound, Register
from longline.room.counters import RoomCounters
from longline.room.kept.opening import Opening
from longline.room.life.allowances import Allowances, Comer
from longline.room.life.authority import Authority, DeviceRegistered, KnownClient
from longline.room.life.authority_counters import AuthorityCounters
from longline.room.life.coming import came
from longline.room.life.entrance import Asking, Entrance
from longline.room.life.entrant import Entrant
from longline.room.life.outside import Heard, Outside, Question
from longline.room.life.quotas import Quotas
from longline.room.life.takeovers import Takeovers
from longline.room.push.gaps import Gaps
from longline.room.push.inbox import Inbox
from longline.room.push.pace import BulkPace
from longline.room.push.parking import Parking
from longline.room.session.client import ClientConnection
from longline.room.session.session import Gone, Session
from longline.room.session.sessions import Sessions
from longline.room.session.window import ASK
from longline.room.turn import Turn
from longline.room.wire.backlog import Crowd
from longline.saver.app_cache import AppCache
from longline.saver.port.devices import DeviceStore
from longline.saver.port.inboxes import Arrival, Arrive, InboxStore
from longline.saver.port.sessions import KeptSession
from longline.settings import RoomSettings
from longline.telemetry.faults import Faults

YIELD_EVERY: Final = 32  # tokens verified before the loop may serve others: under a millisecond
LONG: Final = 0.002  # s of this, after which it may in any case: public keys take longer
PLACE: Final = "room.admission"
SUCCESS: Final = ReasonCode.SUCCESS  # looked up once: a member of an enum costs more than it seems

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Caller(NamedTuple):
    """A CONNECT of somebody who may come in."""

    client: Entrant
    packet: Connect
    app: App
    identity: KnownClient

    @property
    def device(self) -> str:
        """Its name."""
        return self.identity.device


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
        self._sessions = sessions
        self._inboxes = inboxes
        self._devices = devices
        self._register = register
        self._authority = authority
        self._apps = apps
        self._inbox = inbox
        self._gaps = gaps
        self._parking = parking
        self._opening = opening
        self._takeovers = takeovers
        self._arrived = arrived
        self._pace = pace
        self._fenced = fenced
        self._suspended = False
        self._allowances = allowances
        self._quotas = Quotas(settings, sessions.tenants, clock)
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
        self._settings = self._quotas.settings = settings
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
                    elif self._came_later(app.number, found.device, client):
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

    def _came_later(self, app: int, device: str, client: Entrant) -> bool:
        """Whether the device has come again and was let in before this CONNECT, its earlier one."""
        session = self._sessions.find(app, device)
        if session is None or session.attachment is None:
            return False
        sharing, outlet = session.attachment.sharing, session.attachment.outlet
        if sharing is not None and sharing.first is not None:
            return sharing.asked_at > client.asked_at
        return isinstance(outlet, ClientConnection) and outlet.asked_at > client.asked_at

    async def _let_in(self, callers: Sequence[Caller]) -> None:
        """Welcomes those for whom their apps have room."""
        comers = [Comer(caller.app, caller.device, self._registers(caller)) for caller in callers]
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
            session = self._open(caller, bound, apps[caller.app.app])
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
                    self._registers(caller),
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
                if self._answer(caller, session, arrival, now) and isinstance(arrival, Arrival):
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
        waiting = [item for item in waiting if _here(item.caller.client, item.session)]
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
                if not _here(caller.client, session):
                    opening.withdrawn(session)
                elif isinstance(answer, Exception):
                    self._refuse(caller.client, answer)
                elif answer is None:
                    self._refuse(caller.client, Unavailable("the device has another session by now"))
                else:
                    opening.resume(caller.client, session, answer)
                    self._accept(caller, session, arrival, answer)
            except Exception as error:
                session.gone = Gone.CLOSED
                self._refuse(caller.client, error)

    def _registers(self, caller: Caller) -> bool:
        """Whether it becomes a device: what is kept of a client is a device's."""
        return (
            not caller.identity.anonymous
            or self._settings.anonymous_devices
            or self._opening.keeps(caller.packet)
        )

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

    def _open(self, caller: Caller, bound: Bound | Exception, known: App | None) -> Session | None:
        """Puts the session into the index, in place of an older one of the same device."""
        client = caller.client
        if isinstance(bound, Exception):
            self._refuse(client, bound)
            return None
        try:
            session = self._session(caller, bound.binding.epoch, known)
            self._sessions.open(session)
            if client.transport is None:  # it went while we bound it
                self._sessions.end(session)
            else:
                client.enter(session)
            if bound.previous is not None and bound.previous.node != self._node:
                self._takeovers.add(caller.app.number, caller.device, bound.previous)
        except Exception as error:
            self._refuse(client, error)
            return None
        return session

    def _session(self, caller: Caller, epoch: int, known: App | None) -> Session:
        packet, app = caller.packet, caller.app
        window = self._settings.inflight_window
        if packet.properties is not None:
            receive_maximum = get_int(packet.properties, PropertyId.RECEIVE_MAXIMUM)
            if receive_maximum is not None:
                window = min(window, receive_maximum)
        if known is None:
            raise Unavailable("the app is being changed")
        if known.number != app.number:
            raise AppNotFound
        tenant = self._sessions.enter(app.number, app.app, app.pubsub, known.generation)
        # It may have been changed without our hearing of it.
        tenant.pubsub = known.pubsub
        self._sessions.rule(tenant, known)
        self._sessions.renew(tenant, known.generation)
        if app.generation < tenant.generation and not _still_good(app, known):
            raise BadToken("the token is by a secret or an issuer that the app has replaced")
        session = Session(tenant, caller.device, epoch, window)
        session.expiry = get_int(packet.properties, PropertyId.SESSION_EXPIRY_INTERVAL) or 0
        return session

    def _answer(
        self, caller: Caller, session: Session, arrival: Arrival | Exception | None, now: int
    ) -> bool:
        """Answers a CONNECT, unless the store has to open its session first: then True."""
        client = caller.client
        if not _here(client, session):
            return False
        if isinstance(arrival, Exception):
            self._refuse(client, arrival)
        elif arrival is None:
            self._apps.forget(caller.app.app)
            session.gone = Gone.CLOSED
            refuse(client, AppNotFound())
        elif arrival.banned_until > now:
            session.gone = Gone.CLOSED
            refuse(client, Banned())
        else:
            session.ordinal = arrival.ordinal
            if self._opening.prepare(session, caller.packet, arrival.session):
                return True
            self._accept(caller, session, arrival, None)
        return False

    def _accept(self, caller: Caller, session: Session, arrival: Arrival, found: KeptSession | None) -> None:
        session.lost_before = self._counters.receipts_lost
        do = 0
        if arrival.standing is None or not self._parking.holds(session, arrival):
            # A room that had the device until now may have sent it something that came after our look.
            sent = found is not None and not all(flight.released for flight in found.flights)
            do = session.window.open(arrival.log_after, arrival.pending or sent)
        granted, connack = self._connack(caller, found is not None and found.present)
        caller.client.accept(connack, granted)
        session.tenant.traffic.connects += 1
        if found is not None:
            self._opening.begin(caller.client, session, found)
        if caller.identity.until and caller.app.access.end_at_expiry:
            caller.client.end_at(caller.identity.until)
        if not session.guest:
            self._gaps.open(session, arrival)
        if do & ASK:
            self._inbox.ask(session)
        self._arrived(session, arrival.shadow)

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

    def _connack(self, caller: Caller, present: bool) -> tuple[int, Connack]:
        """The keep alive granted, in seconds, and the answer that says what we offer, section 3.2.2.3."""
        packet, settings = caller.packet, self._settings
        granted = min(packet.keep_alive or settings.default_keep_alive, settings.max_keep_alive)
        if packet.version != MQTT_5_0:
            return granted, Connack(present and packet.version == MQTT_3_1_1, SUCCESS)
        properties: Properties = {
            PropertyId.RECEIVE_MAXIMUM: settings.receive_maximum,
            PropertyId.RETAIN_AVAILABLE: 1,
            PropertyId.MAXIMUM_PACKET_SIZE: settings.max_packet_size,
            PropertyId.SHARED_SUBSCRIPTION_AVAILABLE: 1,
        }
        terms = self._opening.terms(packet)
        if terms.granted != terms.asked:  # section 3.2.2.3.2
            properties[PropertyId.SESSION_EXPIRY_INTERVAL] = terms.granted
        if settings.topic_alias_maximum:
            properties[PropertyId.TOPIC_ALIAS_MAXIMUM] = settings.topic_alias_maximum
        if granted != packet.keep_alive:
            properties[PropertyId.SERVER_KEEP_ALIVE] = granted
        if not packet.client_id:
            properties[PropertyId.ASSIGNED_CLIENT_IDENTIFIER] = caller.device
        return granted, Connack(present, SUCCESS, properties)


def _is_new(item: Arrived) -> bool:
    """Whether a session begins that is to outlive its connection."""
    kept = item.session.kept
    return kept is not None and kept.durable and not item.arrival.session


def _here(client: Entrant, session: Session) -> bool:
    """Whether it has neither gone meanwhile, nor been taken over by a later CONNECT, nor kicked."""
    return session.attachment is not None and not client.ended


def _came(client: Entrant) -> Callable[[], tuple[str | None, str]]:
    return lambda: (client.peer, client.came_by)


def _still_good(app: App, known: App) -> bool:
    """Whether what an app was, when it let somebody in, is what it is now."""
    return (
        app.device_secret in known.device_secrets(wall_clock()) and app.access.tokens == known.access.tokens
    )


def refuse(client: Entrant, error: LonglineError) -> None:
    """Answers a CONNECT with an error's reason, if the client is still there."""
    if client.transport is None:
        return
    if error.retryable:
        client.turn_away(ReasonCode(error.reason), error.code, error.message)
    else:
        client.refuse(ReasonCode(error.reason), error.code, error.message)
