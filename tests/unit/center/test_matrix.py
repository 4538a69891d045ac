"""A matrix of kinds of keys against every operation of the OpenAPI document.

What each operation needs stands here once more, written by hand and not read from `scopes.py`: a scope that
is changed there by mistake, or an operation that comes without anybody having thought of it, is found.
"""

from collections.abc import Iterator
from typing import Final

import pytest

from longline.center.gate.scopes import RULES
from tests.unit.center.conftest import ADMIN, Api
from tests.unit.center.gate.test_scopes import called, named_key

# s send, r read, m manage, o operate; behind the colon: A of an app, C of all apps alone.
EXPECTED: Final = """
C m   POST   /v1/apps
C r   GET    /v1/apps
A r   GET    /v1/apps/{app}
A m   PATCH  /v1/apps/{app}
C m   DELETE /v1/apps/{app}
A srm POST   /v1/apps/{app}/keys:rotate
A m   GET    /v1/apps/{app}/keys
A m   POST   /v1/apps/{app}/keys
A m   DELETE /v1/apps/{app}/keys/{key}
A r   GET    /v1/apps/{app}/tokens
A m   PUT    /v1/apps/{app}/tokens
A m   DELETE /v1/apps/{app}/tokens
A r   GET    /v1/apps/{app}/acl
A m   PUT    /v1/apps/{app}/acl
A r   GET    /v1/apps/{app}/limits
A o   PUT    /v1/apps/{app}/limits
A s   POST   /v1/apps/{app}/messages
A s   POST   /v1/apps/{app}/messages:batch
A r   GET    /v1/apps/{app}/messages
A r   GET    /v1/apps/{app}/messages/{id}
A s   DELETE /v1/apps/{app}/messages/{id}
A r   GET    /v1/apps/{app}/messages/{id}/deliveries
A r   GET    /v1/apps/{app}/messages/{id}/deliveries/{device}
A r   POST   /v1/apps/{app}/audiences:estimate
A r   GET    /v1/apps/{app}/statistics
A s   POST   /v1/apps/{app}/schedules
A r   GET    /v1/apps/{app}/schedules
A r   GET    /v1/apps/{app}/schedules/{id}
A s   DELETE /v1/apps/{app}/schedules/{id}
A s   POST   /v1/apps/{app}/schedules/{id}:pause
A s   POST   /v1/apps/{app}/schedules/{id}:resume
A r   GET    /v1/apps/{app}/devices
A m   POST   /v1/apps/{app}/devices:batch
A r   POST   /v1/apps/{app}/devices:status
A m   PUT    /v1/apps/{app}/devices/{device}
A m   PATCH  /v1/apps/{app}/devices/{device}
A r   GET    /v1/apps/{app}/devices/{device}
A m   DELETE /v1/apps/{app}/devices/{device}
A m   POST   /v1/apps/{app}/devices/{device}/token
A m   DELETE /v1/apps/{app}/devices/{device}/connection
A m   POST   /v1/apps/{app}/devices/{device}:release
A r   GET    /v1/apps/{app}/devices/{device}/messages
A r   GET    /v1/apps/{app}/devices/{device}/shadow
A s   PATCH  /v1/apps/{app}/devices/{device}/shadow
A s   POST   /v1/apps/{app}/devices/{device}:call
A r   GET    /v1/apps/{app}/devices/{device}/subscriptions
A r   GET    /v1/apps/{app}/devices/{device}/connections
A r   GET    /v1/apps/{app}/figures
A r   GET    /v1/apps/{app}/groups
A r   GET    /v1/apps/{app}/groups/{group}
A m   PUT    /v1/apps/{app}/groups/{group}
A m   DELETE /v1/apps/{app}/groups/{group}
A m   POST   /v1/apps/{app}/groups/{group}/members:add
A m   POST   /v1/apps/{app}/groups/{group}/members:remove
A r   GET    /v1/apps/{app}/groups/{group}/messages
A r   GET    /v1/apps/{app}/upstream
A r   GET    /v1/apps/{app}/webhook
A m   PUT    /v1/apps/{app}/webhook
A m   DELETE /v1/apps/{app}/webhook
A r   GET    /v1/apps/{app}/webhook/dead
A m   POST   /v1/apps/{app}/webhook:replay
C o   GET    /v1/keys
C o   POST   /v1/keys
C o   DELETE /v1/keys/{key}
C o   GET    /v1/audit
C o   GET    /v1/nodes
C o   POST   /v1/nodes/{node}:drain
C o   POST   /v1/nodes/{node}:undrain
C o   GET    /v1/agents
C o   GET    /v1/agents/{agent}
C o   POST   /v1/agents/{agent}:restart
C o   POST   /v1/agents/{agent}:cancel
C o   GET    /v1/nodes/{node}/profile
C o   GET    /v1/profiles
C o   GET    /v1/profiles/{profile}
C o   GET    /v1/profiles/{profile}/difference
C o   DELETE /v1/profiles/{profile}
C o   GET    /v1/figures
C o   GET    /v1/figures/history
C o   GET    /v1/problems
C o   GET    /v1/capacity
C o   GET    /v1/config
C o   POST   /v1/config:promote
C o   POST   /v1/config:rollback
C o   GET    /v1/config/{name}
C o   PUT    /v1/config/{name}
C o   DELETE /v1/config/{name}
C o   POST   /v1/config/{name}:rollback
"""
LETTERS: Final = {"s": "send", "r": "read", "m": "manage", "o": "operate"}
PUBLIC: Final = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/v1/dispatch"}
OF_ANY_KEY: Final = {("GET", "/v1/session")}  # which says what the key may do


