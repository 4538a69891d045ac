"""Apps that share a device's connection, against a room that misbehaves on purpose."""

import asyncio
from typing import Any

import msgspec
import pytest

from longline import Device, Message, errors
from longline.mqtt.packets import Connack, Connect, Puback, Publish, Suback, Subscribe
from longline.mqtt.properties import Properties, PropertyId
from longline.mqtt.reasons import ReasonCode
from longline.sdk.attached import AttachedApp
from longline.sdk.missed import Missed
from longline.testing.clock import VirtualClock, settle
from tests.unit.sdk.scripted import Peer, ScriptedRoom
from tests.unit.sdk.test_device import Token, device_of


async def asked(peer: Peer, topic: str = "$link/attach") -> dict[str, Any]:
    """The next request."""
    packet = await peer.expect(Publish)
    assert (packet.topic, packet.qos) == (topic, 0)
    body: dict[str, Any] = msgspec.json.decode(packet.payload)
    return body


async def reply(peer: Peer, status: str, **more: object) -> None:
    said = {"status": status, "app": "weather", "device": "d2", **more}
    await peer.say(Publish("$link/reply", msgspec.json.encode(said)))


async def attach(device: Device, peer: Peer, token: Token = "t2", **more: Any) -> AttachedApp:
    attaching = asyncio.create_task(device.attach("weather", "d2", token, **more))
    assert (await asked(peer))["app"] == "weather"
    await reply(peer, "attached", request="attach")
    return await attaching


async def test_what_comes_below_the_prefix_is_the_attached_apps_without_it() -> None:
    async with ScriptedRoom() as room, device_of(room) as device:
        peer = await room.accept()
        await peer.let_in()
        missed: list[Missed] = []
        weather = await attach(device, peer, on_gap=missed.append)
        assert weather.attached
        gap = b'{"dropped":1,"expired":0,"collapsed":0,"since":"2027-01-01T00:00:00Z"}'
        await peer.say(Publish("@weather/$link/gap", gap, 1, packet_id=3))
        await peer.say(Publish("@weather/push/m1", b"rain", 1, packet_id=1))
        await peer.push("m1", 2)  # of the other app, by the same id
        assert (await peer.expect(Puback)).packet_id == 3
        message = await weather.receive()
        assert (message.app, message.id, message.topic) == ("weather", "m1", "push/m1")
        own = await device.receive()
        assert (own.app, own.id) == ("news", "m1")
        await message.ack()
        await own.ack()
        assert [(await peer.expect(Puback)).packet_id for _ in range(2)] == [1, 2]
        assert [one.dropped for one in missed] == [1]
        reporting = asyncio.create_task(weather.report(message, "shown"))
        published = await peer.expect(Publish)
        assert published.topic == "@weather/event/m1/shown"
        await peer.say(Puback(published.packet_id))
        await reporting


async def test_functions_take_its_calls_and_what_is_desired_of_it_and_not_the_devices_own() -> None:
    async with ScriptedRoom() as room, device_of(room) as device:
        peer = await room.accept()
        await peer.let_in()
        weather = await attach(device, peer)

        @weather.on_call
        async def shout(message: Message) -> str:
            return message.text.upper()

        weather.on_desired(lambda message: {"light": message.json()})
        properties: Properties = {PropertyId.RESPONSE_TOPIC: "reply/c1"}
        await peer.say(Publish("@weather/push/c1", b"rain", 1, packet_id=1, properties=properties))
        for topic, payload in (("reply/c1", b"RAIN"), ("shadow/reported", b'{"light":true}')):
            answer = await peer.expect(Publish)
            assert (answer.topic, answer.payload) == (f"@weather/{topic}", payload)
            await peer.say(Puback(answer.packet_id))
            await peer.expect(Puback)
            if topic == "reply/c1":
                await peer.say(Publish("@weather/shadow/desired", b"true", 1, packet_id=2))
        await peer.say(Publish("push/c2", b"own", 1, packet_id=3, properties=properties))
        assert (await device.receive()).wants_answer


async def test_a_function_may_detach_its_app() -> None:
    before = asyncio.all_tasks()
    async with ScriptedRoom() as room:
        async with device_of(room) as device:
            peer = await room.accept()
            await peer.let_in()
            weather = await attach(device, peer)

            @weather.on_call
            async def last(message: Message) -> None:
                await weather.detach()

            properties: Properties = {PropertyId.RESPONSE_TOPIC: "reply/c1"}
            await peer.say(Publish("@weather/push/c1", b"rain", 1, packet_id=1, properties=properties))
            assert await asked(peer, "$link/detach") == {"app": "weather"}
            assert (await peer.expect(Puback)).packet_id == 1
        assert asyncio.all_tasks() == before


