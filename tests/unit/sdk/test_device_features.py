"""What a device does beside receiving: calls, its shadow, posts, receipts, and what survives its process."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from longline import Device, Message, errors
from longline.mqtt.packets import Puback, Publish
from longline.mqtt.properties import Properties, PropertyId
from longline.testing.clock import VirtualClock
from tests.unit.sdk.scripted import Peer, ScriptedRoom
from tests.unit.sdk.virtual import in_virtual_time
from tests.waiting import until


def device_of(
    room: ScriptedRoom,
    *,
    clock: VirtualClock | None = None,
    state: Path | None = None,
    outbox: int = 1000,
    on_refused: Callable[[str, bytes, errors.LonglineError], None] | None = None,
) -> Device:
    return in_virtual_time(clock)(
        "127.0.0.1",
        room.port,
        app="news",
        device="d1",
        token="t",
        backoff_base=1.0,
        state=state,
        outbox=outbox,
        on_refused=on_refused,
    )


async def call(peer: Peer, id: str, packet_id: int) -> None:
    properties: Properties = {PropertyId.RESPONSE_TOPIC: f"reply/{id}"}
    await peer.say(Publish(f"push/{id}", b'{"blink": 3}', 1, False, False, packet_id, properties))


async def taken(peer: Peer) -> Publish:
    """The next publish, acknowledged."""
    publish = await peer.expect(Publish)
    await peer.say(Puback(publish.packet_id))
    return publish


@pytest.mark.parametrize("awaited", [True, False])
async def test_a_call_is_answered_by_the_function_and_then_acknowledged(awaited: bool) -> None:
    async with ScriptedRoom() as room, device_of(room) as device:

        async def later(message: Message) -> object:
            return {"got": message.json()}

        def now(message: Message) -> object:
            return {"got": message.json()}

        assert device.on_call(later if awaited else now) in (later, now)
        peer = await room.accept()
        await peer.let_in()
        await call(peer, "c1", 1)
        answer = await taken(peer)
        assert (answer.topic, answer.payload) == ("reply/c1", b'{"got":{"blink":3}}')
        assert (await peer.expect(Puback)).packet_id == 1
        await peer.push("m1", 2)
        assert (await device.receive()).id == "m1", "calls are not handed out, other messages are"


async def test_a_function_that_fails_costs_its_call_and_nothing_else() -> None:
    async with ScriptedRoom() as room, device_of(room) as device:

        @device.on_call
        def broken(message: Message) -> object:
            raise KeyError("blink")

        peer = await room.accept()
        await peer.let_in()
        await call(peer, "c1", 1)
        assert (await peer.expect(Puback)).packet_id == 1
        device.on_call(lambda message: b"fine")
        await call(peer, "c2", 2)
        assert (await taken(peer)).payload == b"fine"


async def test_a_device_that_is_closed_ends_the_calls_it_was_at() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()
    before = asyncio.all_tasks()
    async with ScriptedRoom() as room:
        async with device_of(room) as device:

            @device.on_call
            async def slow(message: Message) -> None:
                begun.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    ended.set()

            peer = await room.accept()
            await peer.let_in()
            await call(peer, "c1", 1)
            await begun.wait()
        assert ended.is_set()
        assert asyncio.all_tasks() == before


async def test_what_is_desired_is_told_in_order_and_what_comes_of_it_reported() -> None:
    async with ScriptedRoom() as room, device_of(room) as device:

        @device.on_desired
        async def apply(message: Message) -> object:
            return {"light": message.json()}

        peer = await room.accept()
        await peer.let_in()
        await peer.say(
            Publish("shadow/desired", b"1", 1, False, False, 1),
            Publish("shadow/desired", b"2", 1, False, False, 2),
        )
        for number in (1, 2):
            reported = await taken(peer)
            assert (reported.topic, reported.payload) == ("shadow/reported", b'{"light":%d}' % number)
            assert (await peer.expect(Puback)).packet_id == number


async def test_a_message_tells_what_became_of_it() -> None:
    async with ScriptedRoom() as room, device_of(room) as device:
        peer = await room.accept()
        await peer.let_in()
        await peer.push("m1")
        message = await device.receive()
        for word, told in (
            ("opened", message.opened),
            ("shown", message.shown),
            ("dismissed", message.dismissed),
        ):
            task = asyncio.create_task(told())
            assert (await taken(peer)).topic == f"event/m1/{word}"
            await task


async def test_what_is_posted_while_the_device_is_away_is_sent_in_order_when_it_is_back() -> None:
    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, clock=clock, outbox=3) as device:
        for number in range(3):
            await device.post("reading", {"n": number})
        with pytest.raises(errors.OutboxFull):
            await device.post("reading", {"n": 3})
        assert device.unsent == 3
        peer = await room.accept()
        await peer.let_in()
        assert [(await peer.expect(Publish)).payload for _ in range(3)] == [b'{"n":%d}' % n for n in range(3)]
        peer.reset()  # before the server has answered
        await clock.until_sleeping(1.0)
        await clock.advance(1.0)
        peer = await room.accept()
        await peer.let_in()
        assert [(await taken(peer)).payload for _ in range(3)] == [b'{"n":%d}' % n for n in range(3)]
        await until(lambda: device.unsent == 0)


async def test_what_the_server_refuses_for_good_is_told_and_for_now_is_sent_again() -> None:
    clock = VirtualClock()
    refused: list[tuple[str, bytes, str]] = []

    def told(name: str, payload: bytes, error: errors.LonglineError) -> None:
        refused.append((name, payload, error.code))

    async with ScriptedRoom() as room, device_of(room, clock=clock, on_refused=told) as device:
        peer = await room.accept()
        await peer.let_in()
        await device.post("never", b"1")
        await peer.say(Puback((await peer.expect(Publish)).packet_id, 0x87))
        await device.post("later", b"2")
        await peer.say(Puback((await peer.expect(Publish)).packet_id, 0x97))
        await clock.until_sleeping(5.0)
        assert (refused, device.unsent) == ([("never", b"1", "forbidden")], 1)
        await clock.advance(5.0)
        assert (await taken(peer)).payload == b"2"


async def test_copies_and_posts_survive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "device.state"
    async with ScriptedRoom() as room:
        async with device_of(room, state=path) as device:
            peer = await room.accept()
            await peer.let_in()
            await peer.push("m1", 1)
            await (await device.receive()).ack()
            await peer.expect(Puback)
            await device.post("reading", b"kept")
            await peer.expect(Publish)
        async with device_of(room, state=path) as device:
            assert device.unsent == 1
            peer = await room.accept()
            await peer.let_in()
            assert (await taken(peer)).payload == b"kept"
            await peer.push("m1", 1, dup=True)
            assert (await peer.expect(Puback)).packet_id == 1
            assert device.statistics.duplicates == 1


async def test_of_the_first_endpoints_the_one_that_answers_is_taken_and_kept() -> None:
    async with ScriptedRoom() as gone:
        pass
    clock = VirtualClock()
    async with ScriptedRoom() as room:
        device = in_virtual_time(clock)(
            endpoints=[("127.0.0.1", gone.port), ("127.0.0.1", room.port)], app="news", device="d1", token="t"
        )
        async with device:
            await (await room.accept()).let_in()  # without a wait
            await device.wait_connected()
            assert device.endpoints.current == ("127.0.0.1", room.port)
            assert device.statistics.failures == 0


async def test_a_connected_device_is_one_task() -> None:
    before = asyncio.all_tasks()
    async with ScriptedRoom() as room, device_of(room) as device:
        await (await room.accept()).let_in()
        await device.wait_connected()
        assert len({task for task in asyncio.all_tasks() - before if "longline" in task.get_name()}) == 1


SERVER = r"""
import asyncio


