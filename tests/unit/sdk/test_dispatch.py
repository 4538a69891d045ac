"""A device that asks dispatchers where to connect: whom, when, and what it makes of the answer."""

import json
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from longline import Device, errors
from longline.sdk import dispatch
from longline.testing.clock import VirtualClock
from tests.unit.sdk.dispatching import ScriptedDispatcher
from tests.unit.sdk.scripted import ScriptedRoom
from tests.unit.sdk.virtual import in_virtual_time


def device_of(
    *dispatchers: str,
    clock: VirtualClock | None = None,
    endpoints: Sequence[tuple[str, int]] = (),
    keep_alive: int | None = None,
    state: Path | None = None,
) -> Device:
    return in_virtual_time(clock)(
        app="news",
        device="d 1",
        token="the-token",
        endpoints=endpoints,
        dispatchers=dispatchers,
        keep_alive=keep_alive,
        backoff_base=1.0,
        backoff_cap=8.0,
        state=state,
    )


async def test_it_connects_where_the_dispatcher_says() -> None:
    async with ScriptedDispatcher() as dispatcher, ScriptedRoom() as room:
        dispatcher.say([room.port])
        async with device_of(dispatcher.url):
            connect = await (await room.accept()).let_in()
            assert connect.keep_alive == 240, "the dispatcher's recommendation"
        assert dispatcher.paths == ["/v1/dispatch"]
        assert dispatcher.asked == [{"app": "news", "device": "d 1", "transport": "tcp"}]


async def test_a_keep_alive_that_the_caller_gave_stands() -> None:
    async with ScriptedDispatcher() as dispatcher, ScriptedRoom() as room:
        dispatcher.say([room.port])
        async with device_of(dispatcher.url, keep_alive=30):
            assert (await (await room.accept()).let_in()).keep_alive == 30


async def test_a_dispatchers_url_may_have_a_path_and_say_where_the_client_is() -> None:
    async with ScriptedDispatcher() as dispatcher, ScriptedRoom() as room:
        dispatcher.say([room.port])
        async with device_of(f"{dispatcher.url}/push/?region=north&network=red"):
            await (await room.accept()).let_in()
        assert dispatcher.paths == ["/push/v1/dispatch"]
        assert dispatcher.asked[0]["region"] == "north"
        assert dispatcher.asked[0]["network"] == "red"


async def test_an_answer_is_gone_by_until_it_expires() -> None:
    clock = VirtualClock()
    async with ScriptedDispatcher() as dispatcher, ScriptedRoom() as first, ScriptedRoom() as second:
        dispatcher.say([first.port], expires_in=100)
        async with device_of(dispatcher.url, clock=clock) as device:
            peer = await first.accept()
            await peer.let_in()
            await device.wait_connected()
            await clock.advance(20.0)
            dispatcher.say([second.port])
            peer.reset()
            await clock.until_sleeping(1.0)
            await clock.advance(1.0)
            peer = await first.accept()  # the known answer is good for a flash
            await peer.let_in()
            await device.wait_connected()
            await clock.advance(80.0)
            peer.reset()
            await clock.until_sleeping(1.0)
            await clock.advance(1.0)
            await (await second.accept()).let_in()
        assert len(dispatcher.asked) == 2


async def test_a_clock_that_was_set_back_keeps_nobody_from_asking(tmp_path: Path) -> None:
    """What was remembered is good until a time that is years away now; after an hour it asks all the same."""
    clock, state = VirtualClock(), tmp_path / "state"
    async with ScriptedDispatcher() as dispatcher, ScriptedRoom() as first, ScriptedRoom() as second:
        dispatcher.say([second.port])
        until = time.time() + 10 * 365 * 86_400
        state.write_text(json.dumps({"n": ["", until, [["127.0.0.1", first.port]]]}) + "\n")
        async with device_of(dispatcher.url, clock=clock, keep_alive=0, state=state) as device:
            peer = await first.accept()
            await peer.let_in()
            await device.wait_connected()
            await clock.advance(3601.0)
            peer.reset()
            await clock.until_sleeping(1.0)
            await clock.advance(1.0)
            await (await second.accept()).let_in()
        assert len(dispatcher.asked) == 1


async def test_it_asks_again_when_every_endpoint_has_failed() -> None:
    clock = VirtualClock()
    async with ScriptedDispatcher() as dispatcher, ScriptedRoom() as room:
        async with ScriptedRoom() as gone, ScriptedRoom() as gone_too:
            dispatcher.say([gone.port, gone_too.port])
        async with device_of(dispatcher.url, clock=clock):
            await clock.until_sleeping(1.0)  # both were tried, at the same time
            assert len(dispatcher.asked) == 1
            dispatcher.say([room.port])
            await clock.advance(1.0)
            await (await room.accept()).let_in()
        assert len(dispatcher.asked) == 2


async def test_it_waits_as_long_as_the_dispatcher_asks_it_to() -> None:
    clock = VirtualClock()
    async with ScriptedDispatcher() as dispatcher, ScriptedRoom() as room:
        dispatcher.say([room.port], after_ms=37_500)
        async with device_of(dispatcher.url, clock=clock):
            await clock.until_sleeping(37.5)
            assert room.connections == 0
            await clock.advance(37.5)
            await (await room.accept()).let_in()