async def test_after_a_reconnect_it_is_attached_again_before_anything_else_of_it_is_said() -> None:
    clock = VirtualClock()
    tokens = iter(["first", "second"])

    async def fresh() -> str:
        return next(tokens)

    async with ScriptedRoom() as room, device_of(room, clock=clock) as device:
        peer = await room.accept()
        await peer.let_in()
        weather = await attach(device, peer, fresh)
        subscribing = asyncio.create_task(weather.subscribe("rain/#"))
        subscribe = await peer.expect(Subscribe)
        assert [wanted.filter for wanted in subscribe.subscriptions] == ["@weather/rain/#"]
        await peer.say(Suback(subscribe.packet_id, [1]))
        await subscribing
        peer.reset()
        await clock.until_sleeping(1.0)
        assert not weather.attached
        publishing = asyncio.create_task(weather.publish("rain/1", b"wet"))
        await clock.advance(1.0)
        peer = await room.accept()
        await peer.let_in()
        own = asyncio.create_task(device.publish("own", b"x"))
        heard = [await peer.expect(Publish), await peer.expect(Publish)]
        request, published = sorted(heard, key=lambda packet: packet.qos)
        assert published.topic == "own"
        assert msgspec.json.decode(request.payload)["token"] == "first"
        await peer.say(Puback(published.packet_id))
        await own
        await reply(peer, "attached", request="attach")
        subscribe = await peer.expect(Subscribe)
        assert [wanted.filter for wanted in subscribe.subscriptions] == ["@weather/rain/#"]
        published = await peer.expect(Publish)
        assert published.topic == "@weather/rain/1"
        await peer.say(Suback(subscribe.packet_id, [1]), Puback(published.packet_id))
        await publishing


async def test_a_token_that_is_refused_is_replaced_once() -> None:
    tokens = iter(["old", "new"])

    async def fresh() -> str:
        return next(tokens)

    async with ScriptedRoom() as room, device_of(room) as device:
        peer = await room.accept()
        await peer.let_in()
        attaching = asyncio.create_task(device.attach("weather", "d2", fresh))
        bad = {"code": "bad_token", "reason": int(ReasonCode.BAD_USER_NAME_OR_PASSWORD)}
        assert (await asked(peer))["token"] == "old"
        await reply(peer, "refused", request="attach", **bad)
        assert (await asked(peer))["token"] == "new"
        await reply(peer, "refused", request="attach", **bad)
        with pytest.raises(errors.BadToken):
            await attaching
        assert await asked(peer, "$link/detach") == {"app": "weather"}
        again = await attach(device, peer)  # which another one may well be
        assert again.attached


async def test_who_takes_over_stops_it_and_the_device_goes_on() -> None:
    async with ScriptedRoom() as room, device_of(room) as device:
        peer = await room.accept()
        await peer.let_in()
        weather = await attach(device, peer)
        receiving = asyncio.create_task(weather.receive())
        publishing = asyncio.create_task(weather.publish("rain", b"x"))
        await peer.expect(Publish)
        await reply(peer, "ended", code="taken_over", reason=int(ReasonCode.SESSION_TAKEN_OVER))
        for waiting in (receiving, publishing):
            with pytest.raises(errors.TakenOver):
                await waiting
        with pytest.raises(errors.TakenOver):
            await weather.subscribe("x")
        await peer.expect(Publish)  # it detaches, in case
        await peer.push("m1", 1)
        assert (await device.receive()).id == "m1"


async def test_one_that_is_kicked_comes_back_after_a_wait() -> None:
    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, clock=clock) as device:
        peer = await room.accept()
        await peer.let_in()
        weather = await attach(device, peer)
        await reply(peer, "ended", code="kicked", reason=int(ReasonCode.ADMINISTRATIVE_ACTION))
        await clock.until_sleeping(0.5)
        assert not weather.attached
        await clock.advance(0.5)
        await asked(peer)
        await reply(peer, "refused", code="overloaded", reason=int(ReasonCode.SERVER_BUSY), retryable=True)
        await clock.until_sleeping(1.0)
        await clock.advance(1.0)
        await asked(peer)
        await reply(peer, "attached", request="attach")
        await weather.wait_attached()


async def test_what_is_detached_is_over_and_says_so() -> None:
    async with ScriptedRoom() as room, device_of(room) as device:
        peer = await room.accept()
        await peer.let_in()
        async with await attach(device, peer) as weather:
            pass
        assert await asked(peer, "$link/detach") == {"app": "weather"}
        assert [message async for message in weather] == []
        with pytest.raises(errors.Unavailable):
            await weather.publish("x", b"x")
        await reply(peer, "detached", request="detach")
        await settle()
        assert (await attach(device, peer)).attached


async def test_a_device_that_stops_stops_what_is_attached() -> None:
    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, clock=clock) as device:
        peer = await room.accept()
        await peer.let_in()
        weather = await attach(device, peer)
        receiving = asyncio.create_task(weather.receive())
        peer.reset()
        await clock.until_sleeping(1.0)
        await clock.advance(1.0)
        peer = await room.accept()
        await peer.expect(Connect)
        await peer.say(Connack(False, ReasonCode.BANNED))
        with pytest.raises(errors.Banned):
            await receiving


@pytest.mark.parametrize(("app", "device"), [("we/ther", "d2"), ("weather", "$d2"), ("", "d2")])
async def test_names_that_cannot_be_are_refused_at_once(app: str, device: str) -> None:
    async with ScriptedRoom() as room, device_of(room) as own:
        with pytest.raises(ValueError, match="no valid name"):
            await own.attach(app, device, "t")
