"""Settings that change at run time: written once, seen by all, and taken back."""

import asyncio

import msgspec
import pytest

from longline.errors import Conflict, Unavailable
from longline.keeper.port import Node
from longline.model.devices import JsonObject
from longline.settings import Settings
from longline.settings.dynamic import DYNAMIC, KEY, Document, decode, effective
from tests.unit.center.conftest import START, Api


async def member(api: Api, name: str, host: str = "", settings_version: int = 0) -> None:
    await api.keeper.join(
        Node(
            node=name,
            roles=("room",),
            addresses={},
            since=START,
            version="1",
            host=host,
            settings_version=settings_version,
        )
    )


async def put(api: Api, name: str, value: object, **more: object) -> JsonObject:
    answer = await api.http.put(f"/v1/config/{name}", json={"value": value, **more})
    assert answer.status_code == 200, answer.text
    body: JsonObject = answer.json()
    return body


async def kept(api: Api) -> Document:
    value = await api.keeper.read(KEY)
    return decode(None if value is None else value.value)


async def test_at_first_nothing_is_set_and_all_that_can_be_is_told(api: Api) -> None:
    shown = (await api.http.get("/v1/config")).json()
    available = shown.pop("available")
    assert [each["name"] for each in available] == list(DYNAMIC)
    (linger,) = [each for each in available if each["name"] == "room.linger"]
    one = (await api.http.get("/v1/config/room.linger")).json()
    assert linger == {name: one[name] for name in ("name", "default", "type", "meaning")}
    assert shown == {
        "version": 0,
        "at": None,
        "settings": {},
        "gray": None,
        "history": [],
        "nodes": [],
    }


async def test_a_change_is_kept_and_shown_with_what_was_before_and_who_has_it(api: Api) -> None:
    await member(api, "n1", settings_version=1)
    await put(api, "room.linger", 20)
    api.now += 1000
    body = await put(api, "room.ack_delay", 2)
    assert body == (await api.http.get("/v1/config")).json()
    assert body["settings"] == {"room.linger": 20, "room.ack_delay": 2}
    assert (body["version"], body["at"]) == (2, "2027-01-15T08:00:01.000Z")
    assert body["history"] == [
        {"version": 1, "at": "2027-01-15T08:00:00.000Z", "settings": {"room.linger": 20}, "gray": None},
        {"version": 0, "at": None, "settings": {}, "gray": None},
    ]
    assert body["nodes"] == [{"node": "n1", "settings_version": 1}]
    assert effective(Settings(), await kept(api), "n1").room.linger == 20.0


async def test_one_setting_is_shown_with_its_meaning(api: Api) -> None:
    before = (await api.http.get("/v1/config/room.linger")).json()
    assert (before["value"], before["gray"], before["default"], before["version"]) == (None, None, 10, 0)
    assert (before["name"], before["type"]) == ("room.linger", "number from 0 to 3,600 s")
    assert "connection broke" in before["meaning"]
    await put(api, "room.linger", 20)
    await member(api, "n1")
    await put(api, "room.linger", 30, nodes=["n1"])
    after = (await api.http.get("/v1/config/room.linger")).json()
    assert (after["value"], after["gray"], after["version"]) == (20, 30, 2)


async def test_a_trial_on_some_nodes_is_promoted_or_taken_back(api: Api) -> None:
    await member(api, "n1")
    await member(api, "n2", host="host-2")
    body = await put(api, "room.linger", 20, nodes=["n1", "host-2", "n1"])
    assert (body["settings"], body["gray"]) == (
        {},
        {"nodes": ["n1", "host-2"], "settings": {"room.linger": 20}},
    )
    refused = await api.http.put("/v1/config/room.linger", json={"value": 1, "nodes": ["n2"]})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "conflict")
    back = (await api.http.post("/v1/config:rollback")).json()
    assert (back["settings"], back["gray"]) == ({}, None)
    await put(api, "room.linger", 20, nodes=["n1"])
    promoted = (await api.http.post("/v1/config:promote")).json()
    assert (promoted["settings"], promoted["gray"]) == ({"room.linger": 20}, None)
    nothing = await api.http.post("/v1/config:promote")
    assert (nothing.status_code, nothing.json()["error"]["code"]) == (409, "conflict")


