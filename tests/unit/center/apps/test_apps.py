from collections.abc import Callable

import jwt
import msgspec
import pytest

from longline.center.gate.auth import digest, new_device_secret
from longline.errors import Unavailable
from longline.model.access import AclRule, FormerSecret, TokenIssuer
from longline.model.apps import App
from longline.model.commands import AppChanged, CloseReason
from tests.unit.center.conftest import ADMIN, Api

SECRET = new_device_secret()
ISSUER = TokenIssuer(
    jwks_url="https://id.example.org/keys", issuer="https://id.example.org/", audience=("news",)
)


def key(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


async def test_an_app_is_made_with_a_key_and_a_secret(api: Api) -> None:
    answer = await api.http.post("/v1/apps", json={"app": "news", "name": "The News", "pubsub": True})
    assert answer.status_code == 201
    made = answer.json()
    assert sorted(made) == ["app", "device_secret", "server_key"]
    shown = (await api.http.get("/v1/apps/news", headers=key(made["server_key"]))).json()
    assert shown == {
        "app": "news",
        "name": "The News",
        "pubsub": True,
        "client_certificates": False,
        "end_at_expiry": False,
        "created_at": "2027-01-15T08:00:00.000Z",
    }


async def test_no_secret_looks_like_an_option_of_a_command(api: Api, news: str) -> None:
    assert api.secrets["news"].startswith("lls_")
    assert api.keys["news"].startswith("llk_")


async def test_only_the_hash_of_a_server_key_is_kept(api: Api, news: str) -> None:
    app = await api.saver.apps.find("news")
    assert app is not None
    assert app.server_key_hash == digest(api.keys["news"])


async def test_a_name_is_taken_once(api: Api, news: str) -> None:
    answer = await api.http.post("/v1/apps", json={"app": "news"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "app_exists")


@pytest.mark.parametrize("name", ["", "News", "-news", "_news", "a" * 65, "a/b", "a.b", "новости", "news\n"])
async def test_a_bad_name_is_refused(api: Api, name: str) -> None:
    answer = await api.http.post("/v1/apps", json={"app": name})
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["field"] == "app"


async def test_apps_are_listed_by_name_a_page_at_a_time(api: Api) -> None:
    for name in ("c", "a", "b"):
        await api.app(name)
    first = (await api.http.get("/v1/apps", params={"limit": 2})).json()
    assert [app["app"] for app in first["apps"]] == ["a", "b"]
    rest = (await api.http.get("/v1/apps", params={"cursor": first["next_cursor"]})).json()
    assert [app["app"] for app in rest["apps"]] == ["c"]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("limit=0", 422),
        ("limit=1001", 422),
        ("limit=x", 422),
        ("colour=red", 422),
        ("cursor=", 400),
        ("cursor=%21", 400),
        ("cursor=%C3%BC", 400),
        ("cursor=YQ&cursor=YQ", 400),
    ],
)
async def test_a_page_that_cannot_be_is_refused(api: Api, query: str, status: int) -> None:
    assert (await api.http.get(f"/v1/apps?{query}")).status_code == status


async def test_a_change_reaches_every_node_and_the_next_request(api: Api, news: str) -> None:
    answer = await api.http.patch(news, json={"pubsub": True})
    assert (answer.status_code, answer.json()["pubsub"], answer.json()["name"]) == (200, True, "news")
    assert await api.commands() == [AppChanged(1, "news", None)]
    assert (await api.http.get(news)).json()["pubsub"] is True


async def test_an_app_says_whether_it_takes_client_certificates(api: Api, news: str) -> None:
    answer = await api.http.patch(news, json={"client_certificates": True})
    assert answer.json()["client_certificates"] is True
    found = await api.saver.apps.find("news")
    assert found is not None
    assert found.client_certificates
    made = await api.http.post("/v1/apps", json={"app": "weather", "client_certificates": True})
    assert made.status_code == 201
    assert (await api.http.get("/v1/apps/weather")).json()["client_certificates"] is True


async def test_a_rotated_server_key_works_and_the_old_one_does_not(api: Api, news: str) -> None:
    old = api.keys["news"]
    answer = await api.http.post(f"{news}/keys:rotate", headers=key(old))
    new = answer.json()
    assert answer.status_code == 200
    assert new["device_secret"] == api.secrets["news"]
    assert (await api.http.get(news, headers=key(old))).status_code == 401
    assert (await api.http.get(news, headers=key(new["server_key"]))).status_code == 200
    assert await api.commands() == [AppChanged(1, "news", None)]


