import jwt
import pytest

from longline.model.commands import Close, CloseReason
from longline.model.devices import Binding, JsonObject
from longline.register.port import Unbind
from longline.saver.port.inboxes import Arrive
from tests.unit.center.conftest import ROOM, House

PROFILE: JsonObject = {
    "aliases": ["ann"],
    "tags": ["beta", "berlin"],
    "attributes": {"plan": "pro", "app": {"version": 4}},
    "timezone": "Europe/Berlin",
    "platform": "android",
}


async def test_a_device_is_registered_replaced_and_shown(house: House, news: str) -> None:
    path = f"{news}/devices/d1"
    new = await house.http.put(path, json=PROFILE)
    assert (new.status_code, new.json()) == (
        201,
        {"device": "d1", **PROFILE, "created_at": "2027-01-15T08:00:00.000Z"},
    )
    house.now += 1000
    replaced = await house.http.put(path, json={"tags": ["a", "a"]})
    assert replaced.status_code == 200
    shown = (await house.http.get(path)).json()
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
        "pending": 0,
    }


async def test_a_connected_device_shows_where_it_is_and_what_waits(house: House, news: str) -> None:
    await house.device(news, "d1")
    await house.connect("news", "d1")
    for audience in ("all", {"devices": ["d1"]}):
        await house.http.post(f"{news}/messages", json={"audience": audience, "payload": 1})
    shown = (await house.http.get(f"{news}/devices/d1")).json()
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
    house: House, news: str, change: JsonObject, changed: JsonObject
) -> None:
    await house.device(news, "d1", **PROFILE)
    answer = await house.http.patch(f"{news}/devices/d1", json=change)
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
        ({"aliases": ["a"] * 101}, "aliases"),
        ({"attributes": {"k": "x" * 4096}}, "attributes"),
        ({"attributes": {str(n): n for n in range(65)}}, "attributes"),
        ({"attributes": []}, "attributes"),
        ({"timezone": ""}, "timezone"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_each_mistake_in_a_profile_names_its_field(
    house: House, news: str, profile: JsonObject, field: str
) -> None:
    for method in ("PUT", "PATCH"):
        await house.device(news, "d1")
        answer = await house.http.request(method, f"{news}/devices/d1", json=profile)
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid")
        assert answer.json()["error"]["details"][0]["field"] == field


async def test_numbers_are_kept_exactly(house: House, news: str) -> None:
    huge = 10**29 + 7
    await house.device(news, "d1", attributes={"n": huge})
    assert (await house.http.get(f"{news}/devices/d1")).json()["attributes"] == {"n": huge}


@pytest.mark.parametrize("name", ["$sys", "@app", "a%23b", "a+b", "a%0Ab", "%C2%85", "a" * 129])
async def test_a_name_that_mqtt_or_urls_cannot_carry_is_refused(house: House, news: str, name: str) -> None:
    answer = await house.http.put(f"{news}/devices/{name}", json={})
    assert answer.status_code == 422
    assert answer.json()["error"]["details"] == [{"field": "device", "message": "not a device name"}]
    assert (await house.http.post(f"{news}/devices/{name}/token")).status_code == 422


@pytest.mark.parametrize("name", ["d", "a b", "ü", "a.b:c-d_e~f", "a" * 128, "名前"])
async def test_other_names_are_fine(house: House, news: str, name: str) -> None:
    assert (await house.http.put(f"{news}/devices/{name}", json={})).status_code == 201
    assert (await house.http.get(f"{news}/devices/{name}")).json()["device"] == name


@pytest.mark.parametrize(
    ("method", "tail"), [("GET", ""), ("PATCH", ""), ("DELETE", ""), ("DELETE", "/connection")]
)
async def test_an_unknown_device_is_not_found(house: House, news: str, method: str, tail: str) -> None:
    body: JsonObject | None = {} if method == "PATCH" else None
    answer = await house.http.request(method, f"{news}/devices/ghost{tail}", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "device_not_found")


async def test_many_devices_are_registered_at_once_and_each_has_its_result(house: House, news: str) -> None:
    batch = [{"device": "d1", "tags": ["a"]}, {"device": "a/b"}, {"device": "d2"}]
    answer = await house.http.post(f"{news}/devices:batch", json={"devices": batch})
    first, second, third = answer.json()["results"]
    assert (answer.status_code, first, third) == (200, {"device": "d1"}, {"device": "d2"})
    assert second["error"]["details"][0]["field"] == "device"
    assert (await house.http.get(f"{news}/devices/d1")).json()["tags"] == ["a"]


@pytest.mark.parametrize(
    ("wrong", "field"), [({"tags": []}, "device"), ({"device": "d9", "tags": 1}, "tags"), (7, "body")]
)
async def test_a_mistake_in_a_batch_takes_only_its_place(
    house: House, news: str, wrong: object, field: str
) -> None:
    batch = {"devices": [{"device": "d1"}, wrong, {"device": "d2"}]}
    results = (await house.http.post(f"{news}/devices:batch", json=batch)).json()["results"]
    assert [results[0], results[2]] == [{"device": "d1"}, {"device": "d2"}]
    assert results[1]["error"]["details"][0]["field"] == field


@pytest.mark.parametrize("devices", [[], [{"device": "d"}] * 1001, "d1"])
async def test_a_batch_has_1_to_1000_devices(house: House, news: str, devices: object) -> None:
    answer = await house.http.post(f"{news}/devices:batch", json={"devices": devices})
    assert answer.status_code == 422


async def test_devices_are_listed_by_tag_alias_and_presence(house: House, news: str) -> None:
    await house.device(news, "d1", tags=["a"], aliases=["x"])
    await house.device(news, "d2", tags=["a", "b"])
    await house.device(news, "d3", aliases=["x"])
    await house.connect("news", "d2")

    async def listed(query: str) -> list[str]:
        answer = await house.http.get(f"{news}/devices?{query}")
        assert answer.status_code == 200, answer.text
        return [device["device"] for device in answer.json()["devices"]]

    assert await listed("") == ["d1", "d2", "d3"]
    assert await listed("tag=a") == ["d1", "d2"]
    assert await listed("alias=x") == ["d1", "d3"]
    assert await listed("tag=a&alias=x") == ["d1"]
    assert await listed("online=true") == ["d2"]
    assert await listed("online=false") == ["d1", "d3"]


async def test_a_list_leads_through_all_its_pages(house: House, news: str) -> None:
    names = [f"d{n}" for n in range(7)]
    await house.http.post(f"{news}/devices:batch", json={"devices": [{"device": name} for name in names]})
    seen: list[str] = []
    cursor: str | None = None
    while True:
        params = {"limit": "3"} | ({} if cursor is None else {"cursor": cursor})
        page = (await house.http.get(f"{news}/devices", params=params)).json()
        seen += [device["device"] for device in page["devices"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == names


@pytest.mark.parametrize("query", ["online=maybe", "limit=-1", "tag="])
async def test_a_filter_that_cannot_be_is_refused(house: House, news: str, query: str) -> None:
    assert (await house.http.get(f"{news}/devices?{query}")).status_code == 422


async def test_presence_of_many_is_answered_in_order(house: House, news: str) -> None:
    await house.connect("news", "d2")
    answer = await house.http.post(f"{news}/devices:status", json={"devices": ["d1", "d2", "d1"]})
    offline = {"device": "d1", "online": False, "since": None}
    online = {"device": "d2", "online": True, "since": "2027-01-15T08:00:00.000Z"}
    assert answer.json() == {"devices": [offline, online, offline]}


async def test_deleting_a_device_ends_its_connection_and_drops_what_waits(house: House, news: str) -> None:
    await house.device(news, "d1")
    await house.connect("news", "d1")
    sent = await house.http.post(f"{news}/messages", json={"audience": {"devices": ["d1"]}, "payload": 1})
    await house.commands()
    assert (await house.http.delete(f"{news}/devices/d1")).status_code == 204
    (command,) = await house.commands()
    assert isinstance(command, Close)
    assert (command.device, command.reason) == ("d1", CloseReason.DEVICE_DELETED)
    assert (await house.ledger(news, sent.json()["message_id"]))["dropped"] == {"device_deleted": 1}
    assert (await house.http.get(f"{news}/devices/d1")).status_code == 404


@pytest.mark.parametrize(
    ("query", "reason", "ban"),
    [
        ("", CloseReason.KICKED, 0),
        ("?ban_seconds=60", CloseReason.BANNED, 60_000),
        ("?ban_seconds=0", CloseReason.KICKED, 0),
    ],
)
async def test_a_kick_ends_the_connection_and_bans_if_asked(
    house: House, news: str, query: str, reason: CloseReason, ban: int
) -> None:
    await house.device(news, "d1")
    await house.connect("news", "d1")
    assert (await house.http.delete(f"{news}/devices/d1/connection{query}")).status_code == 204
    (command,) = await house.commands()
    assert isinstance(command, Close)
    assert (command.device, command.reason) == ("d1", reason)
    (arrival,) = await house.saver.inboxes.arrive([Arrive(1, "d1", house.now)])
    assert arrival is not None
    assert arrival.banned_until == (house.now + ban if ban else 0)


async def test_a_device_whose_connection_broke_a_moment_ago_counts_as_online(house: House, news: str) -> None:
    binding = await lingering(house, news)
    shown = (await house.http.get(f"{news}/devices/d1")).json()
    assert (shown["online"], shown["room"], shown["epoch"]) == (True, binding.node, binding.epoch)
    answer = await house.http.post(f"{news}/devices:status", json={"devices": ["d1"]})
    assert answer.json()["devices"][0]["online"] is True
    assert [d["device"] for d in (await house.http.get(f"{news}/devices?online=true")).json()["devices"]] == [
        "d1"
    ]


@pytest.mark.parametrize("tail", ["", "/connection", "/connection?ban_seconds=60"])
async def test_what_lingers_of_a_device_is_over_when_it_is_kicked_or_deleted(
    house: House, news: str, tail: str
) -> None:
    binding = await lingering(house, news)
    assert (await house.http.delete(f"{news}/devices/d1{tail}")).status_code == 204
    (command,) = await house.commands()
    assert isinstance(command, Close)
    assert command.epoch == binding.epoch
    assert await house.register.locate(1, ["d1"]) == [None]
    states = [transition.state for transition in await house.register.transitions(10)]
    assert states == ["online", "offline"]


async def lingering(house: House, news: str) -> Binding:
    """A device whose connection broke, and which is expected back."""
    await house.device(news, "d1")
    await house.connect("news", "d1")
    (binding,) = await house.register.locate(1, ["d1"])
    assert binding is not None
    await house.register.unbind([Unbind(1, "d1", binding.epoch, house.now, linger=60_000)])
    return binding


async def test_a_ban_can_be_lifted_and_a_plain_kick_leaves_it(house: House, news: str) -> None:
    await house.device(news, "d1")
    path = f"{news}/devices/d1/connection"
    await house.http.delete(path, params={"ban_seconds": 60})
    await house.http.delete(path)
    (arrival,) = await house.saver.inboxes.arrive([Arrive(1, "d1", house.now)])
    assert arrival is not None
    assert arrival.banned_until == house.now + 60_000
    await house.http.delete(path, params={"ban_seconds": 0})
    (arrival,) = await house.saver.inboxes.arrive([Arrive(1, "d1", house.now)])
    assert arrival is not None
    assert arrival.banned_until == 0


@pytest.mark.parametrize("body", [None, {}, {"expires_in": 60}])
async def test_a_token_is_a_jwt_for_the_device(house: House, news: str, body: JsonObject | None) -> None:
    answer = await house.http.post(f"{news}/devices/d1/token", json=body)
    made = answer.json()
    assert (made["client_id"], made["username"]) == ("d1", "news")
    claims = jwt.decode(
        made["password"],
        house.secrets["news"],
        algorithms=["HS256"],
        options={"verify_exp": False, "verify_iat": False},
    )
    issued = house.now // 1000
    expected = {"sub": "d1", "iat": issued} | ({"exp": issued + 60} if body else {})
    assert claims == expected


@pytest.mark.parametrize("expires_in", [0, -1, 315_360_001, "60", None])
async def test_a_token_lives_a_second_to_ten_years(house: House, news: str, expires_in: object) -> None:
    answer = await house.http.post(f"{news}/devices/d1/token", json={"expires_in": expires_in})
    assert answer.status_code == 422