async def test_a_setting_is_removed_or_goes_back(api: Api) -> None:
    for value in (20, 30):
        await put(api, "room.linger", value)
    await put(api, "room.ack_delay", 1)
    back = (await api.http.post("/v1/config/room.linger:rollback")).json()
    assert back["settings"] == {"room.linger": 20, "room.ack_delay": 1}
    removed = (await api.http.delete("/v1/config/room.linger")).json()
    assert removed["settings"] == {"room.ack_delay": 1}
    nothing = await api.http.post("/v1/config/center.max_requests:rollback")
    assert nothing.json()["error"]["code"] == "conflict"


@pytest.mark.parametrize(
    ("name", "body", "status", "code", "field"),
    [
        ("room.linger", {"value": -1}, 422, "invalid", "value"),
        ("room.linger", {"value": "20"}, 422, "invalid", "value"),
        ("room.linger", {}, 422, "invalid", "value"),
        ("room.linger", {"value": 1, "nodes": []}, 422, "invalid", "nodes"),
        ("room.linger", {"value": 1, "nodes": ["n1", "ghost"]}, 422, "invalid", "nodes.1"),
        ("room.linger", {"value": 1, "version": "1"}, 422, "invalid", "version"),
        ("room.port", {"value": 1}, 422, "invalid", "room.port"),
        ("room.nothing", {"value": 1}, 404, "setting_not_found", None),
    ],
)
async def test_a_change_that_cannot_be_is_refused_with_its_reason(
    api: Api, name: str, body: JsonObject, status: int, code: str, field: str | None
) -> None:
    await member(api, "n1")
    answer = await api.http.put(f"/v1/config/{name}", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert [detail["field"] for detail in error["details"]] == ([] if field is None else [field])
    assert await kept(api) == Document()


async def test_a_setting_that_is_not_dynamic_cannot_be_looked_at_or_taken_back(api: Api) -> None:
    for name, status in (("room.port", 422), ("room.nothing", 404)):
        for method, tail in (("GET", ""), ("DELETE", ""), ("POST", ":rollback")):
            assert (await api.http.request(method, f"/v1/config/{name}{tail}")).status_code == status


async def test_a_change_from_an_old_version_is_refused(api: Api) -> None:
    await put(api, "room.linger", 20, version=0)
    answer = await api.http.put("/v1/config/room.linger", json={"value": 30, "version": 0})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    await put(api, "room.linger", 30, version=1)


async def test_changes_at_the_same_moment_are_all_kept(api: Api) -> None:
    names = ["room.linger", "room.ack_delay", "room.connect_rate", "dispatcher.endpoints"]
    await asyncio.gather(*(put(api, name, 3) for name in names))
    document = await kept(api)
    assert (document.version, document.settings) == (4, dict.fromkeys(names, 3))


async def test_a_keeper_that_always_knows_better_ends_in_a_conflict(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def write(key: str, value: bytes | None, version: int | None = None) -> int:
        raise Conflict

    monkeypatch.setattr(api.keeper, "write", write)
    monkeypatch.setattr("longline.center.operators.config.NEWS", 0.0)
    answer = await api.http.put("/v1/config/room.linger", json={"value": 1})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")


async def test_without_its_keeper_the_cluster_changes_nothing(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def write(key: str, value: bytes | None, version: int | None = None) -> int:
        raise Unavailable("the keeper is gone")

    await put(api, "room.linger", 20)
    monkeypatch.setattr(api.keeper, "write", write)
    answer = await api.http.put("/v1/config/room.linger", json={"value": 1})
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert (await api.http.get("/v1/config")).json()["settings"] == {"room.linger": 20}


async def test_what_cannot_be_read_is_said_and_not_overwritten(api: Api) -> None:
    await api.keeper.write(KEY, b"{")
    for method, path in (("GET", "/v1/config"), ("POST", "/v1/config:rollback")):
        answer = await api.http.request(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    value = await api.keeper.read(KEY)
    assert value is not None
    assert value.value == b"{"


async def test_only_the_admin_key_changes_settings(api: Api, news: str) -> None:
    mine = {"Authorization": f"Bearer {api.keys['news']}"}
    for method, path in (
        ("GET", "/v1/config"),
        ("GET", "/v1/config/room.linger"),
        ("PUT", "/v1/config/room.linger"),
        ("POST", "/v1/config:promote"),
    ):
        answer = await api.http.request(method, path, headers=mine, content=msgspec.json.encode({"value": 1}))
        assert answer.status_code == 403
