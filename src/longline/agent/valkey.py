"""The private store of `longline serve --workers`: a Valkey on a Unix socket in the data directory.

Every write is on disk before it is answered (`appendfsync always`; writes that arrive together share one
sync), so a kill of anything loses nothing. It ends with the agent, and a new one is started whenever it ends.
"""

import asyncio
import ctypes
import fcntl
import os
import shutil
import signal
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import structlog

from longline.agent.child import exit_in_words
from longline.agent.pauses import Pauses
from longline.agent.valkey_program import chosen, remember
from longline.errors import DataDirInUse, LonglineError, Unavailable
from longline.model.agents import ProcessExit, ProcessState, ProcessStatus
from longline.model.times import wall_clock

SOCKET = "valkey.sock"
LOG = "valkey.log"
LONGEST_SOCKET = 100  # bytes that a Unix socket's path may have (sun_path, unix(7))
LONGEST_LOG = 1024 * 1024  # bytes, looked at before each start
START_WITHIN = 120.0  # s without a word, after which it is taken for hung
STOP_WITHIN = 30.0
ANSWER_WITHIN = 0.5
PONG = b"+PONG\r\n"
LOADING = b"-LOADING"
LOOK_EVERY = 0.2  # s, for a lock
LONGEST_PAUSE = 10.0  # s before one that ends early is started again: everything waits for it
LAST_WORDS = 4096  # bytes of its log, of which the last line says why it has ended
PR_SET_PDEATHSIG = 1  # prctl(2)

# What the engines' compactness stands on; docs/operations.md says the same for a cluster's stores.
SETTINGS: dict[str, str] = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appendfsync": "always",
    "save": "",
    "maxmemory-policy": "noeviction",
    "hash-max-listpack-entries": "512",
    "hash-max-listpack-value": "1024",
    "zset-max-listpack-value": "1024",
    "set-max-intset-entries": "512",
    "loglevel": "warning",
}

log = structlog.get_logger("longline.agent")


class PrivateValkey:
    """Owned by the agent, which runs `keep` as a task after `start`.

    `changed` is called when what `status` tells has changed. A server that ends early again and again is
    started ever more rarely: on a full disk every write would end it. `program` is the server to run, the
    one of `valkey_program.chosen` unless given.
    """

    def __init__(
        self,
        directory: Path,
        *,
        program: Path | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.restarts = 0
        self.changed: Callable[[], None] = lambda: None
        self._sleep = sleep
        self._state: ProcessState = "starting"
        self._since = 0
        self._last_exit: ProcessExit | None = None
        self.directory = directory.absolute() / "valkey"
        self.socket = directory.absolute() / SOCKET
        self._program = chosen(program, self.directory)
        self._process: asyncio.subprocess.Process | None = None
        self._socket_directory: Path | None = None
        if len(os.fsencode(self.socket)) > LONGEST_SOCKET:
            # Nobody else can look into it.
            self._socket_directory = Path(tempfile.mkdtemp(prefix="longline-"))
            self.socket = self._socket_directory / SOCKET

    @property
    def url(self) -> str:
        """For the setting `store.url`."""
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def status(self) -> ProcessStatus:
        """As the agent tells of it."""
        pid, since = (0, 0) if self._state == "pausing" else (self.pid, self._since)
        return ProcessStatus("store", None, pid, self._state, self.restarts, since, self._last_exit)

    def _is(self, state: ProcessState) -> None:
        self._state = state
        self.changed()

    async def start(self) -> None:
        """Starts the server and returns when it takes commands.

        Raises `Unavailable` when it does not, `DataDirInUse` when another one does not let go of the data.
        """
        self._is("starting")
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        logs = self.directory / LOG
        if logs.exists() and logs.stat().st_size > LONGEST_LOG:
            os.truncate(logs, 0)
        lock = await self._lock()
        try:
            process = self._process = await asyncio.create_subprocess_exec(
                str(self._program),
                *self._arguments(logs),
                cwd=self.directory,
                stdin=asyncio.subprocess.DEVNULL,
                preexec_fn=ending_with(os.getpid()),
                start_new_session=True,  # Ctrl-C is for the agent, which stops it last
                pass_fds=[lock],
            )
        finally:
            os.close(lock)  # the server holds it now
        self._since = wall_clock()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(START_WITHIN) as limit:
                while (said := await answer(self.socket)) != PONG:
                    if said.startswith(LOADING):  # however long that takes: it is at work
                        limit.reschedule(loop.time() + START_WITHIN)
                    if process.returncode is not None:
                        raise Unavailable(f"Valkey ended with status {process.returncode}: see {logs}")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            await self._end()
            raise Unavailable(f"Valkey did not answer in time: see {logs}") from None
        self._is("ready")
        remember(self._program, self.directory)
        log.info("store_started", pid=self.pid, program=str(self._program))

    async def keep(self) -> None:
        """Starts the server again whenever it ends."""
        pauses = Pauses(LONGEST_PAUSE)
        while True:
            assert self._process is not None
            status = await self._process.wait()
            self.restarts += 1
            self._last_exit = ProcessExit(wall_clock(), exit_in_words(status))
            pause = pauses.ended()
            self._is("pausing")
            log.error(
                "store_ended",
                status=status,
                again_in=pause,
                reason=last_words(self.directory / LOG),
                disk_free=shutil.disk_usage(self.directory).free,
            )
            await self._sleep(pause)
            pauses.starts()
            try:
                await self.start()
            except (LonglineError, OSError) as error:
                log.error("store_not_started", error=str(error))

    async def stop(self) -> None:
        """Ends the server in good order."""
        await self._end()
        if self._socket_directory is not None:
            shutil.rmtree(self._socket_directory, ignore_errors=True)

    async def _end(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(STOP_WITHIN):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def _arguments(self, logs: Path) -> list[str]:
        paths = {"unixsocket": self.socket, "dir": self.directory, "logfile": logs}
        settings = {**SETTINGS, **{name: str(path) for name, path in paths.items()}}
        return [part for name, value in settings.items() for part in ("--" + name, value)]

    async def _lock(self) -> int:
        """A locked file, which the server is to inherit: the lock is there for as long as one of its holders.

        An agent that was killed leaves a server behind that is about to end. Two that write the same files
        would destroy them.
        """
        descriptor = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for _ in range(int(STOP_WITHIN / LOOK_EVERY)):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await asyncio.sleep(LOOK_EVERY)
            else:
                return descriptor
        os.close(descriptor)
        raise DataDirInUse(f"another Valkey serves {self.directory}")


async def answers(path: Path) -> bool:
    """Whether a server at the socket takes commands; it does not while it reads its data."""
    return await answer(path) == PONG


async def answer(path: Path) -> bytes:
    """What a server at the socket says to PING; nothing when nobody is there or it says nothing in time."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(b"PING\r\n")
                return await reader.readline()
            finally:
                writer.transport.abort()
    except OSError:  # a TimeoutError is one
        return b""


def last_words(path: Path) -> str:
    """The last line of a log, which says why the server has ended."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LAST_WORDS))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line for line in reversed(lines) if line.strip()), "")


def ending_with(parent: int) -> Callable[[], None]:
    """What is to be called in a child before it becomes a server: SIGTERM when the parent is gone, however.

    Everything that takes a lock is done before, here: another thread may hold it at the moment of the fork.
    """
    prctl = ctypes.CDLL(None).prctl

    def end_with_parent() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)  # it was gone before

    return end_with_parent
