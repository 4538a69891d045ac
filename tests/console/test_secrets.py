"""No key, secret or token is in what the console shows or loads, in a profile, a log, a figure, or the store.

The search is shown to see: what is no secret it finds in each of these places, and what is planted there.
"""

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import pytest_asyncio
from playwright.async_api import Error, Response

from longline import console as files_of_the_console
from tests.console.conftest import Opening
from tests.console.screen import Screen
from tests.integration.leaks import forms, leaks
from tests.integration.live_node import RawClient
from tests.integration.server_process import ServerProcess
from tests.integration.shapes import WEBHOOKS
from tests.integration.web_target import SECRET
from tests.waiting import until

APP: Final = "planted-in-plain-sight"
SECRETS_KEY: Final = "0123456789abcdef" * 4
KINDS: Final = ("cpu", "heap", "tasks", "loop")
OPERATORS: Final = (
    *("overview", "nodes", "nodes/{node}", "settings", "audit", "keys", "capacity", "profiles"),
    *("profiles/{profiles[0]}", "profiles/{profiles[1]}", "profiles/{profiles[2]}", "profiles/{profiles[3]}"),
    "apps",
)
OF_APP: Final = (
    *("", "/devices", "/devices/d1", "/messages", "/messages/{message}?device=d1", "/send", "/schedules"),
    *("/groups", "/groups/team", "/events", "/keys"),
)
READABLE: Final = (
    "document.documentElement.outerHTML + document.cookie + JSON.stringify({...localStorage})"
    " + JSON.stringify({...sessionStorage}) + location.href"
    " + [...document.querySelectorAll('input, textarea')].map((each) => each.value).join(' ')"
)


@pytest_asyncio.fixture(loop_scope="session")
async def node(tmp_path: Path) -> AsyncIterator[ServerProcess]:
    settings = {**WEBHOOKS, "LONGLINE_NODE__LOG_LEVEL": "debug", "LONGLINE_SECRETS_KEY": SECRETS_KEY}
    async with ServerProcess(tmp_path / "data", **settings) as server:
        yield server


@asynccontextmanager
async def used(node: ServerProcess, keys: Sequence[str], token: str) -> AsyncIterator[None]:
    """Calls with each key, and a device that comes and goes, so that profiles see what deals with them."""

    async def use() -> None:
        async with httpx.AsyncClient(base_url=node.url) as http:
            while True:
                for key in keys:
                    await http.get(f"/v1/apps/{APP}", headers={"Authorization": f"Bearer {key}"})
                async with await RawClient.open(node.mqtt_port) as client:
                    await client.enter("d2", APP, token)

    using = asyncio.create_task(use(), name="test.use")
    try:
        yield
    finally:
        using.cancel()
        with suppress(asyncio.CancelledError):
            await using


async def take(api: httpx.AsyncClient, member: str, kind: str) -> dict[str, Any]:
    """A profile; nothing where the processor was busy with others all the time."""
    answer = await api.get(f"/v1/nodes/{member}/profile", params={"kind": kind, "seconds": 1})
    made: dict[str, Any] = answer.raise_for_status().json()
    return made if made["content"].get("stacks", True) else {}


async def profiles(api: httpx.AsyncClient, member: str) -> tuple[list[str], list[bytes]]:
    """Takes one of each kind: their ids, and all that is told of them."""
    ids: list[str] = []
    told: list[bytes] = []
    for kind in KINDS:
        made = await until(partial(take, api, member, kind))
        ids.append(made["profile"])
        told.append(json.dumps(made).encode())
        for format in ("json", "speedscope", "pprof") if kind in ("cpu", "heap") else ("json",):
            kept = await api.get(f"/v1/profiles/{ids[-1]}", params={"format": format})
            content = kept.raise_for_status().content
            told.append(gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content)
    return ids, told


async def visit(screen: Screen, routes: Sequence[str]) -> tuple[list[bytes], list[bytes]]:
    """Shows these pages: what can be read there, and all answers that they got, but for streams."""
    seen: list[bytes] = []
    answers: list[bytes] = []
    reading: list[asyncio.Task[None]] = []

    async def read(response: Response) -> None:
        if "event-stream" not in response.headers.get("content-type", ""):
            with suppress(Error):  # the page was left before it was there
                answers.append(await response.body())

    def answered(response: Response) -> None:
        reading.append(asyncio.create_task(read(response)))

    screen.page.on("response", answered)
    for route in routes:
        await screen.go(route)
        seen.append((await screen.page.evaluate(READABLE)).encode())
    screen.page.remove_listener("response", answered)
    await asyncio.gather(*reading)
    return seen, answers


