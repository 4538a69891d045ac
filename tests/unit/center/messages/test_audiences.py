"""Audiences of the API: what each way of saying them comes to, in the ledger, for rooms, and beforehand."""

import asyncio

import pytest
from pyroaring import BitMap

from longline.model.commands import Broadcast, Unicast
from longline.model.devices import JsonObject
from longline.settings import CenterSettings
from tests.unit.center.conftest import Api

DEVICES: dict[str, JsonObject] = {
    "d0": {"tags": ["red", "new"], "platform": "ios", "attributes": {"age": 17, "plan": "pro"}},
    "d1": {"tags": ["red"], "platform": "android", "attributes": {"age": 18, "plan": "free"}},
    "d2": {"tags": ["blue"], "aliases": ["ann"], "attributes": {"age": 70, "muted": True}},
    "d3": {"aliases": ["ann", "bob"], "attributes": {"age": "18", "plan": "pro"}},
    "d4": {},
}


@pytest.fixture
async def people(api: Api, news: str) -> str:
    for name, profile in DEVICES.items():
        await api.device(news, name, **profile)
    return news


async def told(api: Api, path: str, audience: object) -> set[str]:
    """Whom the room is told that a message is for."""
    answer = await api.http.post(f"{path}/messages", json={"audience": audience, "payload": "hi"})
    assert answer.status_code == 202, answer.text
    (command,) = await api.commands()
    assert isinstance(command, Broadcast)
    (part,) = command.parts
    found = BitMap.deserialize(part.audience)
    assert answer.json()["targeted"] == len(found)
    ledger = await api.ledger(path, answer.json()["message_id"])
    assert (ledger["targeted"], ledger["pending"]) == (len(found), len(found))
    return {f"d{ordinal}" for ordinal in found}


@pytest.mark.parametrize(
    ("audience", "devices"),
    [
        ("all", "01234"),
        ({"tag": ["red", "blue"]}, "012"),
        ({"tag_and": ["red", "new"]}, "0"),
        ({"tag_not": ["red", "blue"]}, "34"),
        ({"tag": ["red"], "tag_not": ["new"]}, "1"),
        ({"platform": ["ios", "android"]}, "01"),
        ({"tag": ["red"], "platform": ["android"], "attributes": {"age": {"gte": 18}}}, "1"),
        ({"attributes": {"plan": {"eq": "pro"}}}, "03"),
        ({"attributes": {"plan": {"ne": "pro"}}}, "124"),
        ({"attributes": {"plan": {"ne": "pro", "exists": True}}}, "1"),
        ({"attributes": {"plan": {"in": ["free", "pro"]}, "age": {"lt": 18}}}, "0"),
        ({"attributes": {"age": {"gt": 17, "lte": 70}}}, "12"),
        ({"attributes": {"age": {"eq": 18.0}}}, "1"),
        ({"attributes": {"age": {"exists": False}}}, "4"),
        ({"attributes": {"muted": {"eq": True}}}, "2"),
        ({"any": [{"tag": ["new"]}, {"attributes": {"muted": {"exists": True}}}]}, "02"),
        ({"every": [{"tag": ["red"]}, {"platform": ["ios"]}]}, "0"),
        ({"not": {"any": [{"tag": ["red"]}, {"tag": ["blue"]}]}}, "34"),
        ({"not": {"not": {"tag": ["red"]}}}, "01"),
        (
            {"tag": ["red", "blue"], "not": {"every": [{"tag": ["red"]}, {"platform": ["ios"]}]}},
            "12",
        ),
    ],
)
async def test_an_audience_is_who_has_all_that_it_asks(
    api: Api, people: str, audience: object, devices: str
) -> None:
    await api.connect("news", "d0", "d1", "d2")
    assert await told(api, people, audience) == {f"d{n}" for n in devices}
    counted = await api.http.post(f"{people}/audiences:estimate", json={"audience": audience})
    online = sum(n in "012" for n in devices)
    assert counted.json() == {"devices": len(devices), "online": online}


