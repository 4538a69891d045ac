"""Nodes, settings that change at run time, rules and identity providers, as `Center` asks for them."""

import httpx
import pytest

from longline import Push, TopicRule
from longline.errors import Unavailable
from tests.unit.sdk.test_center import ACCEPTED, Server, ok

NODE = {
    "node": "room-1",
    "host": "host-1",
    "roles": ["room"],
    "addresses": {},
    "version": "1.0",
    "since": "2026-01-31T12:00:00.250Z",
    "load": {"connections": 7},
}


async def test_a_drain_says_how_fast_and_until_when() -> None:
    server = Server(ok({"nodes": [NODE]}), ok(NODE, 202), ok(NODE))
    async with server.center() as center:
        assert [node.load.connections for node in await center.nodes()] == [7]
        await center.drain("room-1", rate=200, deadline=600, dry_run=True)
        await center.undrain("room-1")
    assert [request.url.path for request in server.requests] == [
        "/v1/nodes",
        "/v1/nodes/room-1:drain",
        "/v1/nodes/room-1:undrain",
    ]
    assert server.body(1) == {"rate": 200, "deadline": 600.0, "dry_run": True}


async def test_a_setting_is_changed_on_some_nodes_then_on_all() -> None:
    settings = {"version": 4, "settings": {"room.linger": 20}}
    server = Server(*(ok(settings) for _ in range(5)))
    async with server.center() as center:
        await center.put_setting("room.linger", 20, nodes=["host-1"], version=3)
        await center.promote_settings()
        await center.roll_back_settings()
        await center.roll_back_settings("room.linger")
        assert (await center.delete_setting("room.linger")).version == 4
    assert server.body() == {"value": 20, "nodes": ["host-1"], "version": 3}
    assert [(request.method, request.url.path) for request in server.requests[1:]] == [
        ("POST", "/v1/config:promote"),
        ("POST", "/v1/config:rollback"),
        ("POST", "/v1/config/room.linger:rollback"),
        ("DELETE", "/v1/config/room.linger"),
    ]


async def test_rules_and_an_identity_provider_are_replaced_whole() -> None:
    rules = {"rules": [{"allow": "both", "filter": "home/{device}/#"}]}
    issuer = {"issuer": "https://id.example.org/", "jwks_url": "https://id.example.org/keys"}
    answer = {**issuer, "audience": [], "algorithms": ["RS256"], "device_claim": "sub", "device_secret": True}
    server = Server(ok(rules), ok(answer), httpx.Response(204))
    async with server.center() as center:
        rule = TopicRule(allow="both", filter="home/{device}/#")
        assert await center.put_topic_rules("news", [rule]) == [rule]
        made = await center.put_token_issuer(
            "news", issuer=issuer["issuer"], jwks_url=issuer["jwks_url"], disconnect=True
        )
        assert made.jwks_url == issuer["jwks_url"]
        await center.delete_token_issuer("news")
    assert server.body() == rules
    assert server.body(1) == issuer
    asked = [request.url.query for request in server.requests]
    assert asked == [b"", b"disconnect=true", b"disconnect=false"]


async def test_figures_are_text_and_a_node_that_is_not_ready_says_why() -> None:
    obstacle = {"error": {"code": "unavailable", "message": "it drains", "details": []}}
    server = Server(httpx.Response(200, text="longline_up 1\n"), httpx.Response(503, json=obstacle))
    async with server.center() as center:
        assert await center.metrics() == "longline_up 1\n"
        with pytest.raises(Unavailable, match="it drains"):
            await center.ready()
    assert server.requests[0].headers["accept"] == "text/plain"


async def test_a_dispatcher_says_where_a_device_would_connect() -> None:
    room = {"host": "room-1.test", "port": 8883, "transport": "tls", "weight": 0.5}
    server = Server(ok({"endpoints": [room], "expires_in": 300, "heartbeat": {"keep_alive": 240}}))
    async with server.center() as center:
        found = await center.dispatch("news", "d1", transport="tls", region="north")
    [place] = found.endpoints
    assert (place.host, place.port, place.transport, place.weight) == ("room-1.test", 8883, "tls", 0.5)
    assert (found.expires_in, found.heartbeat.keep_alive) == (300, 240)
    asked = {"app": "news", "device": "d1", "transport": "tls", "region": "north"}
    assert dict(server.requests[0].url.params) == asked


async def test_an_app_is_told_that_connections_end_with_their_tokens_and_how_long_old_ones_are_good() -> None:
    keys = {"app": "news", "server_key": None, "device_secret": "s"}
    server = Server(ok({"app": "news", "end_at_expiry": True}), ok(keys))
    async with server.center() as center:
        assert (await center.update_app("news", end_at_expiry=True)).end_at_expiry
        await center.rotate_keys("news", server_key=False, device_secret=True, grace=86_400)
        await center.rotate_keys("news")
    assert server.body() == {"end_at_expiry": True}
    rotated = {"server_key": False, "device_secret": True, "disconnect": False}
    assert server.body(1) == {**rotated, "grace_seconds": 86_400}
    assert server.body(2) == {"server_key": True, "device_secret": False, "disconnect": False}


async def test_a_push_can_be_checked_without_being_made() -> None:
    server = Server(ok({"targeted": 12, "online": 5}))
    async with server.center() as center:
        reach = await center.check("news", Push(payload="hello", everyone=True))
    assert (reach.targeted, reach.online) == (12, 5)
    assert server.requests[0].url.query == b"validate=true"


async def test_a_push_may_be_an_object_of_the_api() -> None:
    written = {"audience": "all", "payload": "hello", "options": {"qos": 0}}
    server = Server(ACCEPTED, ok({"targeted": 12, "online": 5}), ok({"results": [{"message_id": "m1"}]}))
    async with server.center() as center:
        await center.send_push("news", written, idempotency_key="k1")
        await center.check("news", written)
        await center.send_batch("news", [written, Push(payload="hello", everyone=True)])
    assert server.requests[0].headers["idempotency-key"] == "k1"
    assert [server.body(0), server.body(1)] == [written, written]
    assert server.body(2) == {"messages": [written, {"audience": "all", "payload": "hello"}]}


async def test_a_push_is_followed_from_change_to_change_until_nothing_is_pending() -> None:
    def status(pending: int, acked: int) -> httpx.Response:
        counts: dict[str, object] = {"targeted": 2, "pending": pending, "acked": acked, "dropped": {}}
        counts |= dict.fromkeys(("expired", "collapsed", "routed", "sent"), 0)
        made = {"message_id": "m1", "status": "delivering", "created_at": "2026-01-31T12:00:00Z"}
        return ok({**made, "ledger": counts})

    server = Server(status(2, 0), status(2, 0), status(1, 1), status(1, 1), status(0, 2))
    async with server.center() as center:
        seen = [each.ledger.pending async for each in center.follow("news", "m1", within=60)]
        with pytest.raises(TimeoutError):
            [each async for each in center.follow("news", "m1", within=0)]
    assert seen == [2, 1, 0]
    assert len(server.requests) == 5
