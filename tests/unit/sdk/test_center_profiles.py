"""Profiles, as `Center` asks for them."""

import httpx
import pytest

from longline.errors import NodeSilent, ProfilesDiffer
from tests.unit.sdk.test_center import Server, ok

HEAD = {
    "profile": "p1",
    "node": "room-1",
    "host": "host-1",
    "version": "1.0",
    "kind": "cpu",
    "at": "2026-01-31T12:00:00.250Z",
    "seconds": 2.5,
    "size": 9,
}


def refused(status: int, code: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"code": code, "message": "no", "details": []}})


async def test_a_profile_is_taken_once_and_waited_for() -> None:
    """It is not asked for again when the node is silent: it would be taken twice."""
    server = Server(ok({**HEAD, "content": {"kind": "cpu", "samples": 3}}), refused(504, "node_silent"))
    async with server.center() as center:
        taken = await center.take_profile("room-1", kind="cpu", seconds=20)
        with pytest.raises(NodeSilent):
            await center.take_profile("room-1")
    assert (taken.profile, taken.content["samples"]) == ("p1", 3)
    assert [str(request.url.query, "ascii") for request in server.requests] == [
        "kind=cpu&seconds=20",
        "kind=cpu&seconds=10",
    ]


async def test_those_that_are_kept_are_listed_downloaded_compared_and_deleted() -> None:
    frame = {"frame": "f (a.py)", "base_share": 0.1, "share": 0.3, "change": 0.2, "place": "f (a.py:3)"}
    server = Server(
        ok({"profiles": [HEAD], "next_cursor": "c"}),
        ok({"profiles": [HEAD], "next_cursor": None}),
        ok({**HEAD, "content": {}}),
        httpx.Response(200, content=b"\x1f\x8b"),
        ok({"base": HEAD, "profile": HEAD, "frames": [frame]}),
        refused(422, "profiles_differ"),
        httpx.Response(204),
    )
    async with server.center() as center:
        assert [each.profile async for each in center.profiles(node="room-1", kind="cpu")] == ["p1", "p1"]
        assert (await center.profile("p1")).seconds == 2.5
        assert await center.profile_file("p1", "pprof") == b"\x1f\x8b"
        assert (await center.compare_profiles("p1", "p0")).frames[0].change == 0.2
        with pytest.raises(ProfilesDiffer):
            await center.compare_profiles("p1", "p0")
        await center.delete_profile("p1")
    asked = [f"{request.method} {request.url.raw_path.decode()}" for request in server.requests]
    assert asked == [
        "GET /v1/profiles?node=room-1&kind=cpu",
        "GET /v1/profiles?node=room-1&kind=cpu&cursor=c",
        "GET /v1/profiles/p1",
        "GET /v1/profiles/p1?format=pprof",
        "GET /v1/profiles/p1/difference?base=p0",
        "GET /v1/profiles/p1/difference?base=p0",
        "DELETE /v1/profiles/p1",
    ]