async def served(url: str) -> list[bytes]:
    """Every file of the console."""
    folder = Path(files_of_the_console.__file__).parent / "files"
    async with httpx.AsyncClient(base_url=f"{url}/console/") as http:
        return [
            (await http.get(str(file.relative_to(folder)))).raise_for_status().content
            for file in sorted(folder.rglob("*"))
            if file.is_file()
        ]


async def test_no_secret_is_in_a_page_a_profile_a_log_a_figure_or_the_store(
    node: ServerProcess, api: httpx.AsyncClient, open_screen: Opening
) -> None:
    async with node.center() as center:
        made = await center.create_app(APP)
        named = await center.create_key("reports", ["read", "send", "manage"], app=APP)
        of_all = await center.create_key("operators", ["read", "operate"])
        token = (await center.token(APP, "d1")).password
        other_token = (await center.token(APP, "d2")).password
        await center.put_device(APP, "d1")
        await center.put_group(APP, "team", members=["d1"])
        await center.put_webhook(APP, "http://127.0.0.1:9/?of=the-hook", secret=SECRET)
        message = (await center.send(APP, "hello", devices=["d1"])).message_id
    assert made.server_key is not None
    keys = {
        "admin key": node.admin_key,
        "server key": made.server_key,
        "named key": named.key,
        "key of all apps": of_all.key,
    }
    async with await RawClient.open(node.mqtt_port) as client:
        assert (await client.enter("d1", APP, token)).reason == 0
        member = (await api.get("/v1/nodes")).json()["nodes"][0]["node"]
        async with used(node, [*keys.values()], other_token):
            ids, told = await profiles(api, member)
    pages: list[bytes] = []
    answers: list[bytes] = []
    sessions: dict[str, str] = {}
    known = {"node": member, "profiles": ids, "message": message}
    for what, key in keys.items():
        screen = await open_screen(key)
        screen.refusals_expected = True  # a device need not have a shadow
        routes = [] if what in ("server key", "named key") else [*OPERATORS]
        if what != "key of all apps":
            routes += [f"apps/{APP}{route}" for route in OF_APP]
        seen, got = await visit(screen, [route.format(**known) for route in routes])
        pages += seen
        answers += got
        assert await screen.page.evaluate("document.cookie") == ""
        (cookie,) = await screen.page.context.cookies()
        sessions[f"session of the {what}"] = cookie["value"]
        await screen.page.goto("about:blank")
    figures = [
        (await api.get(path)).raise_for_status().content
        for path in ("/metrics", "/v1/figures/history", "/v1/audit", "/v1/keys", f"/v1/apps/{APP}/webhook")
    ]
    files = await served(node.url)
    await node.terminate()
    places = {
        "pages": pages,
        "answers": answers,
        "files of the console": files,
        "profiles": told,
        "log": [node.log.read_bytes()],
        "figures": figures,
        "store": [file.read_bytes() for file in sorted(node.data.rglob("*")) if file.is_file()],
    }
    secrets = {what: text.encode() for what, text in (keys | sessions).items()} | {
        "device secret": made.device_secret.encode(),
        "token": token.encode(),
        "token of a device that comes and goes": other_token.encode(),
        "secret of the webhook": SECRET.removeprefix("whsec_").encode(),
        "bytes of that secret": base64.b64decode(SECRET.removeprefix("whsec_")),
        "key of secrets": SECRETS_KEY.encode(),
        "bytes of that key": bytes.fromhex(SECRETS_KEY),
    }
    assert leaks(places, secrets) == []
    # The search sees every place …
    for place in places.keys() - {"files of the console", "profiles"}:
        assert leaks({place: places[place]}, {"app": APP.encode()}), place
    assert leaks({"files": files}, {"name": b"longline"})
    for profile in told:
        # What pprof keeps and a profile of nothing have no more in common than one of these.
        assert any(leaks({"profile": [profile]}, {"": word}) for word in (member.encode(), b".py"))
    # … and what is planted there, in each form.
    planted = node.admin_key.encode()
    for form in forms(planted):
        for place, texts in places.items():
            assert leaks({place: [*texts, form]}, {"admin key": planted}) == [("admin key", place)], form
