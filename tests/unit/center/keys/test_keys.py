"""Named keys: made, shown once, bounded by who makes them, and worth nothing when they are over."""

import asyncio
import re
import time

import httpx
import msgspec
import pytest

from longline.center import service
from longline.center.gate import named_keys
from longline.center.gate.auth import digest
from longline.center.gate.named_keys import id_in, new_key_text
from longline.delivery.ids import MessageIds
from longline.settings import CenterSettings
from tests.unit.center.conftest import START, Api
from tests.unit.center.gate.test_scopes import named_key
from tests.waiting import until

HOUR = 3_600_000
LATER = "2027-01-15T09:00:00.000Z"  # an hour after the start


async def make(
    api: Api, *scopes: str, key: str | None = None, path: str = "/v1/apps/news/keys", **more: object
) -> httpx.Response:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    body = {"name": "billing", "scopes": list(scopes), **more}
    return await api.http.post(path, json=body, headers=headers)


async def get(api: Api, path: str, key: str) -> httpx.Response:
    return await api.http.get(path, headers={"Authorization": f"Bearer {key}"})


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_a_key_is_shown_once(api: Api, news: str) -> None:
    """Of its text the server keeps a hash."""
    made = (await make(api, "read", "send", "read")).json()
    assert re.fullmatch(r"lln_[0-9a-f]{32}_[\w-]{43}", made["key"])
    assert id_in(made["key"]) == made["key_id"]
    assert made["scopes"] == ["send", "read"]
    assert (made["created_by"], made["expires_at"]) == ("admin", None)
    listed = (await api.http.get(f"{news}/keys")).json()
    shown = {k: v for k, v in made.items() if k != "key"} | {"last_used_at": None}
    assert listed == {"keys": [shown], "next_cursor": None}
    (await get(api, news, made["key"])).raise_for_status()
    stored = await api.saver.keys.find(made["key_id"])
    assert stored is not None
    assert made["key"].rpartition("_")[2] not in f"{stored} {stored.hash!r}"


async def test_keys_are_listed_page_by_page(api: Api, news: str) -> None:
    made = [(await make(api, "read")).json()["key_id"] for _ in range(3)]
    first = (await api.http.get(f"{news}/keys?limit=2")).json()
    rest = (await api.http.get(f"{news}/keys?cursor={first['next_cursor']}")).json()
    assert [key["key_id"] for key in first["keys"] + rest["keys"]] == made
    assert rest["next_cursor"] is None


async def test_a_deleted_key_opens_nothing_any_more(api: Api, news: str) -> None:
    made = (await make(api, "read", "manage")).json()
    (await get(api, news, made["key"])).raise_for_status()
    other = f"/v1/keys/{made['key_id']}"
    assert code(await api.http.delete(other)) == (404, "key_not_found")
    assert (await api.http.delete(f"{news}/keys/{made['key_id']}")).status_code == 204
    assert code(await get(api, news, made["key"])) == (401, "unauthorized")
    assert code(await api.http.delete(f"{news}/keys/{made['key_id']}")) == (404, "key_not_found")


