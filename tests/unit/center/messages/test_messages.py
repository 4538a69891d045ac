from collections.abc import Sequence

import pytest

from longline.model.commands import Broadcast, Cancelled, Command, Unicast
from longline.model.devices import JsonObject
from longline.model.messages import MAX_PAYLOAD
from longline.saver.bundle import Durability
from longline.saver.port.inboxes import Fetch
from tests.unit.center.conftest import Api

TO_D1: JsonObject = {"audience": {"devices": ["d1"]}, "payload": {"title": "Goal!"}}


async def test_a_message_is_stored_and_routed_to_the_room_of_its_device(api: Api, news: str) -> None:
    await api.device(news, "d1")
    await api.connect("news", "d1")
    answer = await api.http.post(f"{news}/messages", json=TO_D1)
    assert answer.status_code == 202
    body = answer.json()
    assert body == {"message_id": body["message_id"], "status": "accepted", "targeted": 1}
    (command,) = await api.commands()
    assert isinstance(command, Unicast)
    assert [target.device for target in command.targets] == ["d1"]
    assert command.message.id == body["message_id"]


async def test_the_answer_says_what_the_message_survives(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.device(news, "d1")
    for durability, told in (
        (Durability("fsync"), "fsync"),
        (Durability("memory"), "memory"),
        (Durability("replicated", 2), "replicated;copies=2"),
    ):
        monkeypatch.setattr(api.saver, "durability", lambda durability=durability: durability)
        for path, body in (("messages", TO_D1), ("messages:batch", {"messages": [TO_D1]})):
            answer = await api.http.post(f"{news}/{path}", json=body)
            assert answer.headers["longline-durability"] == told
    refused = await api.http.post(f"{news}/messages", json={**TO_D1, "audience": {"devices": ["ghost"]}})
    nothing = await api.http.post(f"{news}/messages:batch", json={"messages": [{}]})
    ghosts = {**TO_D1, "audience": {"devices": ["ghost"]}}
    nobody = await api.http.post(f"{news}/messages:batch", json={"messages": [ghosts, ghosts]})
    for answer in (refused, nothing, nobody):
        assert "longline-durability" not in answer.headers


async def test_nodes_are_told_to_stop_writing_a_broadcast_that_is_cancelled(api: Api, news: str) -> None:
    await api.bus.open("room-2")
    await api.device(news, "d1")
    for audience, told in (("all", 1), ({"devices": ["d1"]}, 0)):
        sent = await api.http.post(f"{news}/messages", json={**TO_D1, "audience": audience})
        for node in ("room-1", "room-2"):
            if api.bus.waiting(node):
                await api.bus.receive(node)
        message_id = sent.json()["message_id"]
        answer = await api.http.delete(f"{news}/messages/{message_id}")
        assert answer.json()["ledger"]["dropped"] == {"cancelled": 1}
        for node in ("room-1", "room-2"):
            commands = await api.bus.receive(node) if api.bus.waiting(node) else []
            assert commands == [Cancelled(1, message_id)] * told


async def test_a_message_for_a_device_that_is_not_connected_waits_in_its_inbox(api: Api, news: str) -> None:
    await api.device(news, "d1")
    await api.http.post(f"{news}/messages", json=TO_D1)
    assert await api.commands() == []
    app = await api.saver.apps.find("news")
    assert app is not None
    (page,) = await api.saver.inboxes.fetch([Fetch(app.number, 0, -1, -1, 10, api.now)])
    assert [push.message.payload for push in page.pushes] == [b'{"title":"Goal!"}']


async def test_only_the_connected_targets_of_a_message_go_to_a_room(api: Api, news: str) -> None:
    for device in ("d1", "d2", "d3"):
        await api.device(news, device)
    await api.connect("news", "d1", "d3")
    asked = {**TO_D1, "audience": {"devices": ["d1", "d2", "d3", "d1"]}}
    answer = await api.http.post(f"{news}/messages", json=asked)
    assert answer.json()["targeted"] == 3
    (command,) = await api.commands()
    assert isinstance(command, Unicast)
    assert [target.device for target in command.targets] == ["d1", "d3"]


async def test_a_message_to_everyone_goes_to_every_node_once(api: Api, news: str) -> None:
    await api.bus.open("room-2")
    await api.device(news, "d1")
    await api.device(news, "d2")
    answer = await api.http.post(f"{news}/messages", json={"audience": "all", "payload": "hi"})
    assert answer.json()["targeted"] == 2
    for commands in (await api.commands(), await api.bus.receive("room-2")):
        (command,) = commands
        assert isinstance(command, Broadcast)


@pytest.mark.parametrize(
    ("sent", "payload", "content_type"),
    [
        (b'"payload":"gr\xc3\xbc\\u00df"', "grüß".encode(), "text/plain;charset=utf-8"),
        (b'"payload":{"b": 1.50, "a":[1,\n2]}', b'{"b": 1.50, "a":[1,\n2]}', "application/json"),
        (b'"payload":null', b"null", "application/json"),
        (b'"payload":false', b"false", "application/json"),
        (b'"payload":[]', b"[]", "application/json"),
        (b'"payload_base64":"AAH/"', b"\x00\x01\xff", "application/octet-stream"),
    ],
)
async def test_what_a_device_gets_of_a_payload(
    api: Api, news: str, sent: bytes, payload: bytes, content_type: str
) -> None:
    """A string is its text, other JSON is the sender's own bytes, base64 is what it encodes."""
    await api.device(news, "d1")
    await api.connect("news", "d1")
    body = b'{"audience":{"devices":["d1"]},' + sent + b"}"
    assert (await api.http.post(f"{news}/messages", content=body)).status_code == 202
    (command,) = await api.commands()
    assert isinstance(command, Unicast)
    assert (command.message.payload, command.message.content_type) == (payload, content_type)


def nested(deep: int) -> JsonObject:
    """An audience of so many expressions in one another."""
    audience: JsonObject = {"tag": ["t"]}
    for _ in range(deep - 1):
        audience = {"any": [audience]}
    return audience


@pytest.mark.parametrize(
    ("change", "status", "code", "field"),
    [
        ({"payload": ""}, 422, "payload_empty", None),
        ({"payload": ..., "payload_base64": ""}, 422, "payload_empty", None),
        ({"payload": ...}, 422, "invalid", "payload"),
        ({"payload_base64": "AA=="}, 422, "invalid", "payload_base64"),
        ({"payload": ..., "payload_base64": "A"}, 422, "invalid", "payload_base64"),
        ({"payload": "x" * (MAX_PAYLOAD + 1)}, 413, "payload_too_large", None),
        ({"audience": {"devices": []}}, 422, "invalid", "audience.devices"),
        ({"audience": {"devices": ["d"] * 1001}}, 422, "invalid", "audience.devices"),
        ({"audience": {"devices": ["d1", "a/b"]}}, 422, "invalid", "audience.devices.1"),
        ({"audience": {"devices": [1]}}, 422, "invalid", "audience.devices.0"),
        ({"audience": "some"}, 422, "invalid", "audience"),
        ({"audience": {}}, 422, "invalid", "audience"),
        ({"audience": ...}, 422, "invalid", "audience"),
        ({"audience": {"group": "g"}}, 404, "group_not_found", None),
        ({"audience": {"group": "g", "tag": ["t"]}}, 422, "invalid", "audience.tag"),
        ({"audience": {"reply": ""}}, 422, "invalid", "audience.reply"),
        ({"audience": {"reply": "x", "devices": ["d1"]}}, 422, "invalid", "audience.devices"),
        ({"audience": {"reply": "x", "tag": ["t"]}}, 422, "invalid", "audience.tag"),
        ({"audience": {"aliases": []}}, 422, "invalid", "audience.aliases"),
        ({"audience": {"aliases": ["a"] * 1001}}, 422, "invalid", "audience.aliases"),
        ({"audience": {"aliases": ["a"], "tag": ["t"]}}, 422, "invalid", "audience.tag"),
        ({"audience": {"devices": ["d1"], "tag_not": ["t"]}}, 422, "invalid", "audience.tag_not"),
        ({"audience": {"aliases": ["nobody"]}}, 404, "no_target", None),
        ({"audience": {"tag": []}}, 422, "invalid", "audience.tag"),
        ({"audience": {"tag": ["nobody"]}}, 404, "no_target", None),
        ({"audience": {"tag": "t"}}, 422, "invalid", "audience.tag"),
        ({"audience": {"any": []}}, 422, "invalid", "audience.any"),
        ({"audience": {"any": [{"tag": ["a"]}, {}]}}, 422, "invalid", "audience.any.1"),
        ({"audience": {"not": {"devices": ["d1"]}}}, 422, "invalid", "audience.not.devices"),
        ({"audience": {"attributes": {}}}, 422, "invalid", "audience.attributes"),
        ({"audience": {"attributes": {"age": {}}}}, 422, "invalid", "audience.attributes.age"),
        ({"audience": {"attributes": {"age": {"gt": "4"}}}}, 422, "invalid", "audience.attributes.*.gt"),
        ({"audience": {"attributes": {"a": {"eq": [1]}}}}, 422, "invalid", "audience.attributes.*.eq"),
        ({"audience": {"attributes": {"a": {"eq": 2**63}}}}, 422, "invalid", "audience.attributes.*.eq"),
        (
            {"audience": {"attributes": {"a": {"in": [-(10**400)]}}}},
            422,
            "invalid",
            "audience.attributes.*.in.0",
        ),
        ({"audience": {"attributes": {"a": {"gt": 10**400}}}}, 422, "invalid", "audience.attributes.*.gt"),
        ({"audience": {"tag_and": ["t"] * 257}}, 422, "audience_too_complex", "audience"),
        ({"audience": {"attributes": {"a": {"in": [1] * 33}}}}, 422, "audience_too_complex", "audience"),
        ({"audience": nested(17)}, 422, "audience_too_complex", "audience"),
        ({"audience": nested(70)}, 422, "audience_too_complex", "audience"),
        ({"audience": {"colour": "red"}}, 422, "invalid", "audience.colour"),
        ({"options": {"ttl": -1}}, 422, "invalid", "options.ttl"),
        ({"options": {"ttl": 2_419_201}}, 422, "invalid", "options.ttl"),
        ({"options": {"ttl": "10"}}, 422, "invalid", "options.ttl"),
        ({"options": {"qos": 3}}, 422, "invalid", "options.qos"),
        ({"options": {"priority": "urgent"}}, 422, "invalid", "options.priority"),
        ({"options": {"collapse_key": "k" * 65}}, 422, "invalid", "options.collapse_key"),
        ({"options": {"send_at": "tomorrow"}}, 422, "invalid_send_at", "options.send_at"),
        ({"options": {"spread_over": 60, "ttl": 59}}, 422, "invalid", "options.spread_over"),
        ({"options": {"spread_over": 86_401}}, 422, "invalid", "options.spread_over"),
        ({"options": {"tll": 60}}, 422, "invalid", "options.tll"),
        ({"colour": "red"}, 422, "invalid", "colour"),
    ],
)
async def test_each_mistake_in_a_message_has_its_own_answer(
    api: Api, news: str, change: dict[str, object], status: int, code: str, field: str | None
) -> None:
    """Alone it is refused; in a batch it takes only its own place, and the others are stored."""
    await api.device(news, "d1")
    wrong = {key: value for key, value in {**TO_D1, **change}.items() if value is not ...}
    alone = await api.http.post(f"{news}/messages", json=wrong)
    assert alone.status_code == status
    error = alone.json()["error"]
    assert error["code"] == code
    assert [detail["field"] for detail in error["details"]] == ([field] if field else [])
    batch = await api.http.post(f"{news}/messages:batch", json={"messages": [TO_D1, wrong, TO_D1]})
    assert batch.status_code == 202
    first, second, third = batch.json()["results"]
    assert second == {"error": error}
    assert first["message_id"] < third["message_id"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "bad_request"),
        (b"{", 400, "bad_request"),
        (b"[]", 422, "invalid"),
        (b'{"audience":"all","payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "bad_request"),
        (b'{"audience":"all","payload":{"a":"\xff"}}', 400, "bad_request"),
        (b'{"audience":"all","payload":"\\ud800"}', 400, "bad_request"),
        (b'{"audience":"all","payload":NaN}', 400, "bad_request"),
        (b'{"audience":"all","payload":1} x', 400, "bad_request"),
        (b'{"messages":[]}', 422, "invalid"),
    ],
)
async def test_a_body_that_is_no_message_is_refused(
    api: Api, news: str, body: bytes, status: int, code: str
) -> None:
    answer = await api.http.post(f"{news}/messages", content=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_the_largest_payload_is_taken(api: Api, news: str) -> None:
    await api.device(news, "d1")
    answer = await api.http.post(f"{news}/messages", json={**TO_D1, "payload": "x" * MAX_PAYLOAD})
    assert answer.status_code == 202


async def test_nobody_in_the_audience_is_no_target(api: Api, news: str) -> None:
    answer = await api.http.post(f"{news}/messages", json=TO_D1)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_target")
    everyone = await api.http.post(f"{news}/messages", json={**TO_D1, "audience": "all"})
    assert (everyone.status_code, everyone.json()["error"]["code"]) == (404, "no_target")
    batch = await api.http.post(f"{news}/messages:batch", json={"messages": [TO_D1]})
    assert batch.json()["results"][0]["error"]["code"] == "no_target"


async def test_some_of_the_audience_missing_is_in_the_ledger(api: Api, news: str) -> None:
    await api.device(news, "d1")
    asked = {**TO_D1, "audience": {"devices": ["d1", "ghost"]}}
    answer = (await api.http.post(f"{news}/messages", json=asked)).json()
    ledger = await api.ledger(news, answer["message_id"])
    assert (ledger["targeted"], ledger["pending"]) == (2, 1)
    assert ledger["dropped"] == {"device_not_found": 1}


@pytest.mark.parametrize("options", [{"online_only": True}, {"ttl": 0}])
async def test_an_online_only_message_is_dropped_for_who_is_offline_before_the_answer(
    api: Api, news: str, options: dict[str, object]
) -> None:
    for device in ("d1", "d2"):
        await api.device(news, device)
    await api.connect("news", "d1")
    asked = {**TO_D1, "audience": {"devices": ["d1", "d2"]}, "options": options}
    answer = (await api.http.post(f"{news}/messages", json=asked)).json()
    (command,) = await api.commands()
    ledger = await api.ledger(news, answer["message_id"])
    assert (ledger["pending"], ledger["dropped"]) == (1, {"offline": 1})
    assert isinstance(command, Unicast)
    assert command.message.online_only
    assert command.message.expires_at == api.now + 30_000


async def test_the_ttl_is_the_default_unless_given(api: Api, news: str) -> None:
    await api.device(news, "d1")
    await api.connect("news", "d1")
    await api.http.post(f"{news}/messages", json=TO_D1)
    await api.http.post(f"{news}/messages", json={**TO_D1, "options": {"ttl": 10}})
    lives = [
        command.message.expires_at - api.now
        for command in await api.commands()
        if isinstance(command, Unicast)
    ]
    assert lives == [86_400_000, 10_000]


async def test_the_messages_of_a_batch_reach_a_room_in_one_step_and_in_order(
    api: Api, news: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for device in ("d1", "d2"):
        await api.device(news, device)
    await api.connect("news", "d1", "d2")
    sent: list[Sequence[Command]] = []
    send = api.bus.send

    async def recorded(node: str, commands: Sequence[Command]) -> None:
        sent.append(commands)
        await send(node, commands)

    monkeypatch.setattr(api.bus, "send", recorded)
    messages = [{**TO_D1, "audience": {"devices": [f"d{1 + i % 2}"]}, "payload": i} for i in range(10)]
    answer = await api.http.post(f"{news}/messages:batch", json={"messages": messages})
    ids = [result["message_id"] for result in answer.json()["results"]]
    assert ids == sorted(ids)
    (batch,) = sent
    assert [command.message.id for command in batch if isinstance(command, Unicast)] == ids


async def test_a_whole_number_with_a_fraction_is_a_whole_number(api: Api, news: str) -> None:
    """As JSON Schema has it, and as some languages write all numbers. What devices get is not touched."""
    await api.device(news, "d1")
    await api.connect("news", "d1")
    payload = b'{"price": 1.10, "count": 3.0}'
    message = b'{"audience": "all", "payload": %b, "options": {"ttl": 5053.0, "qos": 1.0}}' % payload
    sent = await api.http.post(f"{news}/messages", content=message)
    assert sent.status_code == 202, sent.text
    batch = await api.http.post(f"{news}/messages:batch", content=b'{"messages": [%b]}' % message)
    assert "message_id" in batch.json()["results"][0], batch.text
    for command in await api.commands():
        assert isinstance(command, Broadcast)
        assert command.message.payload == payload
        assert command.message.expires_at == api.now + 5_053_000
    for wrong in (b"1.5", b"1e300", b'"5053"'):
        refused = await api.http.post(f"{news}/messages", content=message.replace(b"5053.0", wrong))
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid")
    broken = await api.http.post(f"{news}/messages", content=message[:-2] + b"nonsense")
    assert broken.status_code == 400
