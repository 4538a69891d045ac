"""Why one device has a message, or has it not; what it is subscribed to; and how it is found."""

import ast
from pathlib import Path

import pytest

import longline
from longline.model.devices import JsonObject
from longline.model.ledger import REASONS, State, in_words
from longline.model.pubsub import Filter
from longline.register.port import Bind
from longline.saver.port.sessions import AddFilter, OpenSession
from tests.unit.center.conftest import ROOM, START, Api

MINUTE = 60_000


async def sent(api: Api, path: str, audience: object, **options: object) -> str:
    body = {"audience": audience, "payload": "hi", "options": options}
    answer = await api.http.post(f"{path}/messages", json=body)
    assert answer.status_code == 202, answer.text
    message_id: str = answer.json()["message_id"]
    return message_id


async def traced(api: Api, path: str, message_id: str, device: str = "d1") -> JsonObject:
    answer = await api.http.get(f"{path}/messages/{message_id}/deliveries/{device}")
    assert answer.status_code == 200, answer.text
    trace: JsonObject = answer.json()
    return trace


AUDIENCES = [{"devices": ["d1"]}, "all"]


@pytest.mark.parametrize("audience", AUDIENCES)
async def test_a_message_waits_for_who_is_away_and_until_when(api: Api, news: str, audience: object) -> None:
    await api.device(news, "d1")
    trace = await traced(api, news, await sent(api, news, audience, ttl=60))
    assert (trace["state"], trace["reason"], trace["online"], trace["room"]) == ("pending", None, False, None)
    assert (
        trace["why"] == "The device is not connected. It waits for the device until 2027-01-15T08:01:00.000Z."
    )


@pytest.mark.parametrize("audience", AUDIENCES)
async def test_a_message_waits_for_who_is_banned(api: Api, news: str, audience: object) -> None:
    await api.device(news, "d1")
    assert (await api.http.delete(f"{news}/devices/d1/connection?ban_seconds=60")).status_code == 204
    trace = await traced(api, news, await sent(api, news, audience))
    assert trace["banned_until"] == "2027-01-15T08:01:00.000Z"
    assert str(trace["why"]).startswith("The device is banned until 2027-01-15T08:01:00.000Z")
    assert (await api.http.get(f"{news}/devices/d1")).json()["banned_until"] == trace["banned_until"]
    api.now += MINUTE
    assert (await api.http.get(f"{news}/devices/d1")).json()["banned_until"] is None


async def test_a_message_for_who_is_online_only_was_not_for_who_is_banned(api: Api, news: str) -> None:
    await api.device(news, "d1")
    await api.http.delete(f"{news}/devices/d1/connection?ban_seconds=60")
    trace = await traced(api, news, await sent(api, news, {"devices": ["d1"]}, online_only=True))
    assert trace["reason"] == "offline"
    assert trace["why"] == (
        f"{REASONS['offline']} The device is banned until 2027-01-15T08:01:00.000Z: it is not let in before."
    )


async def test_who_is_connected_is_said_to_be_where_it_is(api: Api, news: str) -> None:
    await api.device(news, "d1")
    await api.connect("news", "d1")
    trace = await traced(api, news, await sent(api, news, {"devices": ["d1"]}))
    assert (trace["online"], trace["room"], trace["since"]) == (True, ROOM, "2027-01-15T08:00:00.000Z")
    assert str(trace["why"]).startswith("The device is connected: others go first, or it is on its way")


@pytest.mark.parametrize("audience", AUDIENCES)
async def test_a_message_that_was_cancelled_says_so(api: Api, news: str, audience: object) -> None:
    await api.device(news, "d1")
    message_id = await sent(api, news, audience)
    await api.http.delete(f"{news}/messages/{message_id}")
    trace = await traced(api, news, message_id)
    assert (trace["state"], trace["reason"], trace["why"]) == ("dropped", "cancelled", REASONS["cancelled"])
    (of_device,) = (await api.http.get(f"{news}/devices/d1/messages")).json()["messages"]
    assert of_device["why"] == REASONS["cancelled"]


async def test_lists_of_deliveries_say_why(api: Api, news: str) -> None:
    await api.device(news, "d1")
    message_id = await sent(api, news, {"devices": ["d1"]}, online_only=True)
    (row,) = (await api.http.get(f"{news}/messages/{message_id}/deliveries")).json()["deliveries"]
    assert row["why"] == REASONS["offline"]


async def test_what_is_not_there_is_told_apart(api: Api, news: str) -> None:
    await api.device(news, "d1")
    await api.device(news, "d2", tags=["red"])
    for audience in ({"devices": ["d2"]}, {"tag": ["red"]}):
        message_id = await sent(api, news, audience)
        answer = await api.http.get(f"{news}/messages/{message_id}/deliveries/d1")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "delivery_not_found")
        answer = await api.http.get(f"{news}/messages/{message_id}/deliveries/nobody")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "device_not_found")
    for unknown in ("019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e21", "nothing"):
        answer = await api.http.get(f"{news}/messages/{unknown}/deliveries/d1")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "message_not_found")


