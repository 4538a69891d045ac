"""A room: its listener, its tasks and its clock, put together."""

import asyncio
import math
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import cast

from longline.bus.port import Bus
from longline.errors import LonglineError
from longline.model.times import wall_clock
from longline.mqtt.packets import Connect
from longline.mqtt.reasons import ReasonCode
from longline.register.port import Register
from longline.room.broker import Broker
from longline.room.life.admission import Admission
from longline.room.life.audit import Audit
from longline.room.life.departures import Departures
from longline.room.life.directory import Directory
from longline.room.life.draining import Draining
from longline.room.life.pressure import Pressure
from longline.room.life.takeovers import Takeovers
from longline.room.pubsub.routes import RouteTable
from longline.room.push.broadcasts import Broadcasts
from longline.room.push.commands import Commands
from longline.room.push.inbox import Inbox
from longline.room.push.receipts import Receipts
from longline.room.session.session import InFlight, Session
from longline.room.wire.addresses import Addresses
from longline.room.wire.connection import Connection
from longline.room.wire.policy import Policy
from longline.saver.bundle import Saver
from longline.settings import RoomSettings

TICK = 1.0  # s: the wheel's step, and how exact deadlines are
SLICE = 1000  # connections looked at before the loop may serve others
RECEIPTS = 200_000  # receipts that may wait for the store
RESTART_GRACE = 5.0  # s
KEEPALIVE_IDLE = (
    600  # s until the kernel probes a silent peer: finds the dead ones that have no MQTT keep alive
)

Report = Callable[[str, str, str], None]  # code, peer's address, message


