"""Lists of messages, as the client of the API asks for them."""

from datetime import UTC, datetime, timedelta, timezone

from tests.unit.sdk.test_center import LEDGER, Server, ok

MESSAGE = {
    "message_id": "m1",
    "status": "done",
    "created_at": "2030-01-02T03:04:05Z",
    "ledger": LEDGER,
    "label": "goals",
}
OF_DEVICE = {
    "message_id": "m1",
    "state": "dropped",
    "reason": "cancelled",
    "settled_at": "2030-01-02T03:04:05Z",
}


async def test_messages_are_listed_to_the_end_by_all_that_is_asked() -> None:
    """Times keep their offset, whose plus is escaped."""
    server = Server(
        ok({"messages": [MESSAGE], "next_cursor": "c2"}),
        ok({"messages": [], "next_cursor": "c3"}),
        ok({"messages": [MESSAGE], "next_cursor": None}),
    )
    since = datetime(2030, 1, 2, 4, tzinfo=timezone(timedelta(hours=1)))
    until = datetime(2030, 1, 3, tzinfo=UTC)
    async with server.center() as center:
        asked = center.messages("news", since=since, until=until, status="done", label="goals", page_size=10)
        found = [message async for message in asked]
    assert [(message.message_id, message.label) for message in found] == [("m1", "goals")] * 2
    assert dict(server.requests[1].url.params) == {
        "from": "2030-01-02T04:00:00+01:00",
        "to": "2030-01-03T00:00:00+00:00",
        "status": "done",
        "label": "goals",
        "limit": "10",
        "cursor": "c2",
    }
    assert b"%2B01:00" in server.requests[0].url.query or b"%2B01%3A00" in server.requests[0].url.query
    assert server.requests[2].url.params["cursor"] == "c3"


async def test_a_devices_messages_are_listed_to_the_end() -> None:
    server = Server(
        ok({"messages": [OF_DEVICE], "next_cursor": "c2"}), ok({"messages": [OF_DEVICE], "next_cursor": None})
    )
    async with server.center() as center:
        found = [message async for message in center.device_messages("news", "d 1", state="dropped")]
    assert [(each.state, each.reason, each.sent_at) for each in found] == [("dropped", "cancelled", None)] * 2
    assert found[0].settled_at == datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert server.requests[0].url.raw_path.startswith(b"/v1/apps/news/devices/d%201/messages?")
    assert dict(server.requests[1].url.params) == {"state": "dropped", "cursor": "c2"}


async def test_a_label_goes_with_a_push() -> None:
    server = Server(ok({"message_id": "m1", "status": "accepted", "targeted": 1}, 202))
    async with server.center() as center:
        await center.send("news", "x", devices=["d1"], label="goals")
    assert server.body()["options"] == {"label": "goals"}


async def test_why_a_device_has_a_message_or_not_is_asked_for() -> None:
    told = {
        "device": "d 1",
        "state": "pending",
        "reason": None,
        "why": "The device is banned until 2030-01-02T03:04:05.000Z: it is not let in before.",
        "accepted_at": "2030-01-02T03:04:05Z",
        "sent_at": None,
        "settled_at": None,
        "online": False,
        "room": None,
        "since": None,
        "last_seen": None,
        "banned_until": "2030-01-02T03:04:05Z",
        "parked_since": None,
    }
    server = Server(ok(told))
    async with server.center() as center:
        trace = await center.trace("news", "m1", "d 1")
    assert (trace.state, trace.why) == ("pending", told["why"])
    assert trace.banned_until == datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert server.requests[0].url.raw_path == b"/v1/apps/news/messages/m1/deliveries/d%201"


async def test_subscriptions_are_told_apart_from_those_that_nobody_keeps() -> None:
    server = Server(
        ok({"kept": True, "subscriptions": [{"filter": "home/+", "qos": 1}]}),
        ok({"kept": False, "subscriptions": []}),
    )
    async with server.center() as center:
        kept = await center.subscriptions("news", "d1")
        assert kept is not None
        assert [(each.filter, each.qos) for each in kept] == [("home/+", 1)]
        assert await center.subscriptions("news", "d1") is None


async def test_only_the_beginning_of_names_and_what_was_missed_is_asked_for() -> None:
    server = Server(ok({"devices": [], "next_cursor": None}), ok({"messages": [], "next_cursor": None}))
    async with server.center() as center:
        assert [each async for each in center.devices("news", prefix="phone-")] == []
        assert [each async for each in center.messages("news", missed=True)] == []
    assert dict(server.requests[0].url.params) == {"prefix": "phone-"}
    assert dict(server.requests[1].url.params) == {"missed": "true"}
