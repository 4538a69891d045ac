"""The room's tasks on a real loop, above a store that does what the test says.

Nothing here takes time: `settle` gives every task as many turns as it needs, and a call to the store waits
only where the test holds it up.
"""

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Self, cast

import jwt

from longline.delivery.headcounts import Headcounts, registered
from longline.delivery.limits import LimitsOfApps
from longline.flow.outbound import Outbound
from longline.model.apps import App
from longline.model.commands import Forward, Routes
from longline.model.times import wall_clock
from longline.model.topics import ATTACH_TOPIC, DETACH_TOPIC
from longline.mqtt.packets import MQTT_5_0, Connect, Will
from longline.mqtt.properties import Properties
from longline.register.memory import MemoryRegister
from longline.room.kept.opening import Opening
from longline.room.life.admission import Admission
from longline.room.life.allowances import Allowances
from longline.room.life.attaching import AttachRequests, DetachRequests
from longline.room.life.authority import Authority
from longline.room.life.authority_counters import AuthorityCounters
from longline.room.life.callback import ConnectCallback
from longline.room.life.departures import Departures
from longline.room.life.key_sets import KeySets
from longline.room.life.rebinding import Rebinding
from longline.room.life.takeovers import Takeovers
from longline.room.platform.handlers import Platform
from longline.room.pubsub.routes import RouteTable
from longline.room.push.broadcasts import Broadcasts
from longline.room.push.commands import Commands
from longline.room.push.delivery_rates import DeliveryRates
from longline.room.push.flights import Flights
from longline.room.push.gaps import Gaps
from longline.room.push.inbox import Inbox
from longline.room.push.pace import BulkPace
from longline.room.push.parking import Parking
from longline.room.push.receipts import Receipts
from longline.saver.app_cache import AppCache
from longline.settings import AuthoritySettings, ParkingSettings, RoomSettings
from longline.testing.clock import settle
from tests.fakes.saver import FakeSaver
from tests.unit.room.fixture import MAX_EXPIRY, NOW_MS, Peer, RoomFixture
from tests.waiting import until

NODE = "n1"
SECRET = "the device secret of an app for tests"


def an_app(name: str = "news", number: int = 7, *, pubsub: bool = True) -> App:
    return App(
        app=name,
        number=number,
        name=name,
        server_key_hash=b"",
        device_secret=SECRET,
        pubsub=pubsub,
        created_at=NOW_MS,
    )


def a_token(device: str, secret: str = SECRET, **claims: object) -> bytes:
    return jwt.encode({"sub": device, **claims}, secret, algorithm="HS256").encode()


class Store(FakeSaver):
    """A saver that knows one app."""

    def __init__(self) -> None:
        super().__init__()
        self.known = {"news": an_app()}


class FakeRoutes:
    """Notes what the commands hand to the table of routes."""

    def __init__(self) -> None:
        self.changes: list[Routes] = []
        self.forwards: list[Forward] = []
        self.owed: list[tuple[str, int]] = []
        self.doubted = 0

    def changed(self, command: Routes) -> None:
        self.changes.append(command)

    def forward(self, command: Forward) -> None:
        self.forwards.append(command)

    def owe(self, node: str, number: int) -> None:
        self.owed.append((node, number))

    def doubt(self) -> None:
        self.doubted += 1


