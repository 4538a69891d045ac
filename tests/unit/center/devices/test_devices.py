import asyncio
from collections.abc import Awaitable, Callable, Sequence

import jwt
import pytest

from longline.model.commands import Close, CloseReason
from longline.model.devices import NAME_IN_WORDS, Binding, Device, JsonObject, Profile
from longline.register.port import Unbind
from longline.saver.port.devices import Registration
from longline.saver.port.inboxes import Arrive
from tests.unit.center.conftest import ROOM, Api
from tests.waiting import until

PROFILE: JsonObject = {
    "aliases": ["ann"],
    "tags": ["beta", "berlin"],
    "attributes": {"plan": "pro", "app": {"version": 4}},
    "timezone": "Europe/Berlin",
    "platform": "android",
}


async def test_a_device_is_registered_replaced_and_shown(api: Api, news: str) -> None:
    path = f"{news}/devices/d1"
    new = await api.http.put(path, json=PROFILE)
    assert (new.status_code, new.json()) == (
        201,
        {"device": "d1", **PROFILE, "created_at": "2027-01-15T08:00:00.000Z"},
    )
    api.now += 1000
    replaced = await api.http.put(path, json={"tags": ["a", "a"]})
    assert replaced.status_code == 200
    shown = (await api.http.get(path)).json()
    assert shown == {
        "device": "d1",
        "aliases": [],
        "tags": ["a"],
        "attributes": {},
        "timezone": None,
        "platform": None,
        "created_at": "2027-01-15T08:00:00.000Z",
        "online": False,
        "room": None,
        "since": None,
        "epoch": None,
        "last_seen": None,
        "address": None,
        "protocol": None,
        "client": None,
        "session": None,
        "parked": False,
        "parked_since": None,
        "banned_until": None,
        "pending": 0,
    }


async def test_a_connected_device_shows_where_it_is_and_what_waits(api: Api, news: str) -> None:
    await api.device(news, "d1")
    await api.connect("news", "d1")
    for audience in ("all", {"devices": ["d1"]}):
        await api.http.post(f"{news}/messages", json={"audience": audience, "payload": 1})
    shown = (await api.http.get(f"{news}/devices/d1")).json()
    assert (shown["online"], shown["room"], shown["pending"]) == (True, ROOM, 2)
    assert shown["since"] == "2027-01-15T08:00:00.000Z"
    assert shown["epoch"] > 0


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({}, {}),
        ({"tags": ["new"]}, {"tags": ["new"]}),
        ({"aliases": []}, {"aliases": []}),
        (
            {"attributes": {"plan": None, "age": 7}},
            {"attributes": {"app": {"version": 4}, "age": 7}},
        ),
        ({"timezone": None, "platform": "ios"}, {"timezone": None, "platform": "ios"}),
    ],
)
async def test_a_patch_changes_what_it_names(
    api: Api, news: str, change: JsonObject, changed: JsonObject
) -> None:
    await api.device(news, "d1", **PROFILE)
    answer = await api.http.patch(f"{news}/devices/d1", json=change)
    assert answer.status_code == 200
    assert answer.json() == {
        "device": "d1",
        **PROFILE,
        **changed,
        "created_at": "2027-01-15T08:00:00.000Z",
    }


