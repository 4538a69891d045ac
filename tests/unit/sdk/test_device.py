"""The device against a room that misbehaves on purpose, on real sockets and in virtual time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import httpx
import pytest

from longline import Device, errors
from longline.mqtt.packets import (
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Puback,
    Publish,
    Suback,
    Subscribe,
)
from longline.mqtt.properties import Properties, PropertyId
from longline.sdk.missed import Missed
from longline.testing.clock import VirtualClock, settle
from tests.unit.sdk.scripted import ScriptedRoom
from tests.unit.sdk.virtual import in_virtual_time

Token = str | Callable[[], Awaitable[str]]


def device_of(
    room: ScriptedRoom,
    *,
    token: Token = "the-token",
    clock: VirtualClock | None = None,
    receive_maximum: int = 100,
    protocol: Literal[4, 5] = 5,
    keep_alive: int = 60,
    on_gap: Callable[[Missed], None] | None = None,
) -> Device:
    return in_virtual_time(clock)(
        "127.0.0.1",
        room.port,
        app="news",
        device="d1",
        token=token,
        protocol=protocol,
        keep_alive=keep_alive,
        receive_maximum=receive_maximum,
        backoff_base=1.0,
        backoff_cap=8.0,
        on_gap=on_gap,
    )


@pytest.mark.parametrize("protocol", [4, 5])
async def test_a_message_is_acknowledged_when_the_next_is_asked_for(protocol: Literal[4, 5]) -> None:
    async with ScriptedRoom() as room, device_of(room, protocol=protocol) as device:
        peer = await room.accept()
        connect = await peer.let_in()
        assert (connect.version, connect.username, connect.password) == (protocol, "news", b"the-token")
        await peer.push("m1", 1)
        await peer.push("m2", 2)
        messages = aiter(device)
        assert (await anext(messages)).id == "m1"
        await settle()
        assert device.statistics.acked == 0
        assert (await anext(messages)).id == "m2"
        assert (await peer.expect(Puback)).packet_id == 1
        assert device.statistics.received == 2


async def test_a_handler_that_raises_leaves_its_message_for_the_next_connection() -> None:
    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, clock=clock) as device:
        peer = await room.accept()
        await peer.let_in()
        await peer.push("m1", 1)

        async def handle_all() -> None:
            async for message in device:
                raise RuntimeError(f"cannot handle {message.id}")

        with pytest.raises(RuntimeError, match="m1"):
            await handle_all()
        assert device.statistics.acked == 0
        peer.close()
        await clock.until_sleeping(1.0)
        await clock.advance(1.0)
        peer = await room.accept()
        await peer.let_in(session_present=True)
        await peer.push("m1", 1, dup=True)
        again = await device.receive()
        assert again.duplicate
        await again.ack()
        assert (await peer.expect(Puback)).packet_id == 1


async def test_a_handler_slower_than_a_reconnect_gets_its_message_once() -> None:
    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, clock=clock) as device:
        peer = await room.accept()
        await peer.let_in()
        await peer.push("m1", 1)
        messages = aiter(device)
        await anext(messages)
        peer.reset()
        await clock.until_sleeping(1.0)
        await clock.advance(1.0)
        peer = await room.accept()
        await peer.let_in(session_present=True)
        await peer.push("m1", 1, dup=True)
        await peer.push("m2", 2)
        assert (await anext(messages)).id == "m2"  # which also says that m1 is done
        assert (await peer.expect(Puback)).packet_id == 1
        assert device.statistics.duplicates == 1


async def test_waits_between_connections_grow_until_one_of_them_lasts() -> None:
    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, clock=clock) as device:
        for wait in (1.0, 2.0, 4.0, 8.0, 8.0):
            peer = await room.accept()
            await peer.let_in()
            await device.wait_connected()
            peer.reset()  # being let in is not enough
            await clock.until_sleeping(wait)
            await clock.advance(wait)
        peer = await room.accept()
        await peer.let_in()
        await device.wait_connected()
        await clock.advance(10.0)
        peer.reset()
        await clock.until_sleeping(1.0)
        assert device.statistics.failures == 6
        assert device.statistics.connects == 6
        assert isinstance(device.statistics.last_error, errors.Unavailable)


async def test_a_server_that_is_not_there_is_tried_again() -> None:
    clock = VirtualClock()
    room = ScriptedRoom()
    async with room:
        pass  # its port is free again
    async with device_of(room, clock=clock) as device:
        await clock.until_sleeping(1.0)
        assert not device.connected
        await clock.advance(1.0)
        await clock.until_sleeping(2.0)
        assert device.statistics.failures == 2


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (0x84, errors.NotSupported),
        (0x86, errors.BadToken),
        (0x87, errors.BadToken),
        (0x8A, errors.Banned),
    ],
)
async def test_a_refusal_for_good_is_raised_to_everyone_who_waits(
    reason: int, kind: type[errors.LonglineError]
) -> None:
    async with ScriptedRoom() as room, device_of(room) as device:
        waiting = [
            asyncio.create_task(device.wait_connected()),
            asyncio.create_task(device.publish("up/x", b"x")),
            asyncio.create_task(device.publish("up/x", b"x", qos=0)),
            asyncio.create_task(device.subscribe("chat/+")),
            asyncio.create_task(device.receive()),
        ]
        peer = await room.accept()
        await peer.expect(Connect)
        await peer.say(Connack(False, reason))
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {kind}
        assert room.connections == 1
        with pytest.raises(kind):
            await device.receive()


async def test_a_refused_token_is_renewed_once_without_a_wait() -> None:
    given: list[str] = []

    async def fresh() -> str:
        given.append(f"token-{len(given)}")
        return given[-1]

    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, token=fresh, clock=clock) as device:
        peer = await room.accept()
        assert (await peer.let_in()).password == b"token-0"
        peer.reset()
        await clock.until_sleeping(1.0)
        await clock.advance(1.0)
        peer = await room.accept()
        assert (await peer.expect(Connect)).password == b"token-0"
        await peer.say(Connack(False, 0x87))  # it ran out meanwhile
        peer = await room.accept()
        assert (await peer.expect(Connect)).password == b"token-1"
        await peer.say(Connack(False, 0x87))
        with pytest.raises(errors.BadToken):
            await device.receive()
        assert given == ["token-0", "token-1"]


async def test_a_first_token_that_is_refused_is_renewed_too() -> None:
    given: list[str] = []

    async def fresh() -> str:  # such as an app server that still has the secret of before
        given.append(f"token-{len(given)}")
        return given[-1]

    async with ScriptedRoom() as room, device_of(room, token=fresh):
        peer = await room.accept()
        assert (await peer.expect(Connect)).password == b"token-0"
        await peer.say(Connack(False, 0x86))
        peer = await room.accept()
        assert (await peer.let_in()).password == b"token-1"


async def test_a_device_whose_token_is_worth_nothing_any_more_comes_back_with_another_one() -> None:
    """However often that happens, and after a wait: all devices of its app are thrown out at once."""
    given: list[str] = []

    async def fresh() -> str:
        given.append(f"token-{len(given)}")
        return given[-1]

    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, token=fresh, clock=clock):
        for number in range(3):
            peer = await room.accept()
            assert (await peer.let_in()).password == f"token-{number}".encode()
            await peer.say(Disconnect(0x87))
            await clock.until_sleeping(2.0**number)
            await clock.advance(2.0**number)


@pytest.mark.parametrize(
    "failure",
    [
        errors.Overloaded(),
        errors.Unauthorized(),  # a key that is being replaced
        httpx.ConnectError("nobody listens"),  # no OSError
        httpx.HTTPStatusError(
            "503", request=httpx.Request("GET", "http://app"), response=httpx.Response(503)
        ),
        TimeoutError(),
        ConnectionResetError(),
        KeyError("token"),  # of an answer that was an error's
        ExceptionGroup("both ways failed", [OSError(), ValueError()]),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_a_token_that_cannot_be_had_now_is_asked_for_again(failure: Exception) -> None:
    outcomes: list[str | Exception] = [failure, "the-token\n"]

    async def source() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, token=source, clock=clock) as device:
        await clock.until_sleeping(1.0)
        error = device.statistics.last_error
        assert error is not None
        assert failure in (error, error.__cause__)
        await clock.advance(1.0)
        peer = await room.accept()
        assert (await peer.let_in()).password == b"the-token"


async def test_a_token_source_that_gives_no_text_is_asked_again() -> None:
    outcomes: list[Any] = [{"password": "the-token"}, "the-token"]

    async def source() -> Any:
        return outcomes.pop(0)

    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, token=source, clock=clock) as device:
        await clock.until_sleeping(1.0)
        assert "gave dict" in str(device.statistics.last_error)
        await clock.advance(1.0)
        assert (await (await room.accept()).let_in()).password == b"the-token"


async def test_who_was_to_give_a_token_may_ask_for_a_longer_wait() -> None:
    async def source() -> str:
        raise errors.RateLimited(retry_after=30)

    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, token=source, clock=clock):
        await clock.until_sleeping(30.0)


async def test_a_takeover_is_not_fought() -> None:
    async with ScriptedRoom() as room, device_of(room) as device:
        peer = await room.accept()
        await peer.let_in()
        await peer.push("m1", 1)
        await device.receive()
        await peer.say(Disconnect(0x8E))
        with pytest.raises(errors.TakenOver):
            await device.receive()
        assert room.connections == 1


async def test_a_takeover_by_a_connect_of_its_own_that_it_had_given_up_is_answered_once() -> None:
    """A room that was paused lets the device in when it is long elsewhere, which throws it out there."""
    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, clock=clock) as device:
        peer = await room.accept()
        await peer.expect(Connect)
        peer.reset()
        await clock.until_sleeping(1.0)
        await clock.advance(1.0)
        peer = await room.accept()
        await peer.let_in()
        await device.wait_connected()
        await peer.say(Disconnect(0x8E))
        await clock.until_sleeping(2.0)
        await clock.advance(2.0)
        peer = await room.accept()
        await peer.let_in()
        await device.wait_connected()
        await peer.say(Disconnect(0x8E))
        with pytest.raises(errors.TakenOver):
            await device.receive()


async def test_closing_says_good_bye_and_ends_the_iteration() -> None:
    async with ScriptedRoom() as room:
        async with device_of(room) as device:
            peer = await room.accept()
            await peer.let_in()
            await device.wait_connected()
            iterating = asyncio.create_task(ids(device))
            await settle()
        assert await iterating == []
        assert (await peer.expect(Disconnect)).reason == 0
        await peer.ended()
        with pytest.raises(errors.Unavailable, match="closed"):
            await device.publish("up/x", b"x")


async def test_a_device_that_is_closed_at_once_is_over_for_whoever_waits() -> None:
    """Its task is cancelled before it begins, so that nothing in it is carried out."""
    async with ScriptedRoom() as room:
        device = device_of(room)
        await device.__aenter__()
        waiting = [asyncio.create_task(call) for call in (device.send("x", b"x"), device.wait_connected())]
        await device.close()
        assert device.closed
        found = await asyncio.gather(*waiting, device.receive(), return_exceptions=True)
        assert [type(each) for each in found] == [errors.Unavailable] * 3


async def test_a_device_leaves_no_task_behind() -> None:
    before = asyncio.all_tasks()
    async with ScriptedRoom() as room:
        async with device_of(room):
            peer = await room.accept()
            await peer.let_in()
        async with device_of(room) as stalled:
            await room.accept()  # and never a CONNACK
            await settle()
            assert not stalled.connected
    await settle()
    assert asyncio.all_tasks() == before


async def test_a_device_that_was_not_entered_says_so() -> None:
    device = Device("127.0.0.1", 1, app="news", device="d1", token="x")
    with pytest.raises(RuntimeError, match="async with"):
        await device.receive()
    await device.close()


async def test_a_publish_returns_when_the_server_has_taken_it() -> None:
    async with ScriptedRoom() as room, device_of(room) as device:
        publishing = asyncio.create_task(device.publish("up/seen", "ça va"))  # before it is connected
        peer = await room.accept()
        await peer.let_in()
        publish = await peer.expect(Publish)
        assert (publish.topic, publish.payload, publish.qos) == ("up/seen", "ça va".encode(), 1)
        assert not publishing.done()
        await peer.say(Puback(publish.packet_id))
        await publishing


async def test_a_publish_survives_its_connection() -> None:
    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, clock=clock) as device:
        publishing = asyncio.create_task(device.publish("up/seen", b"x"))
        peer = await room.accept()
        await peer.let_in()
        first = await peer.expect(Publish)
        peer.reset()
        await clock.until_sleeping(1.0)
        await clock.advance(1.0)
        peer = await room.accept()
        await peer.let_in(session_present=True)
        again = await peer.expect(Publish)
        assert (again.packet_id, again.dup) == (first.packet_id, True)
        await peer.say(Puback(again.packet_id))
        await publishing


async def test_a_refused_publish_and_a_refused_filter_raise_and_the_device_lives_on() -> None:
    async with ScriptedRoom() as room, device_of(room) as device:
        peer = await room.accept()
        await peer.let_in()
        publishing = asyncio.create_task(device.publish("forbidden", b"x"))
        await peer.say(Puback((await peer.expect(Publish)).packet_id, 0x87))
        with pytest.raises(errors.Forbidden):
            await publishing
        subscribing = asyncio.create_task(device.subscribe("forbidden"))
        await peer.say(Suback((await peer.expect(Subscribe)).packet_id, [0x87]))
        with pytest.raises(errors.Forbidden):
            await subscribing
        assert device.connected


async def test_filters_are_wanted_again_after_a_reconnect() -> None:
    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, clock=clock) as device:
        subscribing = asyncio.create_task(device.subscribe("chat/+", qos=1))
        peer = await room.accept()
        await peer.let_in()
        await peer.say(Suback((await peer.expect(Subscribe)).packet_id, [1]))
        await subscribing
        peer.reset()
        await clock.until_sleeping(1.0)
        await clock.advance(1.0)
        peer = await room.accept()
        await peer.let_in()
        assert (await peer.expect(Subscribe)).subscriptions[0].filter == "chat/+"
        await peer.say(Publish("chat/a", b"hi"))
        message = await device.receive()
        assert (message.id, message.topic, message.text) == (None, "chat/a", "hi")


async def test_with_its_queue_full_the_device_stops_reading_until_the_consumer_takes_one() -> None:
    async with ScriptedRoom() as room, device_of(room, receive_maximum=2) as device:
        peer = await room.accept()
        await peer.let_in()
        await device.wait_connected()
        payload = bytes(100_000)  # more than one read each
        sending = asyncio.create_task(send_many(peer.push, 100, payload))
        first = await device.receive()
        assert first.id == "m0"
        for _ in range(20):
            await settle()
        assert not sending.done()  # ten megabytes do not fit into the socket's buffers
        for number in range(1, 100):
            assert (await device.receive()).id == f"m{number}"
        await sending
        assert device.statistics.overflowed == 0


async def ids(device: Device) -> list[str | None]:
    return [message.id async for message in device]


async def send_many(push: Callable[..., Awaitable[None]], count: int, payload: bytes) -> None:
    for number in range(count):
        await push(f"m{number}", 0, payload=payload)


async def test_a_handler_may_publish_while_its_queue_is_full() -> None:
    async with ScriptedRoom() as room, device_of(room, receive_maximum=1) as device:
        peer = await room.accept()
        await peer.let_in()
        await peer.push("m1", 1)
        await device.receive()
        await peer.push("m2", 2)
        await settle()
        await peer.push("m3", 0)
        publishing = asyncio.create_task(device.publish("up/seen", b"x"))
        publish = await peer.expect(Publish)
        await peer.push("m4", 3)
        await peer.say(Puback(publish.packet_id))
        await publishing
        assert (await device.receive()).id == "m2"


async def test_a_server_that_fell_silent_is_left_for_a_new_connection() -> None:
    clock = VirtualClock()
    async with ScriptedRoom() as room, device_of(room, clock=clock, keep_alive=60) as device:
        peer = await room.accept()
        await peer.let_in()
        await device.wait_connected()
        await clock.until_sleeping(45.0)
        await clock.advance(45.0)
        await peer.expect(Pingreq)
        await clock.advance(20.0)
        await clock.until_sleeping(1.0)
        assert not device.connected
        assert "silent" in str(device.statistics.last_error)
        await clock.advance(1.0)
        await (await room.accept()).let_in()


@pytest.mark.parametrize("qos", [-1, 2])
async def test_qos_2_is_refused_by_name(qos: Any) -> None:
    async with ScriptedRoom() as room, device_of(room) as device:
        with pytest.raises(ValueError, match="0 or 1"):
            await device.publish("x", b"", qos=qos)
        with pytest.raises(ValueError, match="0 or 1"):
            await device.subscribe("x", qos=qos)


# --- being sent elsewhere ---------------------------------------------------------------------------


def reference(room: ScriptedRoom, after_ms: int = 0) -> Properties:
    return {
        PropertyId.SERVER_REFERENCE: f"127.0.0.1:{room.port}",
        PropertyId.USER_PROPERTY: [("after-ms", str(after_ms))],
    }


async def test_a_device_goes_where_it_is_sent_at_the_time_it_was_told() -> None:
    clock = VirtualClock()
    async with ScriptedRoom() as old, ScriptedRoom() as new, device_of(old, clock=clock) as device:
        peer = await old.accept()
        await peer.let_in()
        await device.wait_connected()
        await peer.say(Disconnect(0x9C, reference(new, after_ms=500)))
        await clock.until_sleeping(0.5)
        assert new.connections == 0
        await clock.advance(0.5)
        peer = await new.accept()
        await peer.let_in()
        await device.wait_connected()
        assert (device.statistics.moves, device.statistics.failures) == (1, 0)
        assert device.endpoints.current == ("127.0.0.1", new.port)


async def test_a_device_of_3_1_1_goes_where_a_message_sends_it() -> None:
    clock = VirtualClock()
    async with (
        ScriptedRoom() as old,
        ScriptedRoom() as new,
        device_of(old, clock=clock, protocol=4) as device,
    ):
        peer = await old.accept()
        await peer.let_in()
        await peer.push("m1")
        assert (await device.receive()).id == "m1"
        notice = b'{"endpoints":[{"host":"127.0.0.1","port":%d}],"after_ms":250}' % new.port
        await peer.say(Publish("$link/moved", notice))
        peer.close()
        await clock.until_sleeping(0.25)
        await clock.advance(0.25)
        peer = await new.accept()
        await peer.let_in()
        await peer.push("m2")
        assert (await device.receive()).id == "m2"  # and nothing of `$link/` before it


async def test_a_device_that_is_not_let_in_goes_where_it_is_sent() -> None:
    async with ScriptedRoom() as shut, ScriptedRoom() as new, device_of(shut) as device:
        peer = await shut.accept()
        await peer.expect(Connect)
        await peer.say(Connack(False, 0x9C, reference(new)))
        await (await new.accept()).let_in()
        await device.wait_connected()


async def test_where_nobody_lets_the_device_in_it_comes_back_to_where_it_came_from() -> None:
    clock = VirtualClock()
    gone = ScriptedRoom()
    async with gone:
        pass  # its port is free again
    async with ScriptedRoom() as old, device_of(old, clock=clock) as device:
        await (peer := await old.accept()).let_in()
        await device.wait_connected()
        await peer.say(Disconnect(0x9D, reference(gone)))
        await clock.until_sleeping(1.0)
        await clock.advance(1.0)
        await (await old.accept()).let_in()
        await device.wait_connected()


async def test_a_device_stays_where_it_was_sent_for_as_long_as_that_works() -> None:
    clock = VirtualClock()
    async with ScriptedRoom() as old, ScriptedRoom() as new, device_of(old, clock=clock):
        await (peer := await old.accept()).let_in()
        await peer.say(Disconnect(0x9C, reference(new)))
        await (peer := await new.accept()).let_in()
        peer.reset()
        await clock.until_sleeping(1.0)
        await clock.advance(1.0)
        await (await new.accept()).let_in()
        assert old.connections == 1


async def test_servers_that_send_a_device_to_and_fro_make_it_wait() -> None:
    clock = VirtualClock()
    async with ScriptedRoom() as a, ScriptedRoom() as b, device_of(a, clock=clock) as device:
        for here, there, wait in ((a, b, 0.0), (b, a, 1.0), (a, b, 2.0)):
            await (peer := await here.accept()).let_in()
            await peer.say(Disconnect(0x9C, reference(there)))
            if wait:
                await clock.until_sleeping(wait)
                await clock.advance(wait)
        await (await b.accept()).let_in()
        assert device.statistics.moves == 3


async def test_endpoints_that_were_fed_are_tried_in_their_order() -> None:
    clock = VirtualClock()
    gone = ScriptedRoom()
    async with gone:
        pass
    async with ScriptedRoom() as first, ScriptedRoom() as second, device_of(first, clock=clock) as device:
        await (peer := await first.accept()).let_in()
        await device.wait_connected()
        device.endpoints.feed([("127.0.0.1", gone.port), ("127.0.0.1", second.port)])
        peer.reset()
        await clock.until_sleeping(1.0)
        await clock.advance(1.0)
        await (await second.accept()).let_in()
        await device.wait_connected()


@pytest.mark.parametrize(
    "place", [("a..b", 1883), ("x" * 64 + ".example", 1883), ("nul\0", 1883), ("127.0.0.1", 65_536)]
)
async def test_a_place_that_cannot_be_one_is_passed_over(place: tuple[str, int]) -> None:
    """Whoever named it, a dispatcher or a room, cannot end a device with it."""
    clock = VirtualClock()
    async with ScriptedRoom() as first, ScriptedRoom() as second, device_of(first, clock=clock) as device:
        await (peer := await first.accept()).let_in()
        await device.wait_connected()
        device.endpoints.feed([place, ("127.0.0.1", second.port)])
        peer.reset()
        await clock.until_sleeping(1.0)
        await clock.advance(1.0)
        await (await second.accept()).let_in()
        await device.wait_connected()


async def test_a_device_goes_to_an_address_of_ipv6_that_a_server_names() -> None:
    clock = VirtualClock()
    async with (
        ScriptedRoom() as first,
        ScriptedRoom("::1") as second,
        device_of(first, clock=clock) as device,
    ):
        await (peer := await first.accept()).let_in()
        await device.wait_connected()
        await peer.say(Disconnect(0x9C, {PropertyId.SERVER_REFERENCE: f"[::1]:{second.port}"}))
        await (await second.accept()).let_in()
        await device.wait_connected()


async def test_a_server_that_never_answers_is_tried_ever_more_rarely() -> None:
    clock = VirtualClock()
    async with ScriptedRoom() as room:
        device = in_virtual_time(clock)(
            "127.0.0.1",
            room.port,
            app="news",
            device="d1",
            token="the-token",
            connect_timeout=0.01,
            backoff_base=1.0,
        )
        async with device:
            for wait in (1.0, 2.0, 4.0):
                await room.accept()
                await clock.until_sleeping(wait)
                await clock.advance(20.0 if wait == 1.0 else wait)


@pytest.mark.parametrize("fails", [False, True])
async def test_what_was_missed_is_told_before_the_message_behind_it(fails: bool) -> None:
    """Whatever becomes of it in the hands of who is told, the device goes on."""
    told: list[Missed] = []

    def note(missed: Missed) -> None:
        told.append(missed)
        if fails:
            raise RuntimeError("nobody wants to know")

    async with ScriptedRoom() as room, device_of(room, on_gap=note) as device:
        peer = await room.accept()
        await peer.let_in()
        said = b'{"dropped":3,"expired":0,"collapsed":0,"since":"2027-01-15T08:00:00.000Z"}'
        await peer.say(Publish("$link/gap", said, 1, False, False, 1))
        await peer.push("m1", 2)
        assert (await device.receive()).id == "m1"
        assert [str(missed) for missed in told] == ["3 dropped, since 2027-01-15T08:00:00+00:00"]