class RunningRoom:
    """A room whose tasks run, but for those between rooms."""

    def __init__(
        self,
        settings: RoomSettings | None = None,
        *,
        limit: int = 100,
        fanout_slice: int = 10,
        store: Store | None = None,
        register: MemoryRegister | None = None,
        outbound: Outbound | None = None,
        callback: ConnectCallback | None = None,
        outside: int = 100,
    ) -> None:
        settings = settings or RoomSettings(ack_delay=0, linger=0)
        parts = self.parts = RoomFixture()
        self.monotonic: Callable[[], float] = lambda: 0.0  # nothing takes any time, unless a test says so
        self.store = store or Store()
        self.register = register or MemoryRegister()
        self.bus = parts.bus
        saver = self.store
        inboxes, counters, faults = saver.inboxes, parts.counters, parts.faults
        self.pace = BulkPace(fanout_slice, lambda: self.monotonic())
        self.receipts = Receipts(
            inboxes, counters, faults, self.pace, delay=settings.ack_delay / 1000, limit=limit
        )
        self.inbox = Inbox(
            inboxes, self.receipts, faults, self.pace, page_bytes=4096, caught_up=parts.fanout.caught_up
        )
        self.inbox.pushes = parts.pushes
        self.flights = Flights(
            parts.saver.kept_sessions, self.receipts, parts.pushes, faults, self.pace, delay=0.0
        )
        parts.pushes.flights = self.inbox.flights = self.flights
        self.parking = Parking(
            saver.parking, self.inbox, counters, faults, ParkingSettings(), clock=lambda: parts.wall
        )
        parts.pushes.watch = self.parking
        self.receipts.unanswered = self.parking.unanswered
        self.gaps = Gaps(inboxes, counters, faults)
        self.apps = AppCache(saver.apps, known_for=60.0, unknown_for=5.0, clock=lambda: parts.time)
        self.takeovers = Takeovers(self.bus, counters, faults)
        self.kept = parts.saver.kept_sessions
        self.kept.locate = lambda app, device: self.register.locate_now(app, [device])[0]
        self.closings = parts.closings
        self.departures = Departures(
            inboxes,
            self.register,
            self.receipts,
            self.closings,
            counters,
            faults,
            linger=int(settings.linger * 1000),
        )
        self.opening = Opening(
            self.kept,
            parts.kept_apps,
            parts.filings,
            parts.steps,
            self.closings,
            parts.reader,
            self.flights,
            parts.fanout,
            parts.rules,
            counters,
            max_expiry=MAX_EXPIRY,
        )
        self.wall: Callable[[], int] = wall_clock
        self.authority_counters = AuthorityCounters()
        self.key_sets = KeySets(
            AuthoritySettings(),
            self.authority_counters,
            outbound=outbound,
            clock=lambda: parts.time,
        )
        self.fenced: list[str] = []
        self.left: list[str] = []  # names to which nobody is bound any more
        self.limits = LimitsOfApps()
        self.allowances = Allowances(
            self.limits,
            parts.sessions.tenants,
            register=self.register,
            devices=Headcounts(saver.devices.count, registered(saver.devices)),
            sessions=self.kept,
        )
        self.admission = Admission(
            settings,
            NODE,
            counters=counters,
            turn=parts.turn,
            faults=faults,
            sessions=parts.sessions,
            inboxes=inboxes,
            devices=saver.devices,
            register=self.register,
            authority=Authority(
                self.apps, settings, self.key_sets, callback, parts.sessions.acls, lambda: self.wall()
            ),
            apps=self.apps,
            inbox=self.inbox,
            gaps=self.gaps,
            parking=self.parking,
            opening=self.opening,
            takeovers=self.takeovers,
            arrived=lambda session, news: None,
            fenced=self.fenced.append,
            pace=self.pace,
            outside_limit=outside,
            authority_counters=self.authority_counters,
            allowances=self.allowances,
            clock=lambda: parts.time,
        )
        self.broadcasts = Broadcasts(
            NODE,
            saver.routing,
            faults,
            pushes=parts.pushes,
            receipts=self.receipts,
            sessions=parts.sessions.of,
            some=parts.sessions.some,
            pace=self.pace,
            rates=DeliveryRates(
                lambda: self.limits.defaults, parts.sessions.tenants, self.register.count, lambda: parts.time
            ),
        )
        self.routes = FakeRoutes()
        self.commands = Commands(
            NODE,
            self.bus,
            counters=counters,
            faults=faults,
            sessions=parts.sessions,
            pushes=parts.pushes,
            receipts=self.receipts,
            apps=self.apps,
            broadcasts=self.broadcasts,
            routes=cast(RouteTable, self.routes),
            kept_apps=parts.kept_apps,
            reader=parts.reader,
            desired=lambda session: None,
            released=self.parking.released,
            fenced=self.fenced.append,
            sleep=self._pause,
        )
        self.rebinding = Rebinding(
            NODE,
            register=self.register,
            inboxes=inboxes,
            kept=self.kept,
            sessions=parts.sessions,
            pushes=parts.pushes,
            counters=counters,
            faults=faults,
            arrived=lambda session, news: None,
            departed=self.departures.add,
            fenced=self.fenced.append,
            left=self._left,
            sleep=self._pause,
        )
        parts.noted.admission = self.admission.admit
        self.tries: Callable[[str | None], str | None] = lambda peer: None
        parts.services.platform = Platform(
            {
                ATTACH_TOPIC: AttachRequests(
                    parts.sessions,
                    counters,
                    settings,
                    admit=self.admission.admit,
                    tries=lambda peer: self.tries(peer),
                    clock=lambda: parts.time,
                ),
                DETACH_TOPIC: DetachRequests(parts.sessions, counters, settings),
            }
        )
        parts.noted.inbox = self.inbox.ask
        parts.noted.looks = self.inbox.look
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self.bus.open(NODE)
        self.run(self.admission.run())
        self.run(self.inbox.run())
        self.run(self.inbox.run_looks())
        self.run(self.receipts.run())
        self.run(self.gaps.run())
        self.run(self.commands.receive())
        self.run(self.broadcasts.run())
        self.run(self.broadcasts.spreading.run())
        self.run(self.broadcasts.told.run())
        self.run(self.takeovers.run())
        self.run(self.departures.run())
        self.run(self.rebinding.run())
        self.run(self.closings.run())
        self.run(self.parts.deposits.run())
        self.run(self.parts.filings.run())
        self.run(self.parts.steps.run())
        self.run(self.flights.run())
        self.run(self.flights.run_over())
        self.run(self.parking.run())
        self.run(self.flights.run_urgent())
        self.run(self.parts.reader.run())
        self.run(self.parts.news.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.admission.close()
        await self.key_sets.close()
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result  # no task of a room may end

    async def _left(self, former: str) -> None:
        self.left.append(former)

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(0)

    def run(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def settle(self) -> None:
        """Lets everything happen that can."""
        for _ in range(3):
            await settle()
            self.parts.turns.settle()

    async def until(self, holds: Callable[[], object]) -> None:
        """Lets the room go on until something holds."""

        async def look() -> object:
            await self.settle()
            return holds()

        await until(look)

    def connect(
        self,
        device: str,
        version: int = MQTT_5_0,
        *,
        username: str | None = "news",
        password: bytes | None = None,
        keep_alive: int = 0,
        properties: Properties | None = None,
        will: Will | None = None,
    ) -> Peer:
        """A CONNECT with a good token, unless told otherwise; the answer is yet to come."""
        peer = self.parts.peer(version)
        if password is None and username is not None:
            password = a_token(device)
        packet = Connect(
            version,
            device,
            keep_alive=keep_alive,
            username=username,
            password=password,
            will=will,
            properties=properties,
        )
        peer.send(packet)
        return peer

    async def client(
        self, device: str, version: int = MQTT_5_0, properties: Properties | None = None
    ) -> Peer:
        """A device that was let in and has got what waited for it."""
        peer = self.connect(device, version, properties=properties)
        await self.settle()
        assert peer.connection.attachment is not None, peer.unread()
        peer.unread()
        return peer
