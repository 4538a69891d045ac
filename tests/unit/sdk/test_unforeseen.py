"""What nobody has foreseen ends no device: it is told, it is counted, and the device comes back."""

import asyncio
import errno
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from longline import Device, Message, errors
from longline.mqtt.packets import Puback, Publish
from longline.mqtt.properties import Properties, PropertyId
from longline.sdk import tokens
from longline.sdk.mqtt_client import MqttClient
from longline.testing.clock import VirtualClock, settle
from tests.unit.sdk.scripted import Peer, ScriptedRoom
from tests.unit.sdk.test_attached import asked, reply
from tests.unit.sdk.virtual import in_virtual_time

MUCH = 70_000


def device_of(room: ScriptedRoom, clock: VirtualClock | None = None, **options: Any) -> Device:
    given = {"app": "news", "device": "d1", "token": "the-token", "backoff_base": 1.0, **options}
    return in_virtual_time(clock)("127.0.0.1", room.port, **given)


async def comes_back(room: ScriptedRoom, clock: VirtualClock, wait: float = 1.0) -> Peer:
    """After a wait that was drawn as after any other failure."""
    await clock.until_sleeping(wait)
    await clock.advance(wait)
    peer = await room.accept()
    await peer.let_in()
    return peer


# --- the token ----------------------------------------------------------------------------------------


async def cancelled() -> str:
    raise asyncio.CancelledError


async def of_a_task_that_was_cancelled() -> str:
    task = asyncio.create_task(asyncio.Event().wait(), name="asks-for-a-token")
    asyncio.get_running_loop().call_soon(task.cancel)
    await task
    return "never"


async def hanging() -> str:
    await asyncio.Event().wait()
    return "never"


def giving(token: object) -> Callable[[], Awaitable[str]]:
    async def source() -> Any:
        return token

    return source


@pytest.mark.parametrize(
    "failing",
    [
        cancelled,
        of_a_task_that_was_cancelled,
        hanging,
        giving(None),
        giving(b"t"),
        giving("\ud800"),
        giving("t" * MUCH),
    ],
    ids=["cancelled", "by a task", "hanging", "none", "bytes", "no utf-8", "too long"],
)
async def test_whatever_becomes_of_a_source_of_tokens_it_is_asked_again(
    failing: Callable[[], Awaitable[str]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tokens, "PATIENCE", 0.05)
    sources = [failing, giving("the-token")]

    async def source() -> str:
        return await sources.pop(0)()

    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, clock, token=source) as device:
        await clock.until_sleeping(1.0)
        assert isinstance(device.statistics.last_error, errors.Unavailable)
        assert device.statistics.failures == 1
        assert "there is no token" in caplog.text
        await clock.advance(1.0)
        assert (await (await room.accept()).let_in()).password == b"the-token"


@pytest.mark.parametrize("token", ["\ud800", "t" * MUCH])
def test_a_token_that_no_connect_can_carry_is_refused_at_once(token: str) -> None:
    with pytest.raises(ValueError, match="token") as refusal:
        Device("127.0.0.1", app="news", device="d1", token=token)
    assert token[:5] not in str(refusal.value)


async def test_a_source_of_tokens_may_close_the_device() -> None:
    async def source() -> str:
        await device.close()
        return "never"

    async with ScriptedRoom() as room, device_of(room, token=source) as device:
        assert [message async for message in device] == []
        assert device.closed


# --- other functions of the application ---------------------------------------------------------------


