from longline.center.devices.connections import UNKNOWN, ended
from longline.model.devices import Binding, Came, ConnectionRecord, Visit
from longline.register.port import Bind, Unbind
from longline.saver.port.inboxes import Arrive
from tests.unit.center.conftest import ROOM, Api

CAME = Came("192.0.2.7", "MQTT 5.0", "longline", "1.0")


def connection(epoch: int, at: int, ended_at: int = 0, reason: str = "") -> ConnectionRecord:
    return ConnectionRecord(epoch, at, "room-1", CAME, ended_at, reason)


async def connect(api: Api, device: str) -> int:
    (bound,) = await api.register.bind([Bind(1, device, ROOM, api.now)])
    arrive = Arrive(1, device, api.now, came=CAME, epoch=bound.binding.epoch, node=ROOM)
    await api.saver.inboxes.arrive([arrive])
    return bound.binding.epoch


async def test_the_connections_of_a_device_are_listed_the_latest_first(api: Api, news: str) -> None:
    path = f"{news}/devices/d1"
    await api.device(news, "d1")
    assert (await api.http.get(f"{path}/connections")).json() == {"connections": [], "next_cursor": None}
    first = await connect(api, "d1")
    api.now += 60_000
    await api.register.unbind([Unbind(1, "d1", first, api.now, reason="connection_lost")])
    api.now += 60_000
    second = await connect(api, "d1")
    told = {
        "room": ROOM,
        "address": "192.0.2.7",
        "protocol": "MQTT 5.0",
        "client": {"name": "longline", "version": "1.0"},
    }
    newer = {
        "connected_at": "2027-01-15T08:02:00.000Z",
        "ended_at": None,
        "reason": None,
        "epoch": second,
        **told,
    }
    older = {
        "connected_at": "2027-01-15T08:00:00.000Z",
        "ended_at": "2027-01-15T08:01:00.000Z",
        "reason": "connection_lost",
        "epoch": first,
        **told,
    }
    shown = (await api.http.get(f"{path}/connections")).json()
    assert shown == {"connections": [newer, older], "next_cursor": None}
    page = (await api.http.get(f"{path}/connections", params={"limit": 1})).json()
    assert page["connections"] == [newer]
    params = {"limit": 1, "cursor": page["next_cursor"]}
    rest = (await api.http.get(f"{path}/connections", params=params)).json()
    assert rest == {"connections": [older], "next_cursor": None}


async def test_what_is_wrong_with_such_a_request_is_said(api: Api, news: str) -> None:
    refused = await api.http.get(f"{news}/devices/nobody/connections")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "device_not_found")
    await api.device(news, "d1")
    for params in ({"cursor": "nonsense"}, {"limit": "0"}, {"limit": "100000"}):
        refused = await api.http.get(f"{news}/devices/d1/connections", params=params)
        assert refused.status_code in (400, 422), params


def test_a_connection_that_another_followed_was_taken_over_by_it() -> None:
    found = ended([connection(7, 300), connection(5, 100)], Binding("room-1", 7, 300), Visit())
    assert found == [connection(7, 300), connection(5, 100, 300, "taken_over")]


def test_of_the_latest_it_is_told_whether_it_goes_on_and_else_when_it_was_over() -> None:
    kept = [connection(5, 100)]
    assert ended(kept, Binding("room-1", 5, 100), Visit()) == kept
    assert ended(kept, None, Visit(100, 400, CAME)) == [connection(5, 100, 400, UNKNOWN)]
    assert ended(kept, None, Visit(100, 50, CAME)) == [connection(5, 100, 0, UNKNOWN)]
    # Its device is still taken to be there, since it may come back.
    over = [connection(5, 100, 200, "connection_lost")]
    assert ended(over, Binding("room-1", 5, 100), Visit(100, 0, CAME)) == over


def test_one_that_goes_on_for_longer_than_any_is_kept_is_shown() -> None:
    binding, visit = Binding("room-1", 9, 500), Visit(500, 0, CAME)
    assert ended([], binding, visit) == [connection(9, 500)]
    over = connection(5, 100, 200, "disconnected")
    assert ended([over], binding, visit) == [connection(9, 500), over]
    assert ended([connection(9, 500)], binding, visit) == [connection(9, 500)]
    assert ended([], binding, Visit()) == []
