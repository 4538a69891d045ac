"""The messages of an app and of a device in lists, the latest first."""

from urllib.parse import quote

import pytest

from longline.center.messages import latest
from longline.model.devices import JsonObject
from longline.saver.port.ledgers import MessagePage, MessagesAsked
from longline.saver.sql import device_messages
from tests.unit.center.conftest import START, Api

SECOND = 1000


async def sent(api: Api, path: str, *, label: str | None = None, after: int = SECOND) -> str:
    """Sends a message to "d1", some time after what was before."""
    api.now += after
    options: JsonObject = {} if label is None else {"label": label}
    body: JsonObject = {"audience": {"devices": ["d1"]}, "payload": "hi", "options": options}
    answer = await api.http.post(f"{path}/messages", json=body)
    assert answer.status_code == 202, answer.text
    message_id: str = answer.json()["message_id"]
    return message_id


async def listed(api: Api, path: str, query: str = "") -> list[str]:
    """The ids of all pages."""
    found: list[str] = []
    cursor = ""
    while True:
        answer = await api.http.get(f"{path}/messages?{query}{cursor}")
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += [each["message_id"] for each in page["messages"]]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


async def test_messages_are_listed_page_by_page(api: Api, news: str) -> None:
    await api.device(news, "d1")
    ids = [await sent(api, news) for _ in range(5)]
    assert await listed(api, news) == ids[::-1]
    assert await listed(api, news, "limit=2") == ids[::-1]
    assert await listed(api, news, "limit=5") == ids[::-1]


async def test_a_listed_message_is_shown_as_it_is_alone(api: Api, news: str) -> None:
    await api.device(news, "d1")
    message_id = await sent(api, news, label="goals")
    alone = (await api.http.get(f"{news}/messages/{message_id}")).json()
    assert alone["label"] == "goals"
    assert (await api.http.get(f"{news}/messages")).json() == {"messages": [alone], "next_cursor": None}
    plain = await sent(api, news)
    assert "label" not in (await api.http.get(f"{news}/messages/{plain}")).json()


async def test_messages_are_listed_by_when_they_were_handed_in(api: Api, news: str) -> None:
    """`from` belongs to it and `to` does not; any offset is read."""
    await api.device(news, "d1")
    ids = [await sent(api, news) for _ in range(5)]  # at 08:00:01Z and so on
    assert api.now == START + 5 * SECOND
    assert await listed(api, news, "from=2027-01-15T08:00:04Z") == [ids[4], ids[3]]
    assert await listed(api, news, "to=2027-01-15T08:00:02Z") == [ids[0]]
    between = f"from={quote('2027-01-15T09:00:02.000+01:00')}&to={quote('2027-01-15T09:00:04+01:00')}&limit=1"
    assert await listed(api, news, between) == [ids[2], ids[1]]
    assert await listed(api, news, "from=2027-01-15T08:00:01.001Z&to=2027-01-15T08:00:02Z") == []
    assert await listed(api, news, "from=1900-01-01T00:00:00Z&to=9999-12-31T23:59:60Z") == ids[::-1]


async def test_messages_are_listed_by_label_and_by_status(api: Api, news: str) -> None:
    await api.device(news, "d1")
    ids = [await sent(api, news, label=label) for label in ("goals", "cards", "goals", "cards")]
    await api.http.delete(f"{news}/messages/{ids[2]}")
    assert await listed(api, news, "label=goals") == [ids[2], ids[0]]
    assert await listed(api, news, "status=done") == [ids[2]]
    assert await listed(api, news, "status=accepted&limit=1") == [ids[3], ids[1], ids[0]]
    assert await listed(api, news, "status=accepted&label=goals") == [ids[0]]
    assert await listed(api, news, "status=delivering") == []


async def test_a_status_that_few_have_does_not_make_a_page_look_for_ever(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes to its end without a message, and leads on."""
    monkeypatch.setattr(latest, "ROUNDS", 2)
    monkeypatch.setattr(latest, "MAX_MESSAGES", 3)
    await api.device(news, "d1")
    first = await sent(api, news)
    await api.http.delete(f"{news}/messages/{first}")
    for _ in range(7):
        await sent(api, news)
    page = (await api.http.get(f"{news}/messages?status=done")).json()
    assert page["messages"] == []
    assert page["next_cursor"] is not None
    assert await listed(api, news, "status=done") == [first]


async def test_messages_for_many_devices_do_not_make_a_page_count_for_ever(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look that had to count a lot is the last of its page; a cheap one is followed by one for the rest."""
    monkeypatch.setattr(latest, "MAX_MESSAGES", 2)
    names = [f"d{n}" for n in range(30)]
    for name in names:
        await api.device(news, name)
    first = await sent(api, news)
    await api.http.delete(f"{news}/messages/{first}")
    body: JsonObject = {"audience": {"devices": names}, "payload": "hi"}
    for _ in range(8):
        await api.http.post(f"{news}/messages", json=body)
    looks = []
    read = api.saver.ledgers.latest

    async def counted(app: int, asked: MessagesAsked) -> MessagePage:
        looks.append(asked.limit)
        return await read(app, asked)

    monkeypatch.setattr(api.saver.ledgers, "latest", counted)
    for most, expected in ((10_000, [2, 8]), (100, [2, 1]), (50, [2])):
        monkeypatch.setattr(latest, "WORK", most)
        looks.clear()
        page = (await api.http.get(f"{news}/messages?status=done")).json()
        assert looks == expected
        assert (page["messages"] == []) == (most < 10_000)
    assert await listed(api, news, "status=done") == [first]


async def test_a_message_that_waits_for_its_time_is_listed_when_it_is_sent(api: Api, news: str) -> None:
    await api.device(news, "d1")
    options = {"send_at": "2027-01-15T09:00:00Z", "label": "goals"}
    body = {"audience": {"devices": ["d1"]}, "payload": "hi", "options": options}
    promised = (await api.http.post(f"{news}/messages", json=body)).json()["message_id"]
    assert await listed(api, news) == []
    assert (await api.http.get(f"{news}/messages/{promised}")).json()["label"] == "goals"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=yesterday", "from"),
        ("from=2027-01-15T08:00:00", "from"),
        ("to=2027-02-30T08:00:00Z", "to"),
        ("to=2027-01-15T08:00:00+01:00", "to"),  # a plus that was not encoded is a space
        ("cursor=bm9uc2Vuc2U", "cursor"),
        ("status=lost", "status"),
        ("limit=101", "limit"),
        ("label=", "label"),
    ],
)
async def test_what_is_asked_wrongly_is_named(api: Api, news: str, query: str, field: str) -> None:
    answer = await api.http.get(f"{news}/messages?{query}")
    assert answer.status_code == 400 if field == "cursor" else 422, answer.text
    assert [detail["field"] for detail in answer.json()["error"]["details"]] == [field]


