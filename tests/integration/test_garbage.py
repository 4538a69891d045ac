"""Requests leave nothing to the garbage collector: its passes hold the loop, and so every device, up."""

import asyncio
import gc

import pytest

from tests.integration.live_node import LiveNode

TIMES = 10


async def ask(node: LiveNode, request: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.http_port)
    writer.write(request)
    await reader.read()
    writer.close()
    await writer.wait_closed()


async def garbage(node: LiveNode, request: bytes) -> int:
    """How many objects only the collector can free, after `TIMES` such requests at once, and again."""
    for _ in range(2):  # what is made once is not of interest
        gc.collect()
        await asyncio.gather(*(ask(node, request) for _ in range(TIMES)))
        for _ in range(5):  # turns of the loop, for what was cancelled
            await asyncio.sleep(0)
    return gc.collect()


def request(method: str, path: str, key: str = "", body: bytes = b"", fields: str = "") -> bytes:
    authorization = f"Authorization: Bearer {key}\r\n" if key else ""
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{authorization}{length}{fields}\r\n"
    return head.encode() + body


@pytest.mark.parametrize("node", [{"center.max_requests": 3}], indirect=True)
async def test_a_request_leaves_nothing_to_the_garbage_collector(node: LiveNode) -> None:
    """Refused ones in particular: an attacker sends nothing else, and as fast as it can."""
    key = node.admin_key
    async with node.center() as center:
        await center.create_app("news")
    events = "/v1/apps/news/upstream?wait="
    requests = {
        "answered": request("GET", "/v1/apps", key),
        "unknown key": request("GET", "/v1/apps", "unknown"),
        "no key": request("GET", "/v1/apps"),
        "no such address": request("GET", "/nowhere", key),
        "no such method": request("PUT", "/v1/apps", key),
        "no such device": request("GET", "/v1/apps/news/devices/d1", key),
        "not JSON": request("POST", "/v1/apps", key, b'{"app":'),
        "not an app": request("POST", "/v1/apps", key, b'{"other": 1}'),
        "too large": request("POST", "/v1/apps", key, fields="Content-Length: 999999999\r\n"),
        "not HTTP": b"nonsense\r\n\r\n",
        "too many fields": request("GET", "/v1/apps", key, fields="X-A: b\r\n" * 200),
        "a head without end": b"GET /v1/apps HTTP/1.1\r\nX-A: " + b"a" * 40_000,
        "too many at once": request("GET", "/v1/apps", key).replace(b"Connection: close\r\n", b"") * 100,
        "waits in vain, or has to give way": request("GET", events + "1", key),
    }
    gc.disable()
    try:
        left = {name: await garbage(node, text) for name, text in requests.items()}
    finally:
        gc.enable()
    # asyncio's own transports are garbage, uvloop's are not.
    uvloop = type(asyncio.get_running_loop()).__module__.startswith("uvloop")
    assert left == dict.fromkeys(requests, 0 if uvloop else left["answered"])
