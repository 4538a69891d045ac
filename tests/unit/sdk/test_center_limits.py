"""What the SDK makes of limits: they are asked for, put, and waited for when they refuse."""

import pytest

from longline import errors
from longline.model.limits import AppLimits, Limits
from tests.unit.sdk.test_center import Server, failed, ok

ANSWER = {"devices": 7, "in_force": {"devices": 7, "sessions": 5, "later": 1}, "colour": None}


async def test_limits_are_read_and_put() -> None:
    """What a later server says besides is left alone."""
    server = Server(ok(ANSWER))
    async with server.center() as center:
        found = await center.limits("news")
        await center.put_limits("news", AppLimits(devices=7))
    assert (found.devices, found.groups) == (7, None)
    assert found.in_force == Limits(devices=7, sessions=5)
    assert [(asked.method, asked.url.path) for asked in server.requests] == [
        ("GET", "/v1/apps/news/limits"),
        ("PUT", "/v1/apps/news/limits"),
    ]
    assert server.body(1) == {**dict.fromkeys(AppLimits.__struct_fields__), "devices": 7}


async def test_a_send_that_is_refused_for_its_rate_comes_again_when_it_may() -> None:
    refused = failed(429, "message_rate_exceeded", **{"Retry-After": "7"})
    server = Server(refused, ok({"message_id": "m", "status": "accepted", "targeted": 1}, 202))
    async with server.center() as center:
        sent = await center.send("news", "hello", devices=["d1"])
    assert sent.message_id == "m"
    assert server.waits[0] >= 7
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1


async def test_a_server_that_asks_for_too_much_time_is_reported() -> None:
    server = Server(failed(429, "message_rate_exceeded", **{"Retry-After": "300"}))
    async with server.center() as center:
        with pytest.raises(errors.MessageRateExceeded) as told:
            await center.send("news", "hello", devices=["d1"])
    assert told.value.retry_after == 300
    assert isinstance(told.value, errors.RateLimited)
