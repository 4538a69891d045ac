"""Schedules, and messages that wait for their time, as the client of the API asks for them."""

from datetime import UTC, datetime

from longline import Push
from tests.unit.sdk.test_center import LEDGER, Server, ok

SCHEDULE = {
    "schedule_id": "s 1",
    "message": {"audience": "all", "payload": "x"},
    "cron": "0 9 * * *",
    "timezone": "Europe/Berlin",
    "paused": False,
    "created_at": "2030-01-02T03:04:05Z",
    "next": ["2030-01-03T08:00:00Z", "2030-01-04T09:00:00"],
    "firings": [
        {"at": "2030-01-02T08:00:00Z", "message_id": "m1"},
        {"at": "2030-01-02T08:00:00Z", "error": "x"},
    ],
}


async def test_a_schedule_is_asked_for_as_the_api_wants_it() -> None:
    """A next time with a zone is a moment, and one without is local."""
    server = Server(ok(SCHEDULE, 201))
    async with server.center() as center:
        made = await center.schedule("news", Push(payload="x", everyone=True), "0 9 * * *", timezone="device")
    assert server.body() == {
        "message": {"audience": "all", "payload": "x"},
        "cron": "0 9 * * *",
        "timezone": "device",
    }
    assert made.next == (datetime(2030, 1, 3, 8, tzinfo=UTC), datetime.fromisoformat("2030-01-04T09:00:00"))
    assert [(firing.message_id, firing.error) for firing in made.firings] == [("m1", None), (None, "x")]


async def test_each_call_of_a_schedule_has_its_address() -> None:
    """With its id escaped."""
    server = Server(ok(SCHEDULE))
    async with server.center() as center:
        await center.schedule_info("news", "s 1")
        await center.pause_schedule("news", "s 1")
        await center.resume_schedule("news", "s 1")
        await center.delete_schedule("news", "s 1")
    asked = [(request.method, request.url.raw_path.decode()) for request in server.requests]
    one = "/v1/apps/news/schedules/s%201"
    assert asked == [("GET", one), ("POST", f"{one}:pause"), ("POST", f"{one}:resume"), ("DELETE", one)]


async def test_schedules_are_listed_to_the_end() -> None:
    server = Server(
        ok({"schedules": [SCHEDULE], "next_cursor": "c2"}), ok({"schedules": [SCHEDULE], "next_cursor": None})
    )
    async with server.center() as center:
        assert len([schedule async for schedule in center.schedules("news")]) == 2
    assert dict(server.requests[1].url.params) == {"cursor": "c2"}


async def test_waiting_begins_before_the_time_of_a_message() -> None:
    """Nothing is pending then, and it is not done for that."""

    def status(word: str) -> dict[str, object]:
        return {"message_id": "m1", "status": word, "created_at": "2030-01-02T03:04:05Z", "ledger": LEDGER}

    server = Server(ok(status("scheduled")), ok(status("scheduled")), ok(status("done")))
    async with server.center() as center:
        assert (await center.wait("news", "m1", within=60)).status == "done"
    assert len(server.requests) == 3
