"""A session with a ZooKeeper ensemble, on the event loop.

kazoo works in threads of its own. What it has to say comes into the loop by `call_soon_threadsafe`; nothing
of ours runs in its threads, and nothing in the loop waits for them.

What this adds to kazoo is doubt. ZooKeeper forgets a session, and with it our ephemeral nodes, when it has
not heard from us for the session's timeout, and kazoo learns of that only when it is connected again. So a
heartbeat of our own asks the *leader* (`sync`: anything else a follower answers for a while after it lost its
leader) five times within the timeout, and the session counts as ours for two thirds of the timeout since the
last one that was answered was *sent*. The third in between covers that a follower tells its leader of us only
every half tick, a quarter of the shortest timeout there is.
"""

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, TypeVar

import structlog

from kazoo import exceptions as kazoo_says
from kazoo.client import KazooClient, TransactionRequest
from kazoo.handlers.threading import SequentialThreadingHandler
from kazoo.handlers.utils import AsyncResult
from kazoo.protocol.connection import ConnectionHandler
from kazoo.protocol.states import EventType, KazooState, WatchedEvent
from longline.errors import Unavailable
from longline.flow.kept import kept
from longline.telemetry.faults import Faults

IN_TOUCH: Final = 2 / 3  # of the session's timeout
BEAT: Final = 1 / 5
GIVE_UP: Final = 1 / 3  # after this, unanswered, another server is tried while the session still lives
LATE: Final = 1 / 20  # of it too late, a timer shows that this process was held up
WINDOW: Final = 64  # requests on the way: kazoo's wake-up pipe takes some 270 before a write would block
SURE: Final = 0.01  # s by which a timer may be early
AGAIN_AFTER: Final = 0.05  # s
CLOSE_WITHIN: Final = 5.0  # s


log = structlog.get_logger("longline.store")

T = TypeVar("T")

_OUTCOMES: Final = (kazoo_says.NoNodeError, kazoo_says.NodeExistsError, kazoo_says.BadVersionError)
_BROKEN: Final = (
    kazoo_says.ConnectionLoss,
    kazoo_says.SessionExpiredError,
    kazoo_says.OperationTimeoutError,
)
_NOT_TO_BLAME: Final = (kazoo_says.RolledBackError, kazoo_says.RuntimeInconsistency)


class Found(NamedTuple):
    """A node."""

    data: bytes
    version: int  # how often its data was replaced
    created: int  # the transaction that made it: a number that rises in the whole ensemble
    owner: int  # the session that it lives with, 0 for a lasting one


class Watcher(Protocol):
    """Who is told of the session's fate, in the loop."""

    def connected(self) -> None:
        """Requests are answered again. Every watch set before is gone."""

    def lost(self) -> None:
        """The session is over, and its ephemeral nodes are gone."""

    def touched(self) -> None:
        """`in_touch` may have changed: a heartbeat was answered, or has not been for long."""

    def noticed(self, path: str, children: bool) -> None:
        """A watch fired: a node's children have changed, or its data, or itself."""


