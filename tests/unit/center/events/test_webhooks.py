"""Webhooks by the API: what is taken, told again without its secret, and refused."""

import pytest

from longline.model.events import UPSTREAM, Event
from longline.model.webhooks import REFUSED, DeadEvent, Progress
from longline.saver.port.webhooks import WebhookChange
from tests.unit.center.conftest import Api

SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
OTHER = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
URL = "https://app.example.org/in"


async def number_of(api: Api, name: str = "news") -> int:
    app = await api.saver.apps.find(name)
    assert app is not None
    return app.number


async def happen(api: Api, *payloads: str) -> None:
    app = await number_of(api)
    await api.saver.events.append(
        [Event(app, UPSTREAM, "d1", api.now, b"{}", "", 0, payload=each.encode()) for each in payloads]
    )


async def goes_on(api: Api, *dead: DeadEvent, **progress: object) -> None:
    """Whoever sends has stored this."""
    found = await api.saver.webhooks.find(await number_of(api))
    assert found is not None
    webhook, _ = found
    values = {"after": webhook.progress.after, **progress}
    changed = type(webhook)(
        app=webhook.app,
        name=webhook.name,
        url=webhook.url,
        secret=webhook.secret,
        events=webhook.events,
        created_at=webhook.created_at,
        former_secret=webhook.former_secret,
        version=webhook.version + 1,
        progress=Progress(**values),  # type: ignore[arg-type]  # by their names
    )
    assert await api.saver.webhooks.change(WebhookChange(changed, webhook.version, dead))


async def test_a_webhook_is_put_shown_and_taken_away(api: Api, news: str) -> None:
    path = f"{news}/webhook"
    for method, address in (
        ("GET", path),
        ("DELETE", path),
        ("GET", f"{path}/dead"),
        ("POST", f"{path}:replay"),
    ):
        answer = await api.http.request(method, address)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "webhook_not_found")
    answer = await api.http.put(path, json={"url": URL, "secret": SECRET, "events": ["receipt", "upstream"]})
    assert answer.status_code == 200, answer.text
    assert SECRET not in answer.text
    shown = answer.json()
    assert (shown["url"], shown["events"]) == (URL, ["receipt", "upstream"])
    assert shown["status"]["state"] == "active"
    assert (await api.http.get(path)).json() == shown
    assert (await api.http.delete(path)).status_code == 204
    assert (await api.http.get(path)).status_code == 404


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"secret": None}, "secret"),
        ({"secret": "whsec_AAAA"}, "secret"),
        ({"secret": "s" * 200}, "secret"),
        ({"url": "http://app.example.org/"}, "url"),
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": "https://localhost:8080/"}, "url"),
        ({"url": "https://u:p@app.example.org/"}, "url"),
        ({"url": "/in"}, "url"),
        ({"url": ""}, "url"),
        ({"url": "https://" + "a" * 3000}, "url"),
        ({"events": []}, "events"),
        ({"events": ["gossip"]}, "events.0"),
        ({"grace_seconds": -1}, "grace_seconds"),
    ],
)
async def test_what_is_wrong_is_told_by_its_field(
    api: Api, news: str, change: dict[str, object], field: str
) -> None:
    body = {"url": URL, "secret": SECRET, **change}
    given = {name: value for name, value in body.items() if value is not None}
    answer = await api.http.put(f"{news}/webhook", json=given)
    assert answer.status_code == 422, answer.text
    assert [each["field"] for each in answer.json()["error"]["details"]] == [field]
    assert SECRET.removeprefix("whsec_") not in answer.text


async def test_a_new_webhook_begins_behind_what_was(api: Api, news: str) -> None:
    """And its lag is what waits behind that."""
    await happen(api, "old")
    await api.http.put(f"{news}/webhook", json={"url": URL, "secret": SECRET})
    found = await api.saver.webhooks.find(await number_of(api))
    assert found is not None
    assert (await api.saver.events.read(1, found[0].progress.after, 10)).events == []
    await happen(api, "new")
    api.now += 2500
    assert (await api.http.get(f"{news}/webhook")).json()["status"]["lag_seconds"] == 2.5


