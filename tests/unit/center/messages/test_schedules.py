"""Messages for later and schedules, as the API takes and shows them."""

import pytest

from longline.model.devices import JsonObject
from tests.unit.center.conftest import Api

MESSAGE: JsonObject = {"audience": "all", "payload": "Good morning"}
DAY = 86_400_000  # ms from the test's start, 2027-01-15T08:00:00Z


async def made(api: Api, path: str, **what: object) -> JsonObject:
    body = {"message": MESSAGE, "cron": "0 9 * * *", **what}
    answer = await api.http.post(f"{path}/schedules", json=body)
    assert answer.status_code == 201, answer.text
    found: JsonObject = answer.json()
    return found


async def test_a_schedule_is_shown_as_it_was_made(api: Api) -> None:
    """The message as it was written, to the byte, and its next times."""
    path = await api.app()
    body = b'{"message": {"audience":"all", "payload":{"n":1.10}}, "cron": "0 9 * * 1-5"}'
    answer = await api.http.post(f"{path}/schedules", content=body)
    assert answer.status_code == 201
    shown = answer.json()
    assert b'"message":{"audience":"all", "payload":{"n":1.10}}' in answer.content
    assert shown["timezone"] == "UTC"
    assert shown["created_at"] == "2027-01-15T08:00:00.000Z"
    assert shown["next"][:2] == ["2027-01-15T09:00:00.000Z", "2027-01-18T09:00:00.000Z"]
    assert (shown["paused"], shown["firings"]) == (False, [])
    again = await api.http.get(f"{path}/schedules/{shown['schedule_id']}")
    assert (again.status_code, again.content) == (200, answer.content)


async def test_schedules_are_listed_page_by_page(api: Api) -> None:
    path = await api.app()
    ids = [(await made(api, path))["schedule_id"] for _ in range(5)]
    first = (await api.http.get(f"{path}/schedules?limit=3")).json()
    rest = (await api.http.get(f"{path}/schedules?limit=3&cursor={first['next_cursor']}")).json()
    assert [each["schedule_id"] for each in first["schedules"] + rest["schedules"]] == ids
    assert rest["next_cursor"] is None


async def test_a_paused_schedule_has_no_next_times(api: Api) -> None:
    path = await api.app()
    id = (await made(api, path))["schedule_id"]
    for _ in range(2):  # once more changes nothing
        paused = (await api.http.post(f"{path}/schedules/{id}:pause")).json()
        assert (paused["paused"], paused["next"]) == (True, [])
    api.now += 2 * DAY
    resumed = (await api.http.post(f"{path}/schedules/{id}:resume")).json()
    assert (resumed["paused"], resumed["next"][0]) == (False, "2027-01-17T09:00:00.000Z")