async def test_messages_are_listed_by_whether_somebody_missed_them(api: Api, news: str) -> None:
    await api.device(news, "d1")
    waits = await sent(api, news, {"devices": ["d1"]})
    dropped = await sent(api, news, {"devices": ["d1"]}, online_only=True)
    for missed, expected in (("true", [dropped]), ("false", [waits])):
        page = (await api.http.get(f"{news}/messages?missed={missed}")).json()
        assert [each["message_id"] for each in page["messages"]] == expected


async def test_devices_are_found_by_how_their_names_begin(api: Api, news: str) -> None:
    for name in ("b1", "a2", "a1", "a3"):
        await api.device(news, name, tags=["odd"] if name[1] in "13" else [])
    await api.connect("news", "a1")

    async def found(query: str) -> list[str]:
        names: list[str] = []
        cursor = ""
        while True:
            page = (await api.http.get(f"{news}/devices?{query}{cursor}")).json()
            names += [each["device"] for each in page["devices"]]
            if page["next_cursor"] is None:
                return names
            cursor = f"&cursor={page['next_cursor']}"

    assert await found("prefix=a") == ["a1", "a2", "a3"]
    assert await found("prefix=a&limit=1") == ["a1", "a2", "a3"]
    assert await found("prefix=a&tag=odd&limit=1") == ["a1", "a3"]
    assert await found("prefix=a&online=true&limit=2") == ["a1"]
    assert await found("prefix=a&alias=nobody") == []
    assert await found("prefix=%25") == []


async def test_the_subscriptions_of_a_kept_session_are_shown(api: Api, news: str) -> None:
    await api.device(news, "d1")
    path = f"{news}/devices/d1/subscriptions"
    assert (await api.http.get(path)).json() == {"kept": False, "subscriptions": []}
    app = await api.saver.apps.find("news")
    assert app is not None
    (device,) = await api.saver.devices.find(app.number, ["d1"])
    assert device is not None
    (binding,) = await api.register.bind([Bind(app.number, "d1", ROOM, api.now)])
    epoch = binding.binding.epoch
    whose = (app.number, "d1", device.ordinal)
    (kept,) = await api.saver.sessions.open([OpenSession(*whose, ROOM, epoch, START, False, 60)])
    assert kept is not None
    await api.saver.sessions.subscribe(
        [AddFilter(*whose, kept.number, epoch, Filter("home/+", 1, identifier=7))]
    )
    assert (await api.http.get(path)).json() == {
        "kept": True,
        "subscriptions": [
            {
                "filter": "home/+",
                "qos": 1,
                "no_local": False,
                "retain_as_published": False,
                "identifier": 7,
                "shared": False,
            }
        ],
    }
    assert (await api.http.get(f"{news}/devices/nobody/subscriptions")).status_code == 404


async def test_who_reads_the_tail_of_the_events_gets_only_what_comes(api: Api, news: str) -> None:
    await api.device(news, "d1")
    page = (await api.http.get(f"{news}/upstream?tail=true")).json()
    assert page["events"] == []
    await api.device(news, "d2")
    page = (await api.http.get(f"{news}/upstream?cursor={page['next_cursor']}&tail=true")).json()
    assert [event["device"] for event in page["events"]] == ["d2"]


def test_every_reason_of_a_drop_that_the_code_knows_has_a_sentence() -> None:
    """Reasons are texts in the code of both engines and of rooms; they all stand in the table."""
    folder = Path(longline.__file__).parent
    known = set(REASONS)
    for names, file in (
        ({"OFFLINE", "LATE"}, "delivery/routing.py"),
        ({"BUSY", "LATE"}, "room/push/pushes.py"),
        ({"CANCELLED"}, "saver/sql/messages.py"),
        ({"LEFT_GROUP", "GROUP_DELETED"}, "model/groups.py"),
        ({"DEVICE_DELETED"}, "saver/sql/devices.py"),
        ({"REASON"}, "saver/sql/retirement.py"),
    ):
        tree = ast.parse((folder / file).read_text())
        found = {
            target.id: node.value.value
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name) and target.id in names
        }
        assert set(found) == names, file
        assert set(found.values()) <= known
    dropped = [
        node.args[-1].value
        for node in ast.walk(ast.parse((folder / "room/push/pushes.py").read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "dropped"
        and isinstance(node.args[-1], ast.Constant)
    ]
    assert {"too_large_for_client", "refused_by_client", "disconnected"} <= set(dropped) <= known
    assert in_words(State.DROPPED, "of a later version") == "It was dropped."
