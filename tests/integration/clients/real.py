"""`RealClient`: one of the real clients, connected as a device.

async with RealClient("paho-5", port, app="news", device="d1", token=token) as client:
    await client.ready()
    [message] = await client.receive(1)
"""

import asyncio
import base64
import binascii
import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import msgspec

HERE: Final = Path(__file__).parent
PATIENCE: Final = 60.0  # seconds; MQTT.js takes one to load on a busy machine
KINDS: Final = ("paho-3.1.1", "paho-5", "gmqtt", "aiomqtt", "mqttjs-3.1.1", "mqttjs-5", "mosquitto_sub")
PUSHES: Final = "push/#"  # what mosquitto_sub asks for: it does not start without a filter


Transport = Literal["tcp", "tls", "ws", "wss"]
OVER_WEBSOCKET: Final = ("paho-3.1.1", "paho-5", "mqttjs-3.1.1", "mqttjs-5")


class Received(msgspec.Struct, frozen=True):
    """A message as the client's library handed it out. `dup` is None where the library does not tell."""

    topic: str
    payload: bytes
    qos: int
    dup: bool | None


class Options(msgspec.Struct, frozen=True):
    """What the scripts are told."""

    port: int
    app: str
    device: str
    token: str
    protocol: int
    persistent: bool
    subscribe: str | None
    transport: Transport
    ca: str | None


class Line(msgspec.Struct):
    """What the scripts say."""

    event: str
    topic: str = ""
    payload: str = ""
    qos: int = 0
    dup: bool | None = None
    session_present: bool = False
    reason: str = ""


class Refused(Exception):
    """The client was not let in, or its subscription was refused."""


def missing(kind: str) -> str | None:
    """Which program this client lacks on this machine; None when it can run."""
    needed = {
        "mqttjs-3.1.1": ("node", "npm"),
        "mqttjs-5": ("node", "npm"),
        "mosquitto_sub": ("mosquitto_sub",),
    }
    for program in needed.get(kind, ()):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    return None


class RealClient:
    """A client of `kind`, one of `KINDS`, for one connection; to come back, make another one.

    `persistent` keeps its session on the server (clean session 0, or an expiry of an hour); `subscribe` is a
    filter to ask for, which pushes do not need. `transport` is one that the client knows, and `ca` a PEM file
    with who has signed the server's certificate.
    """

    def __init__(
        self,
        kind: str,
        port: int,
        *,
        app: str,
        device: str,
        token: str,
        persistent: bool = True,
        subscribe: str | None = None,
        transport: Transport = "tcp",
        ca: Path | None = None,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"{kind} is none of {', '.join(KINDS)}")
        if transport in ("ws", "wss") and kind not in OVER_WEBSOCKET:
            raise ValueError(f"{kind} does not speak WebSocket")
        self.kind = kind
        self.received: list[Received] = []
        self.session_present = False
        protocol = 4 if kind.endswith("3.1.1") or kind == "mosquitto_sub" else 5
        if kind == "mosquitto_sub" and subscribe is None:
            subscribe = PUSHES
        authority = None if ca is None else str(ca)
        self._options = Options(
            port, app, device, token, protocol, persistent, subscribe, transport, authority
        )
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._output: list[str] = []
        self._handed_out = 0
        self._ready = False
        self._refusal: str | None = None
        self._ended = False
        self._news = asyncio.Condition()
        self._debug: _DebugOutput | None = _DebugOutput() if kind == "mosquitto_sub" else None

    async def __aenter__(self) -> Self:
        command, environ = await asyncio.to_thread(self._command)
        self._process = await asyncio.create_subprocess_exec(
            *command,
            env=os.environ | environ,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=2 * 1024 * 1024,  # bytes of a line: a push of 256 KiB in base64, and then some
        )
        self._reader = asyncio.create_task(self._read(self._process), name=f"real-client-{self.kind}")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.disconnect()

    async def ready(self, *, within: float = PATIENCE) -> None:
        """Returns once the client is let in (and its filter granted); raises `Refused` when it is not."""
        await self._until(lambda: self._ready, "ready", within)

    async def receive(self, count: int, *, within: float = PATIENCE) -> list[Received]:
        """The next `count` messages; TimeoutError, with what did arrive, when they do not come."""
        wanted = self._handed_out + count
        await self._until(lambda: len(self.received) >= wanted, f"{count} messages", within)
        messages = self.received[self._handed_out : wanted]
        self._handed_out = wanted
        return messages

    async def disconnect(self) -> None:
        """Says good-bye and waits for the process to end; a second call does nothing."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            if self._debug is not None:
                process.terminate()  # upon which mosquitto_sub sends DISCONNECT
            elif process.stdin is not None:
                process.stdin.close()
        try:
            async with asyncio.timeout(PATIENCE):
                await process.wait()
        except TimeoutError:
            await self.kill()
        await self._gone()

    async def kill(self) -> None:
        """Ends the process without a good-bye: the server sees a connection that breaks."""
        process = self._process
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await self._gone()

    async def _gone(self) -> None:
        if self._reader is not None:
            await self._reader  # which ends with the process's output
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()
            with contextlib.suppress(OSError):
                await process.stdin.wait_closed()

    def _command(self) -> tuple[list[str], dict[str, str]]:
        options = msgspec.json.encode(self._options).decode()
        if self.kind.startswith("mqttjs"):
            modules = str(node_modules())
            return ["node", str(HERE / "mqttjs_client.cjs"), options], {"LONGLINE_NODE_MODULES": modules}
        if self._debug is not None:
            return self._mosquitto_sub(), {}
        script = f"{self.kind.partition('-')[0]}_client.py"
        return [sys.executable, str(HERE / script), options], {}

    def _mosquitto_sub(self) -> list[str]:
        options = self._options
        # Line by line: into a pipe it would print nothing before 4 KiB are full.
        command = ["stdbuf", "-oL", "mosquitto_sub", "-d", "-F", "payload %x"]
        if options.ca is not None:
            command += ["--cafile", options.ca]
        command += ["-h", "127.0.0.1", "-p", str(options.port), "-V", "mqttv311", "-k", "30", "-q", "1"]
        command += [
            "-i",
            options.device,
            "-u",
            options.app,
            "-P",
            options.token,
            "-t",
            str(options.subscribe),
        ]
        return [*command, "-c"] if options.persistent else command

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            raise RuntimeError("the process was started with a pipe")
        while data := await process.stdout.readline():
            text = data.decode("utf-8", errors="replace").rstrip()
            self._output.append(text)
            line = self._debug.read(text) if self._debug is not None else _script_line(text)
            if line is not None:
                await self._act(line)
        async with self._news:
            self._ended = True
            self._news.notify_all()

    async def _act(self, line: Line) -> None:
        async with self._news:
            if line.event == "ready":
                self._ready = True
                self.session_present = line.session_present
            elif line.event == "message":
                payload = base64.b64decode(line.payload)
                self.received.append(Received(line.topic, payload, line.qos, line.dup))
            elif line.event == "refused":
                self._refusal = line.reason
            self._news.notify_all()

    async def _until(self, reached: Callable[[], bool], what: str, within: float) -> None:
        try:
            async with asyncio.timeout(within), self._news:
                await self._news.wait_for(lambda: reached() or self._ended or self._refusal is not None)
        except TimeoutError:
            raise TimeoutError(f"{self.kind}: no {what} within {within:g} s; {self._report()}") from None
        if reached():
            return
        if self._refusal is not None:
            raise Refused(f"{self.kind}: {self._refusal}")
        raise Refused(f"{self.kind} ended before {what}; {self._report()}")

    def _report(self) -> str:
        return f"received {self.received}, said:\n" + "\n".join(self._output[-20:])


def _script_line(text: str) -> Line | None:
    try:
        return msgspec.json.decode(text, type=Line)
    except msgspec.MsgspecError:
        return None  # a traceback or a warning: it is in the report


class _DebugOutput:
    """mosquitto_sub's debug output, which names the flags of a PUBLISH on the line before its payload."""

    _PUBLISH = re.compile(
        r"Client \S+ received PUBLISH \(d(\d), q(\d), r\d, m\d+, '(.*)', \.\.\. \(\d+ bytes\)\)"
    )

    def __init__(self) -> None:
        self._publish: re.Match[str] | None = None

    def read(self, text: str) -> Line | None:
        """What a line tells, if it tells anything."""
        if text.startswith("payload ") or text == "payload":
            publish, self._publish = self._publish, None
            if publish is None:
                return None
            payload = base64.b64encode(binascii.unhexlify(text[len("payload ") :])).decode()
            dup, qos, topic = publish[1] == "1", int(publish[2]), publish[3]
            return Line("message", topic=topic, payload=payload, qos=qos, dup=dup)
        if (publish := self._PUBLISH.fullmatch(text)) is not None:
            self._publish = publish
        elif text.startswith("Subscribed "):
            return Line("ready")
        elif "denied" in text or "refused" in text or "Connection error" in text:
            return Line("refused", reason=text)
        return None


def modules_folder() -> Path:
    """Where npm's packages belong, there or not: LONGLINE_NODE_MODULES, or build/node_modules."""
    given = os.environ.get("LONGLINE_NODE_MODULES")
    modules = Path(given).absolute() if given else HERE.parents[2] / "build" / "node_modules"
    return modules if modules.name == "node_modules" else modules / "node_modules"  # npm knows no other name


def node_modules() -> Path:
    """Where the packages of `package.json` are, installed there if they were not."""
    modules = modules_folder()
    folder = modules.parent
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".node_modules.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may want it at once
        wanted = (HERE / "package.json").read_text(encoding="utf-8")
        stamp = modules / ".longline"
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
            shutil.copyfile(HERE / "package.json", folder / "package.json")
            subprocess.run(
                ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"],
                cwd=folder,
                check=True,
                capture_output=True,
                timeout=900,
            )
            stamp.write_text(wanted, encoding="utf-8")
    return modules
