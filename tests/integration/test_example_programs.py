"""The larger programs of `examples/`: each is one command, ends by itself, and what it says is so."""

import asyncio
import json
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

from longline import Center
from longline.errors import DeviceOffline
from tests.integration.live_node import LiveNode
from tests.integration.test_examples import environment, started
from tests.waiting import WITHIN, until

EXAMPLES = Path(__file__).parents[2] / "examples"
SHOP = EXAMPLES / "order_status" / "app.py"
FLEET = EXAMPLES / "sensor_fleet" / "fleet.py"
LAMP = EXAMPLES / "micropython" / "desktop" / "run.py"


def surroundings(node: LiveNode) -> dict[str, str]:
    return environment(
        LONGLINE_URL=node.url,
        LONGLINE_KEY=node.admin_key,
        LONGLINE_MQTT=f"127.0.0.1:{node.mqtt_port}",
        PYTHONUNBUFFERED="1",
    )


async def run(node: LiveNode, program: Path, *arguments: str) -> str:
    """What a program prints; it has to end by itself, with status 0."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), *arguments, env=surroundings(node), stdout=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(2 * WITHIN):
            printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, printed.decode()
    return printed.decode()


@pytest.mark.parametrize("program", [SHOP, FLEET, LAMP], ids=lambda path: path.parent.name)
def test_a_program_says_what_it_wants_of_whoever_starts_it_wrongly(program: Path) -> None:
    done = started(program)
    assert (done.returncode, done.stderr[:7]) == (2, "usage: ")
    arguments = ["news", "d1"] if program == LAMP else ["news"]
    done = started(program, *arguments, LONGLINE_KEY="")
    assert (done.returncode, done.stderr) == (1, "LONGLINE_KEY is not set\n")


async def test_a_customer_who_was_away_is_told_the_latest_of_the_order_alone(node: LiveNode) -> None:
    async with node.center() as center:
        await center.create_app("shop")
        printed = await run(node, SHOP, "shop", "--demo")
        assert '"status":"packed"' in printed.replace(" ", "")
        assert "while it is away {'arrived': 0, 'devices': 1, 'waiting': 1}" in printed
        assert "back again, it shows " in printed
        assert "at your door" in printed
        assert "on its way" not in printed
        assert (await center.device("shop", "phone-1")).aliases == ("ann",)


async def test_a_fleet_has_its_shadows_calls_and_readings(node: LiveNode) -> None:
    async with node.center() as center:
        await center.create_app("plant")
        printed = await run(node, FLEET, "plant", "--sensors", "40", "--calls", "10")
        assert "40 sensors connected" in printed
        assert "40 shadows report" in printed
        assert "10 calls answered" in printed
        assert "40 of 40 acknowledged" in printed
        assert (await center.shadow("plant", "sensor-7")).reported == {"every": 30}


async def test_a_lamp_in_micropython_is_pushed_to_called_and_has_a_shadow(node: LiveNode) -> None:
    async with node.center() as center:
        await center.create_app("home")
        lamp = await asyncio.create_subprocess_exec(
            sys.executable,
            str(LAMP),
            "home",
            "lamp",
            "--turns=600",
            env=surroundings(node),
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            await answered(center, lamp)
        finally:
            if lamp.returncode is None:
                lamp.kill()
            await lamp.wait()


async def answered(center: Center, lamp: asyncio.subprocess.Process) -> None:
    async def reading() -> object:
        try:
            return (await center.call("home", "lamp", {"command": "read"}, within=30)).json()
        except DeviceOffline:
            return None

    async def known() -> bool:
        return any([device.device == "lamp" async for device in center.devices("home")])

    await until(known)
    assert await until(reading) == {"celsius": 21.5}
    await center.patch_shadow("home", "lamp", desired={"on": True})
    await until(lambda: said_on(center))
    accepted = await center.send("home", {"title": "Hello"}, devices=["lamp"])
    assert (await center.wait("home", accepted.message_id, within=WITHIN)).ledger.acked == 1

    async def told() -> bool:
        events = [event async for event in center.upstream("home", follow=False)]
        shown = any(event.name == "shown" and event.message_id == accepted.message_id for event in events)
        return shown and any(event.topic == "up/temperature" for event in events)

    await until(told)
    assert lamp.stdout is not None
    printed = b""
    while b"push: {'title': 'Hello'}" not in printed:
        printed += await asyncio.wait_for(lamp.stdout.readline(), WITHIN)
    assert b"light: on" in printed


async def said_on(center: Center) -> bool:
    return (await center.shadow("home", "lamp")).reported == {"on": True}


PUBLISH_QOS_1 = 0x32
PUBACK = b"\x40\x02\x00\x07"  # of the identifier that the server chose


class StubSocket:
    """A server that has said all but its acknowledgements; keeps what it is sent."""

    def __init__(self, says: bytes) -> None:
        self.says = bytearray(says)
        self.sent = bytearray()

    def recv(self, size: int, flags: int = 0) -> bytes:
        if not self.says:
            raise BlockingIOError
        some = bytes(self.says[:size])
        if not flags:
            del self.says[:size]
        return some

    def sendall(self, data: bytes) -> None:
        self.sent += data
        if data[0] == PUBLISH_QOS_1:
            after_topic = 4 + int.from_bytes(data[2:4], "big")  # the topic is short, and its length one byte
            self.says += b"\x40\x02" + data[after_topic : after_topic + 2]

    def setblocking(self, blocking: bool) -> None:
        """It never blocks."""

    def close(self) -> None:
        """Nothing to close."""


def test_the_lamp_acknowledges_after_it_has_done_it_and_then_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a stub of a socket."""
    monkeypatch.syspath_prepend(str(LAMP.parent))
    monkeypatch.syspath_prepend(str(LAMP.parents[1]))
    lamp_program, simple = import_module("main"), import_module("umqtt.simple")
    desired = json.dumps({"on": True}).encode()
    body = b"\x00\x0eshadow/desired\x00\x07" + desired
    publish = bytes([PUBLISH_QOS_1, len(body)]) + body
    stub = StubSocket(b"\x20\x02\x00\x00" + publish)
    monkeypatch.setattr(simple.socket, "create_connection", lambda address: stub)
    done: list[str] = []

    def light(on: bool) -> None:
        done.append(f"light {on}, acknowledged {PUBACK in stub.sent}")

    lamp = lamp_program.Lamp(light, lambda: 21.5)
    config = SimpleNamespace(SERVER="127.0.0.1", PORT=1883, APP="home", DEVICE="lamp", TOKEN="x" * 150)
    lamp_program.serve(config, lamp, turns=1)
    assert done == ["light True, acknowledged False"]
    assert stub.sent.startswith(
        b"\x10\xae\x01\x00\x04MQTT\x04\xc2\x00\x3c\x00\x04lamp\x00\x04home\x00\x96xxx"
    )
    assert stub.sent.index(PUBACK) < stub.sent.index(b"shadow/reported")
    assert stub.sent.endswith(b"\xe0\x00")
    assert lamp.say == []