@pytest.mark.parametrize(
    "error", [RuntimeError("planted"), asyncio.CancelledError()], ids=["error", "cancelled"]
)
async def test_a_function_that_is_told_of_gaps_and_refusals_may_fail(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise error

    async with ScriptedRoom() as room, device_of(room, on_gap=fails, on_refused=fails) as device:
        peer = await room.accept()
        await peer.let_in()
        gap = b'{"dropped":1,"expired":0,"collapsed":0,"since":"2027-01-15T08:00:00Z"}'
        await peer.say(Publish("$link/gap", gap))
        await device.post("n", "never")
        await peer.say(Puback((await peer.expect(Publish)).packet_id, 0x87))
        await peer.push("m1", 0)
        assert (await device.receive()).id == "m1"
        assert (device.statistics.failures, device.unsent) == (0, 0)
    assert {record.getMessage() for record in caplog.records} >= {
        "on_gap has failed",
        "on_refused has failed",
    }


@pytest.mark.parametrize(
    "names", [[RuntimeError("planted"), "wifi"], [None, "wifi"], [["a"], "wifi"], ["\udcff", "wifi"]]
)
async def test_a_function_that_names_the_network_may_fail(names: list[Any], tmp_path: Path) -> None:
    def network() -> Any:
        name = names[0] if len(names) == 1 else names.pop(0)
        if isinstance(name, Exception):
            raise name
        return name

    clock = VirtualClock()
    async with (
        ScriptedRoom() as room,
        device_of(room, clock, network=network, state=tmp_path / "s") as device,
    ):
        peer = await room.accept()
        await peer.let_in()
        await device.wait_connected()
        peer.reset()
        await comes_back(room, clock)
        await device.wait_connected()
        assert names == ["wifi"]


async def test_a_function_that_is_cancelled_costs_its_call_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def blink(call: Message) -> object:
        raise asyncio.CancelledError

    async with ScriptedRoom() as room, device_of(room) as device:
        device.on_call(blink)
        device.on_desired(blink)
        peer = await room.accept()
        await peer.let_in()
        properties: Properties = {PropertyId.RESPONSE_TOPIC: "reply/c1"}
        await peer.say(Publish("push/c1", b"", 1, False, False, 1, properties))
        assert (await peer.expect(Puback)).packet_id == 1
        await peer.say(Publish("shadow/desired", b"{}", 1, packet_id=2))
        assert (await peer.expect(Puback)).packet_id == 2
    assert "on_call has failed" in caplog.text
    assert "on_desired has failed" in caplog.text


async def test_a_function_that_never_returns_holds_up_neither_messages_nor_close() -> None:
    async with ScriptedRoom() as room, device_of(room) as device:

        @device.on_desired
        async def never(desired: Message) -> None:
            await asyncio.Event().wait()

        peer = await room.accept()
        await peer.let_in()
        await peer.say(Publish("shadow/desired", b"{}", 1, packet_id=1))
        await peer.push("m1", 2)
        assert (await device.receive()).id == "m1"
        await device.send("n", "x", qos=0)
        assert (await peer.expect(Publish)).topic == "up/n"


async def test_a_function_may_close_its_device() -> None:
    async with ScriptedRoom() as room, device_of(room) as device:

        @device.on_desired
        async def closes(desired: Message) -> None:
            await device.close()

        peer = await room.accept()
        await peer.let_in()
        await peer.say(Publish("shadow/desired", b"{}", 1, packet_id=1))
        assert [message async for message in device] == []


# --- what the other end says --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        Publish("$link/gap", b'{"x":' + b"[" * MUCH),
        Publish("$link/reply", b"[" * MUCH),
        Publish("$link/moved", b"[" * 10 + b"\xff"),
        Publish("$link/who knows", b"\xff"),
        Publish("group/team", b"x", properties={PropertyId.USER_PROPERTY: [("sequence", "9" * 5000)]}),
        Publish("push/m", b"x", properties={PropertyId.USER_PROPERTY: [("sent-at", "9" * 5000)] * 10}),
        Publish("@", b"x"),
        Publish("@nobody", b"x"),
        Publish("@nobody/push/m", b"x", 1, packet_id=9),
        Publish("up/mine", b"x", 1, packet_id=9),
        Puback(7),
        Puback(7, 0x97),
    ],
    ids=lambda said: f"{type(said).__name__} {getattr(said, 'topic', '')}",
)
async def test_what_a_server_should_not_say_harms_nobody(said: Any) -> None:
    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, clock) as device:
        peer = await room.accept()
        await peer.let_in()
        await peer.say(said)
        if getattr(said, "topic", "") == "$link/moved":
            await clock.advance(0.0)
            peer = await room.accept()
            await peer.let_in()
        await peer.push("last", 0)
        while (await device.receive()).id != "last":
            pass
        assert device.statistics.failures == 0


async def test_a_second_connack_ends_the_connection_and_not_the_device() -> None:
    """[MQTT-3.2.0-2]"""
    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, clock) as device:
        peer = await room.accept()
        await peer.let_in()
        await peer.lie(b"\x20\x03\x00\x00\x00")
        await comes_back(room, clock)
        await device.wait_connected()
        assert device.statistics.connects == 2


def fails_once(monkeypatch: pytest.MonkeyPatch, kind: type, name: str) -> None:
    """The method raises the next time, and does its work from then on."""
    works = getattr(kind, name)

    def planted(*given: Any) -> Any:
        monkeypatch.setattr(kind, name, works)
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(kind, name, planted)


