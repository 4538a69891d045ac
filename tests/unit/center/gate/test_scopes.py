"""What each key may do: every operation of the API, called with every kind of key."""

import re

import httpx
import pytest

from longline.center.api import operations
from longline.center.gate.scopes import ANYTHING, RULES, rule_of
from longline.model.keys import OF_AN_APP, SCOPES
from tests.unit.center.conftest import Api

PARAMETERS = {
    "app": "news",
    "device": "d1",
    "node": "room-1",
    "agent": "host-1",
    "name": "room.linger",
    "id": "019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e21",
    "key": "019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e22",
    "group": "g1",
    "profile": "019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e25",
}


async def named_key(api: Api, *scopes: str, app: str | None = None) -> str:
    """The text of a new key."""
    path = "/v1/keys" if app is None else f"/v1/apps/{app}/keys"
    made = await api.http.post(path, json={"name": "test", "scopes": list(scopes)})
    assert made.status_code == 201, made.text
    key: str = made.json()["key"]
    return key


def routes(api: Api) -> list[tuple[str, str]]:
    return [(row.method, row.path) for row in operations(api.center) if not row.public]


async def called(api: Api, method: str, path: str, key: str, *, app: str = "news") -> httpx.Response:
    address = re.sub(r"{(\w+)}", lambda found: {**PARAMETERS, "app": app}[found[1]], path)
    headers = {"Authorization": f"Bearer {key}"}
    return await api.http.request(method, address, headers=headers, content=b"{" if method != "GET" else None)


async def test_each_operation_says_what_its_key_needs(api: Api) -> None:
    """In the table, and from there in the document."""
    spec = (await api.http.get("/openapi.json")).json()["paths"]
    unruled, unsaid = [], []
    for row in operations(api.center):
        entry = spec[row.path][row.method.lower()]
        if row.public:
            assert entry["security"] == []
            continue
        if f"{row.method} {row.path}" not in RULES:
            unruled.append(f"{row.method} {row.path}")
        scopes = rule_of(row.method, row.path).scopes
        said = f"`{scopes[0]}`" if scopes else "Any key may ask."
        if entry["security"] != [{"key": list(scopes)}] or said not in entry["description"]:
            unsaid.append(row.path)
        assert "403" in entry["responses"]
    assert (unruled, unsaid) == ([], [])


async def test_what_is_not_in_the_table_needs_everything() -> None:
    assert rule_of("POST", "/v1/new") == ANYTHING
    assert set(ANYTHING.scopes) == set(SCOPES)


async def test_what_only_reads_is_not_kept() -> None:
    assert [route for route, rule in RULES.items() if rule.kept and route.startswith("GET ")] == []


@pytest.mark.parametrize("scope", sorted(OF_AN_APP))
async def test_a_key_of_an_app_reaches_what_its_scope_says_and_nothing_else(
    api: Api, news: str, scope: str
) -> None:
    """What it reaches refuses a body that is none, or answers; the rest is 403, and names the scope."""
    await api.app("maps")
    key = await named_key(api, scope, app="news")
    for method, path in routes(api):
        answer = await called(api, method, path, key)
        needed = rule_of(method, path).scopes
        code = answer.json()["error"]["code"] if answer.status_code >= 400 else ""
        if not needed:
            assert answer.status_code == 200, (method, path)
        elif not path.startswith("/v1/apps/{app}") or (method, path) == ("DELETE", "/v1/apps/{app}"):
            assert (answer.status_code, code) == (403, "forbidden"), (method, path)
        elif set(needed) <= {scope}:
            assert answer.status_code not in (401, 403), (method, path, answer.text)
        else:
            missing = next(each for each in needed if each != scope)
            assert (answer.status_code, code) == (403, f"missing_scope_{missing}"), (method, path)
            challenge = f'Bearer error="insufficient_scope", scope="{missing}"'
            assert answer.headers["WWW-Authenticate"] == challenge
        if "{app}" in path:
            other = await called(api, method, path, key, app="maps")
            nowhere = await called(api, method, path, key, app="nowhere")
            assert other.status_code == nowhere.status_code == 403, (method, path)
            assert other.json() == nowhere.json()


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_key_of_all_apps_reaches_what_its_scope_says_and_nothing_else(
    api: Api, news: str, scope: str
) -> None:
    key = await named_key(api, scope)
    for method, path in routes(api):
        if (method, path) == ("DELETE", "/v1/apps/{app}"):
            continue  # the app is for the others
        needed = rule_of(method, path).scopes
        answer = await called(api, method, path, key)
        if set(needed) <= {scope}:
            assert answer.status_code not in (401, 403), (method, path, answer.text)
        else:
            missing = next(each for each in needed if each != scope)
            code = answer.json()["error"]["code"]
            assert (answer.status_code, code) == (403, f"missing_scope_{missing}"), (method, path)


async def test_a_key_that_reads_changes_nothing(api: Api, news: str) -> None:
    """After all operations were called with it, everything is as it was."""
    await api.device(news, "d1", tags=["red"])
    key = await named_key(api, "read", app="news")

    async def state() -> list[object]:
        paths = (news, f"{news}/devices", f"{news}/acl", f"{news}/keys", f"{news}/schedules", "/v1/audit")
        found = [(await api.http.get(path)).json() for path in paths]
        for listed in found[3]["keys"]:
            listed.pop("last_used_at")  # by being asked, and nothing else
        return found

    before = await state()
    for method, path in routes(api):
        if not path.startswith("/v1/config"):
            await called(api, method, path, key)
    assert await state() == before
