"""Whatever is done with keys, secrets and tokens, none of them is told again: in no log, figure or error."""

import asyncio
import base64
import json
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from longline import Center
from tests.integration.leaks import leaks
from tests.integration.live_node import RawClient
from tests.integration.server_process import ServerProcess
from tests.integration.shapes import WEBHOOKS
from tests.integration.web_target import SECRET, Target

pytestmark = pytest.mark.shape("embedded", "workers")

SECRETS_KEY = "0123456789abcdef" * 4
BEARER = "Authorization"


async def test_no_key_secret_or_token_is_in_any_log_figure_or_error(tmp_path: Path, shape: str) -> None:
    """At the level `debug`, with calls that succeed and that fail, devices and webhooks."""
    arguments = ("--workers", "2") if shape == "workers" else ()
    settings = {
        **WEBHOOKS,
        "LONGLINE_NODE__LOG_LEVEL": "debug",
        "LONGLINE_SECRETS_KEY": SECRETS_KEY,
        "LONGLINE_ROOM__AUTH_URL": "",
    }
    told: list[str] = []
    to = Target()
    to.mode = "error"
    await to.up()
    async with ServerProcess(tmp_path / "data", arguments, **settings) as server:
        async with server.center() as center:
            made = await center.create_app("news", pubsub=True)
            named = await center.create_key("reports", ["read"], app="news")
            of_all = await center.create_key("operators", ["read", "operate"])
            token = await center.token("news", "d1")
            await center.put_webhook("news", to.url + "?access=query-is-secret", secret=SECRET)
            rotated = await center.rotate_keys("news", server_key=True, device_secret=True)
        assert made.server_key is not None
        assert rotated.server_key is not None
        secret = {
            "admin key": server.admin_key,
            "server key": made.server_key,
            "device secret": made.device_secret,
            "new server key": rotated.server_key,
            "new device secret": rotated.device_secret,
            "named key": named.key,
            "key of all apps": of_all.key,
            "token": token.password,
            "secret of the webhook": SECRET.removeprefix("whsec_"),
            "key of secrets": SECRETS_KEY,
            "guess": "a-guess-that-is-wrong-but-nearly-right",
        }
        await devices(server, (token.password, secret["guess"]))
        async with httpx.AsyncClient(base_url=server.url) as http:
            paths = (await http.get("/openapi.json")).json()["paths"]
            for key in [each for each in secret.values() if each != SECRETS_KEY]:
                for path, methods in paths.items():
                    address = path.replace("{app}", "nowhere").replace("{", "").replace("}", "")
                    for method in methods:
                        answer = await http.request(
                            method, address, headers={BEARER: f"Bearer {key}"}, content=b"{"
                        )
                        told.append(answer.text + str(answer.headers))
                    if "{app}" not in path and key != server.admin_key:
                        answer = await http.request(
                            "PUT", f"/{key}", params={"key": key}, headers={BEARER: key}
                        )
                        told.append(str(answer.headers))
                body = json.dumps({"app": "BAD NAME", "name": 5, "key": "x"})
                answer = await http.post("/v1/apps", headers={BEARER: f"Bearer {key}"}, content=body)
                told.append(answer.text)
            told.append((await http.get("/metrics")).text)
        async with Center(server.url, server.admin_key) as center:
            told += [repr(change) async for change in center.changes()]
            told += [repr(each) async for each in center.named_keys()]
            told.append(repr(await center.webhook("news")))
        await server.terminate()
    await to.down()
    log = server.log.read_text("utf-8")
    assert "api_change" in log
    places = {"log": [log.encode()], "answers": [each.encode() for each in told]}
    assert leaks(places, {what: text.encode() for what, text in secret.items()}) == []
    assert "query-is-secret" not in log


async def devices(server: ServerProcess, tokens: tuple[str, ...]) -> None:
    """Those whose tokens are good no more, or never were."""
    for token in tokens:
        async with await RawClient.open(server.mqtt_port) as client:
            await client.enter("d1", "news", token)
        async with await RawClient.open(server.mqtt_port) as client:
            client.bytes(token.encode() * 50)
            await asyncio.wait_for(client.rest(), 60)


def test_every_form_of_a_secret_is_found() -> None:
    """Wherever it stands in what is encoded."""
    secret = b"llk_news.a+secret/of?48 letters"
    for before in range(7):
        for after in range(4):
            text = b"x" * before + secret + b"y" * after
            for encoded in (
                text,
                base64.b64encode(text),
                base64.urlsafe_b64encode(text),
                quote(text).encode(),
            ):
                assert leaks({"somewhere": [encoded]}, {"it": secret}) == [("it", "somewhere")], encoded
    assert leaks({"somewhere": [base64.b64encode(secret[1:]), secret[:-1]]}, {"it": secret}) == []
