"""A room: its listener, its tasks and its clock, put together."""

import asyncio
import math
import socket
from collections.abc import Callable, Coroutine
from typing import cast

from longline.bus.port import Bus
from longline.mqtt.packets import Connect
from longline.mqtt.reasons import ReasonCode
from longline.register.port import Register
from longline.room.addresses import Addresses
from longline.room.admission import Admission
from longline.room.broker import Broker
from longline.room.commands import Commands
from longline.room.connection import Connection
from longline.room.departures import Departures
from longline.room.directory import Directory
from longline.room.inbox import Inbox
from longline.room.policy import Policy
from longline.room.receipts import Receipts
from longline.room.session import InFlight, Session
from longline.saver.port import Saver
from longline.settings import RoomSettings

TICK = 1.0  # s: the wheel's step, and how exact deadlines are
SLICE = 1000  # connections looked at before the loop may serve others
RECEIPTS = 200_000  # receipts that may wait for the store
KEEPALIVE_IDLE = (
    600  # s until the kernel probes a silent peer: finds the dead ones that have no MQTT keep alive
)

Report = Callable[[str, str, str], None]  # code, peer's address, message


class Room:
    """Serves devices on one listener until it is stopped. Fulfils `Desk` for its broker."""

    def __init__(
        self,
        settings: RoomSettings,
        node: str,
        *,
        saver: Saver,
        register: Register,
        bus: Bus,
        report: Report,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._settings = settings
        self._node = node
        self._bus = bus
        self._report = report
        self._loop = loop
        self.broker = Broker(self, loop.call_soon, loop.time, settings.outbox_bytes, settings.session_queue)
        counters = self.broker.counters
        self.receipts = Receipts(saver, counters, delay=settings.ack_delay / 1000, limit=RECEIPTS)
        self.inbox = Inbox(saver, self.broker, self.receipts)
        self.departures = Departures(saver, register, self.receipts, counters)
        self._directory = Directory(saver)
        self.admission = Admission(
            settings,
            node,
            broker=self.broker,
            saver=saver,
            register=register,
            directory=self._directory,
            inbox=self.inbox,
        )
        self._commands = Commands(
            node,
            bus,
            broker=self.broker,
            saver=saver,
            directory=self._directory,
            inbox=self.inbox,
            receipts=self.receipts,
            fanout_slice=settings.fanout_slice,
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
        self._policy = Policy(
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
        listener = listen(self._settings.host, self._settings.port) if self._settings.port else None
        await self._bus.open(self._node)
        for name, work in (
            ("admission", self.admission.run()),
            ("inbox", self.inbox.run()),
            ("receipts", self.receipts.run()),
            ("departures", self.departures.run()),
            ("commands", self._commands.receive()),
            ("broadcasts", self._commands.broadcast()),
            ("clock", self._clock()),
        ):
            self._own(f"room.{name}", work)
        if listener is not None:
            self._server = await self._loop.create_server(
                cast(Callable[[], asyncio.BaseProtocol], self._connect),  # by shape: it is compiled
                sock=listener,
                backlog=self._settings.accept_backlog,
            )

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """The room's tasks: each runs until `stop`; one that ends earlier has failed."""
        return self._tasks

    async def stop(self, grace: float) -> None:
        """Says goodbye to every device, then commits what is still to be; at most `grace` seconds."""
        if self._server is not None:
            self._server.close()
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
                connection.expired()
            await asyncio.sleep(0)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._bus.shut(self._node)

    def _own(self, name: str, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(self._loop.create_task(work, name=name))

    def _connect(self) -> Connection:
        return Connection(self.broker, self._policy)

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


def listen(host: str, port: int) -> socket.socket:
    """A bound TCP socket whose connections the kernel probes when they are silent for long."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_IDLE)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    listener.setblocking(False)
    return listener
