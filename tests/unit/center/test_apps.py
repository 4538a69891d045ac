import msgspec
import pytest

from longline.center.auth import digest
from longline.model.apps import App
from longline.model.commands import AppChanged, Why
from tests.unit.center.conftest import ADMIN, House


def key(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


async def test_an_app_is_made_with_a_key_and_a_secret(house: House) -> None:
    answer = await house.http.post("/v1/apps", json={"app": "news", "name": "The News", "pubsub": True})
    assert answer.status_code == 201
    made = answer.json()
    assert sorted(made) == ["app", "device_secret", "server_key"]
    shown = (await house.http.get("/v1/apps/news", headers=key(made["server_key"]))).json()
    assert shown == {
        "app": "news",
        "name": "The News",
        "pubsub": True,
        "created_at": "2027-01-15T08:00:00.000Z",
    }


async def test_no_secret_looks_like_an_option_of_a_command(house: House, news: str) -> None:
    assert house.secrets["news"].startswith("lls_")
    assert house.keys["news"].startswith("llk_")


async def test_only_the_hash_of_a_server_key_is_kept(house: House, news: str) -> None:
    app = await house.saver.apps.find("news")
    assert app is not None
    assert app.server_key_hash == digest(house.keys["news"])


async def test_a_name_is_taken_once(house: House, news: str) -> None:
    answer = await house.http.post("/v1/apps", json={"app": "news"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "app_exists")


@pytest.mark.parametrize("name", ["", "News", "-news", "_news", "a" * 65, "a/b", "a.b", "новости", "news\n"])
async def test_a_bad_name_is_refused(house: House, name: str) -> None:
    answer = await house.http.post("/v1/apps", json={"app": name})
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["field"] == "app"


async def test_apps_are_listed_by_name_a_page_at_a_time(house: House) -> None:
    for name in ("c", "a", "b"):
        await house.app(name)
    first = (await house.http.get("/v1/apps", params={"limit": 2})).json()
    assert [app["app"] for app in first["apps"]] == ["a", "b"]
    rest = (await house.http.get("/v1/apps", params={"cursor": first["next_cursor"]})).json()
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
async def test_a_page_that_cannot_be_is_refused(house: House, query: str, status: int) -> None:
    assert (await house.http.get(f"/v1/apps?{query}")).status_code == status


async def test_a_change_reaches_every_node_and_the_next_request(house: House, news: str) -> None:
    answer = await house.http.patch(news, json={"pubsub": True})
    assert (answer.status_code, answer.json()["pubsub"], answer.json()["name"]) == (200, True, "news")
    assert await house.commands() == [AppChanged(1, "news", None)]
    assert (await house.http.get(news)).json()["pubsub"] is True


async def test_a_rotated_server_key_works_and_the_old_one_does_not(house: House, news: str) -> None:
    old = house.keys["news"]
    answer = await house.http.post(f"{news}/keys:rotate", headers=key(old))
    new = answer.json()
    assert answer.status_code == 200
    assert new["device_secret"] == house.secrets["news"]
    assert (await house.http.get(news, headers=key(old))).status_code == 401
    assert (await house.http.get(news, headers=key(new["server_key"]))).status_code == 200
    assert await house.commands() == [AppChanged(1, "news", None)]


async def test_a_rotated_device_secret_leaves_the_server_key(house: House, news: str) -> None:
    answer = await house.http.post(f"{news}/keys:rotate", json={"server_key": False, "device_secret": True})
    assert answer.json()["server_key"] is None
    assert answer.json()["device_secret"] != house.secrets["news"]
    assert (await house.http.get(news, headers=key(house.keys["news"]))).status_code == 200


class Rival:
    """Another center, which changes the app whenever this one is about to write it."""

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch, times: int) -> None:
        self._left = times
        self._house = house
        self._update = house.saver.apps.update
        monkeypatch.setattr(house.saver.apps, "update", self.update_app)

    async def update_app(self, app: App, before: App) -> bool:
        if self._left:
            self._left -= 1
            current = await self._house.saver.apps.find(app.app)
            assert current is not None
            theirs = msgspec.structs.replace(current, name=f"theirs {self._left}")
            assert await self._update(theirs, current)
        return await self._update(app, before)


async def test_a_change_made_elsewhere_at_the_same_moment_is_kept(
    house: House, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Rival(house, monkeypatch, times=2)
    answer = await house.http.patch(news, json={"pubsub": True})
    assert (answer.json()["name"], answer.json()["pubsub"]) == ("theirs 0", True)
    Rival(house, monkeypatch, times=1)
    rotated = await house.http.post(f"{news}/keys:rotate", json={"device_secret": True})
    stored = await house.saver.apps.find("news")
    assert stored is not None
    assert (stored.name, stored.pubsub) == ("theirs 0", True)
    assert stored.device_secret == rotated.json()["device_secret"]
    mine = key(rotated.json()["server_key"])
    assert (await house.http.get(news, headers=mine)).status_code == 200


async def test_who_is_too_late_again_and_again_is_told_so(
    house: House, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Rival(house, monkeypatch, times=100)
    for request in (
        house.http.patch(news, json={"pubsub": True}),
        house.http.post(f"{news}/keys:rotate"),
    ):
        answer = await request
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    stored = await house.saver.apps.find("news")
    assert stored is not None
    assert not stored.pubsub
    assert (await house.http.get(news, headers=key(house.keys["news"]))).status_code == 200


async def test_a_change_whose_answer_was_lost_is_done_once(
    house: House, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that was asked again after a broken connection finds what it wrote itself, and says no."""
    update = house.saver.apps.update

    async def twice(app: App, before: App) -> bool:
        assert await update(app, before)
        return await update(app, before)

    monkeypatch.setattr(house.saver.apps, "update", twice)
    answer = await house.http.post(f"{news}/keys:rotate")
    assert answer.status_code == 200
    new = key(answer.json()["server_key"])
    assert (await house.http.get(news, headers=new)).status_code == 200


async def test_rotating_nothing_is_a_mistake(house: House, news: str) -> None:
    answer = await house.http.post(f"{news}/keys:rotate", json={"server_key": False})
    assert answer.status_code == 422


async def test_a_deleted_app_is_gone_with_its_key_and_connections(house: House, news: str) -> None:
    assert (await house.http.delete(news)).status_code == 204
    assert await house.commands() == [AppChanged(1, "news", Why.APP_DELETED)]
    assert (await house.http.get(news)).json()["error"]["code"] == "app_not_found"
    assert (await house.http.get(news, headers=key(house.keys["news"]))).status_code == 401
    assert (await house.http.delete(news)).status_code == 404
    await house.app("news")
    assert (await house.http.get(news)).status_code == 200


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
async def test_a_caller_without_a_good_key_learns_nothing(
    house: House, news: str, header: str | None
) -> None:
    """Not even whether an app exists."""
    del house.http.headers["Authorization"]
    headers = {} if header is None else {"Authorization": header}
    for path in (news, "/v1/apps/ghost", "/v1/apps", "/v1/nodes"):
        answer = await house.http.get(path, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthorized")
        assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_server_key_reaches_its_app_and_nothing_else(house: House, news: str) -> None:
    sport = await house.app("sport")
    mine = key(house.keys["news"])
    assert (await house.http.get(news, headers=mine)).status_code == 200
    forbidden = [("GET", sport), ("GET", "/v1/apps/ghost"), ("GET", "/v1/apps"), ("GET", "/v1/nodes")]
    for method, path in [*forbidden, ("POST", "/v1/apps"), ("DELETE", news)]:
        answer = await house.http.request(method, path, headers=mine)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


async def test_the_admin_key_learns_that_an_app_does_not_exist(house: House) -> None:
    for path in ("/v1/apps/ghost", "/v1/apps/NoName", "/v1/apps/ghost/devices/d1"):
        answer = await house.http.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "app_not_found")


async def test_an_app_is_read_from_the_store_once_in_a_while(
    house: House, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request costs no read; what another process changed is seen when the memory is too old."""
    clock = 100.0
    apps = house.center.apps
    monkeypatch.setattr(apps, "_monotonic", lambda: clock)
    apps.forget("news")
    first = await apps.find("news")
    assert await apps.find("news") is first
    clock += 5.0
    assert await apps.find("news") is not first


async def test_what_was_read_before_a_change_does_not_outlive_it(
    house: House, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    apps = house.center.apps
    apps.forget("news")
    read = house.saver.apps.find

    async def read_then_change(name: str) -> object:
        app = await read(name)
        apps.forget(name)
        return app

    monkeypatch.setattr(house.saver.apps, "find", read_then_change)
    old = await apps.find("news")
    monkeypatch.undo()
    assert await apps.find("news") is not old
