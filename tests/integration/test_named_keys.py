"""Named keys and the audit log, end to end: through whichever process, and also for requests under way."""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import pytest_asyncio

from longline import Center
from longline.cli.tree import carried_out
from longline.errors import Forbidden, ReadScopeMissing, Unauthorized
from longline.sdk.keys import CreatedKey
from tests.integration.shapes import Server
from tests.waiting import WITHIN, until

PROCESSES = 8  # looks at the API that reach every process of a shape, about


@pytest_asyncio.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        await center.create_app("news")
        await center.create_app("maps")
        yield center
        async for key in center.named_keys():
            await center.delete_key(key.key_id)


async def status(server: Server, key: str, path: str = "/v1/apps/news", method: str = "GET") -> int:
    """What the API answers with this key, through a connection of its own."""
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=WITHIN) as http:
        return (await http.request(method, path)).status_code


async def statuses(server: Server, key: str) -> set[int]:
    return {await status(server, key) for _ in range(PROCESSES)}


async def test_a_key_is_good_at_once_in_every_process_and_bad_soon_after_it_was_deleted(
    server: Server, center: Center
) -> None:
    of_app = await center.create_key("reports", ["read"], app="news")
    of_all = await center.create_key("monitoring", ["read"])
    for key in (of_app, of_all):
        assert await statuses(server, key.key) == {200}
    await center.delete_key(of_app.key_id, app="news")
    await center.delete_key(of_all.key_id)
    deleted = time.monotonic()

    async def nobody() -> bool:
        return await statuses(server, of_app.key) == await statuses(server, of_all.key) == {401}

    await until(nobody, WITHIN)
    print(f"refused everywhere {time.monotonic() - deleted:.1f} s after the deletion")
    assert [key.key_id async for key in center.named_keys("news")] == []


async def test_a_server_key_that_was_replaced_is_bad_soon_in_every_process(
    server: Server, center: Center
) -> None:
    first = await center.rotate_keys("news")
    assert first.server_key is not None
    former = first.server_key

    async def opens() -> bool:
        return await statuses(server, former) == {200}

    await until(opens, WITHIN)
    second = await center.rotate_keys("news")
    assert second.server_key is not None
    latest = second.server_key
    replaced = time.monotonic()

    async def only_the_latest() -> bool:
        return await statuses(server, former) == {401} and await statuses(server, latest) == {200}

    await until(only_the_latest, WITHIN)
    print(f"refused everywhere {time.monotonic() - replaced:.1f} s after it was replaced")


async def test_a_key_ends_at_its_time_in_every_process(server: Server, center: Center) -> None:
    ends_at = datetime.now(UTC) + timedelta(seconds=5)
    key = await center.create_key("short", ["read"], app="news", expires_at=ends_at)
    assert key.expires_at is not None
    assert await status(server, key.key) == 200

    async def over() -> bool:
        return await statuses(server, key.key) == {401}

    await until(over)
    assert datetime.now(UTC) >= ends_at


async def test_a_deleted_key_ends_requests_that_wait_and_streams(server: Server, center: Center) -> None:
    key = await center.create_key("app server", ["read"], app="news")
    headers = {"Authorization": f"Bearer {key.key}"}
    path = f"{server.url}/v1/apps/news/upstream"
    async with httpx.AsyncClient(headers=headers, timeout=WITHIN) as http:
        poll = asyncio.create_task(http.get(path, params={"wait": "30"}))
        stream = http.stream("GET", path, headers={"Accept": "text/event-stream"})
        async with stream as answer:
            lines = answer.aiter_lines()
            assert (await anext(lines)).startswith("retry:")
            await center.delete_key(key.key_id, app="news")
            deleted = time.monotonic()
            rest = [line async for line in lines]
            assert "event: error" in rest
            told = json.loads(next(line for line in rest if line.startswith("data: ")).removeprefix("data: "))
            assert told["error"]["code"] == "unauthorized"
        assert (await poll).status_code == 401
        assert time.monotonic() - deleted < WITHIN
        print(f"stream and poll ended {time.monotonic() - deleted:.1f} s after the deletion")


async def test_a_key_does_what_its_scopes_say(server: Server, center: Center) -> None:
    await center.put_device("news", "d1")
    sender = await center.create_key("sender", ["send"], app="news")
    async with Center(server.url, sender.key) as sending:
        accepted = await sending.send("news", "hello", devices=["d1"])
        with pytest.raises(ReadScopeMissing):
            await sending.message("news", accepted.message_id)
        with pytest.raises(Forbidden):
            await sending.send("maps", "hello", everyone=True)
        with pytest.raises(Forbidden):
            await sending.create_key("more", ["send"], app="news")
    async with Center(server.url, "lln_" + "0" * 32 + "_" + "x" * 43) as stranger:
        with pytest.raises(Unauthorized):
            await stranger.app("news")


