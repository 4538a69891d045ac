"""What can be asked about a message once it is sent."""

import pytest

from longline.model.devices import JsonObject
from longline.model.ledger import State
from longline.saver.port.inboxes import Receipt
from tests.unit.center.conftest import House


async def sent(house: House, path: str, *devices: str) -> str:
    for device in devices:
        await house.device(path, device)
    message: JsonObject = {"audience": {"devices": list(devices)}, "payload": "hi"}
    answer = await house.http.post(f"{path}/messages", json=message)
    message_id: str = answer.json()["message_id"]
    return message_id


async def settle(house: House, ordinal: int, state: State, sent_at: int = 0) -> None:
    app = await house.saver.apps.find("news")
    assert app is not None
    house.now += 250
    await house.saver.inboxes.settle([Receipt(app.number, ordinal, 1, False, state, house.now, sent_at)])


async def test_a_message_tells_where_it_stands(house: House, news: str) -> None:
    message_id = await sent(house, news, "d1", "d2")
    path = f"{news}/messages/{message_id}"
    assert (await house.http.get(path)).json() == {
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


async def test_a_cancelled_message_is_done(house: House, news: str) -> None:
    message_id = await sent(house, news, "d1", "d2")
    answer = await house.http.delete(f"{news}/messages/{message_id}")
    assert answer.status_code == 200
    assert answer.json()["status"] == "done"
    assert answer.json()["ledger"]["dropped"] == {"cancelled": 2}
    again = await house.http.delete(f"{news}/messages/{message_id}")
    assert again.json() == answer.json()


async def test_deliveries_come_a_page_at_a_time(house: House, news: str) -> None:
    message_id = await sent(house, news, "d1", "d2", "d3")
    path = f"{news}/messages/{message_id}/deliveries"
    first = (await house.http.get(path, params={"limit": 2})).json()
    assert first["deliveries"][0] == {
        "device": "d1",
        "state": "pending",
        "reason": None,
        "accepted_at": "2027-01-15T08:00:00.000Z",
        "sent_at": None,
        "settled_at": None,
    }
    rest = (await house.http.get(path, params={"cursor": first["next_cursor"]})).json()
    assert [row["device"] for row in first["deliveries"] + rest["deliveries"]] == ["d1", "d2", "d3"]
    assert rest["next_cursor"] is None


async def test_a_message_to_everyone_has_no_deliveries_by_device(house: House, news: str) -> None:
    await house.device(news, "d1")
    answer = await house.http.post(f"{news}/messages", json={"audience": "all", "payload": 1})
    rows = await house.http.get(f"{news}/messages/{answer.json()['message_id']}/deliveries")
    assert (rows.status_code, rows.json()) == (200, {"deliveries": [], "next_cursor": None})


@pytest.mark.parametrize(("method", "tail"), [("GET", ""), ("DELETE", ""), ("GET", "/deliveries")])
async def test_an_unknown_message_is_not_found(house: House, news: str, method: str, tail: str) -> None:
    mine = await sent(house, news, "d1")
    sport = await house.app("sport")
    for path in (f"{news}/messages/nonsense{tail}", f"{sport}/messages/{mine}{tail}"):
        answer = await house.http.request(method, path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "message_not_found")


async def test_an_audience_can_be_counted_beforehand(house: House, news: str) -> None:
    for device in ("d1", "d2", "d3"):
        await house.device(news, device)
    await house.connect("news", "d1", "d3")
    path = f"{news}/audiences:estimate"
    everyone = await house.http.post(path, json={"audience": "all"})
    assert everyone.json() == {"devices": 3, "online": 2}
    some = await house.http.post(path, json={"audience": {"devices": ["d1", "d1", "d2", "ghost"]}})
    assert some.json() == {"devices": 2, "online": 1}
    later = await house.http.post(path, json={"audience": {"tag": ["beta"]}})
    assert later.json()["error"]["code"] == "not_supported"