@pytest.mark.parametrize("label", ["", "x" * 65, "two\nlines", 7])
async def test_a_label_is_a_short_text(api: Api, news: str, label: object) -> None:
    body: JsonObject = {"audience": "all", "payload": "hi", "options": {"label": label}}
    answer = await api.http.post(f"{news}/messages", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["field"] == "options.label"


async def test_an_app_lists_no_other_apps_messages(api: Api, news: str) -> None:
    await api.device(news, "d1")
    await sent(api, news)
    sport = await api.app("sport")
    assert await listed(api, sport) == []
    stranger = {"Authorization": f"Bearer {api.keys['sport']}"}
    assert (await api.http.get(f"{news}/messages", headers=stranger)).status_code == 403


# --- of a device ---


async def of_device(api: Api, path: str, name: str, query: str = "") -> list[JsonObject]:
    """The rows of all pages."""
    found: list[JsonObject] = []
    cursor = ""
    while True:
        answer = await api.http.get(f"{path}/devices/{name}/messages?{query}{cursor}")
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["messages"]
        if page["next_cursor"] is None:
            return found
        cursor = f"&cursor={page['next_cursor']}"


async def test_a_device_shows_what_waits_for_it_and_what_became_of_the_rest(api: Api, news: str) -> None:
    await api.device(news, "d1")
    await api.device(news, "d2")
    first = await sent(api, news, label="goals")
    second = await sent(api, news)
    api.now += SECOND
    await api.http.delete(f"{news}/messages/{second}")
    waits: JsonObject = {
        "message_id": first,
        "state": "pending",
        "reason": None,
        "why": "The device has not acknowledged it yet.",
        "accepted_at": "2027-01-15T08:00:01.000Z",
        "sent_at": None,
        "settled_at": None,
        "label": "goals",
    }
    cancelled: JsonObject = {
        "message_id": second,
        "state": "dropped",
        "reason": "cancelled",
        "why": "It was cancelled before the device had it.",
        "accepted_at": "2027-01-15T08:00:02.000Z",
        "sent_at": None,
        "settled_at": "2027-01-15T08:00:03.000Z",
    }
    assert await of_device(api, news, "d1") == [cancelled, waits]
    assert await of_device(api, news, "d1", "limit=1") == [cancelled, waits]
    assert await of_device(api, news, "d1", "state=pending") == [waits]
    assert await of_device(api, news, "d1", "state=dropped&limit=1") == [cancelled]
    assert await of_device(api, news, "d1", "state=acked") == []
    assert await of_device(api, news, "d2") == []


async def test_what_is_for_other_devices_makes_no_page_look_for_ever(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be empty, and leads on; what waits is found at once."""
    monkeypatch.setattr(device_messages, "ROWS", 3)
    monkeypatch.setattr(device_messages, "BROADCASTS", 2)
    await api.device(news, "d1")
    to_all: JsonObject = {"audience": "all", "payload": "hi"}
    first = (await api.http.post(f"{news}/messages", json=to_all)).json()["message_id"]
    last = await sent(api, news)
    await api.device(news, "d2")
    to_d2: JsonObject = {"audience": {"devices": ["d2"]}, "payload": "hi"}
    for _ in range(40):
        await api.http.post(f"{news}/messages", json=to_d2)
    page = (await api.http.get(f"{news}/devices/d1/messages")).json()
    assert page["messages"] == []
    assert page["next_cursor"] is not None
    assert [row["message_id"] for row in await of_device(api, news, "d1")] == [last, first]
    page = (await api.http.get(f"{news}/devices/d1/messages?state=pending")).json()
    assert [row["message_id"] for row in page["messages"]] == [last, first]
    for _ in range(5):
        await api.http.post(f"{news}/messages", json=to_all)
    assert len(await of_device(api, news, "d1")) == 7
    assert len(await of_device(api, news, "d2", "limit=7")) == 45


async def test_a_device_that_is_not_there_has_no_list(api: Api, news: str) -> None:
    answer = await api.http.get(f"{news}/devices/d1/messages")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "device_not_found"
    await api.device(news, "d1")
    assert (await api.http.get(f"{news}/devices/d1/messages?state=lost")).status_code == 422
