"""The HTTP side of a node, from outside: what greedy, slow and senseless peers cost the others."""

import asyncio
import resource
from contextlib import suppress
from types import SimpleNamespace

import httpx
import pytest

from longline.mqtt.packets import Publish
from tests.integration.live_node import LiveNode
from tests.waiting import until


class Front:
    """A node's API, with the admin key and with keys of apps."""

    def __init__(self, node: LiveNode) -> None:
        self.node = node
        self.keys: dict[str, str] = {}

    async def ask(self, method: str, path: str, key: str = "", **rest: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.keys.get(key, self.node.admin_key)}"}
        async with httpx.AsyncClient(base_url=self.node.url, headers=headers, timeout=60.0) as client:
            return await client.request(method, path, **rest)  # type: ignore[arg-type]

    async def app(self, name: str) -> None:
        made = await self.ask("POST", "/v1/apps", json={"app": name})
        self.keys[name] = made.json()["server_key"]

    async def begin(self, head: str, key: str) -> asyncio.StreamWriter:
        """Sends a request that is not answered soon."""
        _, writer = await asyncio.open_connection("127.0.0.1", self.node.http_port)
        authorization = f"Authorization: Bearer {self.keys[key]}"
        writer.write(f"{head}\r\nHost: x\r\n{authorization}\r\n".encode())
        await writer.drain()
        return writer


@pytest.mark.parametrize("node", [{"center.max_requests": 100}], indirect=True)
async def test_one_key_s_long_polls_and_unfinished_bodies_leave_the_others_their_turn(node: LiveNode) -> None:
    front = Front(node)
    for name in ("news", "other"):
        await front.app(name)
        await front.ask("PUT", f"/v1/apps/{name}/devices/d1", name, json={})
    writers = []
    for _ in range(50):
        poll = await front.begin("GET /v1/apps/news/upstream?wait=60 HTTP/1.1", "news")
        poll.write(b"\r\n")
        body = await front.begin("POST /v1/apps/news/messages HTTP/1.1", "news")
        body.write(b"Content-Length: 1000\r\n\r\n{")
        writers += [poll, body]
    await until(lambda: running(node, 20))
    message = {"audience": {"devices": ["d1"]}, "payload": 1}
    answer = await front.ask("POST", "/v1/apps/other/messages", "other", json=message)
    assert answer.status_code == 202
    assert (await front.ask("GET", "/v1/apps")).status_code == 200
    for writer in writers:
        writer.close()


async def running(node: LiveNode, least: int) -> bool:
    return (await node.metrics())["longline_center_requests_running"] >= least


async def test_a_head_without_end_is_not_kept(node: LiveNode) -> None:
    """Before any key is looked at."""
    _, writer = await asyncio.open_connection("127.0.0.1", node.http_port)
    writer.write(b"GET /healthz HTTP/1.1\r\nX-A: ")
    sent = 0
    with suppress(ConnectionError, RuntimeError):
        while sent < 16 << 20 and not writer.is_closing():
            writer.write(b"a" * 65536)
            await writer.drain()
            sent += 65536
    assert sent < 16 << 20
    writer.close()
    assert (await Front(node).ask("GET", "/healthz")).status_code == 200


async def test_a_node_whose_disk_is_full_is_not_ready_until_there_is_room(node: LiveNode) -> None:
    """No file of this process may grow."""
    front = Front(node)
    await front.app("news")
    assert (await front.ask("GET", "/readyz")).status_code == 200
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        await until(lambda: readiness(front, 503))
        made = await front.ask("POST", "/v1/apps", json={"app": "more"})
        assert made.status_code == 503
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    await until(lambda: readiness(front, 200))


async def readiness(front: Front, status: int) -> bool:
    return (await front.ask("GET", "/readyz")).status_code == status