@pytest.mark.parametrize("name", ["feed", "ack"])
async def test_a_mistake_of_ours_costs_a_connection(
    name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, clock) as device:
        peer = await room.accept()
        await peer.let_in()
        await device.wait_connected()
        await peer.push("m1", 1)
        await (await device.receive()).ack()
        await peer.expect(Puback)
        fails_once(monkeypatch, MqttClient, name)
        await peer.push("m1", 2, dup=True)  # a copy, which the device acknowledges by itself
        peer = await comes_back(room, clock)
        await device.wait_connected()
        error = device.statistics.last_error
        assert error is not None
        assert (error.code, type(error.__cause__)) == ("internal", ZeroDivisionError)
        assert device.statistics.failures == 1
    assert "ZeroDivisionError: planted" in caplog.text
    assert "test_unforeseen.py" in caplog.text  # where it came from


async def test_a_mistake_of_ours_between_connections_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock()
    fails_once(monkeypatch, type(Device("h", app="a", device="d", token="t").endpoints), "first")
    async with ScriptedRoom() as room, device_of(room, clock) as device:
        await comes_back(room, clock)
        await device.wait_connected()
        assert device.statistics.failures == 1


async def test_a_mistake_of_ours_in_keep_alive_leaves_no_connection_that_nobody_watches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, clock, keep_alive=60) as device:
        peer = await room.accept()
        await peer.let_in()
        await device.wait_connected()
        fails_once(monkeypatch, MqttClient, "tick")
        await clock.advance(45.0)
        await comes_back(room, clock)
        await device.wait_connected()
        error = device.statistics.last_error
        assert error is not None
        assert error.code == "internal"


async def test_a_mistake_of_ours_in_attaching_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, clock, keep_alive=0) as device:
        peer = await room.accept()
        await peer.let_in()
        await device.wait_connected()
        fails_once(monkeypatch, MqttClient, "attach")
        attaching = asyncio.create_task(device.attach("weather", "d2", "t2"))
        await clock.until_sleeping(0.5)
        await clock.advance(0.5)
        assert (await asked(peer))["app"] == "weather"
        await reply(peer, "attached", request="attach")
        assert (await attaching).attached


async def test_an_app_is_not_asked_for_on_a_connection_that_has_had_its_last_word() -> None:
    """Its token came as late as that."""
    wanted, given = asyncio.Event(), asyncio.Event()

    async def late() -> str:
        wanted.set()
        await given.wait()
        return "t2"

    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, clock, keep_alive=0) as device:
        peer = await room.accept()
        await peer.let_in()
        await device.wait_connected()
        attaching = asyncio.create_task(device.attach("weather", "d2", late))
        await wanted.wait()
        device._client.disconnect()  # as when DISCONNECT is read
        given.set()
        await settle()
        peer.close()
        peer = await comes_back(room, clock)
        assert (await asked(peer))["app"] == "weather"
        await reply(peer, "attached", request="attach")
        assert (await attaching).attached


# --- what the application says ------------------------------------------------------------------------

NO_TOPICS = ["", "a/+", "a/#", "a\0b", "a\ud800", "a" * MUCH]


@pytest.mark.parametrize("connected", [True, False])
async def test_what_cannot_be_said_is_refused_at_once_and_not_tried_on_each_connection(
    connected: bool,
) -> None:
    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, clock) as device:
        peer = await room.accept()
        if connected:
            await peer.let_in()
            await device.wait_connected()
        anything: Any = device
        for topic in NO_TOPICS:
            with pytest.raises(ValueError, match="is no topic"):
                await device.publish(topic, b"x")
            with pytest.raises(ValueError, match="is no topic"):
                await device.post(topic or "\0", b"x")
        for filter in ["", "a/b#", "a+", "a\0b", "a\ud800", "a" * MUCH, "$share/g"]:
            with pytest.raises(ValueError, match="is no filter"):
                await device.subscribe(filter)
        for payload in (None, 7, ["x"]):
            with pytest.raises(TypeError, match="a payload is text or bytes"):
                await anything.publish("a", payload)
        with pytest.raises(ValueError, match="surrogates not allowed"):
            await device.publish("a", "\ud800")
        assert device.unsent == 0
        if not connected:
            await peer.let_in()
        sending = asyncio.create_task(device.publish("a", bytearray(b"x"), qos=1))  # type: ignore[arg-type]
        publish = await peer.expect(Publish)
        assert (publish.topic, publish.payload) == ("a", b"x")
        await peer.say(Puback(publish.packet_id))
        await sending
        assert device.statistics.failures == 0


@pytest.mark.parametrize(
    ("app", "device"), [("", "d1"), ("News", "d1"), ("news", ""), ("news", "a/b"), ("news", "x" * 129)]
)
def test_a_name_that_nobody_can_have_is_refused_at_once(app: str, device: str) -> None:
    with pytest.raises(ValueError, match="no valid name"):
        Device("127.0.0.1", app=app, device=device, token="t")


