"""`$link/attach` and `$link/detach`: who is let in on a connection that is there, and what is answered."""

from typing import Any

import msgspec
import pytest

from longline.model.commands import AppChanged, Close, CloseReason
from longline.model.times import wall_clock
from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Packet, Puback, Publish, Subscribe, Subscription
from longline.mqtt.properties import PropertyId
from longline.mqtt.reasons import ReasonCode
from longline.room.session.session import Gone, Session
from longline.saver.port.inboxes import Arrival
from longline.settings import RoomSettings
from tests.unit.room.fixture import Peer
from tests.unit.room.running import NODE, SECRET, RunningRoom, Store, a_token, an_app

VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
WEATHER = 8
OTHER_SECRET = "the device secret of another app, for tests"


def a_store() -> Store:
    store = Store()
    store.known["weather"] = msgspec.structs.replace(an_app("weather", WEATHER), device_secret=OTHER_SECRET)
    store.known["maps"] = an_app("maps", 9)
    return store


def a_room(settings: RoomSettings | None = None, **more: Any) -> RunningRoom:
    room = RunningRoom(settings, store=a_store(), **more)
    room.parts.noted.departures = room.departures
    return room


def request(
    app: str = "weather", device: str = "d2", token: bytes | None = None, **claims: object
) -> dict[str, str]:
    if token is None:
        token = a_token(device, OTHER_SECRET if app == "weather" else SECRET, **claims)
    return {"app": app, "device": device, "token": token.decode()}


def said(packets: list[Packet]) -> list[dict[str, Any]]:
    """What was said on `$link/reply`."""
    found = [packet for packet in packets if isinstance(packet, Publish) and packet.topic == "$link/reply"]
    return [msgspec.json.decode(packet.payload) for packet in found]


async def asked(room: RunningRoom, peer: Peer, body: object, topic: str = "$link/attach") -> dict[str, Any]:
    """What is answered to a request with QoS 1."""
    payload = body if isinstance(body, bytes) else msgspec.json.encode(body)
    peer.send(Publish(topic, payload, 1, packet_id=9))
    await room.settle()
    packets = peer.unread()
    assert isinstance(packets[0], Puback), packets
    (answer,) = said(packets)
    return answer


async def attached(room: RunningRoom, peer: Peer, **body: Any) -> Session:
    answer = await asked(room, peer, request(**body))
    assert answer == {
        "status": "attached",
        "request": "attach",
        "app": body.get("app", "weather"),
        "device": body.get("device", "d2"),
    }
    session = room.parts.sessions.find(room.store.known[answer["app"]].number, answer["device"])
    assert session is not None
    return session


@VERSIONS
async def test_another_app_is_let_in_and_bound_like_one_that_connects(version: int) -> None:
    async with a_room() as room:
        peer = await room.client("d1", version)
        session = await attached(room, peer)
        (binding,) = room.register.locate_now(WEATHER, ["d2"])
        assert binding is not None
        assert (binding.node, binding.epoch) == (NODE, session.epoch)
        assert (room.parts.counters.attachments, room.parts.counters.attached) == (1, 1)
        assert await asked(room, peer, {"app": "weather"}, "$link/detach") == {
            "status": "detached",
            "request": "detach",
            "app": "weather",
            "device": "d2",
        }
        await room.settle()
        assert session.gone == Gone.LEFT
        await room.until(lambda: room.register.locate_now(WEATHER, ["d2"]) == [None])
        assert room.parts.counters.attachments == 0
        assert not peer.over


