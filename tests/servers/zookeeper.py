"""ZooKeeper servers from Debian's package, alone or as an ensemble, to be killed, paused and restarted."""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers.ports import free_ports
from tests.waiting import wait_until

JAR = Path("/usr/share/java/zookeeper.jar")
MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
TICK = 500  # ms; the shortest session is two of them
LONGEST_SESSION = 60_000  # ms
READY_WITHIN = 60.0  # s
LOOK_EVERY = 0.02  # s

# A small heap, and a JVM that starts fast rather than runs fast.
JAVA = (
    "java",
    "-Xmx128m",
    "-Xms32m",
    "-Xss512k",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Xshare:auto",
)


class ZooKeeperServer:
    """One server; its data outlives its process, so `start` and `kill` may alternate.

    `peers` are the `HOST:PORT:PORT` of an ensemble, this one's among them at `number` - 1. `pid` is the
    process's. It answers before the disk has what it was told: tests need not wait for disks.
    """

    def __init__(
        self,
        directory: Path,
        *,
        address: str = "127.0.0.1",
        port: int | None = None,
        number: int = 1,
        peers: Sequence[str] = (),
    ) -> None:
        self.directory = directory
        self.address = address
        self.port = port if port is not None else free_ports(1)[0]
        self._process: subprocess.Popen[bytes] | None = None
        data = directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        (data / "myid").write_text(str(number))
        lines = [
            f"tickTime={TICK}",
            f"maxSessionTimeout={LONGEST_SESSION}",
            "initLimit=20",
            "syncLimit=4",
            f"dataDir={data}",
            f"clientPort={self.port}",
            f"clientPortAddress={address}",
            "admin.enableServer=false",
            "maxClientCnxns=0",
            "4lw.commands.whitelist=ruok,srvr",
        ]
        if peers:
            lines.append("standaloneEnabled=false")
            lines += [f"server.{index}={peer}" for index, peer in enumerate(peers, 1)]
        (directory / "zoo.cfg").write_text("\n".join(lines) + "\n")

    @property
    def host(self) -> str:
        return f"{self.address}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the process, and does not wait until it serves: `wait` does."""
        if not JAR.exists() or shutil.which(JAVA[0]) is None:
            raise AssertionError("these tests need a ZooKeeper server: apt-get install zookeeper")
        options = (
            "-Dzookeeper.forceSync=no",
            "-Dzookeeper.preAllocSize=64",
            "-Dzookeeper.jmx.log4j.disable=true",
        )
        with (self.directory / "server.log").open("ab") as output:
            self._process = subprocess.Popen(
                [*JAVA, *options, "-cp", str(JAR), MAIN, str(self.directory / "zoo.cfg")],
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, "JAVA_TOOL_OPTIONS": ""},
            )

    def wait(self) -> None:
        """Waits until the server serves: in an ensemble, until there is a leader."""

        def serves() -> bool:
            if not self.is_running:
                raise AssertionError(f"ZooKeeper ended:\n{self.tail()}")
            return self.serves()

        wait_until(serves, "ZooKeeper serves", READY_WITHIN)

    def serves(self) -> bool:
        """Whether it answers `srvr` with a mode: standalone, leader or follower."""
        return b"Mode: " in self.command(b"srvr")

    def leads(self) -> bool:
        """Whether it is the ensemble's leader."""
        return b"Mode: leader" in self.command(b"srvr")

    def command(self, word: bytes) -> bytes:
        """The answer to a four-letter word; nothing when there is none within a second."""
        try:
            with socket.create_connection((self.address, self.port), timeout=1) as sock:
                sock.sendall(word)
                answer = b""
                while chunk := sock.recv(4096):
                    answer += chunk
                return answer
        except OSError:
            return b""

    def kill(self) -> None:
        """SIGKILL, and waits for the end."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: connections stay, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def tail(self) -> str:
        log = self.directory / "server.log"
        return log.read_text(errors="replace")[-4000:] if log.exists() else ""

    def _end(self, number: int) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(number)
            self._process.wait(10)
            self._process = None


class Ensemble:
    """Three servers, or as many as are asked for; clients reach them at `address`, one of this machine's."""

    def __init__(self, directory: Path, size: int = 3, *, address: str = "127.0.0.1") -> None:
        ports = free_ports(3 * size)
        peers = [f"127.0.0.1:{ports[3 * i + 1]}:{ports[3 * i + 2]}" for i in range(size)]
        self.servers = [
            ZooKeeperServer(
                directory / f"zk{i + 1}", address=address, port=ports[3 * i], number=i + 1, peers=peers
            )
            for i in range(size)
        ]

    @property
    def hosts(self) -> str:
        """For clients: every server."""
        return ",".join(server.host for server in self.servers)

    def start(self) -> None:
        """Starts all, and waits until all serve."""
        for server in self.servers:
            server.start()
        for server in self.servers:
            server.wait()

    def kill(self) -> None:
        """Kills all that run."""
        for server in self.servers:
            server.kill()

    def leader(self) -> ZooKeeperServer:
        """The server that leads, once there is one."""

        def leading() -> ZooKeeperServer | None:
            return next((server for server in self.servers if server.is_running and server.leads()), None)

        return wait_until(leading, "somebody leads the ensemble", READY_WITHIN)


_shared: list[ZooKeeperServer] = []


def shared_zookeeper() -> ZooKeeperServer:
    """The one server of a run of the tests, started when first asked for. Each test takes a root of its own;
    whoever kills or pauses a server starts one for itself.
    """
    if not _shared:
        directory = Path(tempfile.mkdtemp(prefix="ll-zk-"))
        server = ZooKeeperServer(directory)
        atexit.register(_end, server, directory)
        server.start()
        server.wait()
        _shared.append(server)
    return _shared[0]


def _end(server: ZooKeeperServer, directory: Path) -> None:
    server.kill()
    shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def zookeeper(directory: Path) -> Iterator[ZooKeeperServer]:
    """One server that serves."""
    server = ZooKeeperServer(directory)
    try:
        server.start()
        server.wait()
        yield server
    finally:
        server.kill()


@contextmanager
def ensemble(directory: Path, size: int = 3) -> Iterator[Ensemble]:
    """An ensemble that serves."""
    servers = Ensemble(directory, size)
    try:
        servers.start()
        yield servers
    finally:
        servers.kill()
