"""Sessions of the console, as their page uses them and as attackers would."""

import base64

import httpx
import pytest

from longline.center.gate.console_sessions import COOKIE, HOST_COOKIE, LASTS, ConsoleSessions
from longline.center.gate.ended_sessions import KEY, MOST, EndedSessions
from longline.errors import Conflict, Unavailable
from longline.keeper.local import LocalKeeper
from longline.model.keys import SCOPES
from tests.unit.center.conftest import ADMIN, Api

HERE = "http://longline.test"
CONSOLE = {"X-Longline-Console": "1", "Origin": HERE}
READING = {"X-Longline-Console": "1"}


@pytest.fixture
async def page(api: Api) -> httpx.AsyncClient:
    """A browser that has no key, and whose cookies are its own."""
    return httpx.AsyncClient(transport=api.http._transport, base_url=HERE)


async def log_in(page: httpx.AsyncClient, key: str = ADMIN) -> str:
    """The cookie's value."""
    answer = await page.post("/v1/session", json={"key": key}, headers=CONSOLE)
    assert answer.status_code == 200, answer.text
    assert key not in answer.text
    return answer.cookies[COOKIE]


def sessions_of(api: Api, secret: bytes) -> ConsoleSessions:
    """As a center has them that shares the keeper with that of `api`."""
    return ConsoleSessions(secret, EndedSessions(api.keeper, lambda: api.now), lambda: api.now)


async def made_key(api: Api, *scopes: str, app: str | None = None, **more: object) -> tuple[str, str]:
    """The text and the id of a new key."""
    path = "/v1/keys" if app is None else f"/v1/apps/{app}/keys"
    made = (await api.http.post(path, json={"name": "ann", "scopes": list(scopes), **more})).json()
    return made["key"], made["key_id"]


async def test_a_session_reaches_what_its_key_reaches(api: Api, news: str, page: httpx.AsyncClient) -> None:
    await log_in(page)
    assert (await page.get(news, headers=READING)).status_code == 200
    made = await page.post("/v1/apps", json={"app": "maps"}, headers=CONSOLE)
    assert made.status_code == 201
    changes = (await page.get("/v1/audit", headers=READING)).json()["changes"]
    assert (changes[0]["key_id"], changes[0]["app"]) == ("admin", "maps")


async def test_a_session_says_whose_it_is_and_when_it_ends(
    api: Api, news: str, page: httpx.AsyncClient
) -> None:
    for key, app, scopes in (
        (ADMIN, None, list(SCOPES)),
        ((await made_key(api, "read", app="news"))[0], "news", ["read"]),
    ):
        begun = await page.post("/v1/session", json={"key": key}, headers=CONSOLE)
        shown = await page.get("/v1/session", headers=READING)
        assert begun.json() == shown.json()
        assert (shown.json()["app"], shown.json()["scopes"]) == (app, scopes)
        assert shown.json()["expires_at"]
    own = (await api.http.get("/v1/session")).json()
    assert (own["key_id"], own["expires_at"]) == ("admin", None)


async def test_the_cookie_is_kept_from_scripts_other_sites_and_links_without_tls(
    page: httpx.AsyncClient,
) -> None:
    for origin, host, secure in ((HERE, "longline.test", False), ("https://push.test", "push.test", True)):
        headers = {**CONSOLE, "Origin": origin, "Host": host}
        answer = await page.post("/v1/session", json={"key": ADMIN}, headers=headers)
        made, *attributes = answer.headers["set-cookie"].split("; ")
        assert made.startswith(f"{HOST_COOKIE if secure else COOKIE}=")
        wanted = {"Path=/", f"Max-Age={LASTS}", "HttpOnly", "SameSite=Strict"}
        assert set(attributes) == (wanted | {"Secure"} if secure else wanted)
        assert answer.headers["cache-control"] == "no-store"


