"""The audit log: every change leaves an entry, with who asked for it and what became of it, and no secret."""

import re
from typing import cast

import httpx
import pytest

from longline.center.api import operations
from longline.center.gate.scopes import rule_of
from longline.errors import Unavailable
from longline.model.devices import JsonObject
from longline.model.trail import TrailEntry
from tests.unit.center.conftest import ADMIN, START, Api
from tests.unit.center.gate.test_scopes import PARAMETERS, named_key


async def changes(api: Api, query: str = "") -> list[JsonObject]:
    answer = await api.http.get(f"/v1/audit{query}")
    assert answer.status_code == 200, answer.text
    return cast(list[JsonObject], answer.json()["changes"])


async def test_a_change_is_told_with_who_where_when_and_what_became_of_it(api: Api, news: str) -> None:
    made = await api.http.post(f"{news}/keys", json={"name": "ci", "scopes": ["manage"]})
    key = made.json()
    api.now = START + 5000
    headers = {"Authorization": f"Bearer {key['key']}", "X-Request-ID": "deploy-4711"}
    answer = await api.http.put(f"{news}/acl", json={"rules": []}, headers=headers)
    assert answer.headers["X-Request-ID"] == "deploy-4711"
    latest = (await changes(api))[0]
    assert latest == {
        "at": "2027-01-15T08:00:05.000Z",
        "key_id": key["key_id"],
        "key_name": "ci",
        "address": "127.0.0.1",
        "request_id": "deploy-4711",
        "method": "PUT",
        "path": "/v1/apps/{app}/acl",
        "status": 200,
        "app": "news",
    }


async def test_what_was_made_is_named(api: Api, news: str) -> None:
    key = (await api.http.post(f"{news}/keys", json={"name": "ci", "scopes": ["read"]})).json()
    await api.device(news, "d1")
    await api.http.delete(f"{news}/devices/d1/connection?ban_seconds=60")
    await api.http.put("/v1/config/room.linger", json={"value": 20})
    told = [
        (each["key_id"], each["path"], each.get("app"), each.get("subject"), each.get("detail"))
        for each in await changes(api)
    ]
    assert told == [
        ("admin", "/v1/config/{name}", None, "room.linger", "20"),
        ("admin", "/v1/apps/{app}/devices/{device}/connection", "news", "d1", "ban_seconds 60"),
        ("admin", "/v1/apps/{app}/keys", "news", key["key_id"], "ci: read"),
        ("admin", "/v1/apps", "news", None, None),
    ]


async def test_a_refused_change_is_told_with_its_code(api: Api, news: str) -> None:
    """Of who was let in; else strangers could fill the log."""
    before = len(await changes(api))
    assert (await api.http.post("/v1/apps", json={"app": "news"})).status_code == 409
    assert (await api.http.put(f"{news}/acl", content=b"{")).status_code == 400
    reading = {"Authorization": f"Bearer {await named_key(api, 'read', app='news')}"}
    assert (await api.http.put(f"{news}/acl", json={"rules": []}, headers=reading)).status_code == 403
    nobody = {"Authorization": "Bearer x"}
    assert (await api.http.put(f"{news}/acl", json={"rules": []}, headers=nobody)).status_code == 401
    told = [(each["path"], each["status"], each.get("error")) for each in await changes(api)]
    assert told[:-before] == [
        ("/v1/apps/{app}/keys", 201, None),
        ("/v1/apps/{app}/acl", 400, "bad_request"),
        ("/v1/apps", 409, "app_exists"),
    ]


async def test_what_app_servers_do_all_day_is_not_kept(api: Api, news: str) -> None:
    before = await changes(api)
    await api.device(news, "d1", tags=["red"])
    await api.http.post(f"{news}/messages", json={"audience": "all", "payload": "x"})
    await api.http.post(f"{news}/devices/d1/token")
    await api.http.get(f"{news}/devices")
    assert await changes(api) == before


async def test_changes_are_listed_by_time_and_by_app_page_by_page(api: Api) -> None:
    for n, name in enumerate(("a", "b", "c")):
        api.now = START + n * 60_000
        await api.app(name)
    await api.http.patch("/v1/apps/a", json={"pubsub": True})

    async def apps(query: str) -> list[object]:
        return [each["app"] for each in await changes(api, query)]

    assert await apps("") == ["a", "c", "b", "a"]
    assert await apps("?app=a") == ["a", "a"]
    assert await apps("?from=2027-01-15T08:01:00Z&to=2027-01-15T08:02:00Z") == ["b"]
    first = (await api.http.get("/v1/audit?limit=3")).json()
    assert await apps(f"?cursor={first['next_cursor']}") == ["a"]
    assert [each["app"] for each in first["changes"]] == ["a", "c", "b"]
    assert (await api.http.get("/v1/audit?from=yesterday")).status_code == 422
    assert (await api.http.get("/v1/audit?cursor=x!")).status_code == 400


