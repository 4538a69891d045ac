"""Named keys and the audit log, as the client of the API asks for them."""

from datetime import UTC, datetime

import pytest

from tests.unit.sdk.test_center import Server, ok

KEY = {
    "key_id": "k 1",
    "name": "ci",
    "scopes": ["send"],
    "created_at": "2030-01-02T03:04:05Z",
    "created_by": "admin",
    "expires_at": None,
}
CHANGE = {
    "at": "2030-01-02T03:04:05Z",
    "key_id": "admin",
    "key_name": "",
    "address": "192.0.2.7",
    "request_id": "r1",
    "method": "PUT",
    "path": "/v1/apps/{app}/acl",
    "status": None,
}
END = datetime(2030, 1, 2, tzinfo=UTC)


async def test_a_key_is_asked_for_as_the_api_wants_it() -> None:
    server = Server(ok({**KEY, "key": "lln_secret"}, 201))
    async with server.center() as center:
        made = await center.create_key("ci", ["send"], app="news", expires_at=END)
        assert made.key == "lln_secret"
        assert "secret" not in repr(made)
        assert server.body() == {"name": "ci", "scopes": ["send"], "expires_at": "2030-01-02T00:00:00+00:00"}
        await center.create_key("ci", ["operate"])
        assert server.body(1) == {"name": "ci", "scopes": ["operate"]}
        with pytest.raises(ValueError, match="aware"):
            await center.create_key("ci", ["send"], expires_at=END.replace(tzinfo=None))
    assert [request.url.path for request in server.requests] == ["/v1/apps/news/keys", "/v1/keys"]


async def test_a_key_is_deleted_by_its_escaped_id() -> None:
    server = Server(ok(None, 204))
    async with server.center() as center:
        await center.delete_key("k 1")
        await center.delete_key("k 1", app="news")
    asked = [request.url.raw_path.decode() for request in server.requests]
    assert asked == ["/v1/keys/k%201", "/v1/apps/news/keys/k%201"]


async def test_keys_and_changes_are_listed_to_the_end() -> None:
    server = Server(
        ok({"keys": [KEY], "next_cursor": "c2"}),
        ok({"keys": [KEY], "next_cursor": None}),
        ok({"changes": [CHANGE], "next_cursor": "c2"}),
        ok({"changes": [{**CHANGE, "status": 409, "error": "conflict"}], "next_cursor": None}),
    )
    async with server.center() as center:
        assert [key.name async for key in center.named_keys()] == ["ci", "ci"]
        changes = [change async for change in center.changes("news", since=END)]
    assert [(change.status, change.error) for change in changes] == [(None, None), (409, "conflict")]
    asked = [dict(request.url.params) for request in server.requests]
    since = {"app": "news", "from": "2030-01-02T00:00:00+00:00"}
    assert asked == [{}, {"cursor": "c2"}, since, {**since, "cursor": "c2"}]