class LetsEverybodyIn(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.asked = transport, False

    def data_received(self, data):
        if not self.asked:
            self.asked = True
            self.transport.write(b"\x20\x03\x00\x00\x00")
        elif data[0] == 0x30:  # whatever it says, it is pushed something
            self.transport.write(b"\x32\x0e\x00\x07push/m1\x00\x01\x00hi")


async def main():
    server = await asyncio.get_running_loop().create_server(LetsEverybodyIn, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
"""
FLEET = r"""
import asyncio, gc, resource, sys, time
from asyncio import events
from pathlib import Path
from longline import Device

class Longest:
    # How long a callback has had the loop for itself: by the processor's time, and not by that of others.

    def __init__(self):
        self.seconds = 0.0
        run = events.Handle._run

        def watched(handle):
            began = time.thread_time()
            run(handle)
            self.seconds = max(self.seconds, time.thread_time() - began)

        events.Handle._run = watched

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

async def connected(port, number, folder):
    devices = []
    for i in range(number):
        state = folder / f"{number}-{i}" if folder else None
        devices.append(Device("127.0.0.1", port, app="news", device=f"d{i}", token="t", state=state))
    await asyncio.sleep(0)  # making so many was one callback
    longest = Longest()
    for device in devices:
        await device.__aenter__()
        await device.wait_connected()
    await asyncio.sleep(0)
    told.append(longest.seconds)
    gc.collect()
    return devices

async def used(device):
    await device.publish("up/x", b"", qos=0)
    await (await device.receive()).ack()

async def main(port, folder):
    devices = await connected(port, 100, folder)  # what all share is there
    bytes, tasks = resident(), len(asyncio.all_tasks())
    devices += await connected(port, 1000, folder)
    each = (resident() - bytes) / 1000, (len(asyncio.all_tasks()) - tasks) / 1000
    await asyncio.sleep(0)
    longest = Longest()
    for first in range(0, len(devices), 50):
        await asyncio.gather(*map(used, devices[first : first + 50]))
    told.append(longest.seconds)
    print(*each, max(told))
    for device in devices:
        await device.close()
    assert len(asyncio.all_tasks()) == 1

soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
told = []
asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None))
"""


@pytest.mark.parametrize("kept", [False, True], ids=["in memory", "in files"])
async def test_a_thousand_devices_cost_12_kilobytes_and_a_task_each_and_never_hold_the_loop_up(
    kept: bool, tmp_path: Path
) -> None:
    server = await asyncio.create_subprocess_exec(sys.executable, "-c", SERVER, stdout=subprocess.PIPE)
    try:
        assert server.stdout is not None
        port = (await server.stdout.readline()).decode().strip()
        environ = {name: value for name, value in os.environ.items() if name != "PYTHONASYNCIODEBUG"}
        arguments = (port, str(tmp_path)) if kept else (port,)
        fleet = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FLEET, *arguments, stdout=subprocess.PIPE, env=environ
        )
        said, _ = await fleet.communicate()
        assert fleet.returncode == 0
    finally:
        server.kill()
        await server.wait()
    each, tasks, longest = (float(word) for word in said.split())
    assert each <= 12 * 1024
    assert tasks <= 1
    assert longest <= 0.02
