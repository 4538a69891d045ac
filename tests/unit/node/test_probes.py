"""What machines ask a process that has no HTTP API."""

import msgspec
import pytest
from starlette.types import Message

from longline.center.service import Metrics
from longline.node.probes import Probes


async def asked(
    path: str, *, ready: bool = True, method: str = "GET"
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Status, headers, body."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is read of the request")

    async def obstacle() -> str:
        return "" if ready else 'the "store" is full'

    probes = Probes(obstacle, lambda: Metrics(b"figures 1\n", "text/plain; version=0.0.4"))
    await probes({"type": "http", "method": method, "path": path}, receive, send)
    start, body = sent
    return start["status"], dict(start["headers"]), body["body"]


@pytest.mark.parametrize(
    ("path", "ready", "status"),
    [("/healthz", True, 200), ("/healthz", False, 200), ("/readyz", True, 200), ("/readyz", False, 503)],
)
async def test_a_process_is_alive_while_it_answers_and_ready_while_it_takes_traffic(
    path: str, ready: bool, status: int
) -> None:
    answered, headers, body = await asked(path, ready=ready)
    assert answered == status
    assert headers[b"content-type"] == b"application/json"
    assert int(headers[b"content-length"]) == len(body)
    assert msgspec.json.decode(body)


async def test_figures_are_in_the_format_of_the_collector() -> None:
    status, headers, body = await asked("/metrics")
    assert (status, body) == (200, b"figures 1\n")
    assert headers[b"content-type"] == b"text/plain; version=0.0.4"


async def test_anything_else_is_not_there_in_the_words_of_the_api() -> None:
    status, _, body = await asked("/v1/apps")
    assert status == 404
    assert msgspec.json.decode(body)["error"]["code"] == "not_found"


async def test_nothing_but_reading_is_offered() -> None:
    status, headers, body = await asked("/healthz", method="POST")
    assert status == 405
    assert headers[b"allow"] == b"GET, HEAD"
    assert msgspec.json.decode(body)["error"]["code"] == "method_not_allowed"