async def test_what_was_deleted_is_not_found(api: Api) -> None:
    """Nor is another app's, nor a message by its id."""
    path, other = await api.app(), await api.app("other")
    id = (await made(api, path))["schedule_id"]
    later = {**MESSAGE, "options": {"send_at": "2027-01-16T08:00:00Z"}}
    message = (await api.http.post(f"{path}/messages", json=later)).json()["message_id"]
    assert (await api.http.get(f"{other}/schedules/{id}")).status_code == 404
    assert (await api.http.get(f"{path}/schedules/{message}")).status_code == 404
    assert (await api.http.get(f"{path}/messages/{id}")).status_code == 404
    assert (await api.http.delete(f"{path}/schedules/{id}")).status_code == 204
    for method, of in (("GET", ""), ("DELETE", ""), ("POST", ":pause"), ("POST", ":resume")):
        answer = await api.http.request(method, f"{path}/schedules/{id}{of}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "schedule_not_found")


@pytest.mark.parametrize(
    ("what", "code", "field"),
    [
        ({"cron": "0 9 * *"}, "invalid_cron", "cron"),
        ({"cron": "0 0 31 2 *"}, "invalid_cron", "cron"),
        ({"cron": ""}, "invalid", "cron"),
        ({"timezone": "Europe/Atlantis"}, "invalid_timezone", "timezone"),
        ({"message": {**MESSAGE, "options": {"ttl": -1}}}, "invalid", "options.ttl"),
        (
            {"message": {**MESSAGE, "options": {"send_at": "2027-01-16T08:00:00Z"}}},
            "invalid",
            "options.send_at",
        ),
        ({"message": {"audience": "all", "payload": ""}}, "payload_empty", None),
        ({"message": {"audience": {"devices": ["a/b"]}, "payload": "x"}}, "invalid", "audience.devices.0"),
        ({"more": 1}, "invalid", "more"),
    ],
)
async def test_what_is_wrong_is_told(api: Api, what: JsonObject, code: str, field: str | None) -> None:
    """With a code and the field, and nothing is made."""
    path = await api.app()
    answer = await api.http.post(f"{path}/schedules", json={"message": MESSAGE, "cron": "* * * * *"} | what)
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert error["code"] == code
    fields = [detail["field"] for detail in error["details"]]
    if field is not None:
        assert fields[0].removeprefix("message.") == field
    assert (await api.http.get(f"{path}/schedules")).json()["schedules"] == []


async def test_a_message_for_later_says_so_until_it_is_cancelled(api: Api) -> None:
    """Stored, for which the header says what it survives; nobody has been looked for yet."""
    path = await api.app()
    body = {**MESSAGE, "options": {"send_at": "2027-01-16T09:00:00+01:00"}}
    answer = await api.http.post(f"{path}/messages", json=body)
    assert answer.status_code == 202
    assert answer.headers["Longline-Durability"] == "fsync"
    accepted = answer.json()
    assert (accepted["status"], accepted["targeted"]) == ("accepted", None)
    one = f"{path}/messages/{accepted['message_id']}"
    shown = (await api.http.get(one)).json()
    assert (shown["status"], shown["send_at"]) == ("scheduled", "2027-01-16T09:00:00+01:00")
    assert (shown["ledger"]["targeted"], "firings" in shown, "error" in shown) == (0, False, False)
    assert (await api.http.get(f"{one}/deliveries")).json() == {"deliveries": [], "next_cursor": None}
    assert (await api.http.delete(one)).json()["status"] == "cancelled"
    assert (await api.http.get(one)).json()["status"] == "cancelled"


async def test_a_batch_for_later_is_answered_item_by_item(api: Api) -> None:
    """And is replayed with its key."""
    path = await api.app()
    await api.device(path, "d1")
    times = (None, "2027-01-16T08:00:00Z", "2027-01-16T08:00:00", "soon")
    body = {"messages": [{**MESSAGE, "options": {"send_at": at}} for at in times]}
    first = await api.http.post(f"{path}/messages:batch", json=body, headers={"Idempotency-Key": "k"})
    results = first.json()["results"]
    assert ["message_id" in result for result in results] == [True, True, True, False]
    assert results[3]["error"]["code"] == "invalid_send_at"
    again = await api.http.post(f"{path}/messages:batch", json=body, headers={"Idempotency-Key": "k"})
    assert again.json() == first.json()
    assert again.headers["Idempotent-Replayed"] == "true"
    body["messages"].pop()
    other = await api.http.post(f"{path}/messages:batch", json=body, headers={"Idempotency-Key": "k"})
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")


async def test_a_schedule_is_made_once_for_a_key(api: Api) -> None:
    """Repeated it is shown as it is; another request of the key is refused, and a deleted one is gone."""
    path = await api.app()
    body, headers = {"message": MESSAGE, "cron": "0 9 * * *"}, {"Idempotency-Key": "k"}
    first = await api.http.post(f"{path}/schedules", json=body, headers=headers)
    assert first.headers["Longline-Durability"] == "fsync"
    again = await api.http.post(f"{path}/schedules", json=body, headers=headers)
    assert (again.status_code, again.content) == (201, first.content)
    assert again.headers["Idempotent-Replayed"] == "true"
    other = await api.http.post(f"{path}/schedules", json=body | {"cron": "0 8 * * *"}, headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_mismatch")
    await api.http.delete(f"{path}/schedules/{first.json()['schedule_id']}")
    gone = await api.http.post(f"{path}/schedules", json=body, headers=headers)
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "schedule_not_found")
