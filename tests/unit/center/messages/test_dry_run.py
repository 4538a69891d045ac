"""`POST …/messages?validate=true`: what a message would do, without doing it."""

import pytest

from longline.model.devices import JsonObject
from tests.unit.center.conftest import Api


@pytest.mark.parametrize(
    ("audience", "reach"),
    [
        ("all", {"targeted": 3, "online": 1}),
        ({"devices": ["d1", "d2", "ghost"]}, {"targeted": 3, "online": 1}),
        ({"aliases": ["mine", "nobodys"]}, {"targeted": 3, "online": 1}),
        ({"tag": ["sport"]}, {"targeted": 1, "online": 0}),
    ],
)
async def test_it_says_whom_a_message_would_reach_and_sends_none(
    api: Api, news: str, audience: object, reach: JsonObject
) -> None:
    await api.device(news, "d1", aliases=["mine"])
    await api.device(news, "d2", aliases=["mine"])
    await api.device(news, "d3", tags=["sport"])
    await api.connect("news", "d1")
    body: JsonObject = {"audience": audience, "payload": 1}
    checked = await api.http.post(f"{news}/messages?validate=true", json=body)
    assert (checked.status_code, checked.json()) == (200, reach)
    assert (await api.http.get(f"{news}/messages")).json()["messages"] == []
    assert api.bus.waiting("room-1") == 0
    sent = await api.http.post(f"{news}/messages?validate=false", json=body)
    assert (sent.status_code, sent.json()["targeted"]) == (202, reach["targeted"])


@pytest.mark.parametrize(
    "wrong",
    [
        {"audience": {"devices": ["ghost"]}, "payload": 1},
        {"audience": {"tag": ["nothing"]}, "payload": 1},
        {"audience": {"reply": "forged"}, "payload": 1},
        {"audience": "all", "payload": 1, "options": {"qos": 3}},
        {"audience": "all", "payload": 1, "options": {"send_at": "never"}},
        {"audience": "all", "payload": ""},
        {"audience": "all"},
    ],
)
async def test_what_would_be_refused_is_refused_the_same(api: Api, news: str, wrong: JsonObject) -> None:
    await api.device(news, "d1")
    checked = await api.http.post(f"{news}/messages?validate=true", json=wrong)
    sent = await api.http.post(f"{news}/messages", json=wrong)
    assert checked.status_code == sent.status_code >= 400
    assert checked.json() == sent.json()


async def test_one_for_later_may_be_for_nobody_yet(api: Api, news: str) -> None:
    body = {"audience": {"devices": ["d1"]}, "payload": 1, "options": {"send_at": "2126-01-01T09:00:00"}}
    checked = await api.http.post(f"{news}/messages?validate=true", json=body)
    assert checked.status_code == 422  # more than a year ahead
    body = {**body, "options": {"send_at": "2020-01-01T09:00:00+01:00"}}
    checked = await api.http.post(f"{news}/messages?validate=true", json=body)
    assert (checked.status_code, checked.json()) == (200, {"targeted": 1, "online": 0})


async def test_a_batch_is_not_checked(api: Api, news: str) -> None:
    answer = await api.http.post(f"{news}/messages:batch?validate=true", json={"messages": []})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")