class Room:
    """Serves devices on one listener until it is stopped. Fulfils `Desk` for its broker.

    `fenced` is set when a bind, or the bus, shows that the node was declared dead. Whoever started the room
    then has it go on under a new name, by `restart_as`.
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
        fenced: asyncio.Event,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._settings = settings
        self._node = node
        self._register = register
        self._bus = bus
        self._report = report
        self._loop = loop
        self.broker = Broker(self, loop.call_soon, loop.time, settings.outbox_bytes, settings.session_queue)
        counters = self.broker.counters
        self.receipts = Receipts(saver, counters, delay=settings.ack_delay / 1000, limit=RECEIPTS)
        self.inbox = Inbox(saver, self.broker, self.receipts)
        self.departures = Departures(
            saver, register, self.receipts, counters, linger=int(settings.linger * 1000)
        )
        self.takeovers = Takeovers(bus, counters)
        self._directory = Directory(saver)
        self.admission = Admission(
            settings,
            node,
            broker=self.broker,
            saver=saver,
            register=register,
            directory=self._directory,
            inbox=self.inbox,
            takeovers=self.takeovers,
            fenced=fenced,
        )
        self._broadcasts = Broadcasts(
            node,
            broker=self.broker,
            saver=saver,
            receipts=self.receipts,
            fanout_slice=settings.fanout_slice,
        )
        self.routes = RouteTable(node, bus, self.broker)
        self._commands = Commands(
            node,
            bus,
            broker=self.broker,
            directory=self._directory,
            inbox=self.inbox,
            broadcasts=self._broadcasts,
            routes=self.routes,
            fenced=fenced,
        )
        self._audit = Audit(register, self.broker)
        self._pressure = Pressure(
            self.broker,
            [(self.receipts.waiting, RECEIPTS), (self.admission.waiting, settings.connect_queue)],
            self.inbox.failing,
        )
        self._addresses = Addresses(
            counters,
            allow=settings.allow,
            deny=settings.deny,
            max_connections=settings.max_connections,
            per_address=settings.max_connections_per_address,
            rate=settings.connect_rate,
            rate_per_address=settings.connect_rate_per_address,
        )
        self.policy = Policy(
            self._addresses.admit,
            self._addresses.release,
            settings.connect_packet_size,
            math.ceil(settings.connect_timeout),
            settings.max_packet_size,
            settings.max_subscriptions,
            settings.max_topic_levels,
            settings.topic_alias_maximum,
        )
        self._server: asyncio.Server | None = None
        self._empty = asyncio.Event()  # set whenever the last session has ended
        self._tasks: list[asyncio.Task[None]] = []

    # --- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Starts the tasks and opens the listener. Raises OSError when the port is not to be had."""
        settings = self._settings
        listener = None
        if settings.port:
            listener = listen(settings.host, settings.port, reuse_port=settings.reuse_port)
        await self._bus.open(self._node)
        await self.routes.rebuild()
        for name, work in (
            ("admission", self.admission.run()),
            ("inbox", self.inbox.run()),
            ("inbox-again", self.inbox.run_again()),
            ("receipts", self.receipts.run()),
            ("departures", self.departures.run()),
            ("takeovers", self.takeovers.run()),
            ("commands", self._commands.receive()),
            ("broadcasts", self._broadcasts.run()),
            ("broadcasts-paced", self._broadcasts.pacing.run()),
            ("broadcasts-done", self._broadcasts.tell()),
            ("routes", self.routes.run()),
            ("audit", self._audit.run()),
            ("pressure", self._pressure.run()),
            ("clock", self._clock()),
        ):
            self._own(f"room.{name}", work)
        if listener is not None:
            self._server = await self._loop.create_server(
                cast(Callable[[], asyncio.BaseProtocol], self._connect),  # by shape: it is compiled
                sock=listener,
                backlog=settings.accept_backlog,
            )

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The room's tasks: each runs until `stop`; one that ends earlier has failed."""
        return self._tasks

    @property
    def connections(self) -> int:
        """How many there are now."""
        return self.broker.counters.connections

    @property
    def capacity(self) -> int:
        """How many connections the room takes."""
        return self._settings.max_connections

    def configure(self, settings: RoomSettings) -> None:
        """Goes by other settings from now on: by those that can change at run time."""
        self._settings = settings
        self.admission.configure(settings)
        self.receipts.delay = settings.ack_delay / 1000
        self.departures.linger = int(settings.linger * 1000)
        self._broadcasts.fanout_slice = settings.fanout_slice
        self._addresses.max_connections = settings.max_connections
        self._addresses.rate = settings.connect_rate
        self._addresses.rate_per_address = settings.connect_rate_per_address

    def draining(self, others: Callable[[], bool], where: Callable[[str, str], str | None]) -> Draining:
        """What moves this room's clients elsewhere; `others` and `where` as `Draining` wants them."""
        return Draining(
            lambda: self._node,
            broker=self.broker,
            policy=self.policy,
            register=self._register,
            others=others,
            where=where,
        )

    def close_listener(self) -> None:
        """Takes no new connections; those that are there stay."""
        if self._server is not None:
            self._server.close()

    async def suspend(self) -> None:
        """Takes no new clients, who are told that the server is unavailable, and goes on serving the others.

        For a node that cannot be sure that the others do not take it for dead. Returns when the CONNECTs
        that were taken in before are answered.
        """
        await self.admission.suspend()

    def resume(self) -> None:
        """Takes clients again."""
        self.admission.resume(self._node)

    async def evict(self, grace: float = RESTART_GRACE) -> None:
        """Suspends the room and ends all connections: its devices are to go where somebody hears of them.

        What was written is committed within `grace` seconds, as far as the stores can be reached.
        """
        await self.suspend()
        await self._say_goodbye(grace)

    async def restart_as(self, node: str, grace: float = RESTART_GRACE) -> None:
        """Ends all connections and goes on as another node: this one was declared dead.

        What was written is committed within `grace` seconds, as far as the stores can be reached. Raises what
        the bus raises when the new node cannot be given a queue; the room is suspended then, and this can be
        called again.
        """
        await self.suspend()
        self._commands.leave()
        self._broadcasts.rename(node)
        await self._say_goodbye(grace)
        with suppress(LonglineError):  # whoever declared it dead has shut the queue, or will
            await self._bus.shut(self._node)
        await self._bus.open(node)
        self._node = node
        self._commands.listen(node)
        await self.routes.rename(node)
        self.resume()

    async def stop(self, grace: float) -> None:
        """Says goodbye to every device, then commits what is still to be; at most `grace` seconds."""
        self.close_listener()
        await self._say_goodbye(grace)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with suppress(LonglineError):  # then whoever finds this node gone does it
            linger = int(self._settings.linger * 1000)
            # Binds that were under way when the tasks ended have no session here that could end.
            more = True
            while more:
                more = await self._register.release(self._node, wall_clock(), linger, SLICE) > 0
            await self._bus.shut(self._node)

    async def _say_goodbye(self, grace: float) -> None:
        # Who is not let in yet has no session, but a deadline.
        for connection in self.broker.wheel.connections():
            if connection.session is None:
                connection.close(ReasonCode.SERVER_SHUTTING_DOWN, "server_shutting_down")
        for tenant in list(self.broker.tenants.values()):
            for done, session in enumerate(list(tenant.sessions.values()), 1):
                if session.connection is not None:
                    session.connection.close(ReasonCode.SERVER_SHUTTING_DOWN, "server_shutting_down")
                if done % SLICE == 0:
                    await asyncio.sleep(0)
        try:
            async with asyncio.timeout(grace):
                if self.broker.counters.sessions:
                    self._empty.clear()
                    await self._empty.wait()
                await self.departures.finished()
                self.receipts.note_all()
                await self.receipts.settled()
        except TimeoutError:
            # What was not committed is sent again: the store still has it. Who has not taken its last bytes
            # by now gets no more time for it.
            for connection in self.broker.wheel.connections():
                if connection.ended:
                    connection.expired()
            await asyncio.sleep(0)

    def _own(self, name: str, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(self._loop.create_task(work, name=name))

    def _connect(self) -> Connection:
        return Connection(self.broker, self.policy)

    async def _clock(self) -> None:
        """Turns the wheel once a second. Time in which the loop stood still counts for no peer as silence."""
        broker = self.broker
        due = self._loop.time() + TICK
        while True:
            await asyncio.sleep(due - self._loop.time())
            due = max(due + TICK, self._loop.time())
            broker.now += TICK
            for done, connection in enumerate(broker.wheel.advance(), 1):
                connection.expired()
                if done % SLICE == 0:
                    await asyncio.sleep(0)
            self.receipts.tick()

    # --- Desk -------------------------------------------------------------------------------------

    def admit(self, connection: Connection, packet: Connect) -> None:
        self.admission.admit(connection, packet)

    def refill(self, session: Session) -> None:
        self.inbox.want(session)

    def acknowledged(self, entry: InFlight) -> None:
        self.receipts.acknowledged(entry)

    def written(self, entry: InFlight) -> None:
        self.receipts.written(entry)

    def dropped(self, session: Session, position: int, broadcast: bool, reason: str) -> None:
        self.receipts.dropped(session, position, broadcast, reason)

    def departed(self, session: Session) -> None:
        self.departures.add(session)
        if not self.broker.counters.sessions:
            self._empty.set()

    def refused(self, connection: Connection, code: str, message: str) -> None:
        transport = connection.transport
        peer = transport.get_extra_info("peername") if transport is not None else None
        self._report(code, str(peer[0]) if peer else "gone", message)


def listen(host: str, port: int, *, reuse_port: bool) -> socket.socket:
    """A bound TCP socket whose connections the kernel probes when they are silent for long.

    With `reuse_port`, other processes that ask for it too get a share of the port's connections.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener
