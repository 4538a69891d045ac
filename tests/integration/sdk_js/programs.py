"""Devices of three kinds behind one interface: Python's, and TypeScript's in Node and in Chromium.

What a test does with them is a command, which Python carries out itself and the others are told
(`driver.mjs`). What they refuse with is a `Refusal` in all of them.
"""

import asyncio
import base64
import itertools
import json
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final, Self

import msgspec

from longline import Device, Message, errors
from longline.sdk.attached import AttachedApp
from longline.sdk.missed import Missed
from longline.sdk.speaking import Speaker
from longline.sdk.tokens import Token
from tests.integration.browser.chromium import CHROMIUM, FLAGS
from tests.integration.sdk_js.package import built
from tests.waiting import WITHIN

POLL: Final = 10.0  # s for which a page that asks for commands is kept waiting
LIMIT: Final = 8 * 1024 * 1024  # bytes of a line that a program writes
CAMEL: Final = {
    "receive_maximum": "receiveMaximum",
    "session_expiry": "sessionExpiry",
    "keep_alive": "keepAlive",
    "backoff_base": "backoffBase",
    "backoff_cap": "backoffCap",
    "connect_timeout": "connectTimeout",
}


WRONG: Final = "wrong"  # the code of what is refused before anything is asked, each language by its own error


class Refusal(Exception):
    """What a device was refused, or stopped with: `code` is that of the error."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class Got(msgspec.Struct, frozen=True, kw_only=True):
    """A message as a device handed it out."""

    handle: int
    app: str
    push: str | None
    topic: str
    payload: bytes
    qos: int
    duplicate: bool
    content_type: str | None
    sent_at: str | None
    wants_answer: bool
    group: str | None
    sequence: int
    sender: str | None

    @property
    def text(self) -> str:
        return self.payload.decode()


class Sdk(ABC):
    """An SDK, somewhere: makes devices, and carries out what they are asked to do."""

    transport = "tcp"
    kind = ""

    def __init__(self) -> None:
        self._names = itertools.count(1)
        self._opened_here: list[str] = []
        self.patience = WITHIN  # s for which an answer is waited for

    async def start(self) -> Self:
        """It is there when this returns."""
        return self

    @abstractmethod
    async def ask(self, what: str, **given: Any) -> Any:
        """Carries out a command; raises `Refusal`."""

    async def device(
        self,
        url: str | None,
        app: str,
        device: str,
        tokens: Sequence[str],
        *,
        store: Path | None = None,
        calls: bool = False,
        functions: str = "",
        dispatchers: Sequence[str] = (),
        **options: Any,
    ) -> "Driven":
        """A device that connects by itself.

        `tokens`: one for good; or several, that a source gives in turn, and of which `!word` is a failure,
        and `?` no text. `functions`: what those of the application do that are given to it: `fails`,
        `rejects` (when they are awaited), `hangs`.
        """
        name = f"{self.kind}-{next(self._names)}"
        settings = {"app": app, "device": device, **options}
        if dispatchers:
            settings |= {"dispatchers": list(dispatchers), "transport": self.transport}
        given = {"options": settings, "tokens": list(tokens), "calls": calls, "functions": functions}
        await self.ask("open", device=name, url=url, store=None if store is None else str(store), **given)
        self._opened_here.append(name)
        return Driven(self, name)

    async def attach(
        self, device: "Driven", app: str, of: str, tokens: Sequence[str], *, calls: bool = False
    ) -> "Driven":
        name = f"{self.kind}-{next(self._names)}"
        given = {"app": app, "of": of, "tokens": list(tokens), "calls": calls}
        await self.ask("attach", device=device.name, **{"as": name}, **given)
        return Driven(self, name)

    async def forget(self, name: str) -> None:
        """Lets go of a device that is closed, and of its messages."""
        await self.ask("forget", device=name)
        self._opened_here.remove(name)

    async def close_all(self) -> None:
        """Closes the devices of a test."""
        for name in self._opened_here:
            await self.ask("close", device=name)
        self._opened_here.clear()

    @abstractmethod
    async def end(self) -> None:
        """Nothing is left of it."""


class Driven:
    """A device, or an app that is attached to one."""

    def __init__(self, sdk: Sdk, name: str) -> None:
        self.sdk = sdk
        self.name = name

    async def ask(self, what: str, **given: Any) -> Any:
        return await self.sdk.ask(what, device=self.name, **given)

    async def receive(self) -> Got:
        return msgspec.convert(await self.ask("receive"), Got)

    async def next(self) -> Got | None:
        """As a loop does: this acknowledges the one before it. None: the loop is over."""
        return msgspec.convert(await self.ask("next"), Got | None)

    async def ack(self, message: Got) -> None:
        await self.ask("ack", handle=message.handle)

    async def publish(self, topic: str, payload: bytes, qos: int = 1) -> None:
        await self.ask("publish", topic=topic, payload=base64.b64encode(payload).decode(), qos=qos)

    async def forget(self) -> None:
        await self.sdk.forget(self.name)

    async def statistics(self) -> dict[str, Any]:
        found: dict[str, Any] = await self.ask("statistics")
        return found


class Program(Sdk):
    """The TypeScript SDK: another process, which is told what to do, and tells what became of it."""

    def __init__(self) -> None:
        super().__init__()
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}

    async def ask(self, what: str, **given: Any) -> Any:
        id = next(self._ids)
        answer = self._answers[id] = asyncio.get_running_loop().create_future()
        if given.get("options"):
            given["options"] = _in_its_words(given["options"])
        self.tell(json.dumps({"id": id, "do": what, **given}))
        try:
            async with asyncio.timeout(self.patience):
                return await answer
        finally:
            del self._answers[id]

    @abstractmethod
    def tell(self, command: str) -> None:
        """Has the program hear a command."""

    def told(self, line: str | bytes) -> None:
        """The program has said something."""
        told = json.loads(line)
        answer = self._answers.get(told["id"])
        if answer is None or answer.done():
            return
        if "code" in told:
            code = WRONG if told["code"] in ("RangeError", "TypeError") else told["code"]
            answer.set_exception(Refusal(code, told["message"]))
        else:
            answer.set_result(told["ok"])


def _in_its_words(options: Mapping[str, Any]) -> dict[str, Any]:
    """Python's options of a device, as TypeScript names them; an authority is its text there, and no file."""
    said = {CAMEL.get(name, name): value for name, value in options.items() if name != "ca"}
    return said | ({"tls": {"ca": Path(options["ca"]).read_text("ascii")}} if "ca" in options else {})


