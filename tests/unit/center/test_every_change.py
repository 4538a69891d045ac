"""Every changing operation of the API leaves an entry in the audit log, or it is said here why not."""

import re
from typing import Final

import httpx

from tests.unit.center.conftest import ADMIN, Api
from tests.unit.center.gate.test_scopes import called

# What only asks, although its question is too long for an address.
ASKS: Final = {
    ("POST", "/v1/apps/{app}/audiences:estimate"),
    ("POST", "/v1/apps/{app}/devices:status"),
}
# What app servers do all day: it has ledgers and events of its own (center/gate/scopes.py, ADR 35).
ALL_DAY: Final = {
    ("POST", "/v1/apps/{app}/messages"),
    ("POST", "/v1/apps/{app}/messages:batch"),
    ("DELETE", "/v1/apps/{app}/messages/{id}"),
    ("POST", "/v1/apps/{app}/devices:batch"),
    ("PUT", "/v1/apps/{app}/devices/{device}"),
    ("PATCH", "/v1/apps/{app}/devices/{device}"),
    ("POST", "/v1/apps/{app}/devices/{device}/token"),
    ("PATCH", "/v1/apps/{app}/devices/{device}/shadow"),
    ("POST", "/v1/apps/{app}/devices/{device}:call"),
    ("PUT", "/v1/apps/{app}/groups/{group}"),
    ("POST", "/v1/apps/{app}/groups/{group}/members:add"),
    ("POST", "/v1/apps/{app}/groups/{group}/members:remove"),
}


async def latest(api: Api) -> list[tuple[str, str]]:
    answer: httpx.Response = await api.http.get("/v1/audit", params={"limit": 1})
    return [(each["method"], each["path"]) for each in answer.json()["changes"]]


async def test_every_change_leaves_an_entry(api: Api, news: str) -> None:
    """Also one that is refused for what it asks."""
    paths = (await api.http.get("/openapi.json")).json()["paths"]
    changing = {
        (method.upper(), path)
        for path, methods in paths.items()
        for method, entry in methods.items()
        if method != "get" and entry["security"]
    }
    assert (ASKS | ALL_DAY) - changing == set()
    silent = []
    for method, path in sorted(
        changing - ASKS - ALL_DAY, key=lambda each: each == ("DELETE", "/v1/apps/{app}")
    ):
        answer = await called(api, method, path, ADMIN)
        assert answer.status_code != 401
        if await latest(api) != [(method, path)]:
            silent.append((method, path))
    assert silent == []
    assert len(changing - ASKS - ALL_DAY) > 20


async def test_what_is_done_all_day_leaves_none(api: Api, news: str) -> None:
    before = await latest(api)
    for method, path in sorted(ASKS | ALL_DAY):
        await called(api, method, path, ADMIN)
        assert await latest(api) == before, (method, path)


async def test_entries_say_who_did_what_from_where(api: Api, news: str) -> None:
    (change,) = (await api.http.get("/v1/audit", params={"limit": 1})).json()["changes"]
    assert (change["key_id"], change["address"], change["app"]) == ("admin", "127.0.0.1", "news")
    assert re.fullmatch(r"[0-9a-f-]{36}", change["request_id"])