async def test_a_rotation_may_end_the_connections_made_before_it(api: Api, news: str) -> None:
    for generation in (1, 2):
        body = {"server_key": False, "device_secret": True, "disconnect": True}
        assert (await api.http.post(f"{news}/keys:rotate", json=body)).status_code == 200
        assert await api.commands() == [AppChanged(1, "news", None, generation)]
    assert (await api.http.post(f"{news}/keys:rotate")).status_code == 200
    assert await api.commands() == [AppChanged(1, "news", None, 2)]


async def test_a_rotated_device_secret_leaves_the_server_key(api: Api, news: str) -> None:
    answer = await api.http.post(f"{news}/keys:rotate", json={"server_key": False, "device_secret": True})
    assert answer.json()["server_key"] is None
    assert answer.json()["device_secret"] != api.secrets["news"]
    assert (await api.http.get(news, headers=key(api.keys["news"]))).status_code == 200


@pytest.mark.parametrize("seconds", [0, 60])
async def test_for_a_grace_both_server_keys_are_good(api: Api, news: str, seconds: int) -> None:
    first = api.keys["news"]
    second = (await api.http.post(f"{news}/keys:rotate", json={"grace_seconds": seconds})).json()[
        "server_key"
    ]
    good = 200 if seconds else 401
    assert (await api.http.get(news, headers=key(first))).status_code == good
    assert (await api.http.get(news, headers=key(second))).status_code == 200
    api.now += 1000 * seconds - 1
    assert (await api.http.get(news, headers=key(first))).status_code == good
    api.now += 1
    assert (await api.http.get(news, headers=key(first))).status_code == 401
    assert (await api.http.get(news, headers=key(second))).status_code == 200


async def test_a_grace_is_of_what_was_rotated_and_ends_with_a_rotation_without_one(
    api: Api, news: str
) -> None:
    secret = api.secrets["news"]
    both = {"server_key": True, "device_secret": True, "grace_seconds": 60}
    assert (await api.http.post(f"{news}/keys:rotate", json=both)).status_code == 200
    assert (await api.http.post(f"{news}/keys:rotate", json={})).status_code == 200
    stored = await api.saver.apps.find("news")
    assert stored is not None
    assert stored.access.former_server_key is None
    assert stored.access.former_device_secret == FormerSecret(secret, api.now + 60_000)
    assert stored.device_secrets(api.now) == (stored.device_secret, secret)


@pytest.mark.parametrize("seconds", [-1, 2_592_001, "60", 1.5])
async def test_a_grace_that_cannot_be_is_refused(api: Api, news: str, seconds: object) -> None:
    answer = await api.http.post(f"{news}/keys:rotate", json={"grace_seconds": seconds})
    assert answer.status_code == 422


async def test_an_app_says_whether_its_connections_end_with_their_tokens(api: Api, news: str) -> None:
    answer = await api.http.patch(news, json={"end_at_expiry": True})
    assert answer.json()["end_at_expiry"] is True
    assert (await api.http.patch(news, json={"name": "News"})).json()["end_at_expiry"] is True
    assert (await api.http.patch(news, json={"end_at_expiry": False})).json()["end_at_expiry"] is False