class InNode(Program):
    """In Node, by TCP."""

    kind = "node"

    def __init__(self) -> None:
        super().__init__()
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> Self:
        folder = await asyncio.to_thread(built)
        self._process = await asyncio.create_subprocess_exec(
            *("node", "--unhandled-rejections=strict", "--expose-gc", "test/driver-node.mjs"),
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            limit=LIMIT,
        )
        self._reading = asyncio.create_task(self._read(), name="what-node-says")
        return self

    def tell(self, command: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n".encode())

    async def end(self) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._reading is not None
        self._process.stdin.close()
        await self._process.wait()
        await self._reading
        assert self._process.returncode == 0

    def kill(self) -> None:
        """SIGKILL: it has no time for anything."""
        assert self._process is not None
        self._process.kill()

    async def killed(self) -> None:
        assert self._process is not None
        await self._process.wait()

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            self.told(line)
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(Refusal("ended", "the program is not there any more"))


class InChromium(Program):
    """In a page of Chromium without a window, by WebSocket."""

    kind = "chromium"
    transport = "ws"

    def __init__(self) -> None:
        super().__init__()
        self._commands: SimpleQueue[str] = SimpleQueue()
        self._server: ThreadingHTTPServer | None = None
        self._browser: asyncio.subprocess.Process | None = None
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)

    async def start(self) -> Self:
        folder = await asyncio.to_thread(built)
        loop = asyncio.get_running_loop()
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), page_handler(folder, self._next, self._hear(loop))
        )
        self._server.daemon_threads = True
        Thread(target=self._server.serve_forever, name="page-server", daemon=True).start()
        loaded = self._answers[0] = loop.create_future()
        self._browser = await asyncio.create_subprocess_exec(
            *(CHROMIUM, *FLAGS, f"--user-data-dir={self._profile.name}"),
            f"http://127.0.0.1:{self._server.server_port}/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        async with asyncio.timeout(2 * WITHIN):
            await loaded
        return self

    def tell(self, command: str) -> None:
        self._commands.put(command)

    async def end(self) -> None:
        if self._browser is not None and self._browser.returncode is None:
            self._browser.terminate()
            await self._browser.wait()
        if self._server is not None:
            await asyncio.to_thread(self._server.shutdown)
            self._server.server_close()
        shutil.rmtree(self._profile.name, ignore_errors=True)
        self._profile.cleanup()

    def _hear(self, loop: asyncio.AbstractEventLoop) -> Callable[[bytes], None]:
        def hear(line: bytes) -> None:
            loop.call_soon_threadsafe(self.told, line)

        return hear

    def _next(self) -> str | None:
        commands = []
        with suppress(Empty):
            commands.append(self._commands.get(timeout=POLL))
            while True:
                commands.append(self._commands.get_nowait())
        return f"[{','.join(commands)}]" if commands else None


def page_handler(
    folder: Path, next_commands: Callable[[], str | None], told: Callable[[bytes], None]
) -> type[BaseHTTPRequestHandler]:
    """Serves the driver's page, what it loads, and its commands."""
    files = {
        "/": (folder / "test" / "driver.html", "text/html"),
        "/driver.mjs": (folder / "test" / "driver.mjs", "text/javascript"),
        "/longline.min.js": (folder / "dist" / "longline.min.js", "text/javascript"),
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path == "/next":
                commands = next_commands()
                self._answer(204 if commands is None else 200, (commands or "").encode(), "application/json")
            elif self.path in files:
                file, kind = files[self.path]
                self._answer(200, file.read_bytes(), kind)
            else:
                self._answer(404, b"", "text/plain")

        def do_POST(self) -> None:
            told(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(204, b"", "text/plain")

        def _answer(self, status: int, body: bytes, kind: str) -> None:
            with suppress(ConnectionError):  # the page is gone
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    return Handler


class InPython(Sdk):
    """`longline.Device`, in this process."""

    kind = "python"

    def __init__(self) -> None:
        super().__init__()
        self._devices: dict[str, Device] = {}
        self._apps: dict[str, AttachedApp] = {}
        self._loops: dict[str, AsyncIterator[Message]] = {}
        self._numbers = itertools.count(1)
        self._messages: dict[int, Message] = {}
        self._missed: dict[str, list[Missed]] = {}
        self._sources: dict[str, int] = {}  # how often each was asked
        self._tokens: dict[str, Sequence[str]] = {}
        self._handles: defaultdict[str, list[int]] = defaultdict(list)

    async def ask(self, what: str, **given: Any) -> Any:
        try:
            async with asyncio.timeout(self.patience):
                return await getattr(self, f"_{what}")(**given)
        except errors.LonglineError as error:
            raise Refusal(error.code, str(error)) from error
        except (ValueError, TypeError) as error:
            raise Refusal(WRONG, str(error)) from error

    async def end(self) -> None:
        """It ends with its devices."""

    def _speaker(self, name: str) -> Speaker:
        return self._devices.get(name) or self._apps[name]

    def _token(self, name: str, tokens: Sequence[str]) -> Token:
        self._sources[name] = 0
        self._tokens[name] = tokens
        if len(tokens) == 1 and not tokens[0].startswith(("!", "?")):
            return tokens[0]

        async def source() -> str:
            turn = self._sources[name]
            self._sources[name] += 1
            told = self._tokens[name]
            token = told[min(turn, len(told) - 1)]
            if token.startswith("!"):
                raise RuntimeError(token[1:])
            nothing: Any = None
            return nothing if token == "?" else token

        return source

    def _shown(self, device: str, message: Message) -> Mapping[str, Any]:
        handle = next(self._numbers)
        self._messages[handle] = message
        self._handles[device].append(handle)
        return {
            "handle": handle,
            "app": message.app,
            "push": message.id,
            "topic": message.topic,
            "payload": base64.b64encode(message.payload).decode(),
            "qos": message.qos,
            "duplicate": message.duplicate,
            "content_type": message.content_type,
            "sent_at": None if message.sent_at is None else message.sent_at.isoformat(),
            "wants_answer": message.wants_answer,
            "group": message.group,
            "sequence": message.sequence,
            "sender": message.sender,
        }

    async def _open(
        self,
        device: str,
        url: str | None,
        options: Any,
        tokens: Any,
        store: Any,
        calls: bool,
        functions: str,
    ) -> None:
        self._missed[device] = []
        told: dict[str, Any] = {"on_gap": self._missed[device].append}
        if functions == "fails":
            told = {"on_gap": _fails, "network": _fails}
        made = Device(url, token=self._token(device, tokens), state=store, **told, **options)
        if calls:
            made.on_call(lambda call: {"echo": call.text})
        if functions:
            own = {"fails": _fails, "rejects": _rejects, "hangs": _hangs}[functions]
            made.on_call(own)
            made.on_desired(own)
        self._devices[device] = await made.__aenter__()

    async def _attach(self, device: str, app: str, of: str, tokens: Any, calls: bool, **rest: Any) -> None:
        name = rest["as"]
        made = self._apps[name] = await self._devices[device].attach(app, of, self._token(name, tokens))
        if calls:
            made.on_call(lambda call: {"echo": call.text})

    async def _detach(self, device: str) -> None:
        await self._apps[device].detach()

    async def _connected(self, device: str) -> None:
        await self._devices[device].wait_connected()

    async def _is_connected(self, device: str) -> bool:
        return self._devices[device].connected

    async def _close(self, device: str) -> None:
        await self._devices[device].close()

    async def _forget(self, device: str) -> None:
        for known in (self._devices, self._loops, self._missed, self._sources, self._tokens):
            known.pop(device, None)
        for handle in self._handles.pop(device, []):
            del self._messages[handle]

    async def _retoken(self, device: str, tokens: Sequence[str]) -> None:
        self._tokens[device] = tokens

    async def _receive(self, device: str) -> Mapping[str, Any]:
        return self._shown(device, await self._speaker(device).receive())

    async def _next(self, device: str) -> Mapping[str, Any] | None:
        if device not in self._loops:
            self._loops[device] = aiter(self._speaker(device))
        message = await anext(self._loops[device], None)
        return None if message is None else self._shown(device, message)

    async def _ack(self, device: str, handle: int) -> None:
        await self._messages[handle].ack()

    async def _opened(self, device: str, handle: int) -> None:
        await self._speaker(device).report(self._messages[handle], "opened")

    async def _publish(self, device: str, topic: str, payload: str, qos: Any) -> None:
        await self._speaker(device).publish(topic, base64.b64decode(payload), qos=qos)

    async def _send(self, device: str, name: str, payload: Any) -> None:
        await self._speaker(device).send(name, payload)

    async def _post(self, device: str, name: str, payload: Any) -> None:
        await self._devices[device].post(name, payload)

    async def _unsent(self, device: str) -> int:
        return self._devices[device].unsent

    async def _say(self, device: str, group: str, payload: Any) -> None:
        await self._speaker(device).say(group, payload)

    async def _subscribe(self, device: str, filter: str) -> None:
        await self._speaker(device).subscribe(filter)

    async def _report_state(self, device: str, changes: Any) -> None:
        await self._speaker(device).report_state(changes)

    async def _answer(self, device: str, handle: int, payload: Any) -> None:
        await self._speaker(device).answer(self._messages[handle], payload)

    async def _gaps(self, device: str) -> Any:
        return [msgspec.to_builtins(missed) for missed in self._missed[device]]

    async def _asked(self, device: str) -> int:
        return self._sources[device]

    async def _statistics(self, device: str) -> dict[str, Any]:
        counted = self._devices[device].statistics
        last = counted.last_error
        figures = {field.name: getattr(counted, field.name) for field in fields(counted)}
        return figures | {"last_error": None if last is None else last.code}


def _fails(*_: object) -> Any:
    raise RuntimeError("planted")


async def _rejects(*_: object) -> Any:
    raise RuntimeError("planted")


async def _hangs(*_: object) -> Any:
    await asyncio.Event().wait()
