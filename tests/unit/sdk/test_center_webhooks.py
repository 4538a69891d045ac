"""Webhooks, as the client of the API asks for them."""

import base64
from datetime import timedelta

import pytest

from longline.errors import WebhookNotFound
from longline.sdk.webhooks import DeadCounts, new_webhook_secret
from tests.unit.sdk.test_center import Server, ok

WEBHOOK = {
    "url": "https://app.example.org/in",
    "events": ["upstream"],
    "created_at": "2030-01-02T03:04:05Z",
    "status": {"state": "failing", "failures": 2, "dead": {"events": 3}, "a later field": 1},
}
DEAD = {
    "cursor": "c1",
    "type": "upstream",
    "device": "d1",
    "at": "2030-01-02T03:04:05Z",
    "payload": "x",
    "reason": "refused",
    "error": "it answered 422",
    "given_up_at": "2030-01-02T03:04:06Z",
}


async def test_a_webhook_is_put_with_what_is_given_and_no_more() -> None:
    server = Server(ok(WEBHOOK))
    async with server.center() as center:
        found = await center.put_webhook("news", "https://app.example.org/in")
        assert server.body() == {"url": "https://app.example.org/in"}
        await center.put_webhook(
            "news", "https://x", secret="s", events=("upstream",), grace=timedelta(hours=1)
        )
    wanted = {"url": "https://x", "secret": "s", "events": ["upstream"], "grace_seconds": 3600}
    assert server.body(-1) == wanted
    assert (found.status.state, found.status.failures) == ("failing", 2)
    assert found.status.dead == DeadCounts(events=3)


async def test_each_call_of_a_webhook_has_its_address() -> None:
    server = Server(ok(WEBHOOK), ok({}), ok({"replaying": 2}), ok({"replaying": 1}))
    async with server.center() as center:
        await center.webhook("news")
        await center.delete_webhook("news")
        assert await center.replay_webhook("news") == 2
        assert await center.replay_webhook("news", ["c1"]) == 1
    one = "/v1/apps/news/webhook"
    asked = [(request.method, request.url.raw_path.decode()) for request in server.requests]
    assert asked == [("GET", one), ("DELETE", one), ("POST", f"{one}:replay"), ("POST", f"{one}:replay")]
    assert server.body(-1) == {"cursors": ["c1"]}


async def test_dead_events_are_listed_to_the_end() -> None:
    server = Server(ok({"events": [DEAD], "next_cursor": "c1"}), ok({"events": [DEAD], "next_cursor": None}))
    async with server.center() as center:
        dead = [event async for event in center.dead_events("news")]
    assert [(event.payload, event.reason, event.replaying) for event in dead] == [("x", "refused", False)] * 2
    assert dict(server.requests[1].url.params) == {"cursor": "c1"}


async def test_an_app_without_a_webhook_is_told_by_its_error() -> None:
    server = Server(ok({"error": {"code": "webhook_not_found", "message": "", "details": []}}, 404))
    async with server.center() as center:
        with pytest.raises(WebhookNotFound):
            await center.webhook("news")


def test_a_new_secret_is_one_and_another_each_time() -> None:
    secrets = {new_webhook_secret() for _ in range(10)}
    assert len(secrets) == 10
    assert {len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) for secret in secrets} == {32}