async def test_a_message_to_aliases_is_one_to_all_devices_that_have_one_of_them(
    api: Api, people: str
) -> None:
    await api.connect("news", "d2", "d3")
    asked = {"audience": {"aliases": ["bob", "ann", "nobody", "ann"]}, "payload": "hi"}
    answer = await api.http.post(f"{people}/messages", json=asked)
    assert (answer.status_code, answer.json()["targeted"]) == (202, 3)
    (command,) = await api.commands()
    assert isinstance(command, Unicast)
    assert {target.device for target in command.targets} == {"d2", "d3"}
    message_id = answer.json()["message_id"]
    ledger = await api.ledger(people, message_id)
    assert (ledger["targeted"], ledger["pending"], ledger["dropped"]) == (3, 2, {"device_not_found": 1})
    rows = (await api.http.get(f"{people}/messages/{message_id}/deliveries")).json()["deliveries"]
    assert [row["device"] for row in rows] == ["d2", "d3"]
    counted = await api.http.post(f"{people}/audiences:estimate", json={"audience": asked["audience"]})
    assert counted.json() == {"devices": 2, "online": 2}


async def test_a_message_to_aliases_that_is_repeated_is_one(api: Api, people: str) -> None:
    """Whoever has an alias by the second time had no part in the first."""
    asked = {"audience": {"aliases": ["ann"]}, "payload": "hi"}
    headers = {"Idempotency-Key": "once"}
    first = await api.http.post(f"{people}/messages", json=asked, headers=headers)
    await api.device(people, "d4", aliases=["ann"])
    again = await api.http.post(f"{people}/messages", json=asked, headers=headers)
    assert first.json() == again.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    shown = (await api.http.get(f"{people}/devices/d4")).json()
    assert shown["pending"] == 0


async def test_in_a_batch_each_message_has_its_own_audience(api: Api, people: str) -> None:
    audiences: list[object] = [
        {"aliases": ["nobody"]},
        {"aliases": ["bob"]},
        {"tag": ["green"]},
        {"tag": ["red"]},
        {"devices": ["d4"]},
    ]
    messages = [{"audience": audience, "payload": 1} for audience in audiences]
    answer = await api.http.post(f"{people}/messages:batch", json={"messages": messages})
    results = answer.json()["results"]
    assert ["error" in result for result in results] == [True, False, True, False, False]
    assert {results[n]["error"]["code"] for n in (0, 2)} == {"no_target"}
    ledgers = [await api.ledger(people, results[n]["message_id"]) for n in (1, 3, 4)]
    assert [ledger["targeted"] for ledger in ledgers] == [1, 2, 1]


async def test_who_is_registered_or_tagged_later_gets_nothing_of_before(api: Api, people: str) -> None:
    await api.http.post(f"{people}/messages", json={"audience": {"tag": ["red"]}, "payload": "hi"})
    await api.device(people, "d4", tags=["red"])
    await api.device(people, "d5", tags=["red"])
    await api.http.delete(f"{people}/devices/d0")
    await api.device(people, "d0", tags=["red"])
    pending = [(await api.http.get(f"{people}/devices/d{n}")).json()["pending"] for n in (0, 1, 4, 5)]
    assert pending == [0, 1, 0, 0]


