"""What can be asked about a message once it is sent."""

import asyncio

import pytest

from longline.model.commands import Looked
from longline.model.devices import JsonObject
from longline.model.ledger import State
from longline.saver.port.inboxes import Receipt
from tests.unit.center.conftest import Api
from tests.waiting import until


async def sent(api: Api, path: str, *devices: str) -> str:
    for device in devices:
        await api.device(path, device)
    message: JsonObject = {"audience": {"devices": list(devices)}, "payload": "hi"}
    answer = await api.http.post(f"{path}/messages", json=message)
    message_id: str = answer.json()["message_id"]
    return message_id


async def settle(api: Api, ordinal: int, state: State, sent_at: int = 0) -> None:
    app = await api.saver.apps.find("news")
    assert app is not None
    api.now += 250
    await api.saver.inboxes.settle([Receipt(app.number, ordinal, 1, False, state, api.now, sent_at)])


async def test_a_message_tells_where_it_stands(api: Api, news: str) -> None:
    message_id = await sent(api, news, "d1", "d2")
    path = f"{news}/messages/{message_id}"
    assert (await api.http.get(path)).json() == {
        "message_id": message_id,
        "status": "accepted",
        "created_at": "2027-01-15T08:00:00.000Z",
        "ledger": {
            "targeted": 2,
            "pending": 2,
            "acked": 0,
            "expired": 0,
            "collapsed": 0,
            "dropped": {},
            "routed": 0,
            "sent": 0,
        },
    }


async def test_a_cancelled_message_is_done(api: Api, news: str) -> None:
    message_id = await sent(api, news, "d1", "d2")
    answer = await api.http.delete(f"{news}/messages/{message_id}")
    assert answer.status_code == 200
    assert answer.json()["status"] == "done"
    assert answer.json()["ledger"]["dropped"] == {"cancelled": 2}
    again = await api.http.delete(f"{news}/messages/{message_id}")
    assert again.json() == answer.json()


async def test_deliveries_come_a_page_at_a_time(api: Api, news: str) -> None:
    message_id = await sent(api, news, "d1", "d2", "d3")
    path = f"{news}/messages/{message_id}/deliveries"
    first = (await api.http.get(path, params={"limit": 2})).json()
    assert first["deliveries"][0] == {
        "device": "d1",
        "state": "pending",
        "reason": None,
        "why": "The device has not acknowledged it yet.",
        "accepted_at": "2027-01-15T08:00:00.000Z",
        "sent_at": None,
        "settled_at": None,
    }
    rest = (await api.http.get(path, params={"cursor": first["next_cursor"]})).json()
    assert [row["device"] for row in first["deliveries"] + rest["deliveries"]] == ["d1", "d2", "d3"]
    assert rest["next_cursor"] is None


async def test_a_message_to_everyone_has_its_deliveries_page_by_page(api: Api, news: str) -> None:
    for name in ("d1", "d2", "d3"):
        await api.device(news, name)
    answer = await api.http.post(f"{news}/messages", json={"audience": "all", "payload": 1})
    address = f"{news}/messages/{answer.json()['message_id']}/deliveries?limit=2"
    first = (await api.http.get(address)).json()
    second = (await api.http.get(f"{address}&cursor={first['next_cursor']}")).json()
    rows = first["deliveries"] + second["deliveries"]
    assert [(row["device"], row["state"], row["sent_at"]) for row in rows] == [
        ("d1", "pending", None),
        ("d2", "pending", None),
        ("d3", "pending", None),
    ]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(("method", "tail"), [("GET", ""), ("DELETE", ""), ("GET", "/deliveries")])
async def test_an_unknown_message_is_not_found(api: Api, news: str, method: str, tail: str) -> None:
    mine = await sent(api, news, "d1")
    sport = await api.app("sport")
    for path in (f"{news}/messages/nonsense{tail}", f"{sport}/messages/{mine}{tail}"):
        answer = await api.http.request(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "message_not_found")


async def test_an_audience_can_be_counted_beforehand(api: Api, news: str) -> None:
    for device in ("d1", "d2", "d3"):
        await api.device(news, device)
    await api.connect("news", "d1", "d3")
    path = f"{news}/audiences:estimate"
    everyone = await api.http.post(path, json={"audience": "all"})
    assert everyone.json() == {"devices": 3, "online": 2}
    some = await api.http.post(path, json={"audience": {"devices": ["d1", "d1", "d2", "ghost"]}})
    assert some.json() == {"devices": 2, "online": 1}
    await api.http.put(f"{news}/groups/chess", json={"members": ["d1", "d2"]})
    members = await api.http.post(path, json={"audience": {"group": "chess"}})
    assert members.json() == {"devices": 2, "online": 1}


async def test_who_looks_hears_what_rooms_have_written_but_not_told_yet(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A room tells the store a second later, unless somebody looks."""
    monkeypatch.setattr("longline.center.messages.messages.LOOK_FOR", 60.0)
    await api.device(news, "d1")
    await api.connect("news", "d1")
    message_id = await sent(api, news, "d1")
    await api.commands()
    looking = asyncio.create_task(api.http.get(f"{news}/messages/{message_id}"))
    assert {type(command) for command in await until(api.commands)} == {Looked}
    await settle(api, 0, State.PENDING, sent_at=api.now)
    answer = (await looking).json()
    assert (answer["status"], answer["ledger"]["sent"]) == ("delivering", 1)


async def test_who_looks_just_after_another_look_hears_it_too(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rooms were told of that one before they wrote this message."""
    monkeypatch.setattr("longline.center.messages.messages.LOOK_FOR", 60.0)
    app = await api.saver.apps.find("news")
    assert app is not None
    await api.device(news, "d1")
    await api.connect("news", "d1")
    message_id = await sent(api, news, "d1")
    await api.center.rooms.look(app)
    await api.commands()
    looking = asyncio.create_task(api.http.get(f"{news}/messages/{message_id}"))
    assert {type(command) for command in await until(api.commands)} == {Looked}
    await settle(api, 0, State.PENDING, sent_at=api.now)
    assert (await looking).json()["status"] == "delivering"


async def test_a_look_at_what_nobody_can_have_got_waits_for_nobody(api: Api, news: str) -> None:
    message_id = await sent(api, news, "d1")
    api.now += 60_000
    assert (await api.http.get(f"{news}/messages/{message_id}")).json()["status"] == "accepted"
    assert await api.commands() == []


async def test_many_looks_bother_the_rooms_now_and_then(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("longline.center.rooms.LOOK_EVERY", 3600.0)
    app = await api.saver.apps.find("news")
    assert app is not None
    for _ in range(20):
        await api.center.rooms.look(app)
    assert len(await api.commands()) == 1
    api.now -= 3_600_000  # a clock that steps back is no reason to look less often
    monkeypatch.setattr("longline.center.rooms.LOOK_EVERY", 0.0)
    await api.center.rooms.look(app)
    assert len(await api.commands()) == 1


async def test_a_room_that_takes_no_commands_holds_up_no_look(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.device(news, "d1")
    await api.connect("news", "d1")
    message_id = await sent(api, news, "d1")

    async def full(node: str, commands: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(api.bus, "send", full)
    assert (await api.http.get(f"{news}/messages/{message_id}")).json()["status"] == "accepted"