async def test_the_waits_after_failures_are_bounded_as_the_dispatcher_says() -> None:
    clock = VirtualClock()
    async with ScriptedDispatcher() as dispatcher:
        async with ScriptedRoom() as gone:
            dispatcher.say([gone.port], initial_ms=3000, max_ms=5000)
        async with device_of(dispatcher.url, clock=clock):
            for wait in (3.0, 5.0, 5.0):
                await clock.until_sleeping(wait)
                await clock.advance(wait)
            await clock.until_sleeping(5.0)
            dispatcher.say([gone.port], initial_ms=10**15, max_ms=10**16)
            await clock.advance(5.0)
            await clock.until_sleeping(3600.0)  # nobody keeps a device away for good


async def test_a_dispatcher_that_does_not_answer_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatch, "PATIENCE", 1.0)  # for the good one, too, on a busy machine
    async with ScriptedDispatcher() as silent, ScriptedDispatcher() as good, ScriptedRoom() as room:
        async with ScriptedDispatcher() as gone:
            pass
        silent.mute = True
        good.say([room.port])
        async with device_of(gone.url, silent.url, good.url):
            await (await room.accept()).let_in()
        assert len(silent.asked) == len(good.asked) == 1


async def test_the_dispatcher_that_answered_is_asked_first_the_next_time() -> None:
    clock = VirtualClock()
    async with ScriptedDispatcher() as full, ScriptedDispatcher() as good, ScriptedRoom() as room:
        full.refuse(503, "unavailable")
        good.say([room.port], expires_in=0)
        async with device_of(full.url, good.url, clock=clock):
            (await room.accept()).reset()
            await clock.until_sleeping(1.0)
            await clock.advance(1.0)
            await (await room.accept()).let_in()
        assert (len(full.asked), len(good.asked)) == (1, 2)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"endpoints":[]}',
        b'{"endpoints":[{"host":"x","port":0}]}',
        b" " * 70_000,
        b'{"x":' + b"[" * 60_000,
        b"<!doctype html><title>Log in to this network</title>",
        b"\xff\xfe",
    ],
)
async def test_what_is_no_answer_is_not_taken_for_one(body: bytes) -> None:
    async with ScriptedDispatcher() as strange, ScriptedRoom() as room:
        strange.body = body
        async with device_of(strange.url, endpoints=[("127.0.0.1", room.port)]) as device:
            await (await room.accept()).let_in()
            assert isinstance(device.statistics.last_error, errors.Unavailable)
            assert device.statistics.failures == 0


async def test_while_no_dispatcher_answers_it_goes_on_with_what_it_has() -> None:
    clock = VirtualClock()
    async with ScriptedDispatcher() as dispatcher, ScriptedRoom() as room:
        dispatcher.say([room.port], expires_in=0)
        async with device_of(dispatcher.url, clock=clock):
            peer = await room.accept()
            await peer.let_in()
            dispatcher.refuse(503, "unavailable")
            peer.reset()
            await clock.until_sleeping(1.0)
            await clock.advance(1.0)
            await (await room.accept()).let_in()


async def test_with_nothing_to_go_on_with_it_asks_ever_more_rarely_and_when_it_is_told_to() -> None:
    clock = VirtualClock()
    async with ScriptedDispatcher() as dispatcher, ScriptedRoom() as room:
        dispatcher.refuse(503, "unavailable")
        async with device_of(dispatcher.url, clock=clock) as device:
            for wait in (1.0, 2.0):
                await clock.until_sleeping(wait)
                await clock.advance(wait)
            await clock.until_sleeping(4.0)
            dispatcher.refuse(503, "unavailable", retry_after=30)
            await clock.advance(4.0)
            await clock.until_sleeping(30.0)
            assert device.statistics.failures == 4
            assert "said the test" in str(device.statistics.last_error)
            dispatcher.refuse(503, "unavailable", retry_after=10**12)
            await clock.advance(30.0)
            await clock.until_sleeping(3600.0)  # nobody keeps a device away for good
            dispatcher.say([room.port])
            await clock.advance(3600.0)
            await (await room.accept()).let_in()


async def test_where_the_server_sent_it_it_goes_without_asking() -> None:
    clock = VirtualClock()
    async with ScriptedDispatcher() as dispatcher, ScriptedRoom() as first, ScriptedRoom() as second:
        dispatcher.say([first.port], expires_in=0)
        async with device_of(dispatcher.url, clock=clock) as device:
            peer = await first.accept()
            await peer.let_in()
            await device.wait_connected()
            device.endpoints.send_to([("127.0.0.1", second.port)])
            peer.reset()
            await clock.until_sleeping(1.0)
            await clock.advance(1.0)
            await (await second.accept()).let_in()
        assert len(dispatcher.asked) == 1


@pytest.mark.parametrize("urls", ["http://one", ["ftp://host"], ["host:8080"], ["http://"], ["http://x:y"]])
def test_what_are_no_urls_of_dispatchers_is_said_at_once(urls: Sequence[str]) -> None:
    with pytest.raises(ValueError, match="URL"):
        Device(app="news", device="d1", token="x", dispatchers=urls)


def test_a_device_needs_somewhere_to_begin() -> None:
    with pytest.raises(ValueError, match="a host, endpoints or dispatchers"):
        Device(app="news", device="d1", token="x")
