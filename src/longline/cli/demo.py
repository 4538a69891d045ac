"""`longline demo`: a node, three devices, and the proof that pushes arrive, wait, and survive a crash.

Everything goes through the front doors: the node is a process of its own started as `longline serve`, pushes
are calls of the HTTP API, devices speak MQTT. Nothing is taken on trust: each step checks what arrived and
what the ledger says, and the demo fails with the step that did not hold.
"""

import asyncio
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Final

import httpx
from cyclopts import Parameter

from longline.cli.output import print_json
from longline.cli.usage import Json
from longline.errors import LonglineError
from longline.model.ledger import Ledger
from longline.sdk.answers import AppKeys, MessageAccepted
from longline.sdk.center import Center
from longline.sdk.device import Device

APP: Final = "demo"
PATIENCE: Final = 10.0  # seconds for any one step
LOG_TAIL: Final = 5  # lines of the node's log in the report of a failure


class DemoFailed(LonglineError):
    """Something that Longline promises did not hold."""

    code = "demo_failed"


def demo(
    *,
    keep: Annotated[
        bool, Parameter(negative=(), help="Leave the node running and print its addresses.")
    ] = False,
    json: Json = False,
) -> int:
    """Start a node, push to devices, show what arrives and the ledger; takes a few seconds."""
    node = _Node(Path(tempfile.mkdtemp(prefix="longline-demo-")))
    demonstration = _Demonstration(node, quiet=json)
    try:
        asyncio.run(demonstration.run())
    except BaseException:
        node.discard()
        raise
    if json:
        print_json({"ok": True, "ledgers": demonstration.ledgers, "node": node.described() if keep else None})
    elif keep:
        print()
        for name, value in node.described().items():
            print(f"{name:<9} {value}")
        print(f"The node goes on running. To stop it: kill {node.pid}")
    if not keep:
        node.discard()
    return 0


class _Node:
    """A `longline serve` of its own, on free ports and in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.admin_key = secrets.token_urlsafe(24)
        self.room_port, self.center_port = _free_ports(2)
        self.url = f"http://127.0.0.1:{self.center_port}"
        self._log = folder / "node.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def described(self) -> dict[str, str | int]:
        return {
            "http": self.url,
            "console": f"{self.url}/console/",
            "mqtt": f"127.0.0.1:{self.room_port}",
            "admin_key": self.admin_key,
            "data": str(self.folder),
            "pid": self.pid,
        }

    def start(self) -> None:
        # Settings of another node in this environment must not reach this one; which loop to use may.
        mine = {name: value for name, value in os.environ.items() if not name.startswith("LONGLINE_")}
        loop = os.environ.get("LONGLINE_NODE__LOOP")
        if loop is not None:
            mine["LONGLINE_NODE__LOOP"] = loop
        mine |= {
            "LONGLINE_ADMIN_KEY": self.admin_key,
            "LONGLINE_CENTER__PORT": str(self.center_port),
            "LONGLINE_ROOM__PORT": str(self.room_port),
            "LONGLINE_ROOM__WS_PORT": "0",
        }
        mine |= {f"LONGLINE_ROOM__{name}_PORT": "0" for name in ("TLS", "WS", "WSS")}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "longline", "serve", "--data", str(self.folder / "data")],
                env=mine,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the demo, which then stops the node itself
            )

    async def ready(self) -> None:
        """Returns when the node takes traffic."""
        async with httpx.AsyncClient(trust_env=False) as client:
            end = time.monotonic() + PATIENCE
            while time.monotonic() < end:
                if self._process is not None and self._process.poll() is not None:
                    raise DemoFailed(
                        f"the node ended with status {self._process.returncode}:\n{self._tail()}"
                    )
                try:
                    if (await client.get(f"{self.url}/readyz")).status_code == 200:
                        return
                except httpx.TransportError:
                    pass  # it does not listen yet
                await asyncio.sleep(0.03)
        raise DemoFailed(f"the node was not ready within {PATIENCE:g} s:\n{self._tail()}")

    def kill(self, how: signal.Signals) -> None:
        """Ends the process and waits for its end."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(how)
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def discard(self) -> None:
        """Stops the node and removes its folder."""
        self.kill(signal.SIGTERM)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-LOG_TAIL:])


