"""Limits of an app, by the API: who gives them, and what is refused by them and how."""

import asyncio
from typing import Any

import pytest

from longline.model.commands import AppChanged
from longline.model.limits import BOUNDS, AppLimits, Limits
from tests.unit.center.conftest import Api
from tests.waiting import until

DEFAULTS = {name: getattr(Limits(), name) for name in BOUNDS}


@pytest.fixture
def mine(api: Api, news: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {api.keys['news']}"}


async def put(api: Api, path: str, **limits: int | None) -> dict[str, Any]:
    answer = await api.http.put(f"{path}/limits", json=limits)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def send(api: Api, path: str, count: int = 1, **headers: str) -> Any:
    messages = [{"audience": {"devices": ["d1"]}, "payload": "x"}] * count
    return await api.http.post(f"{path}/messages:batch", json={"messages": messages}, headers=headers)


# --- who gives them ---


async def test_an_app_has_the_defaults_until_it_has_limits_of_its_own(api: Api, news: str) -> None:
    answer = await api.http.get(f"{news}/limits")
    assert answer.json() == {**dict.fromkeys(BOUNDS), "in_force": DEFAULTS}
    found = await put(api, news, devices=5, inbox_messages=None)
    assert found == {**dict.fromkeys(BOUNDS), "devices": 5, "in_force": {**DEFAULTS, "devices": 5}}
    assert await api.commands() == [AppChanged(1, "news", None)]
    assert (await api.http.get(f"{news}/limits")).json() == found
    assert (await api.http.put(f"{news}/limits", json=found)).json() == found  # what GET says can be put
    assert (await put(api, news))["devices"] is None


def test_there_are_bounds_for_each_limit() -> None:
    assert tuple(BOUNDS) == AppLimits.__struct_fields__ == Limits.__struct_fields__


async def test_an_app_reads_its_limits_and_does_not_lift_them(
    api: Api, news: str, mine: dict[str, str]
) -> None:
    assert (await api.http.get(f"{news}/limits", headers=mine)).status_code == 200
    answer = await api.http.put(f"{news}/limits", json={}, headers=mine)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "missing_scope_operate")
    other = await api.app("other")
    assert (await api.http.get(f"{other}/limits", headers=mine)).status_code == 403
    assert (await api.http.get("/v1/apps/none/limits", headers=mine)).status_code == 403
    assert (await api.http.get("/v1/apps/none/limits")).status_code == 404


@pytest.mark.parametrize("name", sorted(BOUNDS))
async def test_a_limit_is_within_its_bounds(api: Api, news: str, name: str) -> None:
    low, high = BOUNDS[name]
    for value in (low, high):
        assert (await put(api, news, **{name: value}))["in_force"][name] == value
    for wrong in (low - 1, high + 1, 1.5, "1", True):
        answer = await api.http.put(f"{news}/limits", json={name: wrong})
        assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, name)


async def test_what_is_no_limit_is_refused(api: Api, news: str) -> None:
    answer = await api.http.put(f"{news}/limits", json={"colour": 1})
    assert (answer.status_code, answer.json()["error"]["details"][0]["field"]) == (422, "colour")


# --- messages a second ---


async def test_a_send_beyond_the_rate_is_refused_and_says_when_to_come_back(api: Api, news: str) -> None:
    await api.device(news, "d1")
    await put(api, news, messages_per_second=5)
    taken = await send(api, news, 5)
    assert taken.status_code == 202
    assert taken.headers["RateLimit-Policy"] == '"messages";q=5;w=1'
    assert taken.headers["RateLimit"] == '"messages";r=0;t=1'
    refused = await send(api, news, 20)
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "message_rate_exceeded"
    assert refused.headers["Retry-After"] == "1"
    assert refused.headers["RateLimit-Policy"] == '"messages";q=5;w=1'
    assert refused.headers["RateLimit"].startswith('"messages";r=')
    single = await api.http.post(f"{news}/messages", json={"audience": {"devices": ["d1"]}, "payload": "x"})
    assert single.status_code in (202, 429)