def expected() -> Iterator[tuple[str, str, set[str], bool]]:
    """Method, address, the scopes that it needs, and whether a key of one app can have them."""
    for line in EXPECTED.strip().splitlines():
        reach, letters, method, path = line.split()
        yield method, path, {LETTERS[letter] for letter in letters}, reach == "A"


async def documented(api: Api) -> set[tuple[str, str]]:
    paths = (await api.http.get("/openapi.json")).json()["paths"]
    return {
        (method.upper(), path)
        for path, methods in paths.items()
        for method, entry in methods.items()
        if entry["security"]
    }


async def test_every_documented_operation_stands_in_the_matrix_and_no_other(api: Api) -> None:
    written = {(method, path) for method, path, *_ in expected()}
    assert await documented(api) - OF_ANY_KEY == written


async def test_the_table_of_the_program_says_what_is_expected() -> None:
    for method, path, scopes, _ in expected():
        assert set(RULES[f"{method} {path}"].scopes) == scopes, (method, path)


@pytest.mark.parametrize("scope", sorted(LETTERS.values()))
@pytest.mark.parametrize("of_app", [True, False])
async def test_a_key_with_one_scope_opens_what_needs_that_alone(
    api: Api, news: str, scope: str, of_app: bool
) -> None:
    if of_app and scope == "operate":
        refused = await api.http.post(f"{news}/keys", json={"name": "x", "scopes": [scope]})
        assert refused.status_code == 422
        return
    await api.app("maps")
    key = await named_key(api, scope, app="news" if of_app else None)
    wrong = []
    for method, path, scopes, an_apps in expected():
        if (method, path) == ("DELETE", "/v1/apps/{app}") and not of_app:
            continue  # the app is for the others
        answer = await called(api, method, path, key)
        opens = scopes == {scope} and (an_apps or not of_app)
        if (answer.status_code not in (401, 403)) != opens:
            wrong.append((method, path, answer.status_code))
        if "{app}" in path and of_app:
            other = await called(api, method, path, key, app="maps")
            if other.status_code != 403:
                wrong.append((method, f"{path} of another app", other.status_code))
    assert wrong == []


async def test_a_server_key_opens_what_is_its_apps_and_needs_no_operator(api: Api, news: str) -> None:
    await api.app("maps")
    wrong = []
    for method, path, scopes, an_apps in expected():
        if path.endswith("keys:rotate"):
            continue  # the key is for the others
        answer = await called(api, method, path, api.keys["news"])
        if (answer.status_code not in (401, 403)) != (an_apps and "operate" not in scopes):
            wrong.append((method, path, answer.status_code))
        if "{app}" in path and (await called(api, method, path, api.keys["maps"])).status_code != 403:
            wrong.append((method, f"{path} with another app's key", 403))
    assert wrong == []


@pytest.mark.parametrize("key", ["", "x", "llk_news.x", "lln_" + "0" * 32 + "_" + "x" * 43, ADMIN + "x"])
async def test_without_a_good_key_nothing_is_open(api: Api, news: str, key: str) -> None:
    for method, path, *_ in expected():
        answer = await called(api, method, path, key)
        assert answer.status_code in (401, 429), (method, path)


async def test_only_these_need_no_key(api: Api) -> None:
    paths = (await api.http.get("/openapi.json")).json()["paths"]
    open_to_all = {
        path for path, methods in paths.items() for entry in methods.values() if not entry["security"]
    }
    assert open_to_all <= PUBLIC