class _Demonstration:
    """The steps, and the messages whose ledgers are shown at the end."""

    def __init__(self, node: _Node, *, quiet: bool) -> None:
        self._node = node
        self._quiet = quiet
        self._sent: dict[str, str] = {}
        self.ledgers: dict[str, Ledger] = {}

    async def run(self) -> None:
        began = time.perf_counter()
        self._node.start()
        await self._node.ready()
        self._say("node", f"is ready: HTTP on {self._node.url}, MQTT on 127.0.0.1:{self._node.room_port}")
        async with Center(self._node.url, self._node.admin_key) as admin:
            keys = await admin.create_app(APP)
        async with Center(self._node.url, _server_key(keys)) as center:
            for name in ("phone", "tablet", "watch"):
                await center.put_device(APP, name, platform="demo")
            async with (
                await self._device(center, "phone") as phone,
                await self._device(center, "tablet") as tablet,
            ):
                await self._connected(1, phone=phone, tablet=tablet)
                self._say("app", "demo has three devices: phone and tablet are connected, watch is away")
                await self._unicast(center, phone)
                await self._broadcast(center, phone, tablet)
                await self._crash(center, phone, tablet)
            await self._balance(center)
        self._say("done", f"in {time.perf_counter() - began:.1f} s")

    async def _unicast(self, center: Center, phone: Device) -> None:
        self._say("unicast", "to phone")
        accepted = await self._send(center, "unicast", "Your parcel has been shipped", devices=["phone"])
        await self._receives("phone", phone, accepted, "Your parcel has been shipped")

    async def _broadcast(self, center: Center, phone: Device, tablet: Device) -> None:
        text = "Snow is expected tonight"
        self._say("broadcast", "to everyone")
        accepted = await self._send(center, "broadcast", text)
        await self._receives("phone", phone, accepted, text)
        await self._receives("tablet", tablet, accepted, text)
        await self._pending(center, accepted, 1)
        self._say("  watch", "is away: the ledger has 1 device pending")
        async with await self._device(center, "watch") as watch:
            await self._receives("watch", watch, accepted, text, note="came back and received")
            await self._settled(center, accepted)

    async def _crash(self, center: Center, phone: Device, tablet: Device) -> None:
        text = "Your table is booked for 8"
        self._say("crash", "a push to watch, which is away again; then kill -9 for the node")
        accepted = await self._send(center, "across a crash", text, devices=["watch"])
        await asyncio.to_thread(self._node.kill, signal.SIGKILL)
        self._say("  node", "is dead")
        self._node.start()
        await self._node.ready()
        await self._connected(2, phone=phone, tablet=tablet)
        self._say("  node", "runs again, phone and tablet came back by themselves")
        async with await self._device(center, "watch") as watch:
            await self._receives("watch", watch, accepted, text, note="came back and received")
            await self._settled(center, accepted)

    async def _balance(self, center: Center) -> None:
        for name, message_id in self._sent.items():
            ledger = (await center.message(APP, message_id)).ledger
            outcomes = ledger.acked + ledger.expired + ledger.collapsed + sum(ledger.dropped.values())
            if ledger.targeted != outcomes + ledger.pending:
                raise DemoFailed(f"the ledger of the {name} push does not balance: {ledger}")
            expected = 3 if name == "broadcast" else 1
            if (ledger.targeted, ledger.acked) != (expected, expected):
                raise DemoFailed(f"the ledger of the {name} push is not what arrived: {ledger}")
            self.ledgers[name] = ledger
        if not self._quiet:
            self._print_ledgers()

    def _print_ledgers(self) -> None:
        print("\nThe ledger balances: targeted = acked + expired + collapsed + dropped + pending\n")
        columns = ("targeted", "acked", "expired", "collapsed", "dropped", "pending")
        print(f"{'push':<14}", *(f"{column:>9}" for column in columns))
        for name, ledger in self.ledgers.items():
            counts = (
                ledger.targeted,
                ledger.acked,
                ledger.expired,
                ledger.collapsed,
                sum(ledger.dropped.values()),
                ledger.pending,
            )
            print(f"{name:<14}", *(f"{count:>9}" for count in counts))
        print()

    # --- what the steps are made of ------------------------------------------------------------------

    async def _device(self, center: Center, name: str) -> Device:
        token = (await center.token(APP, name)).password
        # After the crash everybody may come back at once: three devices make no stampede.
        return Device(
            "127.0.0.1",
            self._node.room_port,
            app=APP,
            device=name,
            token=token,
            backoff_base=0.1,
            backoff_cap=0.5,
        )

    async def _connected(self, times: int, **devices: Device) -> None:
        """Waits until each device is connected, for so many times in all."""
        for name, device in devices.items():
            end = time.monotonic() + PATIENCE
            while device.statistics.connects < times or not device.connected:
                if time.monotonic() > end:
                    raise DemoFailed(f"{name} did not connect: {device.statistics.last_error}")
                await asyncio.sleep(0.02)

    async def _send(
        self, center: Center, name: str, text: str, *, devices: list[str] | None = None
    ) -> MessageAccepted:
        accepted = await center.send(APP, text, devices=devices, everyone=devices is None)
        self._sent[name] = accepted.message_id
        return accepted

    async def _receives(
        self, name: str, device: Device, accepted: MessageAccepted, text: str, *, note: str = "received"
    ) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                message = await device.receive()
        except TimeoutError:
            raise DemoFailed(f"{name} did not receive {accepted.message_id}") from None
        if (message.id, message.text) != (accepted.message_id, text):
            raise DemoFailed(f"{name} received {message} instead of {accepted.message_id}")
        await message.ack()
        self._say(f"  {name}", f"{note}: {message.text}")

    async def _pending(self, center: Center, accepted: MessageAccepted, pending: int) -> None:
        """Acks reach the ledger a moment after they are sent: waits until just so many are pending."""
        end = time.monotonic() + PATIENCE
        while (ledger := (await center.message(APP, accepted.message_id)).ledger).pending != pending:
            if time.monotonic() > end:
                raise DemoFailed(f"{pending} should be pending: {ledger}")
            await asyncio.sleep(0.02)

    async def _settled(self, center: Center, accepted: MessageAccepted) -> None:
        await self._pending(center, accepted, 0)

    def _say(self, who: str, what: str) -> None:
        if not self._quiet:
            print(f"{who:<10} {what}", flush=True)


def _server_key(keys: AppKeys) -> str:
    if keys.server_key is None:
        raise DemoFailed("the new app came without a server key")
    return keys.server_key


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
