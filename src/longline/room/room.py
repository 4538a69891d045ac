"""A room: its parts put together, started and stopped."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Final

import structlog

from longline.bus.port import Bus
from longline.delivery.headcounts import Headcounts, registered
from longline.delivery.limits import LimitsOfApps
from longline.delivery.pipeline import Pipeline
from longline.delivery.shadows import ShadowBounds, Shadows
from longline.errors import LonglineError, SettingsError
from longline.flow.kept import kept
from longline.flow.listening import listening
from longline.model.times import wall_clock
from longline.model.topics import ATTACH_TOPIC, DETACH_TOPIC
from longline.mqtt.reasons import ReasonCode
from longline.register.port import Register
from longline.room.counters import RoomCounters
from longline.room.kept.apps import KeptApps
from longline.room.kept.closings import Closings
from longline.room.kept.deposits import MESSAGES as DEPOSITS
from longline.room.kept.deposits import Deposits
from longline.room.kept.filings import Filings
from longline.room.kept.news import News
from longline.room.kept.opening import Opening
from longline.room.kept.reader import QueueReader
from longline.room.kept.steps import Steps
from longline.room.life.admission import Admission
from longline.room.life.allowances import Allowances
from longline.room.life.attaching import AttachRequests, DetachRequests
from longline.room.life.attendance import Attendance
from longline.room.life.audit import Audit
from longline.room.life.authority import Authority
from longline.room.life.authority_counters import AuthorityCounters
from longline.room.life.callback import ConnectCallback
from longline.room.life.departures import Departures
from longline.room.life.draining import Draining
from longline.room.life.key_sets import KeySets
from longline.room.life.pressure import Pressure
from longline.room.life.rebinding import Rebinding
from longline.room.life.shedding import Shedding
from longline.room.life.takeovers import Takeovers
from longline.room.platform.handlers import Handler, Platform
from longline.room.platform.receipts import AppReceipts
from longline.room.platform.replies import CallReplies
from longline.room.platform.shadows import DesiredStates, ReportedStates
from longline.room.platform.talk import GroupTalk
from longline.room.platform.upstream import UpstreamMessages
from longline.room.platform.writer import EventWriter
from longline.room.pubsub.fanout import Fanout
from longline.room.pubsub.hearing import Hearing
from longline.room.pubsub.replayer import Replayer
from longline.room.pubsub.retainer import MESSAGES, Retainer
from longline.room.pubsub.routes import RouteTable
from longline.room.pubsub.rules import Rules
from longline.room.pubsub.shared import Groups
from longline.room.push.broadcasts import Broadcasts
from longline.room.push.commands import Commands
from longline.room.push.delivery_rates import DeliveryRates
from longline.room.push.flights import Flights
from longline.room.push.gaps import Gaps
from longline.room.push.inbox import Inbox
from longline.room.push.pace import BulkPace
from longline.room.push.parking import Parking
from longline.room.push.pushes import Pushes
from longline.room.push.receipts import Receipts
from longline.room.session.client import ClientConnection, Services
from longline.room.session.sessions import Sessions
from longline.room.turn import Turn
from longline.room.wire.addresses import Addresses
from longline.room.wire.connection import WireLimits
from longline.room.wire.listeners import Accept, Listener, Secure, Unwrap
from longline.room.wire.proxied import Proxied, Proxies
from longline.room.wire.ticker import Ticker
from longline.room.wire.websocket import WebSocketConnection, WebSocketRules
from longline.room.wire.wheel import Wheel
from longline.saver.app_cache import AppCache
from longline.saver.bundle import Saver
from longline.settings import (
    AuthoritySettings,
    ParkingSettings,
    RoomSettings,
    SessionSettings,
    ShadowSettings,
)
from longline.settings.listeners import Port, ports
from longline.telemetry.faults import Faults
from longline.telemetry.traffic import Traffic
from longline.websocket.upgrade import UpgradeRules

SLICE: Final = 1000  # connections looked at before the loop may serve others
RECEIPTS: Final = 200_000  # receipts that may wait for the store
APPS_KNOWN_FOR: Final = 60.0  # s: how long a change may go unnoticed of which this room was not told
APPS_UNKNOWN_FOR: Final = 0.25  # s that a name without an app is remembered as such

log = structlog.get_logger("longline.room")

Report = Callable[[str, str, str], None]  # code, peer's address, message
Where = Callable[[str, str, str], str | None]  # of an app, a device and its transport: host:port


class Room:
    """Serves devices on its listeners until it is stopped. `secure` deciphers for those with TLS.

    `fenced` is told the node's name when a bind, or the bus, shows that it was declared dead. Whoever started
    the room then has it go on under a new one, by `rename`. `pipeline`: how what members say in groups
    enters; without one they can say nothing.
    """

    def __init__(
        self,
        settings: RoomSettings,
        node: str,
        *,
        saver: Saver,
        register: Register,
        bus: Bus,
        report: Report,
        faults: Faults,
        fenced: Callable[[str], None],
        authority: AuthoritySettings | None = None,
        secure: Mapping[str, Secure] | None = None,
        kept: SessionSettings | None = None,
        shadows: ShadowSettings | None = None,
        limits: LimitsOfApps | None = None,
        devices: Headcounts | None = None,
        parking: ParkingSettings | None = None,
        pipeline: Pipeline | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._settings = settings
        self._node = node
        self._register = register
        self._bus = bus
        self._saver = saver
        self._loop = loop
        self._faults = faults
        # What all share.
        counters = self.counters = RoomCounters()
        turn = self.turn = Turn(loop.call_soon, faults)
        self.pace = BulkPace(settings.fanout_slice)
        self._wheel = Wheel(loop.time())
        # Sessions, and what reaches them.
        fanout = Fanout(
            counters,
            turn,
            faults,
            settings.session_queue,
            settings.session_queue_bytes,
            match_limit=settings.match_limit,
        )
        shares = Groups(node, fanout, counters, faults, settings.max_share_matches)
        self.retainer = Retainer(saver.retained, counters, turn, faults)
        self.replayer = Replayer(
            saver.retained,
            self.retainer,
            fanout,
            faults,
            self.pace,
            page_bytes=min(settings.outbox_bytes, settings.session_queue_bytes // 2),
        )
        fanout.replayer = self.replayer.ask
        max_expiry = (kept or SessionSettings()).max_expiry
        self.receipts = Receipts(
            saver.inboxes, counters, faults, self.pace, delay=settings.ack_delay / 1000, limit=RECEIPTS
        )
        self.inbox = Inbox(
            saver.inboxes,
            self.receipts,
            faults,
            self.pace,
            page_bytes=settings.outbox_bytes,
            caught_up=fanout.caught_up,
        )
        self.gaps = Gaps(saver.inboxes, counters, faults)
        pushes = self.inbox.pushes = Pushes(counters, self.receipts, self.inbox)
        self.flights = Flights(
            saver.flights, self.receipts, pushes, faults, self.pace, delay=settings.ack_delay / 1000
        )
        pushes.flights = self.inbox.flights = self.flights
        self.parking = Parking(saver.parking, self.inbox, counters, faults, parking or ParkingSettings())
        pushes.watch = self.parking
        self.receipts.unanswered = self.parking.unanswered
        # Sessions that are kept.
        rules = Rules(
            receive_maximum=settings.receive_maximum,
            max_subscriptions=settings.max_subscriptions,
            max_filter_bytes=settings.max_filter_bytes,
            max_topic_levels=settings.max_topic_levels,
            max_index_levels=settings.max_index_levels,
            publish_rate=settings.publish_rate,
            topic_alias_maximum=settings.topic_alias_maximum,
            shares=shares,
            max_share_groups=settings.max_share_groups,
            max_share_members=settings.max_share_members,
            max_share_name=settings.max_share_name,
        )
        self.steps = Steps(saver.queues, faults, self.pace, delay=settings.ack_delay / 1000)
        self.reader = QueueReader(
            saver.queues,
            self.steps,
            fanout,
            counters,
            faults,
            self.pace,
            page_bytes=settings.outbox_bytes,
        )
        fanout.reader = self.reader.ask
        self.closings = Closings(saver.sessions, self.steps, faults, max_expiry=max_expiry)
        self.departures = Departures(
            saver.inboxes,
            register,
            self.receipts,
            self.closings,
            counters,
            faults,
            linger=int(settings.linger * 1000),
        )
        sessions = self._sessions = Sessions(
            counters, faults, fanout, pushes, self.departures.add, traffic or Traffic()
        )
        hearing = Hearing(faults, now=time.monotonic)
        self.routes = RouteTable(node, bus, sessions, fanout, shares, hearing, self.retainer, faults)
        self.attendance = Attendance(sessions, saver.counts)
        kept_apps = KeptApps(lambda: self._node, saver.sessions, bus, hearing, sessions.tenants)
        self.filings = Filings(saver.sessions, kept_apps, turn, faults)
        fanout.unfile = lambda session, gone: self.filings.unsubscribe(None, session, gone, None)
        self.news = News(node, bus, self._filled, faults)
        self.deposits = Deposits(saver.queues, self.news, shares, counters, turn, faults, self.pace)
        shares.give = self.deposits.give
        shares.leave_to_store = self.deposits.leave
        fanout.keeper = self.deposits.replay
        self.deposits.replay_directly = fanout.replay_directly
        self.steps.replayed = fanout.replayed
        shares.settle = self.steps.settled
        self.opening = Opening(
            saver.sessions,
            kept_apps,
            self.filings,
            self.steps,
            self.closings,
            self.reader,
            self.flights,
            fanout,
            rules,
            counters,
            max_expiry=max_expiry,
        )
        # What devices tell their app servers.
        self.upstream = EventWriter(
            saver.events,
            saver.queues,
            counters,
            turn,
            faults,
            self.pace,
            limit=settings.upstream_queue,
            limit_bytes=settings.upstream_queue_bytes,
        )
        # Shadows of devices.
        shadow_bounds = shadows or ShadowSettings()
        self.desired = DesiredStates(saver.shadows, counters, faults, self.pace)
        self.reported = ReportedStates(
            Shadows(
                saver.shadows,
                register,
                bus,
                ShadowBounds(shadow_bounds.max_bytes, shadow_bounds.max_depth),
            ),
            counters,
            turn,
            faults,
            self.pace,
            limit=settings.upstream_queue,
            limit_bytes=settings.upstream_queue_bytes,
        )
        self.replies = CallReplies(
            saver.replies,
            counters,
            turn,
            faults,
            self.pace,
            limit=settings.upstream_queue,
            limit_bytes=settings.upstream_queue_bytes,
        )
        # How clients come.
        authority = authority or AuthoritySettings()
        self.authority_counters = AuthorityCounters()
        self._key_sets = KeySets(authority, self.authority_counters)
        self._callback = (
            None
            if settings.auth_url is None
            else ConnectCallback(settings.auth_url, authority, self.authority_counters)
        )
        apps = AppCache(saver.apps, known_for=APPS_KNOWN_FOR, unknown_for=APPS_UNKNOWN_FOR)
        self.talk = (
            None
            if pipeline is None
            else GroupTalk(
                pipeline,
                apps,
                saver.queues,
                counters,
                turn,
                faults,
                self.pace,
                limit=settings.upstream_queue,
                limit_bytes=settings.upstream_queue_bytes,
            )
        )
        talk: dict[str, Handler] = {} if self.talk is None else {"group/{group}": self.talk}
        self.takeovers = Takeovers(bus, counters, faults)
        limits = limits or LimitsOfApps()
        self.allowances = Allowances(
            limits,
            sessions.tenants,
            register=register,
            devices=devices or Headcounts(saver.devices.count, registered(saver.devices)),
            sessions=saver.sessions,
        )
        self.admission = Admission(
            settings,
            node,
            counters=counters,
            turn=turn,
            faults=faults,
            sessions=sessions,
            inboxes=saver.inboxes,
            devices=saver.devices,
            register=register,
            authority=Authority(apps, settings, self._key_sets, self._callback, sessions.acls),
            apps=apps,
            inbox=self.inbox,
            gaps=self.gaps,
            parking=self.parking,
            opening=self.opening,
            takeovers=self.takeovers,
            pace=self.pace,
            fenced=fenced,
            arrived=self.desired.arrived,
            outside_limit=authority.waiting,
            authority_counters=self.authority_counters,
            allowances=self.allowances,
            clock=loop.time,
        )
        self._addresses = Addresses(
            counters,
            loop.time,
            allow=settings.allow,
            deny=settings.deny,
            max_connections=settings.max_connections,
            listener_share=settings.listener_share,
            per_address=settings.max_connections_per_address,
            rate=settings.connect_rate,
            rate_per_address=settings.connect_rate_per_address,
        )
        self._services = Services(
            WireLimits(
                settings.outbox_bytes,
                settings.max_packet_size,
                settings.connect_packet_size,
                math.ceil(settings.connect_timeout),
                math.ceil(settings.outbox_timeout),
                settings.will_packet_size,
                settings.will_packets_bytes,
            ),
            counters,
            turn,
            self._wheel,
            faults,
            admits=self._addresses.admit,
            released=self._addresses.release,
            report=report,
            sessions=sessions,
            fanout=fanout,
            retainer=self.retainer,
            deposits=self.deposits,
            filings=self.filings,
            steps=self.steps,
            closings=self.closings,
            pushes=pushes,
            platform=Platform(
                {
                    "reply/{message_id}": self.replies,
                    "shadow/reported": self.reported,
                    "up/…": UpstreamMessages(self.upstream),
                    "event/{message_id}/{name}": AppReceipts(self.upstream),
                    ATTACH_TOPIC: AttachRequests(
                        sessions,
                        counters,
                        settings,
                        admit=self.admission.admit,
                        tries=self._addresses.attempt,
                        clock=loop.time,
                    ),
                    DETACH_TOPIC: DetachRequests(sessions, counters, settings),
                    **talk,
                },
                again=("up/…", "event/{message_id}/{name}", *talk),
            ),
            rules=rules,
            admit=self.admission.admit,
        )
        # What others tell us.
        self.delivery_rates = DeliveryRates(lambda: limits.defaults, sessions.tenants, register.count)
        self._broadcasts = Broadcasts(
            node,
            saver.routing,
            faults,
            pushes=pushes,
            receipts=self.receipts,
            sessions=sessions.of,
            some=sessions.some,
            pace=self.pace,
            rates=self.delivery_rates,
        )
        self._commands = Commands(
            node,
            bus,
            counters=counters,
            faults=faults,
            sessions=sessions,
            pushes=pushes,
            receipts=self.receipts,
            apps=apps,
            broadcasts=self._broadcasts,
            routes=self.routes,
            kept_apps=kept_apps,
            reader=self.reader,
            desired=self.desired.ask,
            released=self.parking.released,
            fenced=fenced,
        )
        self.rebinding = Rebinding(
            node,
            register=register,
            inboxes=saver.inboxes,
            kept=saver.sessions,
            sessions=sessions,
            pushes=pushes,
            counters=counters,
            faults=faults,
            arrived=self.desired.arrived,
            departed=self.departures.add,
            fenced=fenced,
            left=self._left,
        )
        self._apps = apps
        self._audit = Audit(register, sessions, self.rebinding.add, counters, faults)
        self._clock = Ticker(self._wheel, faults, self._second)
        self._pressure = Pressure(
            turn,
            counters,
            [
                (self.receipts.waiting, RECEIPTS),
                (self.admission.waiting, settings.connect_queue),
                (self.retainer.waiting, MESSAGES),
                (self.deposits.waiting, DEPOSITS),
                (self.upstream.waiting, settings.upstream_queue),
                (self.reported.waiting, settings.upstream_queue),
                (self.replies.waiting, settings.upstream_queue),
                *([] if self.talk is None else [(self.talk.waiting, settings.upstream_queue)]),
            ],
            self.inbox.failing,
        )
        self._secure = secure or {}
        self.listeners: list[Listener] = []
        self.without: set[str] = set()  # transports whose port nobody has asked for, and another has
        self._tasks: list[asyncio.Task[None]] = []
        self._farewell: asyncio.Timeout | None = None  # while the room says goodbye
        self._hopeless = False

    # --- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts the tasks and opens the listeners. Raises SettingsError when a port is not to be had.

        `without` then says which of those that are open by default another program has.
        """
        for port in ports(self._settings):
            try:
                with listening(port.setting, self._settings.host, port.number):
                    self.listeners.append(self._listener(port))
            except SettingsError as error:
                if not port.unasked:
                    raise
                self.without.add(port.transport)
                log.warning("port_done_without", setting=port.setting, reason=error.message)
        await self._bus.open(self._node)
        await self.routes.rebuild()
        for name, work in (
            ("admission", self.admission.run),
            ("inbox", self.inbox.run),
            ("inbox-looks", self.inbox.run_looks),
            ("receipts", self.receipts.run),
            ("gaps", self.gaps.run),
            ("retained", self.retainer.run),
            ("retained-reads", self.replayer.run),
            ("deposits", self.deposits.run),
            ("upstream", self.upstream.run),
            ("replies", self.replies.run),
            *([] if self.talk is None else [("talk", self.talk.run)]),
            ("shadows", self.desired.run),
            ("shadows-seen", self.desired.run_seen),
            ("shadows-reported", self.reported.run),
            ("filings", self.filings.run),
            ("steps", self.steps.run),
            ("flights", self.flights.run),
            ("flights-over", self.flights.run_over),
            ("parking", self.parking.run),
            ("urgent-flights", self.flights.run_urgent),
            ("queues", self.reader.run),
            ("news", self.news.run),
            ("closings", self.closings.run),
            ("departures", self.departures.run),
            ("attendance", self.attendance.run),
            ("takeovers", self.takeovers.run),
            ("commands", self._commands.receive),
            ("apps", self._commands.look),
            ("broadcasts", self._broadcasts.run),
            ("broadcasts-spread", self._broadcasts.spreading.run),
            ("broadcasts-done", self._broadcasts.told.run),
            ("routes", self.routes.run),
            ("audit", self._audit.run),
            ("rebinding", self.rebinding.run),
            ("pressure", self._pressure.run),
            ("clock", self._clock.run),
        ):
            self._own(f"room.{name}", work)
        for listener in self.listeners:
            await listener.open()
            self._own(f"room.backlog.{listener.port.transport}", listener.run)

    def _listener(self, port: Port) -> Listener:
        settings = self._settings
        return Listener(
            port,
            settings.host,
            self._accept(port),
            unwrap=self._unwrap(),
            secure=self._secure[port.transport] if port.transport in ("tls", "wss") else None,
            backlog=settings.accept_backlog,
            crowd=self.admission.crowd,
            gave_up=lambda count: self.counters.closed.add("hung_up", count),
            reuse_port=settings.reuse_port,
        )

    def _accept(self, port: Port) -> Accept:
        """What deals with a connection to this port, from the first byte in clear."""
        services = self._services
        share = self._addresses.share()
        if port.transport in ("tcp", "tls"):
            return lambda origin: ClientConnection(services, share, origin)
        settings = self._settings
        upgrade = UpgradeRules(settings.ws_origins, settings.ws_head_size)
        rules = WebSocketRules(upgrade, settings.ws_frame_size)
        return lambda origin: WebSocketConnection(ClientConnection(services, share, origin), rules)

    def _unwrap(self) -> Unwrap | None:
        """What reads the header of a proxy, where there are any."""
        networks = self._settings.proxy_from
        if not networks:
            return None
        proxies = Proxies(networks, lambda: self._addresses.max_connections)
        return lambda make: Proxied(self._services, proxies, make)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The room's tasks: each runs until `stop`; one that ends earlier has failed."""
        return self._tasks

    @property
    def connections(self) -> int:
        """How many there are now."""
        return self.counters.connections

    @property
    def capacity(self) -> int:
        """How many connections the room takes."""
        return self._settings.max_connections

    def configure(self, settings: RoomSettings, kept: SessionSettings) -> None:
        """Goes by other settings from now on: by those that can change at run time."""
        self._settings = settings
        self.admission.configure(settings)
        self.receipts.delay = settings.ack_delay / 1000
        self.departures.linger = int(settings.linger * 1000)
        self.closings.max_expiry = self.opening.max_expiry = kept.max_expiry
        self.pace.most = settings.fanout_slice
        self._addresses.max_connections = settings.max_connections
        self._addresses.rate = settings.connect_rate
        self._addresses.rate_per_address = settings.connect_rate_per_address

    def draining(self, others: Callable[[], bool], where: Where) -> Draining:
        """What moves this room's clients elsewhere; `others` and `where` as `Draining` wants them."""
        return Draining(
            lambda: self._node,
            services=self._services,
            register=self._register,
            others=others,
            where=where,
        )

    def shedding(self, others: Callable[[], bool], where: Where) -> Shedding:
        """What lets clients go while the room cannot do its work; `others` and `where` as it wants them."""
        return Shedding(self._sessions, self.counters, self.admission, others=others, where=where)

    def close_listeners(self) -> None:
        """Takes no new connections; those that are there stay."""
        for listener in self.listeners:
            listener.close()

    async def suspend(self) -> None:
        """Takes no new clients, who are told that the server is unavailable, and goes on serving the others.

        For a node that cannot be sure that the others do not take it for dead. Returns when the CONNECTs
        that were taken in before are answered.
        """
        await self.admission.suspend()

    def resume(self) -> None:
        """Takes clients again."""
        self.admission.resume(self._node)

    async def rename(self, node: str) -> None:
        """Goes on as another node: this one was declared dead. Connections stay; clients need not hear of it.

        Returns when clients are taken under the new name. Those that are here are bound to it bit by bit,
        by `rebinding`, which closes the connections of those that are elsewhere by then. Raises what the bus
        raises when the new node cannot be given a queue; the room is suspended then, and this can be called
        again.
        """
        await self.suspend()
        await self._bus.open(node)
        self._commands.leave()
        self._node = self.news.node = node
        # What was to be heard of broadcasts under the former name is read anew; what was to be heard of apps,
        # the commands ask for.
        self._broadcasts.rename(node)
        self._apps.clear()
        self._commands.listen(node)
        await self.routes.rename(node)
        await self.rebinding.everybody(node)
        self.resume()

    async def _left(self, former: str) -> None:
        with suppress(LonglineError):  # whoever declared it dead has shut the queue, or will
            await self._bus.shut(former)

    async def stop(self, grace: float) -> None:
        """Says goodbye to every device, then commits what is still to be; at most `grace` seconds."""
        self.close_listeners()
        await self._say_goodbye(grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.admission.close()
        await self.delivery_rates.close()
        await self._key_sets.close()
        if self._callback is not None:
            await self._callback.close()
        with suppress(LonglineError):  # then whoever finds this node gone does it
            linger = int(self._settings.linger * 1000)
            # Binds that were under way when the tasks ended have no session here that could end.
            more = True
            while more:
                more = await self._register.release(self._node, wall_clock(), linger, SLICE) > 0
            while await self._saver.sessions.abandon(self._node, wall_clock(), linger, SLICE):
                pass
            await self._bus.shut(self._node)

    def give_up(self) -> None:
        """The stores are gone: `stop` does not wait for what is not committed yet."""
        self._hopeless = True
        self.hasten(0.0)

    def hasten(self, grace: float) -> None:
        """Has `stop`, where it is under way, wait for what is to be committed `grace` s more at most."""
        farewell = self._farewell
        if farewell is not None:
            until = self._loop.time() + grace
            when = farewell.when()
            if when is None or until < when:
                farewell.reschedule(until)

    async def _say_goodbye(self, grace: float) -> None:
        # Those that are not let in yet have no session, but a deadline.
        outlets = dict.fromkeys(self._wheel.outlets())
        for tenant in list(self._sessions.tenants.values()):
            for session in tenant.sessions.values():
                if session.attachment is not None:
                    outlets[session.attachment.outlet] = None
        for done, outlet in enumerate(outlets, 1):
            outlet.close(ReasonCode.SERVER_SHUTTING_DOWN, "server_shutting_down")
            if done % SLICE == 0:
                await asyncio.sleep(0)
        try:
            async with asyncio.timeout(0.0 if self._hopeless else grace) as self._farewell:
                await self.deposits.finished()
                await self.upstream.finished()
                await self.replies.finished()
                if self.talk is not None:
                    await self.talk.finished()
                await self.reported.finished()
                await self.desired.finished()
                await self.filings.finished()
                await self.departures.everybody()
                await self.departures.finished()
                await self.retainer.finished()
                self.receipts.note_all()
                await self.receipts.settled()
                await self.gaps.settled()
                await self.parking.finished()
                await self.routes.settled()
                await self.deposits.finished()  # groups have given members what others left behind
                await self.steps.finished()
                await self.flights.finished()
        except TimeoutError:
            # What was not committed is sent again: the store still has it. Who has not taken its last bytes
            # by now gets no more time for it.
            for outlet in self._wheel.outlets():
                if outlet.ended:
                    outlet.expired()
            await asyncio.sleep(0)
        finally:
            self._farewell = None

    def _filled(self, app: int, device: str) -> None:
        """Something is in the queue of a session that should be here."""
        session = self._sessions.find(app, device)
        if session is not None:
            self.reader.news(session)

    def _second(self) -> None:
        """A second has passed."""
        self.turn.second()
        self.receipts.tick()
        self.parking.tick()
        self.desired.tick()
        self.gaps.tick()

    def _own(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self._tasks.append(self._loop.create_task(kept(name, work, self._faults), name=name))