async def test_a_change_goes_on_where_it_was_and_forgives_what_failed(api: Api, news: str) -> None:
    path = f"{news}/webhook"
    await api.http.put(path, json={"url": URL, "secret": SECRET})
    await happen(api, "a")
    last = await api.saver.events.end(await number_of(api))
    await goes_on(
        api, after=last, failures=7, failing_since=api.now, next_at=api.now + 60_000, taken=1, gone=False
    )
    status = (await api.http.get(path)).json()["status"]
    assert (status["state"], status["circuit"], status["failures"]) == ("failing", "open", 7)
    api.now += 60_000
    assert (await api.http.get(path)).json()["status"]["circuit"] == "half_open"
    status = (await api.http.put(path, json={"url": f"{URL}/2"})).json()["status"]
    assert (status["state"], status["failures"], status["taken"]) == ("active", 0, 1)
    found = await api.saver.webhooks.find(await number_of(api))
    assert found is not None
    assert (found[0].progress.after, found[0].secret) == (last, SECRET)
    await goes_on(api, failures=1, gone=True)
    assert (await api.http.get(path)).json()["status"]["state"] == "gone"
    assert (await api.http.put(path, json={"url": URL})).json()["status"]["state"] == "active"


async def test_a_secret_that_is_replaced_signs_for_a_while(api: Api, news: str) -> None:
    path = f"{news}/webhook"
    await api.http.put(path, json={"url": URL, "secret": SECRET})
    answer = await api.http.put(path, json={"url": URL, "secret": OTHER, "grace_seconds": 60})
    assert answer.json()["former_secret_until"] == "2027-01-15T08:01:00.000Z"
    found = await api.saver.webhooks.find(await number_of(api))
    assert found is not None
    assert found[0].secrets(api.now) == (OTHER, SECRET)
    assert found[0].secrets(api.now + 60_000) == (OTHER,)
    assert SECRET not in repr(found) + repr(found[0])
    assert OTHER not in repr(found)
    answer = await api.http.put(path, json={"url": URL, "secret": SECRET, "grace_seconds": 0})
    assert "former_secret_until" not in answer.json()


async def test_dead_events_are_listed_page_by_page_and_replayed(api: Api, news: str) -> None:
    path = f"{news}/webhook"
    await api.http.put(path, json={"url": URL, "secret": SECRET})
    await happen(api, "a", "b", "c")
    page = await api.saver.events.read(await number_of(api), "", 10)
    dead = [
        DeadEvent(cursor=cursor, event=event, reason=REFUSED, error="it answered 422", at=api.now)
        for cursor, event in page.events
    ]
    await goes_on(api, *dead)
    first = (await api.http.get(f"{path}/dead?limit=2")).json()
    second = (await api.http.get(f"{path}/dead?limit=2&cursor={first['next_cursor']}")).json()
    assert second["next_cursor"] is None
    told = first["events"] + second["events"]
    read = (await api.http.get(f"{news}/upstream")).json()["events"]
    more = {"reason": "refused", "error": "it answered 422", "given_up_at": "2027-01-15T08:00:00.000Z"}
    assert told == [{**event, **more} for event in read]
    answer = await api.http.post(f"{path}:replay", json={"cursors": [told[1]["cursor"]]})
    assert (answer.status_code, answer.json()) == (202, {"replaying": 1})
    assert [event.get("replaying") for event in (await api.http.get(f"{path}/dead")).json()["events"]] == [
        None,
        True,
        None,
    ]
    assert (await api.http.post(f"{path}:replay")).json() == {"replaying": 3}
    assert (await api.http.get(path)).json()["status"]["dead"] == {"events": 3, "replaying": 3, "dropped": 0}
    assert (await api.http.post(f"{path}:replay", json={"cursors": ["?"]})).status_code == 400


async def test_another_app_sees_nothing_of_it(api: Api, news: str) -> None:
    await api.app("other")
    await api.http.put(f"{news}/webhook", json={"url": URL, "secret": SECRET})
    headers = {"Authorization": f"Bearer {api.keys['other']}"}
    nowhere = await api.http.get("/v1/apps/nowhere/webhook", headers=headers)
    for method, address in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/dead"), ("POST", ":replay")):
        answer = await api.http.request(method, f"{news}/webhook{address}", headers=headers)
        assert answer.status_code == nowhere.status_code
    assert (await api.http.get("/v1/apps/other/webhook", headers=headers)).status_code == 404