class TestBounds:
    """What settings allow less of."""

    @pytest.fixture
    def settings(self) -> CenterSettings:
        return CenterSettings(
            max_tags=2,
            max_aliases=2,
            max_attributes=2,
            max_attributes_bytes=64,
            max_alias_devices=2,
            max_audience_tests=4,
            max_audience_depth=2,
        )

    @pytest.mark.parametrize(
        ("profile", "field"),
        [
            ({"tags": ["a", "b", "c"]}, "tags"),
            ({"aliases": ["a", "b", "c"]}, "aliases"),
            ({"attributes": {"a": 1, "b": 2, "c": 3}}, "attributes"),
            ({"attributes": {"a": "x" * 60}}, "attributes"),
        ],
    )
    async def test_a_device_has_no_more_than_the_settings_say(
        self, api: Api, news: str, profile: JsonObject, field: str
    ) -> None:
        await api.device(news, "d1", tags=["a", "b", "a"], aliases=["a", "b"], attributes={"a": 1, "b": 2})
        for method in ("PUT", "PATCH"):
            answer = await api.http.request(method, f"{news}/devices/d1", json=profile)
            assert answer.status_code == 422
            assert answer.json()["error"]["details"][0]["field"] == field
        batch = {"devices": [{"device": "d2", **profile}, {"device": "d3"}]}
        wrong, fine = (await api.http.post(f"{news}/devices:batch", json=batch)).json()["results"]
        assert wrong["error"]["details"][0]["field"] == field
        assert fine == {"device": "d3"}

    async def test_an_alias_of_too_many_devices_is_refused_with_a_hint(self, api: Api, news: str) -> None:
        for n in range(3):
            await api.device(news, f"d{n}", aliases=["ann"])
        for path in ("messages", "audiences:estimate"):
            body: JsonObject = {"audience": {"aliases": ["nobody", "ann"]}}
            if path == "messages":
                body["payload"] = 1
            answer = await api.http.post(f"{news}/{path}", json=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "audience_too_large")
            assert answer.json()["error"]["details"][0]["field"] == "audience.aliases.1"
        await api.device(news, "d2")
        asked = {"audience": {"aliases": ["ann"]}, "payload": 1}
        assert (await api.http.post(f"{news}/messages", json=asked)).status_code == 202

    @pytest.mark.parametrize(
        "audience",
        [
            {"tag": ["a", "b", "c", "d", "e"]},
            {"attributes": {"a": {"gt": 1}}},
            {"any": [{"any": [{"tag": ["a"]}]}]},
        ],
    )
    async def test_an_expression_that_asks_too_much_is_refused(
        self, api: Api, news: str, audience: JsonObject
    ) -> None:
        await api.device(news, "d1", tags=["a"])
        for path, body in (("messages", {"payload": 1}), ("audiences:estimate", {})):
            answer = await api.http.post(f"{news}/{path}", json={"audience": audience, **body})
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "audience_too_complex")


async def test_of_very_many_it_is_estimated_who_is_connected(api: Api, news: str) -> None:
    names = [f"d{n}" for n in range(12_000)]
    for start in range(0, len(names), 1000):
        devices = [{"device": name, "tags": ["red"]} for name in names[start : start + 1000]]
        await api.http.post(f"{news}/devices:batch", json={"devices": devices})
    await api.connect("news", *names[::4])  # every fourth: whoever looked at every sixth would find half
    counted = await api.http.post(f"{news}/audiences:estimate", json={"audience": {"tag": ["red"]}})
    assert counted.json()["devices"] == 12_000
    assert 2400 <= counted.json()["online"] <= 3600  # five times the standard error


async def test_changes_of_labels_that_meet_are_all_kept(api: Api, news: str) -> None:
    await api.device(news, "d1")
    await asyncio.gather(
        *(
            api.http.patch(f"{news}/devices/d1", json={"attributes": {f"a{n}": n}, "tags": [f"t{n}"]})
            for n in range(20)
        )
    )
    (tag,) = (await api.http.get(f"{news}/devices/d1")).json()["tags"]
    every = {f"a{n}": {"eq": n} for n in range(20)}
    for audience, devices in (
        ({"attributes": every}, 1),
        ({"tag": [tag]}, 1),
        ({"tag": [f"t{n}" for n in range(20) if f"t{n}" != tag]}, 0),
    ):
        counted = await api.http.post(f"{news}/audiences:estimate", json={"audience": audience})
        assert counted.json()["devices"] == devices