@pytest.mark.parametrize(
    ("profile", "field"),
    [
        ({"tags": "a"}, "tags"),
        ({"tags": [""]}, "tags.0"),
        ({"tags": ["a", "b\n"]}, "tags.1"),
        ({"aliases": [f"a{n}" for n in range(101)]}, "aliases"),
        ({"tags": [f"t{n}" for n in range(101)]}, "tags"),
        ({"attributes": {"k": "x" * 4096}}, "attributes"),
        ({"attributes": {str(n): n for n in range(65)}}, "attributes"),
        ({"attributes": []}, "attributes"),
        ({"timezone": ""}, "timezone"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_each_mistake_in_a_profile_names_its_field(
    api: Api, news: str, profile: JsonObject, field: str
) -> None:
    for method in ("PUT", "PATCH"):
        await api.device(news, "d1")
        answer = await api.http.request(method, f"{news}/devices/d1", json=profile)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")
        assert answer.json()["error"]["details"][0]["field"] == field


async def test_numbers_are_kept_exactly(api: Api, news: str) -> None:
    huge = 10**29 + 7
    await api.device(news, "d1", attributes={"n": huge})
    assert (await api.http.get(f"{news}/devices/d1")).json()["attributes"] == {"n": huge}


@pytest.mark.parametrize("name", ["$sys", "@app", "a%23b", "a+b", "a%0Ab", "%C2%85", "a" * 129])
async def test_a_name_that_mqtt_or_urls_cannot_carry_is_refused(api: Api, news: str, name: str) -> None:
    answer = await api.http.put(f"{news}/devices/{name}", json={})
    assert answer.status_code == 422
    assert answer.json()["error"]["details"] == [{"field": "device", "message": NAME_IN_WORDS}]
    assert (await api.http.post(f"{news}/devices/{name}/token")).status_code == 422


@pytest.mark.parametrize("name", ["d", "a b", "ü", "a.b:c-d_e~f", "a" * 128, "名前"])
async def test_other_names_are_fine(api: Api, news: str, name: str) -> None:
    assert (await api.http.put(f"{news}/devices/{name}", json={})).status_code == 201
    assert (await api.http.get(f"{news}/devices/{name}")).json()["device"] == name


@pytest.mark.parametrize(
    ("method", "tail"), [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("DELETE", "/connection")]
)
async def test_an_unknown_device_is_not_found(api: Api, news: str, method: str, tail: str) -> None:
    body: JsonObject | None = {} if method == "PATCH" else None
    answer = await api.http.request(method, f"{news}/devices/ghost{tail}", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "device_not_found")


async def test_many_devices_are_registered_at_once_and_each_has_its_result(api: Api, news: str) -> None:
    batch = [{"device": "d1", "tags": ["a"]}, {"device": "a/b"}, {"device": "d2"}]
    answer = await api.http.post(f"{news}/devices:batch", json={"devices": batch})
    first, second, third = answer.json()["results"]
    assert (answer.status_code, first, third) == (200, {"device": "d1"}, {"device": "d2"})
    assert second["error"]["details"][0]["field"] == "device"
    assert (await api.http.get(f"{news}/devices/d1")).json()["tags"] == ["a"]


@pytest.mark.parametrize(
    ("wrong", "field"), [({"tags": []}, "device"), ({"device": "d9", "tags": 1}, "tags"), (7, "body")]
)
async def test_a_mistake_in_a_batch_takes_only_its_place(
    api: Api, news: str, wrong: object, field: str
) -> None:
    batch = {"devices": [{"device": "d1"}, wrong, {"device": "d2"}]}
    results = (await api.http.post(f"{news}/devices:batch", json=batch)).json()["results"]
    assert [results[0], results[2]] == [{"device": "d1"}, {"device": "d2"}]
    assert results[1]["error"]["details"][0]["field"] == field


@pytest.mark.parametrize("devices", [[], [{"device": "d"}] * 1001, "d1"])
async def test_a_batch_has_1_to_1000_devices(api: Api, news: str, devices: object) -> None:
    answer = await api.http.post(f"{news}/devices:batch", json={"devices": devices})
    assert answer.status_code == 422


async def test_devices_are_listed_by_tag_alias_and_presence(api: Api, news: str) -> None:
    await api.device(news, "d1", tags=["a"], aliases=["x"])
    await api.device(news, "d2", tags=["a", "b"])
    await api.device(news, "d3", aliases=["x"])
    await api.connect("news", "d2")

    async def listed(query: str) -> list[str]:
        answer = await api.http.get(f"{news}/devices?{query}")
        assert answer.status_code == 200, answer.text
        return [device["device"] for device in answer.json()["devices"]]

    assert await listed("") == ["d1", "d2", "d3"]
    assert await listed("tag=a") == ["d1", "d2"]
    assert await listed("alias=x") == ["d1", "d3"]
    assert await listed("tag=a&alias=x") == ["d1"]
    assert await listed("online=true") == ["d2"]
    assert await listed("online=false") == ["d1", "d3"]


async def test_a_list_leads_through_all_its_pages(api: Api, news: str) -> None:
    names = [f"d{n}" for n in range(7)]
    await api.http.post(f"{news}/devices:batch", json={"devices": [{"device": name} for name in names]})
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": "3"} | ({} if cursor is None else {"cursor": cursor})
        page = (await api.http.get(f"{news}/devices", params=params)).json()
        seen += [device["device"] for device in page["devices"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == names


@pytest.mark.parametrize("query", ["online=maybe", "limit=-1", "tag="])
async def test_a_filter_that_cannot_be_is_refused(api: Api, news: str, query: str) -> None:
    assert (await api.http.get(f"{news}/devices?{query}")).status_code == 422


async def test_presence_of_many_is_answered_in_order(api: Api, news: str) -> None:
    await api.device(news, "d2")
    await api.connect("news", "d2")
    answer = await api.http.post(f"{news}/devices:status", json={"devices": ["d1", "d2", "d1"]})
    offline = {"device": "d1", "online": False, "since": None}
    online = {"device": "d2", "online": True, "since": "2027-01-15T08:00:00.000Z"}
    assert answer.json() == {"devices": [offline, online, offline]}


async def test_a_device_is_online_only_when_a_push_would_reach_it(api: Api, news: str) -> None:
    async def online() -> bool:
        answer = await api.http.post(f"{news}/devices:status", json={"devices": ["d1"]})
        return bool(answer.json()["devices"][0]["online"])

    await api.connect("news", "d1")  # its first connection, before the room registers it
    assert not await online()
    await api.saver.inboxes.arrive([Arrive(1, "d1", api.now)])
    assert await online()


async def test_deleting_a_device_ends_its_connection_and_drops_what_waits(api: Api, news: str) -> None:
    await api.device(news, "d1")
    await api.connect("news", "d1")
    sent = await api.http.post(f"{news}/messages", json={"audience": {"devices": ["d1"]}, "payload": 1})
    await api.commands()
    assert (await api.http.delete(f"{news}/devices/d1")).status_code == 204
    (command,) = await api.commands()
    assert isinstance(command, Close)
    assert (command.device, command.reason) == ("d1", CloseReason.DEVICE_DELETED)
    assert (await api.ledger(news, sent.json()["message_id"]))["dropped"] == {"device_deleted": 1}
    assert (await api.http.get(f"{news}/devices/d1")).status_code == 404


@pytest.mark.parametrize(
    ("query", "reason", "ban"),
    [
        ("", CloseReason.KICKED, 0),
        ("?ban_seconds=60", CloseReason.BANNED, 60_000),
        ("?ban_seconds=0", CloseReason.KICKED, 0),
    ],
)
async def test_a_kick_ends_the_connection_and_bans_if_asked(
    api: Api, news: str, query: str, reason: CloseReason, ban: int
) -> None:
    await api.device(news, "d1")
    await api.connect("news", "d1")
    assert (await api.http.delete(f"{news}/devices/d1/connection{query}")).status_code == 204
    (command,) = await api.commands()
    assert isinstance(command, Close)
    assert (command.device, command.reason) == ("d1", reason)
    (arrival,) = await api.saver.inboxes.arrive([Arrive(1, "d1", api.now)])
    assert arrival is not None
    assert arrival.banned_until == (api.now + ban if ban else 0)


async def test_a_device_whose_connection_broke_a_moment_ago_counts_as_online(api: Api, news: str) -> None:
    binding = await lingering(api, news)
    shown = (await api.http.get(f"{news}/devices/d1")).json()
    assert (shown["online"], shown["room"], shown["epoch"]) == (True, binding.node, binding.epoch)
    answer = await api.http.post(f"{news}/devices:status", json={"devices": ["d1"]})
    assert answer.json()["devices"][0]["online"] is True
    assert [d["device"] for d in (await api.http.get(f"{news}/devices?online=true")).json()["devices"]] == [
        "d1"
    ]


@pytest.mark.parametrize("tail", ["", "/connection", "/connection?ban_seconds=60"])
async def test_what_lingers_of_a_device_is_over_when_it_is_kicked_or_deleted(
    api: Api, news: str, tail: str
) -> None:
    binding = await lingering(api, news)
    assert (await api.http.delete(f"{news}/devices/d1{tail}")).status_code == 204
    (command,) = await api.commands()
    assert isinstance(command, Close)
    assert command.epoch == binding.epoch
    assert await api.register.locate(1, ["d1"]) == [None]
    states = [transition.state for transition in await api.register.transitions(10)]
    assert states == ["online", "offline"]


async def lingering(api: Api, news: str) -> Binding:
    """A device whose connection broke, and which is expected back."""
    await api.device(news, "d1")
    await api.connect("news", "d1")
    (binding,) = await api.register.locate(1, ["d1"])
    assert binding is not None
    await api.register.unbind([Unbind(1, "d1", binding.epoch, api.now, linger=60_000)])
    return binding


class Rival:
    """Another center, which changes a device whenever ours has read it and is about to write it back."""

    def __init__(
        self, api: Api, monkeypatch: pytest.MonkeyPatch, act: Callable[[int], Awaitable[object]], times: int
    ) -> None:
        update = api.saver.devices.update
        self.times = 0

        async def beaten(app: int, before: Device, profile: Profile) -> bool:
            if self.times < times:
                self.times += 1
                await act(self.times)
            return await update(app, before, profile)

        monkeypatch.setattr(api.saver.devices, "update", beaten)


async def test_a_device_that_is_deleted_during_a_change_of_it_stays_deleted(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change has read the device, and would write it back as new."""
    await api.device(news, "d1")
    Rival(api, monkeypatch, lambda _: api.http.delete(f"{news}/devices/d1"), 1)
    answer = await api.http.patch(f"{news}/devices/d1", json={"tags": ["beta"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "device_not_found")
    assert (await api.http.get(f"{news}/devices/d1")).status_code == 404


async def test_a_change_of_a_device_that_another_center_makes_at_the_same_moment_is_kept(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.device(news, "d1")

    async def theirs(n: int) -> None:
        registration = Registration("d1", Profile(tags=("theirs",), attributes={"n": n}))
        await api.saver.devices.put(1, [registration], api.now)

    Rival(api, monkeypatch, theirs, 2)
    answer = await api.http.patch(f"{news}/devices/d1", json={"attributes": {"mine": True}})
    assert answer.status_code == 200
    shown = (await api.http.get(f"{news}/devices/d1")).json()
    assert (shown["tags"], shown["attributes"]) == (["theirs"], {"n": 2, "mine": True})


async def test_who_changes_a_device_too_late_again_and_again_is_told_so(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.device(news, "d1")

    async def theirs(n: int) -> None:
        await api.saver.devices.put(1, [Registration("d1", Profile(attributes={"n": n}))], api.now)

    Rival(api, monkeypatch, theirs, 100)
    answer = await api.http.patch(f"{news}/devices/d1", json={"tags": ["mine"]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "conflict")
    assert (await api.http.get(f"{news}/devices/d1")).json()["tags"] == []


async def test_a_ban_can_be_lifted_and_a_plain_kick_leaves_it(api: Api, news: str) -> None:
    await api.device(news, "d1")
    path = f"{news}/devices/d1/connection"
    await api.http.delete(path, params={"ban_seconds": 60})
    await api.http.delete(path)
    (arrival,) = await api.saver.inboxes.arrive([Arrive(1, "d1", api.now)])
    assert arrival is not None
    assert arrival.banned_until == api.now + 60_000
    await api.http.delete(path, params={"ban_seconds": 0})
    (arrival,) = await api.saver.inboxes.arrive([Arrive(1, "d1", api.now)])
    assert arrival is not None
    assert arrival.banned_until == 0


@pytest.mark.parametrize("body", [None, {}, {"expires_in": 60}])
async def test_a_token_is_a_jwt_for_the_device(api: Api, news: str, body: JsonObject | None) -> None:
    answer = await api.http.post(f"{news}/devices/d1/token", json=body)
    made = answer.json()
    assert (made["client_id"], made["username"]) == ("d1", "news")
    claims = jwt.decode(
        made["password"],
        api.secrets["news"],
        algorithms=["HS256"],
        options={"verify_exp": False, "verify_iat": False},
    )
    issued = api.now // 1000
    expected = {"sub": "d1", "iat": issued} | ({"exp": issued + 60} if body else {})
    assert claims == expected


@pytest.mark.parametrize("expires_in", [0, -1, 315_360_001, "60", None])
async def test_a_token_lives_a_second_to_ten_years(api: Api, news: str, expires_in: object) -> None:
    answer = await api.http.post(f"{news}/devices/d1/token", json={"expires_in": expires_in})
    assert answer.status_code == 422


async def test_great_batches_of_devices_take_turns_with_others(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They wait for each other before the store is asked, and not in its queue, which is everybody's."""
    other = await api.app("other")
    entered, go_on, asked = asyncio.Event(), asyncio.Event(), []
    put = api.saver.devices.put

    async def slowly(app: int, batch: Sequence[Registration], now: int) -> list[Device]:
        asked.append((app, len(batch)))
        entered.set()
        await go_on.wait()
        return await put(app, batch, now)

    monkeypatch.setattr(api.saver.devices, "put", slowly)
    body = {"devices": [{"device": f"d{n}"} for n in range(1000)]}
    batches = [asyncio.create_task(api.http.post(f"{news}/devices:batch", json=body)) for _ in range(20)]
    await until(lambda: api.center.pipeline.turns.waiting == 16)
    late = asyncio.create_task(api.http.post(f"{other}/devices:batch", json={"devices": [{"device": "x"}]}))
    await until(lambda: 1 in [size for _, size in asked])
    assert api.center.pipeline.turns.waiting == 16, "it waits for none of them"
    go_on.set()
    assert (await late).status_code == 200
    for answer in await asyncio.gather(*batches):
        assert answer.status_code == 200