async def test_a_cookie_without_the_consoles_header_opens_nothing(page: httpx.AsyncClient, news: str) -> None:
    """So a form, a link, an image or a script of another site, whose request has the cookie, does nothing."""
    await log_in(page)
    for site in (None, "none", "cross-site", "same-site"):
        headers = {} if site is None else {"Sec-Fetch-Site": site}
        assert (await page.get(news, headers=headers)).status_code == 401
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = await page.request(method, news, headers={**headers, "Origin": HERE}, content=b"{}")
            assert answer.status_code in (401, 405), method
    assert (await page.get(news, headers={"Sec-Fetch-Site": "same-origin"})).status_code == 200
    answer = await page.delete(news, headers={"Sec-Fetch-Site": "same-origin", "Origin": HERE})
    assert answer.status_code == 401, "only reading does without the header"


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "",
        "http://evil.test",
        "http://longline.test.evil.test",
        "http://evil.test/longline.test",
        "http://longline.test@evil.test",
        "http://longline.test:8080",
        "longline.test",
        "http://[longline.test",
    ],
)
async def test_a_change_from_another_origin_is_refused(
    page: httpx.AsyncClient, news: str, origin: str | None
) -> None:
    await log_in(page)
    headers = {**READING, **({} if origin is None else {"Origin": origin})}
    answer = await page.delete(news, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "wrong_origin")
    assert (await page.get(news, headers=READING)).status_code == 200


async def test_nobody_else_logs_a_browser_in_or_out(page: httpx.AsyncClient) -> None:
    """With a key of the attacker's, whose victim would then work in the wrong place."""
    for headers in ({}, READING, {**CONSOLE, "Origin": "http://evil.test"}, {"Origin": HERE}):
        for method, body in (("POST", {"key": ADMIN}), ("DELETE", None)):
            answer = await page.request(method, "/v1/session", json=body, headers=headers)
            assert answer.status_code == 403
            assert "set-cookie" not in answer.headers


async def test_no_other_site_gets_leave_to_send_the_header(page: httpx.AsyncClient) -> None:
    answer = await page.options(
        "/v1/apps",
        headers={"Origin": "http://evil.test", "Access-Control-Request-Headers": "x-longline-console"},
    )
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_logging_out_takes_the_cookie_away(page: httpx.AsyncClient, news: str) -> None:
    await log_in(page)
    answer = await page.delete("/v1/session", headers=CONSOLE)
    assert answer.status_code == 204
    assert COOKIE not in page.cookies
    assert (await page.get(news, headers=READING)).status_code == 401


async def test_a_copy_of_the_cookie_is_worth_nothing_after_logging_out(
    api: Api, page: httpx.AsyncClient, news: str
) -> None:
    """At this center and at all that share its keeper. Another session of the same key goes on."""
    first, second = await log_in(page), await log_in(page)
    headers = {**CONSOLE, "Cookie": f"{COOKIE}={first}"}
    page.cookies.clear()
    assert (await page.delete("/v1/session", headers=headers)).status_code == 204
    assert (await page.get(news, headers={**READING, "Cookie": f"{COOKIE}={first}"})).status_code == 401
    assert (await page.get(news, headers={**READING, "Cookie": f"{COOKIE}={second}"})).status_code == 200
    ended = api.center.sessions.opened(first)
    other_center = EndedSessions(api.keeper, lambda: api.now)
    assert ended is not None
    assert await other_center.has(ended.number)
    await other_center.add("another", api.now + 1)
    assert (await page.get(news, headers={**READING, "Cookie": f"{COOKIE}={first}"})).status_code == 401