@VERSIONS
async def test_what_does_not_go_together_is_refused_alike_whatever_of_it_is_wrong(version: int) -> None:
    """Not a word differs: of an app without a good token nothing is learned, not even that it is there."""
    async with a_room() as room:
        peer = await room.client("d1", version)
        answers = []
        for app, device, token in (
            ("unknown", "d2", a_token("d2")),  # no such app
            ("weather", "d2", a_token("d2")),  # another app's secret
            ("weather", "d3", a_token("d2", OTHER_SECRET)),  # another device's
            ("weather", "d2", b"none"),
            ("weather", "d2", a_token("d2", OTHER_SECRET, exp=1)),
        ):
            answer = await asked(room, peer, request(app, device, token))
            assert (answer.pop("app"), answer.pop("device")) == (app, device)
            answers.append(answer)
        assert answers == [answers[0]] * 5
        assert answers[0]["code"] == "bad_token"
        assert answers[0]["reason"] == ReasonCode.BAD_USER_NAME_OR_PASSWORD
        assert not answers[0]["retryable"]
        assert room.parts.counters.sessions == 1
        assert not peer.over


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        b'{"app": "weather", "device": "d2"}',
        b'{"app": "we/ther", "device": "d2", "token": "t"}',
        b'{"app": "weather", "device": "$d2", "token": "t"}',
        b'{"app": "weather", "device": "d2", "token": ""}',
        b'{"app": "weather", "device": "d2", "token": "t", "more": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    ],
)
async def test_what_is_no_request_is_refused(payload: bytes) -> None:
    async with a_room(RoomSettings(ack_delay=0, connect_packet_size=20_000)) as room:
        room.parts.rules.max_topic_levels = 8
        peer = await room.client("d1")
        if len(payload) > 4000:
            peer.connection.link.max_packet_size = 20_000
        peer.send(Publish("$link/attach", payload, 1, packet_id=9))
        await room.settle()
        packets = peer.unread()
        (answer,) = said(packets)
        if answer["code"] == "payload_format_invalid":
            assert packets[0] == Puback(9, ReasonCode.PAYLOAD_FORMAT_INVALID)
        assert answer["status"] == "refused"
        assert room.parts.counters.sessions == 1


async def test_a_request_that_is_too_large_is_refused() -> None:
    async with a_room(RoomSettings(ack_delay=0, connect_packet_size=300)) as room:
        peer = await room.client("d1")
        peer.send(Publish("$link/attach", b" " * 301, 1, packet_id=9))
        await room.settle()
        assert peer.unread() == [Puback(9, ReasonCode.QUOTA_EXCEEDED)]
        assert not peer.over


async def test_the_answer_has_the_correlation_data_of_the_request() -> None:
    async with a_room() as room:
        peer = await room.client("d1")
        peer.send(
            Publish(
                "$link/attach",
                msgspec.json.encode(request()),
                properties={PropertyId.CORRELATION_DATA: b"c7"},
            )
        )
        await room.settle()
        (answer,) = peer.unread()
        assert isinstance(answer, Publish)
        assert answer.properties == {
            PropertyId.CONTENT_TYPE: "application/json",
            PropertyId.CORRELATION_DATA: b"c7",
        }


async def test_asking_again_for_what_is_attached_changes_nothing_but_how_long_it_stays() -> None:
    async with a_room() as room:
        weather = room.store.known["weather"]
        access = msgspec.structs.replace(weather.access, end_at_expiry=True)
        room.store.known["weather"] = msgspec.structs.replace(weather, access=access)
        peer = await room.client("d1")
        now = wall_clock() // 1000
        session = await attached(room, peer, exp=now + 100)
        assert session.attachment is not None
        assert session.attachment.sharing is not None
        assert session.attachment.sharing.ends_at == 1000 * (now + 100)
        assert await attached(room, peer, exp=now + 1000) is session
        assert session.attachment.sharing.ends_at == 1000 * (now + 1000)
        refused = await asked(room, peer, request(exp=now - 100))
        assert (refused["status"], refused["code"]) == ("refused", "bad_token")
        assert room.parts.sessions.find(WEATHER, "d2") is session
        other = await asked(room, peer, request(device="d3"))
        assert (other["status"], other["code"]) == ("refused", "app_attached")
        own = await asked(room, peer, request("news", "d1"))
        assert (own["status"], own["code"]) == ("refused", "attached_to_itself")
        assert not peer.over