async def test_an_app_without_a_rate_is_told_of_none(api: Api, news: str) -> None:
    await api.device(news, "d1")
    answer = await send(api, news, 3)
    assert "RateLimit" not in answer.headers
    assert "RateLimit-Policy" not in answer.headers


async def test_a_repetition_costs_nothing(api: Api, news: str) -> None:
    await api.device(news, "d1")
    await put(api, news, messages_per_second=6)
    for _ in range(5):
        answer = await send(api, news, 3, **{"Idempotency-Key": "k"})
        assert answer.status_code == 202, answer.text


async def test_one_app_takes_nothing_from_another(api: Api, news: str) -> None:
    other = await api.app("other")
    await api.device(news, "d1")
    await api.device(other, "d1")
    for path in (news, other):
        await put(api, path, messages_per_second=3)
    assert (await send(api, news, 3)).status_code == 202
    assert (await send(api, news, 3)).status_code == 429
    assert (await send(api, other, 3)).status_code == 202


# --- devices ---


async def test_a_device_too_many_is_refused_and_those_that_are_there_are_not(api: Api, news: str) -> None:
    await put(api, news, devices=2)
    for name in ("a", "b"):
        await api.device(news, name)
    answer = await api.http.put(f"{news}/devices/c", json={})
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_devices")
    assert (await api.http.get(f"{news}/devices/c")).status_code == 404
    await api.device(news, "a", tags=["beta"])
    assert (await api.http.delete(f"{news}/devices/b")).status_code == 204
    await api.device(news, "c")


async def test_of_a_batch_those_are_registered_that_there_is_room_for(api: Api, news: str) -> None:
    await put(api, news, devices=3)
    await api.device(news, "a")
    body = {"devices": [{"device": name} for name in ("b", "a", "c", "d", "e", "d")]}
    results = (await api.http.post(f"{news}/devices:batch", json=body)).json()["results"]
    codes = [result["error"]["code"] if result.get("error") else result["device"] for result in results]
    assert codes == ["b", "a", "c", *["too_many_devices"] * 3]
    page = (await api.http.get(f"{news}/devices")).json()
    assert [device["device"] for device in page["devices"]] == ["a", "b", "c"]


# --- what is stored ---


async def test_an_inbox_holds_what_its_app_may_have(api: Api, news: str) -> None:
    await api.device(news, "d1")
    await put(api, news, inbox_messages=2)
    assert (await send(api, news, 5)).status_code == 202
    found = (await api.http.get(f"{news}/devices/d1")).json()
    assert found["pending"] == 2


async def test_an_app_has_as_many_schedules_and_waiting_messages_as_it_may(api: Api, news: str) -> None:
    await put(api, news, schedules=1, waiting_messages=1)
    schedule = {"message": {"audience": "all", "payload": "x"}, "cron": "0 9 * * *", "timezone": "UTC"}
    later = {"audience": "all", "payload": "x", "options": {"send_at": "2027-02-01T00:00:00Z"}}
    for path, body, taken in (("schedules", schedule, 201), ("messages", later, 202)):
        answers = [await api.http.post(f"{news}/{path}", json=body) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [taken, 429], answers[0].text
        assert answers[1].json()["error"]["code"] == "quota_exceeded"


async def test_a_request_too_many_is_refused(api: Api, news: str, mine: dict[str, str]) -> None:
    """Also while the one that is under way only waits."""
    await put(api, news, requests=1)
    waits = asyncio.create_task(api.http.get(f"{news}/upstream?wait=20", headers=mine))
    await until(lambda: bool(api.center.sharing.running))
    answer = await api.http.get(f"{news}/limits", headers=mine)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "too_many_requests")
    assert int(answer.headers["Retry-After"]) >= 1
    assert (await api.http.get(f"{news}/limits")).status_code == 200  # the admin's are no app's
    await put(api, news)
    assert (await api.http.get(f"{news}/limits", headers=mine)).status_code == 200
    await put(api, news, requests=1)
    api.ready = False
    await asyncio.wait_for(waits, 20)
    assert (await api.http.get(f"{news}/limits", headers=mine)).status_code == 200