async def enumerated(server: Server, key: CreatedKey, app: str) -> dict[tuple[str, str], int]:
    """The status of every operation of the API's own document, called with this key."""
    named = {"app": app, "device": "d1", "key": key.key_id, "name": "room.linger", "group": "g"}
    found: dict[tuple[str, str], int] = {}
    headers = {"Authorization": f"Bearer {key.key}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=WITHIN) as http:
        paths = (await http.get("/openapi.json")).json()["paths"]
        for path, methods in paths.items():
            address = re.sub(r"{(\w+)}", lambda match: named.get(match[1], "x"), path)
            for method, entry in methods.items():
                if not entry["security"]:
                    continue
                content = entry.get("requestBody", {}).get("content", {}).get("application/json", {})
                body = json.dumps(content.get("example")) if content else None
                answer = await http.request(method.upper(), address, content=body)
                found[method.upper(), path] = answer.status_code
    return found


async def test_what_a_key_that_reads_one_app_can_do(server: Server, center: Center) -> None:
    """Every operation, with a body that is good: it reads there, and nothing else anywhere."""
    await center.put_device("news", "d1", tags=["red"])
    await center.put_device("maps", "d1", tags=["red"])
    reader = await center.create_key("reader", ["read"], app="news")
    before = [await center.device(app, "d1") for app in ("news", "maps")]
    own = await enumerated(server, reader, "news")
    reads = {route for route, code in own.items() if code != 403}
    posts = {("POST", "/v1/apps/{app}/audiences:estimate"), ("POST", "/v1/apps/{app}/devices:status")}
    assert {route for route in reads if route[0] != "GET"} == posts
    assert {path for _, path in reads if not path.startswith("/v1/apps/{app}")} == {
        "/v1/session"
    }  # of itself
    assert ("GET", "/v1/apps/{app}/devices") in reads
    for other in ("maps", "nowhere"):
        codes = await enumerated(server, reader, other)
        assert {route for route, code in codes.items() if "{app}" in route[1] and code != 403} == set()
    assert [await center.device(app, "d1") for app in ("news", "maps")] == before
    latest = await anext(center.changes("news"))
    assert latest.path == "/v1/apps/{app}/keys"
    print(f"{len(reads)} of {len(own)} operations answered")


async def test_a_change_is_in_the_log_when_it_is_answered(server: Server, center: Center) -> None:
    """Whichever process made it, and whichever is asked."""
    manager = await center.create_key("ci", ["manage"], app="news")
    for n in range(PROCESSES):
        async with Center(server.url, manager.key) as managing:
            await managing.put_device("news", f"d{n}")
            await managing.delete_device("news", f"d{n}")
        async with server.center() as asking:
            latest = [change async for change in asking.changes("news") if change.key_id == manager.key_id]
        assert [change.subject for change in latest] == [f"d{k}" for k in range(n, -1, -1)]
        assert (latest[0].key_name, latest[0].status) == ("ci", 204)
        assert latest[0].address


async def test_a_deleted_app_takes_its_keys_along_and_leaves_its_log(server: Server, center: Center) -> None:
    key = await center.create_key("old", ["read"], app="maps")
    await center.delete_app("maps")
    await center.create_app("maps")

    async def over() -> bool:
        return {await status(server, key.key, "/v1/apps/maps") for _ in range(PROCESSES)} == {401}

    await until(over, WITHIN)
    assert [each.key_id async for each in center.named_keys("maps")] == []
    paths = [change.path async for change in center.changes("maps")]
    assert paths[:3] == ["/v1/apps", "/v1/apps/{app}", "/v1/apps/{app}/keys"]


@pytest.mark.shape("embedded")
async def test_the_audit_log_is_exported_whole_one_object_a_line(
    server: Server, center: Center, capsys: pytest.CaptureFixture[str]
) -> None:
    """More than a page has, by the command."""
    for number in range(120):
        await center.update_app("news" if number % 2 else "maps", name=f"Name {number}")
    command = ("key", "changes", "--lines", "--url", server.url, "--key", server.admin_key)
    assert await asyncio.to_thread(carried_out, command) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    changed = [line for line in lines if line.get("path") == "/v1/apps/{app}" and line["method"] == "PATCH"]
    assert len(changed) == 120
    assert {line["key_id"] for line in changed} == {"admin"}
    assert await asyncio.to_thread(carried_out, (*command, "--count", "3")) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert await asyncio.to_thread(carried_out, (*command, "--until", "2020-01-01")) == 0
    assert capsys.readouterr().out == ""