# --- the file -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["1e300", "-1", "1e999"])
async def test_posts_of_a_file_that_somebody_has_written_are_sent_where_they_can_be(
    number: str, tmp_path: Path
) -> None:
    """Also one of a version that says it otherwise."""
    state = tmp_path / "state"
    lines = ['{"p":[1,"up/#","eA==","s1"]}', f'{{"p":[{number},"up/x","eA==","s2"]}}', '{"p":[3,"","eA=="]}']
    lines += ["[" * MUCH, '{"version":2}', '{"p":[4,"up/good","eA==","s4"]}', '{"p":[5,"up/cut","eA=']
    state.write_text("\n".join(lines))
    async with ScriptedRoom() as room, device_of(room, state=state) as device:
        peer = await room.accept()
        await peer.let_in()
        publish = await peer.expect(Publish)
        assert (publish.topic, publish.payload) == ("up/good", b"x")
        await peer.say(Puback(publish.packet_id))
        await device.post("more", b"y")
        assert (await peer.expect(Publish)).topic == "up/more"
        assert device.statistics.failures == 0


async def unusable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> Path:
    state = tmp_path / "state"
    if what == "a folder":
        state.mkdir()
    elif what == "in no folder":
        state = tmp_path / "nowhere" / "state"
    else:
        state.write_bytes(b'{"h":["","m1"]}\n{"p":[1,"up/n","eA==","s1"]}\n')
        opened = os.open

        def read_only(path: Any, flags: int, *rest: int) -> int:
            if flags & os.O_RDWR:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
            return opened(path, flags, *rest)

        monkeypatch.setattr(os, "open", read_only)
    return state


@pytest.mark.parametrize("what", ["a folder", "in no folder", "read-only"])
async def test_a_file_that_cannot_be_used_costs_only_what_was_to_be_kept_in_it(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    state = await unusable(tmp_path, monkeypatch, what)
    async with ScriptedRoom() as room, device_of(room, state=state) as device:
        assert "cannot be used, and the device goes on without" in caplog.text
        peer = await room.accept()
        await peer.let_in()
        if what == "read-only":  # what it has is read all the same
            await peer.say(Puback((await peer.expect(Publish)).packet_id))
        with pytest.raises(errors.Unavailable, match="cannot be kept"):
            await device.post("n", b"x")
        await peer.push("m1", 1)
        await peer.push("m2", 2)
        message = await device.receive()
        assert message.id == ("m2" if what == "read-only" else "m1")
        await message.ack()
        await peer.expect(Puback)
        assert (device.statistics.failures, device.unsent) == (0, 0)


# --- its end ------------------------------------------------------------------------------------------


async def test_whoever_closes_it_as_well_waits_until_all_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ScriptedRoom() as room, device_of(room, state=tmp_path / "state") as device:
        peer = await room.accept()
        await peer.let_in()
        await device.wait_connected()
        await peer.push("m1", 1)
        message = await device.receive()
        acknowledging = asyncio.create_task(message.ack())
        closing = [asyncio.create_task(device.close()) for _ in range(3)]
        for _ in range(3):
            await asyncio.sleep(0)
            closing.append(asyncio.create_task(device.close()))
        await asyncio.gather(acknowledging, *closing)
        assert device._state._file is not None
        assert device._state._file._file is None  # closed, with what was said in it
    assert b"m1" in (tmp_path / "state").read_bytes()


async def test_a_device_that_is_ended_from_outside_says_so() -> None:
    """Not as one that was closed, whose loops are at their end as if there was nothing more to come."""
    async with ScriptedRoom() as room, device_of(room) as device:
        await (await room.accept()).let_in()
        await device.wait_connected()
        waits = asyncio.create_task(device.receive())
        await settle()
        (owner,) = (task for task in asyncio.all_tasks() if task.get_name() == "longline-device-news/d1")
        owner.cancel()
        with pytest.raises(errors.Unavailable, match="from outside"):
            await waits
        with pytest.raises(errors.Unavailable, match="from outside"):
            await device.send("n", "x")
        assert not device.closed


async def test_a_device_is_closed_while_it_connects() -> None:
    async with ScriptedRoom() as room, device_of(room) as device:
        await room.accept()  # and never lets it in
        waits = asyncio.create_task(device.wait_connected())
        await asyncio.gather(device.close(), device.close())
        with pytest.raises(errors.Unavailable, match="closed"):
            await waits