async def test_logging_out_of_what_cannot_be_ended_everywhere_says_so(
    api: Api, page: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(key: str, value: bytes | None, version: int | None = None) -> int:
        raise Unavailable("the keeper is away")

    await log_in(page)
    monkeypatch.setattr(api.keeper, "write", away)
    answer = await page.delete("/v1/session", headers=CONSOLE)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert COOKIE not in page.cookies


async def test_ended_sessions_are_bounded_and_forgotten_in_time() -> None:
    now = 1000
    keeper = LocalKeeper()
    ended = EndedSessions(keeper, lambda: now)
    await ended.add("short", now + 1)
    for number in range(MOST):
        await ended.add(f"s{number}", now + 10 + number)
    assert not await ended.has("short"), "of too many, the one that ends first goes"
    assert await ended.has("s0")
    now += 11
    await ended.add("late", now + 5000)
    assert not await ended.has("s0")
    assert not await ended.has("s1"), "its time is over"
    assert await ended.has("s2")


async def test_centers_that_log_out_at_once_forget_none(monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = LocalKeeper()
    mine, yours = (EndedSessions(keeper, lambda: 0) for _ in range(2))
    write = keeper.write

    async def overtaken(key: str, value: bytes | None, version: int | None = None) -> int:
        monkeypatch.setattr(keeper, "write", write)
        await yours.add("yours", 5)
        return await write(key, value, version)

    monkeypatch.setattr(keeper, "write", overtaken)
    await mine.add("mine", 5)
    assert await mine.has("mine")
    assert await mine.has("yours")

    async def always(key: str, value: bytes | None, version: int | None = None) -> int:
        raise Conflict

    monkeypatch.setattr(keeper, "write", always)
    with pytest.raises(Conflict):
        await mine.add("one more", 5)
    assert (await keeper.read(KEY)) is not None


async def test_under_tls_no_other_host_plants_a_cookie(page: httpx.AsyncClient, news: str) -> None:
    """One of a domain's other hosts may set a cookie for all of it, but none of that name."""
    planted, own = await log_in(page), await log_in(page)
    page.cookies.clear()
    await page.delete("/v1/session", headers={**CONSOLE, "Cookie": f"{COOKIE}={planted}"})
    both = f"{COOKIE}={planted}; {HOST_COOKIE}={own}"
    assert (await page.get(news, headers={**READING, "Cookie": both})).status_code == 200
    apart = [("Cookie", f"{COOKIE}={planted}"), ("Cookie", f"{HOST_COOKIE}={own}")]
    assert (await page.get(news, headers=[*READING.items(), *apart])).status_code == 200


async def test_under_tls_the_other_cookie_opens_nothing(page: httpx.AsyncClient, news: str) -> None:
    """Also of somebody who has not logged in yet: he would work in the planter's name."""
    value = await log_in(page)
    page.cookies.clear()
    behind_proxy = {**CONSOLE, "Host": "push.test", "Origin": "https://push.test"}
    for name, read, made in ((COOKIE, 401, 401), (HOST_COOKIE, 200, 201)):
        cookie = {"Cookie": f"{name}={value}"}
        url = f"https://longline.test{news}"
        assert (await page.get(url, headers={**READING, **cookie})).status_code == read, name
        answer = await page.post("/v1/apps", headers={**behind_proxy, **cookie}, json={"app": "maps"})
        assert answer.status_code == made, name


async def test_a_session_ends_after_its_time(api: Api, news: str, page: httpx.AsyncClient) -> None:
    await log_in(page)
    api.now += LASTS * 1000 - 1
    assert (await page.get(news, headers=READING)).status_code == 200
    api.now += 1
    assert (await page.get(news, headers=READING)).status_code == 401


async def test_a_session_ends_with_its_key(api: Api, news: str, page: httpx.AsyncClient) -> None:
    key, id = await made_key(api, "read", app="news")
    await log_in(page, key)
    assert (await page.get(news, headers=READING)).status_code == 200
    await api.http.delete(f"{news}/keys/{id}")
    assert (await page.get(news, headers=READING)).status_code == 401


async def test_a_session_ends_with_the_server_key_that_was_rotated(api: Api, page: httpx.AsyncClient) -> None:
    made = (await api.http.post("/v1/apps", json={"app": "maps"})).json()
    await log_in(page, made["server_key"])
    assert (await page.get("/v1/apps/maps", headers=READING)).status_code == 200
    await api.http.post("/v1/apps/maps/keys:rotate", json={})
    assert (await page.get("/v1/apps/maps", headers=READING)).status_code == 401


async def test_a_session_does_not_outlive_its_key(api: Api, news: str, page: httpx.AsyncClient) -> None:
    ends_at = "2099-12-31T00:00:00Z"
    short, _ = await made_key(api, "read", app="news", expires_at=ends_at)
    answer = await page.post("/v1/session", json={"key": short}, headers=CONSOLE)
    assert answer.json()["expires_at"] < ends_at, "12 hours come first"


async def test_a_session_of_an_app_does_not_reach_another(
    api: Api, news: str, page: httpx.AsyncClient
) -> None:
    await api.app("maps")
    key, _ = await made_key(api, "read", app="news")
    await log_in(page, key)
    for path in ("/v1/apps/maps", "/v1/apps", "/v1/nodes", "/v1/keys", "/v1/config", "/v1/audit"):
        assert (await page.get(path, headers=READING)).status_code == 403
    refused = await page.post(f"{news}/messages", json={"audience": "all", "payload": 1}, headers=CONSOLE)
    assert refused.json()["error"]["code"] == "missing_scope_send"


async def test_what_is_not_sealed_by_us_is_no_session(api: Api, news: str, page: httpx.AsyncClient) -> None:
    value = await log_in(page)
    raw = bytearray(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
    forged = [value[:-1], value + "A", "", "x" * 100, "é", "=", "A" * 5000, '"quoted"', value.swapcase()]
    for place in (0, 12, len(raw) // 2, len(raw) - 1):
        changed = bytearray(raw)
        changed[place] ^= 1
        forged.append(base64.urlsafe_b64encode(changed).decode())
    others = sessions_of(api, b"another secret")
    forged.append(others.begin(ADMIN, 0)[0])
    page.cookies.clear()
    for each in forged:
        cookie = f"{COOKIE}={each}".encode("latin-1", "replace")
        answer = await page.get(news, headers=[(b"X-Longline-Console", b"1"), (b"Cookie", cookie)])
        assert answer.status_code == 401, each
    good = f"a=b; {COOKIE}={value}; c=d"
    assert (await page.get(news, headers={**READING, "Cookie": good})).status_code == 200


async def test_two_sessions_of_one_key_have_nothing_in_common(page: httpx.AsyncClient) -> None:
    one, other = await log_in(page), await log_in(page)
    assert one[:16] != other[:16]
    assert ADMIN not in one


async def test_centers_that_share_a_secret_open_each_others_sessions(api: Api) -> None:
    mine, yours = (sessions_of(api, b"shared") for _ in range(2))
    value, session = mine.begin("lla_key", 0)
    assert yours.opened(value) == session
    assert "lla_key" not in repr(session)


async def test_an_authorization_counts_before_a_cookie(api: Api, news: str, page: httpx.AsyncClient) -> None:
    await log_in(page)
    answer = await page.get(news, headers={**READING, "Authorization": "Bearer wrong"})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "key", ["", "wrong", "llk_news.wrong", "lln_" + "0" * 32 + "_" + "x" * 43, "x" * 513, "with space", 7]
)
async def test_a_wrong_key_begins_nothing(api: Api, news: str, page: httpx.AsyncClient, key: object) -> None:
    answer = await page.post("/v1/session", json={"key": key}, headers=CONSOLE)
    assert answer.status_code in (401, 422)
    assert "set-cookie" not in answer.headers
    assert not key or str(key) not in answer.text or key == 7


async def test_a_network_tries_only_so_many_keys_a_second(
    api: Api, page: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong ones and good ones, so that nobody learns from what is refused which was good."""
    monkeypatch.setattr(api.center.keys, "_clock", lambda: 0.0)  # the second does not pass
    keys = [f"lla_guess{n}" for n in range(20)] + ["lla_guess20", ADMIN]
    answers = [await page.post("/v1/session", json={"key": key}, headers=CONSOLE) for key in keys]
    assert [answer.status_code for answer in answers] == 20 * [401] + 2 * [429]
    assert answers[-1].headers["retry-after"] == "1"
    assert (await api.http.get("/v1/apps")).status_code == 200, "who does not log in is not held up"


async def test_no_key_reaches_the_log(
    api: Api, page: httpx.AsyncClient, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in (ADMIN, "lla_a-wrong-one"):
        answer = await page.post("/v1/session", json={"key": key}, headers=CONSOLE)
        value = answer.cookies.get(COOKIE) or "none"
        await page.get("/v1/nothing", headers=READING)
        said = capsys.readouterr()
        assert key not in said.out + said.err
        assert f"{COOKIE}={value}" not in said.out + said.err