async def test_a_node_that_is_cut_off_does_not_say_that_it_drains(
    node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = Front(node)
    with monkeypatch.context() as cut_off:
        cut_off.setattr(node.embedded, "_isolation", SimpleNamespace(isolated=True))
        answer = await front.ask("GET", "/readyz")
        assert answer.status_code == 503
        assert "cannot reach its store" in answer.json()["error"]["message"]
    await until(lambda: readiness(front, 200))


async def test_who_looks_at_a_message_hears_that_the_device_has_it(
    node: LiveNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it has not acknowledged it, and the room would say so only a second later."""
    monkeypatch.setattr("longline.center.messages.messages.LOOK_FOR", 60.0)
    monkeypatch.setattr("longline.room.push.receipts.NOTE_AFTER", 3_600_000)
    front = Front(node)
    await front.app("news")
    token = (await front.ask("POST", "/v1/apps/news/devices/d1/token", json={})).json()["password"]
    async with await node.connect() as device:
        await device.enter("d1", "news", token)
        message = {"audience": {"devices": ["d1"]}, "payload": 1}
        sent = await front.ask("POST", "/v1/apps/news/messages", json=message)
        assert isinstance(await device.receive(), Publish)
        shown = await front.ask("GET", f"/v1/apps/news/messages/{sent.json()['message_id']}")
        assert (shown.json()["status"], shown.json()["ledger"]["sent"]) == ("delivering", 1)


async def test_every_example_of_the_document_is_what_a_node_takes(node: LiveNode) -> None:
    """Each operation, with the examples that `/openapi.json` has for what it takes, and `/docs` sends."""
    front = Front(node)
    await front.app("news")
    for name in ("d1", "d2"):
        await front.ask("PUT", f"/v1/apps/news/devices/{name}", "news", json={})
    message = {"audience": {"devices": ["d1"]}, "payload": 1}
    sent = await front.ask("POST", "/v1/apps/news/messages", "news", json=message)
    (member,) = (await front.ask("GET", "/v1/nodes")).json()["nodes"]
    later = {"message": message, "cron": "0 9 * * *"}
    planned = await front.ask("POST", "/v1/apps/news/schedules", "news", json=later)
    profiled = await front.ask("GET", f"/v1/nodes/{member['node']}/profile?kind=tasks")
    # What is there has names of its own.
    names = {"id": sent.json()["message_id"], "node": member["node"], "profile": profiled.json()["profile"]}
    names_of_schedules = {**names, "id": planned.json()["schedule_id"]}
    key = {"name": "examples", "scopes": ["read"]}
    keys = {
        prefix: (await front.ask("POST", f"{prefix}/keys", json=key)).json()["key_id"]
        for prefix in ("/v1", "/v1/apps/news")
    }
    document = (await front.ask("GET", "/openapi.json")).json()
    operations = [
        (method, path, entry)
        for path, methods in document["paths"].items()
        for method, entry in methods.items()
    ]
    # What puts things there comes first, what takes them away last, the app at the very end.
    order = {"put": -2000, "delete": 0}
    operations.sort(key=lambda each: order.get(each[0], -1000) or -len(each[1]))
    refused = {}
    for method, path, entry in operations:
        address = path
        for parameter in entry["parameters"]:
            if parameter["in"] == "path":
                there = names_of_schedules if "/schedules/" in path else names
                there = {**there, "key": keys["/v1/apps/news" if "/apps/" in path else "/v1"]}
                value = there.get(parameter["name"], parameter["example"])
                address = address.replace(f"{{{parameter['name']}}}", value)
        content = entry.get("requestBody", {}).get("content", {}).get("application/json", {})
        rest: dict[str, object] = {}
        if path.endswith("/difference"):
            rest["params"] = {"base": names["profile"]}
        elif path.endswith("/profile"):
            rest["params"] = {"kind": "tasks"}  # the only one that takes no time
        if content:
            assert "example" in content, f"{method} {path} has no example"
            rest["json"] = content["example"]
        if path == "/v1/apps" and method == "post":
            rest["json"] = {**content["example"], "app": "another"}  # this one is there
        if path == "/v1/config:promote":
            await front.ask("PUT", "/v1/config/room.linger", json={"value": 9, "nodes": [member["node"]]})
        answer = await front.ask(method, address, "", **rest)
        if path.endswith(":call"):
            assert answer.json()["error"]["code"] == "offline"  # nobody is there to answer
        elif "/agents/" in path:
            assert answer.json()["error"]["code"] == "agent_not_found"  # nobody keeps this node running
        elif answer.status_code >= 400:
            refused[f"{method} {path}"] = answer.text
    assert refused == {}