async def test_a_key_deleted_through_another_process_opens_nothing_after_a_while(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = (await make(api, "read")).json()
    (await get(api, news, made["key"])).raise_for_status()
    assert await api.saver.keys.delete(1, made["key_id"])
    assert named_keys.KNOWN_FOR < 1.0  # what is promised
    now = time.monotonic()
    monkeypatch.setattr(api.center.named_keys, "_clock", lambda: now + named_keys.KNOWN_FOR)
    assert (await get(api, news, made["key"])).status_code == 401


async def test_a_server_key_replaced_through_another_process_opens_nothing_after_a_while(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = api.keys["news"]
    (await get(api, f"{news}/devices", key)).raise_for_status()
    stored = await api.saver.apps.find("news")
    assert stored is not None
    changed = msgspec.structs.replace(stored, server_key_hash=digest("another"))
    assert await api.saver.apps.update(changed, stored)
    assert service.APPS_KNOWN_FOR < 1.0  # what is promised
    now = time.monotonic()
    monkeypatch.setattr(api.center.apps, "_clock", lambda: now + service.APPS_KNOWN_FOR)
    assert (await get(api, f"{news}/devices", key)).status_code == 401


async def test_what_was_good_a_while_ago_has_its_share_and_opens_nothing_before_it_was_looked_up(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = (await make(api, "read")).json()
    for key in (made["key"], api.keys["news"]):
        (await get(api, news, key)).raise_for_status()
    later = time.monotonic() + 10
    monkeypatch.setattr(api.center.named_keys, "_clock", lambda: later)
    monkeypatch.setattr(api.center.apps, "_clock", lambda: later)
    for key in (made["key"], api.keys["news"]):
        holder = api.center.keys.recognised(f"Bearer {key}")
        assert holder is not None
        assert holder.who == "app news"
        assert holder.key is None
    assert api.center.keys.recognised(f"Bearer {made['key'][:-1]}x") is None


async def test_a_key_says_when_it_was_used_last(api: Api, news: str) -> None:
    """To the minute, without a write for each request."""
    made = (await make(api, "read")).json()

    async def last_used() -> object:
        await api.center.named_keys.close()
        (listed,) = (await api.http.get(f"{news}/keys")).json()["keys"]
        return listed["last_used_at"]

    assert await last_used() is None
    for passed, seen in ((0, "08:00:00"), (59_999, "08:00:00"), (60_000, "08:01:00")):
        api.now = START + passed
        (await get(api, news, made["key"])).raise_for_status()
        assert await last_used() == f"2027-01-15T{seen}.000Z"
    assert (await get(api, f"{news}/keys", made["key"])).status_code == 403
    assert (await get(api, news, made["key"][:-1] + "x")).status_code == 401
    assert await last_used() == "2027-01-15T08:01:00.000Z"


async def test_a_key_ends_at_its_time(api: Api, news: str) -> None:
    key = (await make(api, "read", expires_at=LATER)).json()["key"]
    api.now = START + HOUR - 1
    assert (await get(api, news, key)).status_code == 200
    api.now = START + HOUR
    assert code(await get(api, news, key)) == (401, "unauthorized")


async def test_a_key_that_is_known_costs_no_look_at_the_store(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = (await make(api, "read")).json()["key"]
    devices = f"{news}/devices"
    (await get(api, devices, key)).raise_for_status()
    monkeypatch.setattr(api.saver.keys, "find", None)
    with monkeypatch.context() as patch:
        patch.setattr(api.saver.apps, "find", None)
        for _ in range(3):
            (await get(api, devices, key)).raise_for_status()
        wrong = key[:-4] + ("AAAA" if key[-4:] != "AAAA" else "BBBB")
        assert (await get(api, devices, wrong)).status_code == 401
    (await get(api, news, key)).raise_for_status()  # what is shown of the app is read, and nothing of the key


async def test_keys_that_are_made_up_cost_few_looks_at_the_store(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    find, looks = api.saver.keys.find, 0

    async def counted(id: str) -> object:
        nonlocal looks
        looks += 1
        return await find(id)

    monkeypatch.setattr(api.saver.keys, "find", counted)
    now = time.monotonic()  # which stands still, so that a busy machine is given no more of them
    monkeypatch.setattr(api.center.keys, "_clock", lambda: now)
    one = new_key_text(MessageIds().make(START))
    answers = await asyncio.gather(*(get(api, news, one) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {401}
    assert looks == 1
    ids = MessageIds()
    others = [new_key_text(ids.make(START)) for _ in range(100)]
    answers = [await get(api, news, key) for key in others]
    assert {answer.status_code for answer in answers} == {401, 429}
    assert looks < 60
    for text in ("lln_", f"lln_{'0' * 32}_short", one + "x", one.upper()):
        assert (await get(api, news, text)).status_code == 401


async def test_nobody_makes_a_key_that_may_do_more_than_his_own(api: Api, news: str) -> None:
    manage = await named_key(api, "manage", app="news")
    assert code(await make(api, "manage", "send", key=manage)) == (403, "missing_scope_send")
    made = await make(api, "manage", key=manage)
    assert made.status_code == 201
    assert made.json()["created_by"] == id_in(manage)
    operate = await named_key(api, "operate")
    assert code(await make(api, "operate", "read", key=operate, path="/v1/keys")) == (
        403,
        "missing_scope_read",
    )
    assert (await make(api, "operate", key=operate, path="/v1/keys")).status_code == 201
    rotate = {"Authorization": f"Bearer {manage}"}
    assert code(await api.http.post(f"{news}/keys:rotate", headers=rotate)) == (403, "missing_scope_send")


async def test_no_key_of_an_app_operates(api: Api, news: str) -> None:
    assert code(await make(api, "read", "operate")) == (422, "invalid")
    assert code(await make(api, "send", key=api.keys["news"], path="/v1/keys")) == (403, "forbidden")


async def test_nobody_makes_a_key_that_lives_longer_than_his_own(api: Api, news: str) -> None:
    """Else a key that leaked for an hour would be there for ever."""
    short = (await make(api, "manage", "send", "read", expires_at=LATER)).json()["key"]
    assert (await make(api, "send", key=short)).json()["expires_at"] == LATER
    too_long = "2027-01-15T09:00:00.001Z"
    assert code(await make(api, "send", key=short, expires_at=too_long)) == (403, "forbidden")
    headers = {"Authorization": f"Bearer {short}"}
    assert code(await api.http.post(f"{news}/keys:rotate", headers=headers)) == (403, "forbidden")
    secret = {"server_key": False, "device_secret": True}
    assert (await api.http.post(f"{news}/keys:rotate", headers=headers, json=secret)).status_code == 200


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["admin"]}, "scopes.0"),
        ({"name": "", "scopes": ["read"]}, "name"),
        ({"scopes": ["read"]}, "name"),
        ({"name": "x", "scopes": ["read"], "expires_at": "tomorrow"}, "expires_at"),
        ({"name": "x", "scopes": ["read"], "expires_at": "2027-01-15T08:00:00Z"}, "expires_at"),
        ({"name": "x", "scopes": ["read"], "key": "mine"}, "key"),
    ],
)
async def test_what_is_no_key_is_refused_and_the_field_named(
    api: Api, news: str, body: dict[str, object], field: str
) -> None:
    answer = await api.http.post(f"{news}/keys", json=body)
    assert code(answer) == (422, "invalid")
    assert answer.json()["error"]["details"][0]["field"] == field


class TestFew:
    @pytest.fixture
    def settings(self) -> CenterSettings:
        return CenterSettings(named_keys=2)

    async def test_an_app_has_only_so_many(self, api: Api, news: str) -> None:
        for _ in range(2):
            assert (await make(api, "read")).status_code == 201
        assert code(await make(api, "read")) == (429, "quota_exceeded")
        assert (await make(api, "read", path="/v1/keys")).status_code == 201


async def test_a_key_of_an_app_that_was_deleted_opens_no_later_one_of_its_name(api: Api, news: str) -> None:
    key = (await make(api, "read")).json()["key"]
    (await get(api, news, key)).raise_for_status()
    await api.http.delete(news)
    assert (await get(api, news, key)).status_code == 401
    await api.app("news")
    assert (await get(api, news, key)).status_code == 401
    new = (await make(api, "read")).json()["key"]
    assert (await get(api, news, new)).status_code == 200


async def test_the_key_of_an_app_made_anew_through_another_process_is_good_at_once(
    api: Api, news: str
) -> None:
    """Though this process still remembers the app before it."""
    (await api.http.get(news)).raise_for_status()
    before = await api.saver.apps.find("news")
    assert before is not None
    await api.saver.apps.delete(before.number)
    after = await api.saver.apps.create(before)
    made = await make(api, "read")  # answered for the app that is there now, or not at all
    if made.status_code != 201:
        made = await make(api, "read")
    stored = await api.saver.keys.find(made.json()["key_id"])
    assert stored is not None
    assert stored.number == after.number

    async def opens() -> bool:
        return (await get(api, news, made.json()["key"])).status_code == 200

    await until(opens)


async def test_the_admin_key_always_works(api: Api) -> None:
    """It is none of those that can be deleted."""
    operator = await named_key(api, "operate")
    headers = {"Authorization": f"Bearer {operator}"}
    for id in ("admin", id_in(operator)):
        await api.http.delete(f"/v1/keys/{id}", headers=headers)
    assert (await api.http.get("/v1/keys")).json() == {"keys": [], "next_cursor": None}