def _boot_clock() -> float:
    """Seconds that go on also while the machine sleeps, unlike those of `time.monotonic`."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class ZooKeeperSession:
    """A session with an ensemble.

    Requests raise `Unavailable`; and kazoo's `NoNodeError`, `NodeExistsError`, `BadVersionError` where they
    apply. Answers come in the order of requests, and a watch fires before anything newer can be read.
    """

    def __init__(self, hosts: str, timeout: float, watcher: Watcher, faults: Faults) -> None:
        self.epoch = 1  # counts sessions
        self._client = _Client(hosts, timeout)
        self._watcher = watcher
        self._faults = faults
        self._loop = asyncio.get_running_loop()
        self._connected = asyncio.Event()
        self._window = asyncio.Semaphore(WINDOW)
        self._contact = float("-inf")  # when the last answered heartbeat was sent
        self._beat_now = asyncio.Event()
        self._beating: asyncio.Task[None] | None = None
        self._closed = False

    async def open(self) -> None:
        """Begins a session. Raises `Unavailable` when none was had within its timeout."""
        self._client.add_listener(lambda state: self._tell(self._follow_state, state))
        self._client.start_async()
        try:
            async with asyncio.timeout(self.timeout):
                while not self.in_touch():
                    await self._connected.wait()
                    await self._beat()
                    if not self.in_touch():
                        await asyncio.sleep(AGAIN_AFTER)
        except BaseException as error:
            await self.close()
            if isinstance(error, TimeoutError):
                raise Unavailable("no ZooKeeper server answers") from None
            raise
        beat_on = kept("keeper.heartbeat", self._beat_on, self._faults)
        self._beating = asyncio.create_task(beat_on, name="zookeeper.heartbeat")

    async def close(self) -> None:
        """Ends the session, so that its ephemeral nodes go at once; takes a few seconds at most.

        When no server answers they go with the session's timeout.
        """
        if self._closed:
            return
        self._closed = True
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)
        ended = asyncio.Event()

        def stop() -> None:
            try:
                self._client.stop()
                self._client.close()
            finally:
                self._tell(ended.set)

        # A thread of its own: kazoo may wait for a dead server for longer than we do, and a pool's thread
        # would hold the program back.
        threading.Thread(target=stop, name="zookeeper.stop", daemon=True).start()
        try:
            async with asyncio.timeout(CLOSE_WITHIN):
                await ended.wait()
        except TimeoutError:
            log.warning("zookeeper_not_answering", doing="closing", waited=CLOSE_WITHIN)

    @property
    def timeout(self) -> float:
        """The session's, in seconds, as the server granted it."""
        return self._client.granted

    @property
    def id(self) -> int:
        """The session's number, which its ephemeral nodes carry; 0 while not connected."""
        known = self._client.client_id
        return 0 if known is None else known[0]

    @property
    def is_connected(self) -> bool:
        """Whether requests can be sent now."""
        return self._connected.is_set()

    def in_touch(self) -> bool:
        """False once ZooKeeper may have forgotten the session."""
        return not self._closed and _boot_clock() - self._contact < self.timeout * IN_TOUCH

    def age(self) -> float:
        """Seconds since the last heartbeat was sent that was answered."""
        return _boot_clock() - self._contact

    # --- requests -----------------------------------------------------------------------------------

    async def sync(self) -> None:
        """What is read after this is at least as new as anything that was written before."""
        await self._ask(lambda: self._client.sync_async("/"), again=True)

    async def children(self, path: str) -> list[str]:
        """The names of the nodes below a lasting node, which is made if need be, and a watch on them."""
        while True:
            try:
                request = partial(self._client.get_children_async, path, self._watched)
                return await self._ask(request, again=True)
            except kazoo_says.NoNodeError:
                await self.ensure(path)

    async def get(self, path: str, *, watch: bool = False) -> Found | None:
        """A node; None when there is none, and no watch on it then."""
        watched = self._watched if watch else None
        try:
            data, stat = await self._ask(lambda: self._client.get_async(path, watched), again=True)
        except kazoo_says.NoNodeError:
            return None
        return Found(data, stat.version, stat.czxid, stat.ephemeralOwner)

    async def ensure(self, path: str) -> None:
        """Makes a lasting node, and those above it, where they are missing."""
        await self._ask(lambda: self._client.ensure_path_async(path), again=True)

    async def create_ephemeral(self, path: str, data: bytes) -> None:
        """Makes a node that lives as long as the session.

        `NodeExistsError` may mean that a first attempt was carried out without our hearing of it.
        """
        request = partial(self._client.create_async, path, data, ephemeral=True, makepath=True)
        await self._ask(request, again=True)

    async def set(self, path: str, data: bytes, version: int | None = None) -> int:
        """Replaces a node's data; its new version. With `version` only that one, and at most once."""
        expected = -1 if version is None else version
        asked = self._ask(lambda: self._client.set_async(path, data, expected), again=version is None)
        return (await asked).version

    async def delete(self, path: str) -> None:
        """Removes a node, if it is there."""
        with contextlib.suppress(kazoo_says.NoNodeError):
            await self._ask(lambda: self._client.delete_async(path), again=True)

    async def commit(self, build: Callable[[TransactionRequest], None]) -> None:
        """Carries out several changes in one step, or none of them, at most once."""

        def submit() -> "AsyncResult[list[object]]":
            transaction = self._client.transaction()
            build(transaction)
            return transaction.commit_async()

        for result in await self._ask(submit, again=False):
            # One of them has failed; the others say that they were rolled back, or not tried.
            if isinstance(result, Exception) and not isinstance(result, _NOT_TO_BLAME):
                raise result if isinstance(result, _OUTCOMES) else Unavailable(_refusal(result))

    async def _ask(self, submit: "Callable[[], AsyncResult[T]]", *, again: bool) -> T:
        """Sends a request when there is a connection, and with `again` once more after it broke."""
        if self._closed:
            raise Unavailable("the session with ZooKeeper is closed")
        try:
            async with asyncio.timeout(self.timeout):
                while True:
                    await self._connected.wait()
                    await self._window.acquire()
                    try:
                        return await self._submit(submit, self._window.release)
                    except _BROKEN:
                        if not again:
                            raise
                    await asyncio.sleep(AGAIN_AFTER)
        except _OUTCOMES:
            raise
        except TimeoutError:
            raise Unavailable("ZooKeeper does not answer") from None
        except _BROKEN:
            raise Unavailable("ZooKeeper went away before it answered: this may or may not be done") from None
        except Exception as error:
            raise Unavailable(_refusal(error)) from None

    def _submit(self, submit: "Callable[[], AsyncResult[T]]", answered: Callable[[], None]) -> Awaitable[T]:
        """`answered` is called when kazoo is through with the request, waited for or not."""
        future: asyncio.Future[T] = self._loop.create_future()

        def settle(result: "AsyncResult[T]") -> None:
            answered()
            if future.done():
                return
            if result.exception is None:
                future.set_result(result.value)
            else:
                future.set_exception(result.exception)

        try:
            asked = submit()
        except BaseException:
            answered()
            raise
        asked.rawlink(lambda result: self._tell(settle, result))
        return future

    def _tell(self, callback: Callable[..., object], *arguments: Any) -> None:
        """From any thread into the loop; to nobody when that is closed."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(callback, *arguments)

    # --- what kazoo says, and the session's fate --------------------------------------------------------

    def _watched(self, event: WatchedEvent) -> None:
        """Called in a thread of kazoo's."""
        # An event without a path only says that the connection broke; `connected` follows.
        if event.path is not None:
            self._tell(self._watcher.noticed, event.path, event.type == EventType.CHILD)

    def _follow_state(self, state: str) -> None:
        if self._closed:
            return
        if state == KazooState.CONNECTED:
            log.info("zookeeper_connected", session=f"{self.id:#x}")
            self._connected.set()
            self._beat_now.set()
            self._watcher.connected()
            return
        self._connected.clear()
        if state == KazooState.LOST:
            log.warning("zookeeper_session_lost")
            self.epoch += 1
            self._contact = float("-inf")
            self._watcher.lost()
        else:
            log.warning("zookeeper_disconnected")

    async def _beat_on(self) -> None:
        while True:
            self._beat_now.clear()
            if self._connected.is_set():
                await self._beat()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.timeout * BEAT):
                    await self._beat_now.wait()

    async def _beat(self) -> None:
        epoch, sent = self.epoch, _boot_clock()
        try:
            async with asyncio.timeout(self.timeout * GIVE_UP):
                await self._submit(lambda: self._client.sync_async("/"), lambda: None)
        except TimeoutError:
            if _boot_clock() - sent > self.timeout * (GIVE_UP + LATE):
                self._beat_now.set()  # we were held up: its answer may be there, behind this timer
                return
            log.warning("zookeeper_not_answering", doing="heartbeat", waited=self.timeout * GIVE_UP)
            self._client.drop()
        except Exception as error:
            log.debug("zookeeper_heartbeat_failed", error=_refusal(error))
        else:
            if epoch == self.epoch:
                self._contact = max(self._contact, sent)
                self._watcher.touched()
                self._loop.call_later(self.timeout * IN_TOUCH + SURE, self._watcher.touched)