async def test_only_operators_read_it(api: Api, news: str) -> None:
    for key, code in (
        (api.keys["news"], "forbidden"),
        (await named_key(api, "read", "send", "manage"), "missing_scope_operate"),
    ):
        answer = await api.http.get("/v1/audit", headers={"Authorization": f"Bearer {key}"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, code)
    operator = await named_key(api, "operate")
    answer = await api.http.get("/v1/audit", headers={"Authorization": f"Bearer {operator}"})
    assert answer.status_code == 200


async def test_nothing_is_changed_that_cannot_be_written_down(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuses(entry: TrailEntry) -> None:
        raise Unavailable

    monkeypatch.setattr(api.saver.trail, "put", refuses)
    assert (await api.http.patch(news, json={"pubsub": True})).status_code == 503
    assert not (await api.http.get(news)).json()["pubsub"]


async def test_a_change_whose_end_could_not_be_written_down_is_answered_and_there(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, calls = api.saver.trail.put, 0

    async def once(entry: TrailEntry) -> None:
        nonlocal calls
        calls += 1
        if calls > 1:
            raise Unavailable
        await put(entry)

    monkeypatch.setattr(api.saver.trail, "put", once)
    assert (await api.http.patch(news, json={"pubsub": True})).status_code == 200
    assert api.center.counters.changes_unended == 1
    assert (await changes(api))[0]["status"] is None


@pytest.mark.parametrize("given", ["", "a b", "ä", "x" * 129, "a\nb"])
async def test_a_request_id_that_is_none_is_not_taken(api: Api, news: str, given: str) -> None:
    """The request gets one, and the answer says which."""
    headers = [(b"x-request-id", given.encode())]
    answer = await api.http.send(
        api.http.build_request(
            "PATCH", news, json={"pubsub": True}, headers=cast(list[tuple[str, str]], headers)
        )
    )
    assert (await changes(api))[0]["request_id"] == answer.headers["X-Request-ID"] != given


async def test_no_secret_reaches_the_log(api: Api, news: str) -> None:
    """Neither a secret of an answer nor one that somebody puts into an address by mistake."""
    named = await named_key(api, "manage", "send", "read", app="news")
    rotated = (await api.http.post(f"{news}/keys:rotate", json={"device_secret": True})).json()
    for secret in (named, rotated["server_key"], rotated["device_secret"]):
        await api.http.delete(f"{news}/keys/{secret}")
        await api.http.delete(f"{news}/devices/{secret}")
        await api.http.post(f"{news}/keys", json={"name": secret, "scopes": ["read"]})
    told = f"{await changes(api)}"
    secrets = [named, rotated["server_key"], rotated["device_secret"], api.keys["news"], ADMIN]
    assert [secret for secret in secrets if secret in told or secret[-30:] in told] == []
    assert "[hidden]" in told


@pytest.mark.parametrize("name", ["*", "a:b", "A", "x" * 300])
async def test_what_is_no_app_is_told_as_what_it_is(api: Api, name: str) -> None:
    assert (await api.http.delete(f"/v1/apps/{name}")).status_code == 404
    (told,) = await changes(api)
    assert (told.get("app"), told["subject"], told["error"]) == (None, name[:256], "app_not_found")


async def test_every_operation_that_is_kept_leaves_an_entry(api: Api, news: str) -> None:
    """Also one that finds nothing to change."""
    kept = [row for row in operations(api.center) if not row.public and rule_of(row.method, row.path).kept]
    assert len(kept) > 20
    for row in kept:
        if (row.method, row.path) == ("DELETE", "/v1/apps/{app}"):
            continue
        before = len(await changes(api, "?limit=1000"))
        address = re.sub(r"{(\w+)}", lambda found: PARAMETERS[found[1]], row.path)
        answer: httpx.Response = await api.http.request(row.method, address, content=b"{")
        after = await changes(api, "?limit=1000")
        assert len(after) == before + 1, (row.method, row.path)
        assert (after[0]["method"], after[0]["path"]) == (row.method, row.path)
        assert after[0]["status"] == answer.status_code