async def test_a_token_that_runs_out_ends_what_it_let_in_and_nothing_else() -> None:
    async with a_room() as room:
        weather = room.store.known["weather"]
        access = msgspec.structs.replace(weather.access, end_at_expiry=True)
        room.store.known["weather"] = msgspec.structs.replace(weather, access=access)
        peer = await room.client("d1")
        session = await attached(room, peer, exp=wall_clock() // 1000 + 100)
        maps = await attached(room, peer, app="maps")
        assert session.attachment is not None
        assert session.attachment.sharing is not None
        session.attachment.sharing.ends_at = peer.connection.extras.ends_at = wall_clock() - 1
        room.parts.tick(200)
        (ended,) = said(peer.unread())
        assert (ended["status"], ended["app"], ended["code"]) == ("ended", "weather", "token_expired")
        assert session.attachment is None
        assert maps.attachment is not None
        assert not peer.over
        assert peer.connection.extras.ends_at == 0


async def test_there_are_no_more_on_a_connection_than_may_be() -> None:
    async with a_room(RoomSettings(ack_delay=0, max_attachments=1)) as room:
        peer = await room.client("d1")
        await attached(room, peer)
        answer = await asked(room, peer, request("maps"))
        assert (answer["code"], answer["reason"]) == ("too_many_attachments", ReasonCode.QUOTA_EXCEEDED)
        await asked(room, peer, {"app": "weather"}, "$link/detach")
        await attached(room, peer, app="maps")


async def test_where_none_may_be_nobody_is_looked_up() -> None:
    async with a_room(RoomSettings(ack_delay=0, max_attachments=0)) as room:
        peer = await room.client("d1")
        before = len(room.store.looked_up)
        assert (await asked(room, peer, request()))["code"] == "attachments_off"
        assert len(room.store.looked_up) == before


async def test_who_asks_too_often_is_told_to_wait() -> None:
    async with a_room(RoomSettings(ack_delay=0, attach_rate=2)) as room:
        peer = await room.client("d1")
        codes = [(await asked(room, peer, request("unknown", token=b"x")))["code"] for _ in range(3)]
        assert codes == ["bad_token", "bad_token", "attach_rate"]
        room.parts.tick()
        await attached(room, peer)
        room.tries = lambda peer: "connect_rate_per_address"
        answer = await asked(room, peer, request("maps"))
        assert (answer["code"], answer["retryable"]) == ("attach_rate", True)


async def test_what_is_refused_to_a_connect_is_refused_here() -> None:
    """A ban, a store that is away, an app that has as many sessions as it may."""
    async with a_room(RoomSettings(ack_delay=0, max_connections_per_app=1)) as room:
        peer, second = await room.client("d1"), room.connect("x", username="maps")
        await room.settle()
        assert second.connection.session is not None
        answer = await asked(room, peer, request("maps"))
        assert (answer["code"], answer["retryable"]) == ("too_many_connections_of_app", True)
        room.store.arrivals["d2"] = Arrival(5, False, 0, wall_clock() + 60_000)
        answer = await asked(room, peer, request())
        assert (answer["code"], answer["reason"]) == ("banned", ReasonCode.BANNED)
        await room.settle()
        assert room.parts.sessions.find(WEATHER, "d2") is None
        await room.admission.suspend()
        answer = await asked(room, peer, request(device="d4"))
        assert (answer["code"], answer["retryable"]) == ("unavailable", True)


async def test_an_app_that_is_deleted_or_whose_keys_are_rotated_ends_what_is_attached_of_it() -> None:
    async with a_room() as room:
        peer = await room.client("d1")
        await attached(room, peer)
        await room.bus.send(NODE, [AppChanged(WEATHER, "weather", CloseReason.APP_DELETED)])
        await room.settle()
        (ended,) = said(peer.unread())
        assert (ended["status"], ended["code"]) == ("ended", "app_deleted")
        assert room.parts.counters.sessions == 1
        assert not peer.over


async def test_who_connects_by_itself_takes_over_what_was_attached_and_the_other_way_round() -> None:
    async with a_room() as room:
        carrier = await room.client("d1")
        before = await attached(room, carrier)
        own = room.connect("d2", username="weather", password=a_token("d2", OTHER_SECRET))
        await room.settle()
        own.unread()
        (ended,) = said(carrier.unread())
        assert (ended["code"], ended["reason"]) == ("taken_over", ReasonCode.SESSION_TAKEN_OVER)
        assert before.gone == Gone.TAKEN_OVER
        await attached(room, carrier)
        assert own.over
        assert not carrier.over
        (binding,) = room.register.locate_now(WEATHER, ["d2"])
        assert binding is not None
        session = room.parts.sessions.find(WEATHER, "d2")
        assert session is not None
        await room.bus.send(NODE, [Close(WEATHER, "d2", session.epoch, CloseReason.TAKEN_OVER)])
        await room.settle()
        (ended,) = said(carrier.unread())
        assert ended["code"] == "taken_over"
        assert room.register.locate_now(WEATHER, ["d2"]) == [binding]  # it is whoever took it over


async def test_who_detaches_what_is_still_being_attached_ends_without_it() -> None:
    async with a_room() as room:
        peer = await room.client("d1")
        hold = room.store.hold("arrive")
        peer.send(Publish("$link/attach", msgspec.json.encode(request()), 1, packet_id=1))
        await room.settle()
        assert peer.unread() == [Puback(1)]
        again = await asked(room, peer, request())
        assert (again["code"], again["retryable"]) == ("attach_under_way", True)
        peer.send(Publish("$link/detach", b'{"app": "weather"}', 1, packet_id=2))
        await room.settle()
        attach, detach = said(peer.unread())
        assert (attach["status"], attach["code"]) == ("refused", "detached")
        assert (detach["status"], detach["app"]) == ("detached", "weather")
        hold.set()
        await room.settle()
        assert said(peer.unread()) == []
        assert room.parts.counters.sessions == 1
        await room.until(lambda: room.register.locate_now(WEATHER, ["d2"]) == [None])
        room.store.holds.clear()
        await attached(room, peer)


async def test_who_is_kicked_while_it_is_being_attached_is_told_once() -> None:
    async with a_room() as room:
        peer = await room.client("d1")
        hold = room.store.hold("arrive")
        peer.send(Publish("$link/attach", msgspec.json.encode(request())))
        await room.settle()
        session = room.parts.sessions.find(WEATHER, "d2")
        assert session is not None
        await room.bus.send(NODE, [Close(WEATHER, "d2", session.epoch, CloseReason.KICKED)])
        await room.settle()
        (answer,) = said(peer.unread())
        assert (answer["status"], answer["request"], answer["code"]) == ("refused", "attach", "kicked")
        hold.set()
        await room.settle()
        assert said(peer.unread()) == []
        assert room.parts.counters.sessions == 1


async def test_a_connection_that_ends_while_it_asks_leaves_nothing_behind() -> None:
    async with a_room() as room:
        peer = await room.client("d1")
        hold = room.store.hold("arrive")
        peer.send(Publish("$link/attach", msgspec.json.encode(request())))
        await room.settle()
        peer.wire.abort()
        await room.settle()
        hold.set()
        await room.settle()
        assert room.parts.counters.sessions == room.parts.counters.attachments == 0
        await room.until(lambda: room.register.locate_now(WEATHER, ["d2"]) == [None])


async def test_only_the_first_on_a_connection_has_others_attached() -> None:
    async with a_room() as room:
        peer = await room.client("d1")
        await attached(room, peer)
        peer.send(Publish("@weather/$link/attach", msgspec.json.encode(request("maps")), 1, packet_id=1))
        await room.settle()
        assert peer.unread() == [Puback(1, ReasonCode.NOT_AUTHORIZED)]
        answer = await asked(room, peer, {"app": "maps"}, "$link/detach")
        assert (answer["status"], answer["code"]) == ("refused", "not_attached")


async def test_filters_of_it_are_in_force_until_it_is_detached() -> None:
    async with a_room() as room:
        peer = await room.client("d1")
        session = await attached(room, peer)
        peer.send(Subscribe(3, [Subscription("@weather/rain", 1)]))
        await room.settle()
        assert session.subscriptions == {"rain": 1}
        peer.unread()
        await asked(room, peer, {"app": "weather"}, "$link/detach")
        assert session.subscriptions is None
        peer.send(Publish("@weather/rain", b"x", 1, packet_id=4))
        await room.settle()
        assert peer.unread() == [Puback(4, ReasonCode.NOT_AUTHORIZED)]