class Rival:
    """Another center, which changes the app whenever this one is about to write it."""

    def __init__(self, api: Api, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self._left = times
        self._house = api
        self._update = api.saver.apps.update
        monkeypatch.setattr(api.saver.apps, "update", self.update)

    async def update(self, app: App, before: App) -> bool:
        if self._left:
            self._left -= 1
            current = await self._house.saver.apps.find(app.app)
            assert current is not None
            theirs = msgspec.structs.replace(current, name=f"theirs {self._left}")
            assert await self._update(theirs, current)
        return await self._update(app, before)


async def test_a_change_made_elsewhere_at_the_same_moment_is_kept(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Rival(api, monkeypatch, times=2)
    answer = await api.http.patch(news, json={"pubsub": True})
    assert (answer.json()["name"], answer.json()["pubsub"]) == ("theirs 0", True)
    Rival(api, monkeypatch, times=1)
    rotated = await api.http.post(f"{news}/keys:rotate", json={"device_secret": True})
    stored = await api.saver.apps.find("news")
    assert stored is not None
    assert (stored.name, stored.pubsub) == ("theirs 0", True)
    assert stored.device_secret == rotated.json()["device_secret"]
    mine = key(rotated.json()["server_key"])
    assert (await api.http.get(news, headers=mine)).status_code == 200


async def test_who_is_too_late_again_and_again_is_told_so(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Rival(api, monkeypatch, times=100)
    for request in (
        api.http.patch(news, json={"pubsub": True}),
        api.http.post(f"{news}/keys:rotate"),
    ):
        answer = await request
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    stored = await api.saver.apps.find("news")
    assert stored is not None
    assert not stored.pubsub
    assert (await api.http.get(news, headers=key(api.keys["news"]))).status_code == 200


async def test_a_change_whose_answer_was_lost_is_done_once(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that was asked again after a broken connection finds what it wrote itself, and says no."""
    update = api.saver.apps.update

    async def twice(app: App, before: App) -> bool:
        assert await update(app, before)
        return await update(app, before)

    monkeypatch.setattr(api.saver.apps, "update", twice)
    answer = await api.http.post(f"{news}/keys:rotate")
    assert answer.status_code == 200
    new = key(answer.json()["server_key"])
    assert (await api.http.get(news, headers=new)).status_code == 200


async def test_rotating_nothing_is_a_mistake(api: Api, news: str) -> None:
    answer = await api.http.post(f"{news}/keys:rotate", json={"server_key": False})
    assert answer.status_code == 422


async def test_a_deleted_app_is_gone_with_its_key_and_connections(api: Api, news: str) -> None:
    assert (await api.http.delete(news)).status_code == 204
    assert await api.commands() == [AppChanged(1, "news", CloseReason.APP_DELETED)]
    assert (await api.http.get(news)).json()["error"]["code"] == "app_not_found"
    assert (await api.http.get(news, headers=key(api.keys["news"]))).status_code == 401
    assert (await api.http.delete(news)).status_code == 404
    await api.app("news")
    assert (await api.http.get(news)).status_code == 200


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Basic abc",
        f"bearer{ADMIN}",
        "Bearer wrong",
        "Bearer llk_",
        "Bearer llk_ghost.x",
        "Bearer llk_news.wrong",
        "Bearer " + "k" * 513,
    ],
)
async def test_a_caller_without_a_good_key_learns_nothing(api: Api, news: str, header: str | None) -> None:
    """Not even whether an app exists."""
    del api.http.headers["Authorization"]
    headers = {} if header is None else {"Authorization": header}
    for path in (news, "/v1/apps/ghost", "/v1/apps", "/v1/nodes"):
        answer = await api.http.get(path, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("name", ["ghost", "No-Name"])
async def test_a_key_of_an_app_that_is_not_there_costs_one_read_at_most(
    api: Api, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whoever makes names up is not to keep the store busy."""
    asked: list[str] = []
    find = api.saver.apps.find

    async def counted(name: str) -> App | None:
        asked.append(name)
        return await find(name)

    monkeypatch.setattr(api.saver.apps, "find", counted)
    assert (await api.http.get("/v1/apps", headers=key(f"llk_{name}.x"))).status_code == 401
    assert asked == ["ghost"] * (name == "ghost")


async def test_a_server_key_reaches_its_app_and_nothing_else(api: Api, news: str) -> None:
    sport = await api.app("sport")
    mine = key(api.keys["news"])
    assert (await api.http.get(news, headers=mine)).status_code == 200
    forbidden = [("GET", sport), ("GET", "/v1/apps/ghost"), ("GET", "/v1/apps"), ("GET", "/v1/nodes")]
    for method, path in [*forbidden, ("POST", "/v1/apps"), ("DELETE", news)]:
        answer = await api.http.request(method, path, headers=mine)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


async def test_the_admin_key_learns_that_an_app_does_not_exist(api: Api) -> None:
    for path in ("/v1/apps/ghost", "/v1/apps/NoName", "/v1/apps/ghost/devices/d1"):
        answer = await api.http.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "app_not_found")


async def test_an_app_is_read_from_the_store_once_in_a_while(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request costs no read; what another process changed is seen when the memory is too old."""
    clock = 100.0
    apps = api.center.apps
    monkeypatch.setattr(apps, "_clock", lambda: clock)
    apps.forget("news")
    first = await apps.find("news")
    assert await apps.find("news") is first
    clock += 5.0
    assert await apps.find("news") is not first


async def test_what_was_read_before_a_change_does_not_outlive_it(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    apps = api.center.apps
    apps.forget("news")
    read = api.saver.apps.find

    async def read_then_change(name: str) -> object:
        app = await read(name)
        apps.forget(name)
        return app

    monkeypatch.setattr(api.saver.apps, "find", read_then_change)
    old = await apps.find("news")
    monkeypatch.undo()
    assert await apps.find("news") is not old


async def test_an_answer_with_keys_is_not_lost_because_a_node_cannot_be_told(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise Unavailable("the queues cannot be reached")

    for method in ("nodes", "send"):
        with monkeypatch.context() as patch:
            patch.setattr(api.bus, method, broken)
            made = await api.http.post("/v1/apps", json={"app": f"made-{method}"})
            rotated = await api.http.post(f"{news}/keys:rotate")
            deleted = await api.http.delete(f"/v1/apps/made-{method}")
        assert (made.status_code, rotated.status_code, deleted.status_code) == (201, 200, 204)
        new = key(rotated.json()["server_key"])
        assert (await api.http.get(news, headers=new)).status_code == 200


def signed(token: str) -> object:
    """Whom a token is for; raises unless it is by `SECRET`."""
    return jwt.decode(token, SECRET, ["HS256"], options={"verify_iat": False})["sub"]


async def changed_elsewhere(api: Api, change: Callable[[App], App]) -> None:
    """Changes the app news through another center, when this one has just looked at it."""
    (await api.http.get("/v1/apps/news/devices")).raise_for_status()
    stored = await api.saver.apps.find("news")
    assert stored is not None
    assert await api.saver.apps.update(change(stored), stored)


async def test_what_another_center_has_changed_of_an_app_is_shown_at_once(api: Api, news: str) -> None:
    """Whoever has had its answer and reads, wherever it may be, sees what he has written."""

    def change(app: App) -> App:
        access = msgspec.structs.replace(app.access, rules=(AclRule("both", "a/#"),), tokens=ISSUER)
        limits = msgspec.structs.replace(app.limits, devices=7)
        return msgspec.structs.replace(app, name="The News", access=access, limits=limits)

    await changed_elsewhere(api, change)
    answers = [await api.http.get(f"{news}{part}") for part in ("", "/acl", "/limits", "/tokens")]
    shown, rules, limits, issuer = (answer.json() for answer in answers)
    assert shown["name"] == "The News"
    assert rules == {"rules": [{"allow": "both", "filter": "a/#"}]}
    assert limits["devices"] == 7
    assert issuer["issuer"] == ISSUER.issuer


async def test_an_identity_provider_that_another_center_took_in_can_be_taken_away(
    api: Api, news: str
) -> None:
    def change(app: App) -> App:
        return msgspec.structs.replace(app, access=msgspec.structs.replace(app.access, tokens=ISSUER))

    await changed_elsewhere(api, change)
    assert (await api.http.delete(f"{news}/tokens")).status_code == 204


async def test_a_token_is_by_the_secret_in_force_though_another_center_has_just_replaced_it(
    api: Api, news: str
) -> None:
    """Else its device would be refused, and most clients do not try again then."""
    await changed_elsewhere(api, lambda app: msgspec.structs.replace(app, device_secret=SECRET))
    made = (await api.http.post(f"{news}/devices/d1/token")).json()
    assert signed(made["password"]) == "d1"


async def test_a_token_is_for_the_app_of_this_name_that_is_there_now(api: Api, news: str) -> None:
    (await api.http.get(f"{news}/devices")).raise_for_status()
    before = await api.saver.apps.find("news")
    assert before is not None
    await api.saver.apps.delete(before.number)
    await api.saver.apps.create(msgspec.structs.replace(before, device_secret=SECRET))
    made = (await api.http.post(f"{news}/devices/d1/token")).json()
    assert signed(made["password"]) == "d1"