def _refusal(error: object) -> str:
    return f"ZooKeeper refused: {type(error).__name__}"


class _Client(KazooClient):
    """Retries for as long as it takes, without long pauses, and knows the timeout that it was granted.

    Here and in `_Connection` is all that we touch of what kazoo calls its own; what that is, and that it is
    still there, is tested in tests/unit/keeper/test_kazoo.py.
    """

    def __init__(self, hosts: str, timeout: float) -> None:
        pause = min(1.0, timeout / 10)
        handler = _Handler(max(1.0, timeout / 6))
        retry = {"max_tries": -1, "delay": 0.05, "max_delay": pause}
        super().__init__(hosts, timeout, handler=handler, connection_retry=retry, logger=_kazoo_log)
        private: Any = self
        self._granting = _Connection(self, private._conn_retry.copy(), self.logger)
        self._granting.granted = timeout
        private._connection = self._granting

    @property
    def granted(self) -> float:
        """Seconds."""
        return self._granting.granted

    def drop(self) -> None:
        """Breaks the connection, as if the server had; the next server is tried at once."""
        sock = self._granting.sock
        if sock is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class _Connection(ConnectionHandler):
    granted: float

    def _connect(self, host: str, hostip: str, port: int) -> tuple[float, float]:
        private: Any = super()
        read_timeout, connect_timeout = private._connect(host, hostip, port)
        self.granted = read_timeout / 1000 * 3 / 2  # kazoo reads for two thirds of what was granted
        return read_timeout, connect_timeout

    @property
    def sock(self) -> socket.socket | None:
        """The connection to the server, while there is one."""
        private: Any = self
        sock: socket.socket | None = private._socket
        return sock


class _Handler(SequentialThreadingHandler):
    """kazoo would wait a whole session's timeout for a host that swallows packets, and lose the session."""

    def __init__(self, connect_timeout: float) -> None:
        super().__init__()
        self._connect_timeout = connect_timeout

    def create_connection(
        self, address: tuple[str, int], *, timeout: float | None = None, **options: Any
    ) -> socket.socket:
        limit = self._connect_timeout if timeout is None else min(timeout, self._connect_timeout)
        return super().create_connection(address, timeout=limit, **options)


class _OnceAnHour(logging.Filter):
    """Of kazoo's warnings, which repeat with every attempt to connect, the first of each kind in an hour."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        kind = str(record.msg)  # before its arguments are put in, so there are only so many
        now = time.monotonic()
        if now - self._said.get(kind, float("-inf")) < 3600:
            return False
        self._said[kind] = now
        return True


_kazoo_log: Final = logging.getLogger("kazoo.session")
_kazoo_log.setLevel(logging.WARNING)
_kazoo_log.addFilter(_OnceAnHour())
