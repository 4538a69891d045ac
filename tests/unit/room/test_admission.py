"""From CONNECT to CONNACK, and the races on the way."""

import asyncio
import socket
from collections.abc import Sequence
from contextlib import closing

import pytest
from msgspec.structs import replace
from pyroaring import BitMap

from longline.errors import LonglineError, Overloaded, Unavailable
from longline.model.apps import App
from longline.model.commands import Broadcast, Close, CloseReason, Command, Part, Resync, Target, Unicast
from longline.model.devices import Binding
from longline.mqtt.codec import encode
from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Connack,
    Connect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Subscribe,
    Subscription,
    Will,
)
from longline.mqtt.properties import Properties, PropertyId
from longline.mqtt.reasons import ReasonCode
from longline.register.port import Bind
from longline.room.life.authority import NEWS
from longline.room.life.entrance import MOST
from longline.saver.port.inboxes import Arrival, Page, PendingPush
from longline.settings import RoomSettings
from tests.unit.room.fixture import MAX_EXPIRY, NOW_MS, PEER, Peer, a_message
from tests.unit.room.running import NODE, RunningRoom, a_token, an_app

NEW_SECRET = "what has replaced the device secret of that app"
VERSIONS = pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
FOREVER = 9_999_999_999_999


def push(position: int, *, broadcast: bool = False, sent_before: bool = False, qos: int = 1) -> PendingPush:
    return PendingPush(a_message(position, qos=qos), position, broadcast, sent_before)


def unicast(
    device: str, position: int, ordinal: int = 0, *, online_only: bool = False, log_before: int = 0
) -> Unicast:
    target = Target(device, ordinal, position, Binding(NODE, 1, 0), 0, log_before)
    return Unicast(7, a_message(position, online_only=online_only), (target,))


def topics(packets: list[Packet]) -> list[str]:
    return [packet.topic for packet in packets if isinstance(packet, Publish)]


def answer(peer: Peer) -> Connack:
    connack, *_ = peer.unread()
    assert isinstance(connack, Connack)
    return connack


# --- who gets in ---------------------------------------------------------------------------------------


@VERSIONS
async def test_a_good_token_is_let_in_bound_and_registered(version: int) -> None:
    async with RunningRoom() as room:
        peer = room.connect("phone", version)
        await room.settle()
        assert answer(peer).reason == 0
        session = room.parts.sessions.find(7, "phone")
        assert session is peer.session
        (binding,) = await room.register.locate(7, ["phone"])
        assert binding is not None
        assert (binding.node, binding.epoch) == (NODE, session.epoch)
        assert room.store.calls == ["find_app", "arrive"]  # nothing waited: nothing was fetched
        assert room.parts.counters.sessions == 1


@pytest.mark.parametrize(
    ("username", "password", "code", "reason"),
    [
        ("news", b"garbage", "bad_token", 0x86),
        ("news", b"", "bad_token", 0x86),
        ("news", a_token("phone", exp=1), "bad_token", 0x86),
        ("news", a_token("phone", "the device secret of another app, long"), "bad_token", 0x86),
        ("news", a_token("tablet"), "bad_token", 0x86),
        ("nobody", a_token("phone"), "app_not_found", 0x86),
        ("", a_token("phone"), "bad_token", 0x86),
        (None, None, "bad_token", 0x86),
    ],
)
@VERSIONS
async def test_bad_credentials_are_refused_as_such(
    version: int, username: str | None, password: bytes | None, code: str, reason: int
) -> None:
    """Reason 0x86; return code 4 in 3.1.1."""
    async with RunningRoom() as room:
        peer = room.connect("phone", version, username=username, password=password)
        await room.settle()
        assert answer(peer).reason == reason
        assert peer.wire.writes[-1][3] == (reason if version == MQTT_5_0 else 4)
        assert peer.over
        assert room.parts.noted.refusals == [code]
        assert "arrive" not in room.store.calls
        assert await room.register.count(7) == 0


async def test_a_name_that_no_app_can_have_is_not_even_asked_for() -> None:
    async with RunningRoom() as room:
        peer = room.connect("phone", username="N" * 300, password=a_token("phone"))
        await room.settle()
        assert answer(peer).reason == 0x86
        assert room.store.calls == []


async def test_an_unknown_app_is_asked_for_once_while_it_is_remembered() -> None:
    async with RunningRoom() as room:
        for _ in range(5):
            room.connect("phone", username="nobody")
            await room.settle()
        assert room.store.looked_up == ["nobody"]


async def test_a_token_that_is_good_by_what_the_room_has_not_heard_of_yet_is_let_in() -> None:
    """Whoever has replaced a secret makes tokens by the new one, and the command may come after these."""
    async with RunningRoom() as room:
        old = await room.client("tablet")
        room.store.known["news"] = replace(an_app(), device_secret=NEW_SECRET)
        room.parts.time += NEWS
        good = [room.connect(f"d{n}", password=a_token(f"d{n}", NEW_SECRET)) for n in range(3)]
        await room.settle()
        assert [answer(peer).reason for peer in good] == [0, 0, 0]
        bad = room.connect("phone")  # with a token by the secret before
        await room.settle()
        assert answer(bad).reason == 0x86
        assert room.store.looked_up == ["news"] * 2  # one look serves all of them
        assert not old.over


async def test_a_token_of_an_app_that_was_made_anew_is_let_in_before_the_room_has_heard_of_it() -> None:
    async with RunningRoom() as room:
        room.store.known["news"] = an_app()
        await room.client("tablet")
        room.store.known["news"] = replace(an_app(number=8), device_secret=NEW_SECRET)
        room.parts.time += NEWS
        peer = room.connect("phone", password=a_token("phone", NEW_SECRET))
        await room.settle()
        assert answer(peer).reason == 0
        assert await room.register.count(8) == 1


async def test_bad_tokens_have_the_store_asked_only_so_often() -> None:
    async with RunningRoom() as room:
        for _ in range(10):
            peer = room.connect("phone", password=a_token("phone", NEW_SECRET))
            await room.settle()
            assert answer(peer).reason == 0x86
            room.parts.time += NEWS / 4
        assert room.store.looked_up == ["news"] * 3


async def test_a_device_is_not_said_to_have_a_bad_token_while_the_store_does_not_say_so() -> None:
    async with RunningRoom() as room:
        await room.client("tablet")
        room.parts.time += NEWS
        room.store.faults["find_app"] = [Unavailable("no store")]
        peer = room.connect("phone", password=a_token("phone", NEW_SECRET))
        await room.settle()
        assert answer(peer).reason == 0x88


@VERSIONS
async def test_a_client_without_a_name_is_the_device_of_its_token(version: int) -> None:
    async with RunningRoom() as room:
        peer = room.connect("", version, password=a_token("phone"))
        await room.settle()
        connack = answer(peer)
        assert peer.session.device == "phone"
        if version == MQTT_5_0:
            assert connack.properties is not None
            assert connack.properties[PropertyId.ASSIGNED_CLIENT_IDENTIFIER] == "phone"


@VERSIONS
@pytest.mark.parametrize("device", ["a/b", "$x", "a#", "+", "@a", "..", "x" * 129])
async def test_a_client_identifier_that_is_no_device_name_is_refused(version: int, device: str) -> None:
    async with RunningRoom() as room:
        peer = room.connect(device, version)
        await room.settle()
        assert answer(peer).reason == ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
        assert peer.wire.writes[-1][3] == (0x85 if version == MQTT_5_0 else 2)
        assert room.parts.noted.refusals == ["bad_device_name"]


@VERSIONS
async def test_a_will_for_a_topic_of_the_platform_is_refused_before_anything_is_bound(version: int) -> None:
    async with RunningRoom() as room:
        peer = room.parts.peer(version)
        peer.send(
            Connect(
                version, "phone", username="news", password=a_token("phone"), will=Will("push/a", b"gone")
            )
        )
        await room.settle()
        assert answer(peer).reason == ReasonCode.NOT_AUTHORIZED
        assert room.parts.noted.refusals == ["will_refused"]
        assert await room.register.count(7) == 0


async def test_another_authentication_method_is_refused() -> None:
    async with RunningRoom() as room:
        peer = room.connect("phone", properties={PropertyId.AUTHENTICATION_METHOD: "SCRAM-SHA-256"})
        await room.settle()
        assert answer(peer).reason == ReasonCode.BAD_AUTHENTICATION_METHOD
        assert peer.over


@pytest.mark.parametrize(("version", "told"), [(MQTT_3_1_1, 5), (MQTT_5_0, 0x8A)])
async def test_a_banned_device_is_told_and_leaves_no_session(version: int, told: int) -> None:
    async with RunningRoom() as room:
        room.store.arrivals["phone"] = Arrival(3, True, 0, FOREVER)
        peer = room.connect("phone", version)
        await room.settle()
        assert peer.wire.writes[-1][3] == told
        assert peer.over
        assert room.parts.sessions.tenants == {}
        assert [session.device for session in room.parts.noted.gone] == ["phone"]
        assert room.store.fetched == []


async def test_an_app_that_was_deleted_meanwhile_is_told_and_forgotten() -> None:
    """The room remembered it, the store knows better; others of the batch are let in."""
    async with RunningRoom() as room:
        room.store.arrivals["phone"] = None
        peers = [room.connect("phone"), room.connect("tablet")]
        await room.settle()
        assert [answer(peer).reason for peer in peers] == [0x86, 0]
        assert room.parts.noted.refusals == ["app_not_found"]
        room.connect("phone")
        await room.settle()
        assert room.store.looked_up == ["news", "news"]


async def test_a_ban_that_is_over_lets_in() -> None:
    async with RunningRoom() as room:
        room.store.arrivals["phone"] = Arrival(3, False, 0, 1000)
        await room.client("phone")


@VERSIONS
async def test_without_credentials_there_is_the_anonymous_app_where_one_is_set(version: int) -> None:
    async with RunningRoom(RoomSettings(ack_delay=0, anonymous_app="open")) as room:
        room.store.known["open"] = an_app("open", 8)
        named = room.connect("sensor", version, username=None)
        nameless = room.connect("", version, username=None)
        await room.settle()
        assert answer(named).reason == 0
        assert answer(nameless).reason == 0
        assert (named.session.tenant.app, named.session.device) == (8, "anonymous-sensor")
        assert nameless.session.device.startswith("anonymous-")
        wrong = room.connect("phone", version, password=b"garbage")
        await room.settle()
        assert answer(wrong).reason == 0x86  # who shows credentials is held to them


@VERSIONS
async def test_nobody_without_credentials_says_that_it_is_a_registered_device(version: int) -> None:
    """It is refused before anything is taken over; who is the device stays connected."""
    async with RunningRoom(RoomSettings(ack_delay=0, linger=0, anonymous_app="news")) as room:
        registered = await room.client("phone")
        stranger = room.connect("phone", version, username=None)
        await room.settle()
        assert answer(stranger).reason == 0x85
        assert room.parts.noted.refusals == ["device_registered"]
        assert not registered.over
        assert [item.device for batch in room.store.arrived for item in batch] == ["phone"]


async def test_a_store_that_cannot_say_who_is_registered_lets_nobody_in_without_credentials() -> None:
    async with RunningRoom(RoomSettings(ack_delay=0, linger=0, anonymous_app="news")) as room:
        room.store.faults["find_devices"] = [Unavailable()]
        stranger = room.connect("phone", username=None)
        await room.settle()
        assert answer(stranger).reason == 0x88


async def test_who_has_no_credentials_is_not_registered_and_gets_no_pushes() -> None:
    """And stays as it is when the node looks at its sessions again."""
    async with RunningRoom(RoomSettings(ack_delay=0, linger=0, anonymous_app="news")) as room:
        stranger = room.connect("sensor", username=None, properties={PropertyId.RECEIVE_MAXIMUM: 1})
        await room.settle()
        assert answer(stranger).reason == 0
        assert room.store.unregistered == {"anonymous-sensor"}
        assert room.store.arrivals == {}
        await room.bus.send(
            NODE,
            [
                unicast("anonymous-sensor", 1),
                Broadcast(7, a_message(2), (Part(2, BitMap([0, 1]).serialize()),)),
                Resync(),
            ],
        )
        await room.settle()
        room.store.arrivals["anonymous-sensor"] = Arrival(5, True, 0, 0)  # its app server registers it now
        await room.rebinding.everybody(NODE)
        await room.settle()
        assert stranger.unread() == []
        assert not stranger.over
        assert not room.parts.faults.counts
        assert room.store.fetched == []
        # A window of one is all its own: no push waits for it.
        stranger.send(Subscribe(1, [Subscription("a", 1)]))
        stranger.send(Publish("a", b"x", 1, packet_id=2))
        await room.settle()
        assert topics(stranger.unread()) == ["a"]


async def test_who_has_no_credentials_is_registered_where_that_is_wanted() -> None:
    settings = RoomSettings(ack_delay=0, linger=0, anonymous_app="news", anonymous_devices=True)
    async with RunningRoom(settings) as room:
        first = room.connect("sensor", username=None)
        await room.settle()
        again = room.connect("sensor", username=None)
        await room.settle()
        assert answer(again).reason == 0
        assert first.over
        assert list(room.store.arrivals) == ["anonymous-sensor"]
        assert not again.session.guest


@pytest.mark.parametrize("username", [None, ""])
@pytest.mark.parametrize(
    ("client_id", "device"),
    [
        ("zigbee2mqtt/bridge", "anonymous-zigbee2mqtt%2Fbridge"),
        ("gmqtt/#1+2", "anonymous-gmqtt%2F%231%2B2"),
        ("50%2F", "anonymous-50%252F"),
        ("$x@y z", "anonymous-$x@y z"),
        ("größe\x85", "anonymous-größe%C2%85"),
        ("anonymous-a/b", "anonymous-a%2Fb"),
    ],
)
async def test_an_anonymous_client_is_named_after_its_identifier_whatever_that_has_in_it(
    username: str | None, client_id: str, device: str
) -> None:
    """An empty user name is none. [MQTT-3.1.3-5] asks for letters and digits; clients in use have more."""
    async with RunningRoom(RoomSettings(ack_delay=0, anonymous_app="news")) as room:
        peer = room.connect(client_id, username=username)
        await room.settle()
        assert answer(peer).reason == 0
        assert peer.session.device == device


async def test_an_anonymous_client_whose_name_would_be_too_long_is_refused() -> None:
    async with RunningRoom(RoomSettings(ack_delay=0, anonymous_app="news")) as room:
        fits, too_long = room.connect("/" * 39 + "x", username=None), room.connect("/" * 40, username=None)
        await room.settle()
        assert answer(fits).reason == 0
        assert answer(too_long).reason == ReasonCode.CLIENT_IDENTIFIER_NOT_VALID


async def test_an_anonymous_client_that_was_told_its_name_comes_back_under_it() -> None:
    async with RunningRoom(RoomSettings(ack_delay=0, linger=0, anonymous_app="news")) as room:
        peer = room.connect("", username=None)
        await room.settle()
        properties = answer(peer).properties
        assert properties is not None
        told = str(properties[PropertyId.ASSIGNED_CLIENT_IDENTIFIER])
        again = room.connect(told, username=None)
        await room.settle()
        assert again.session.device == told


async def test_a_token_makes_nobody_an_anonymous_device() -> None:
    async with RunningRoom(RoomSettings(ack_delay=0, linger=0, anonymous_app="news")) as room:
        peer = room.connect("anonymous-phone")
        await room.settle()
        assert answer(peer).reason == ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
        assert room.parts.noted.refusals == ["bad_device_name"]


async def test_a_will_that_is_not_the_text_it_says_it_is_is_refused_as_such() -> None:
    """Section 3.1.3.2.3"""
    async with RunningRoom() as room:
        properties: Properties = {PropertyId.PAYLOAD_FORMAT_INDICATOR: 1}
        peer = room.connect("phone", will=Will("a", b"\xff", properties=properties))
        await room.settle()
        assert answer(peer).reason == ReasonCode.PAYLOAD_FORMAT_INVALID


# --- what is granted -----------------------------------------------------------------------------------


async def test_connack_says_what_there_is_and_what_there_is_not() -> None:
    settings = RoomSettings(ack_delay=0, receive_maximum=9, max_packet_size=5000, topic_alias_maximum=3)
    async with RunningRoom(settings) as room:
        peer = room.connect("phone", keep_alive=60, properties={PropertyId.SESSION_EXPIRY_INTERVAL: 3600})
        await room.settle()
        connack = answer(peer)
        assert not connack.session_present
        assert connack.properties == {
            PropertyId.RECEIVE_MAXIMUM: 9,
            PropertyId.RETAIN_AVAILABLE: 1,
            PropertyId.MAXIMUM_PACKET_SIZE: 5000,
            PropertyId.TOPIC_ALIAS_MAXIMUM: 3,
            PropertyId.SHARED_SUBSCRIPTION_AVAILABLE: 1,
            PropertyId.SESSION_EXPIRY_INTERVAL: MAX_EXPIRY,
        }


@pytest.mark.parametrize(
    ("asked", "default", "granted", "told"),
    [(60, 0, 60, None), (0, 0, 0, None), (0, 300, 300, 300), (60000, 0, 600, 600), (600, 0, 600, None)],
)
async def test_the_keep_alive_granted_is_told_when_it_is_not_the_one_asked_for(
    asked: int, default: int, granted: int, told: int | None
) -> None:
    settings = RoomSettings(ack_delay=0, max_keep_alive=600, default_keep_alive=default)
    async with RunningRoom(settings) as room:
        peer = room.connect("phone", keep_alive=asked)
        await room.settle()
        properties = answer(peer).properties
        assert properties is not None
        assert properties.get(PropertyId.SERVER_KEEP_ALIVE) == told
        if granted:
            room.parts.tick(granted + granted // 2 + 1)
            assert peer.over
        else:
            assert room.parts.wheel.size == 0


@pytest.mark.parametrize(("asked", "window"), [(None, 16), (3, 3), (65535, 16)])
async def test_the_window_is_the_smaller_of_ours_and_the_clients(asked: int | None, window: int) -> None:
    async with RunningRoom() as room:
        peer = await room.client("phone", properties={PropertyId.RECEIVE_MAXIMUM: asked} if asked else None)
        assert peer.session.window.size == window


# --- together ------------------------------------------------------------------------------------------


async def test_connects_that_arrive_together_share_one_bind_and_one_arrive() -> None:
    async with RunningRoom() as room:
        peers = [room.connect(f"d{n}") for n in range(100)]
        await room.settle()
        assert all(answer(peer).reason == 0 for peer in peers)
        assert [len(batch) for batch in room.store.arrived] == [100]


async def test_one_bad_connect_does_not_spoil_the_batch() -> None:
    async with RunningRoom() as room:
        peers = [room.connect(f"d{n}", password=b"bad" if n % 3 == 0 else None) for n in range(30)]
        await room.settle()
        assert [answer(peer).reason for peer in peers] == [0x86 if n % 3 == 0 else 0 for n in range(30)]


@pytest.mark.parametrize(("version", "told"), [(MQTT_3_1_1, 3), (MQTT_5_0, 0x89)])
async def test_when_too_many_connects_wait_the_next_is_refused_at_once(version: int, told: int) -> None:
    async with RunningRoom(RoomSettings(ack_delay=0, connect_queue=2)) as room:
        hold = room.store.hold("arrive")
        inside = room.connect("d0")
        await room.settle()
        waiting = [room.connect("d1"), room.connect("d2")]
        refused = room.connect("d3", version)
        room.parts.turns.settle()
        assert refused.wire.writes[-1][3] == told
        assert refused.over
        assert room.admission.waiting() == 2
        hold.set()
        await room.settle()
        assert [answer(peer).reason for peer in (inside, *waiting)] == [0, 0, 0]


@pytest.mark.parametrize("method", ["find_app", "arrive"])
@pytest.mark.parametrize(
    ("error", "version", "told"),
    [
        (Unavailable(), MQTT_5_0, 0x88),
        (Unavailable(), MQTT_3_1_1, 3),
        (Overloaded(), MQTT_5_0, 0x89),
        (Overloaded(), MQTT_3_1_1, 3),
    ],
)
async def test_a_store_that_fails_is_told_and_the_next_connect_is_served(
    method: str, error: LonglineError, version: int, told: int
) -> None:
    async with RunningRoom() as room:
        room.store.faults[method] = [error]
        peer = room.connect("phone", version)
        await room.settle()
        assert peer.wire.writes[-1][3] == told
        assert peer.over
        await room.settle()
        assert room.parts.sessions.tenants == {}
        assert room.parts.counters.sessions == 0
        await room.client("phone", version)


# --- races ---------------------------------------------------------------------------------------------


async def test_a_connection_that_dies_before_bind_costs_the_stores_nothing() -> None:
    async with RunningRoom() as room:
        peer = room.connect("phone")
        peer.wire.abort()
        assert peer.over
        await room.settle()
        assert room.store.calls == []


async def test_who_hung_up_before_the_room_looked_takes_no_session_from_elsewhere_and_costs_no_work() -> None:
    """The kernel knows it, and the transport has not said so yet."""
    async with RunningRoom() as room:
        ours, theirs = socket.socketpair()
        staying, there = socket.socketpair()
        with closing(ours), closing(staying), closing(there):
            theirs.close()
            gone, here = room.connect("phone", username="gone"), room.connect("watch")
            gone.wire.socket, here.wire.socket = ours, staying
            await room.settle()
            assert answer(here).reason == 0
            assert gone.over
            assert gone.unread() == []
            assert room.parts.counters.closed == {"hung_up": 1}
            assert room.admission.crowd() == (0, 1, 1)
            assert room.store.looked_up == ["news"]  # nobody asked for the app of who is gone
            assert await room.register.count(7) == 1


@pytest.mark.parametrize("read", [True, False])
async def test_who_hung_up_and_had_more_to_say_than_connect_is_let_in_and_heard(read: bool) -> None:
    """Whether it was read with CONNECT or is still with the kernel: a sensor may send nothing else."""
    async with RunningRoom() as room:
        ours, theirs = socket.socketpair()
        with closing(ours):
            peer = room.connect("phone")
            peer.wire.socket = ours
            if read:
                peer.send(Publish("a", b"x", 1, packet_id=1))
            else:
                theirs.send(encode(Publish("a", b"x", 1, packet_id=1), MQTT_5_0))
            theirs.close()
            await room.settle()
            if not read:
                peer.bytes(ours.recv(1000))
            peer.hang_up()
            await room.settle()
            connack, puback = peer.unread()
            assert isinstance(connack, Connack)
            assert puback == Puback(1, ReasonCode.NO_MATCHING_SUBSCRIBERS)
            assert peer.over


# --- more than can be served -----------------------------------------------------------------------


async def test_when_some_have_waited_for_long_the_newest_are_served_first() -> None:
    async with RunningRoom() as room:
        hold = room.store.hold("arrive")
        room.connect("first")
        await room.settle()
        peers = [room.connect(f"d{n:03}") for n in range(MOST + 10)]
        room.parts.time += 3.0
        hold.set()
        await room.settle()
        assert all(answer(peer).reason == 0 for peer in peers)
        newest = [f"d{n:03}" for n in range(10, MOST + 10)]
        oldest = [f"d{n:03}" for n in range(10)]
        assert [arrive.device for batch in room.store.arrived for arrive in batch] == [
            "first",
            *newest,
            *oldest,
        ]


@pytest.mark.parametrize(("version", "told"), [(MQTT_3_1_1, 3), (MQTT_5_0, 0x89)])
async def test_who_has_waited_longer_than_clients_do_is_told_that_the_server_is_busy(
    version: int, told: int
) -> None:
    async with RunningRoom(RoomSettings(ack_delay=0, linger=0, connect_patience=5.0)) as room:
        hold = room.store.hold("arrive")
        room.connect("under way")
        await room.settle()
        old = room.connect("old", version)
        room.parts.time += 5.0
        still_patient = room.connect("patient")
        assert old.connection.transport is not None
        room.parts.time += 0.1
        room.connect("new")
        room.parts.turns.settle()
        assert old.wire.writes[-1][3] == told
        assert old.over
        assert room.parts.counters.closed == {"waited_too_long": 1}
        hold.set()
        await room.settle()
        assert answer(still_patient).reason == 0
        assert room.parts.counters.connect_wait.highest == pytest.approx(5.1)


async def test_who_is_turned_away_for_what_is_our_own_doing_is_told_of_in_the_log_with_all_others() -> None:
    """In a storm that is everybody, and a line for each would cost more than to let them in."""
    async with RunningRoom() as room:
        room.store.faults["arrive"] = [Unavailable() for _ in range(3)]
        for number in range(3):
            room.connect(f"d{number}")
            await room.settle()
        room.connect("forged", password=b"garbage")
        await room.settle()
        assert room.parts.noted.refusals == ["unavailable"] * 3 + ["bad_token"]
        assert room.parts.noted.refused_peers == ["everybody"] * 3 + [PEER[0]]
        assert room.parts.counters.refused == {"unavailable": 3, "bad_token": 1}


async def test_an_earlier_connect_of_a_device_that_is_served_later_takes_nothing_from_the_newer() -> None:
    """The network of a phone has changed: nobody told us that its first connection is dead."""
    async with RunningRoom() as room:
        hold = room.store.hold("arrive")
        room.connect("first")
        await room.settle()
        earlier = room.connect("phone")
        room.parts.time += 3.0
        others = [room.connect(f"d{n}") for n in range(MOST - 1)]
        newer = room.connect("phone")
        hold.set()
        await room.settle()
        assert answer(newer).reason == 0
        assert not newer.over
        assert earlier.over
        assert earlier.unread() == []
        assert all(answer(peer).reason == 0 for peer in others)
        (binding,) = await room.register.locate(7, ["phone"])
        assert binding is not None
        assert binding.epoch == newer.session.epoch


async def test_whatever_is_raised_for_one_connect_that_one_is_refused_and_the_others_are_let_in() -> None:
    """Also where nobody looked for it: none is left without an answer, and the task goes on."""
    async with RunningRoom() as room:
        known = room.apps.remembered

        def remembered(name: str) -> App | None:
            if name == "odd":
                raise RecursionError
            return known(name)

        room.apps.remembered = remembered  # type: ignore[method-assign]
        peers = [room.connect("a"), room.connect("b", username="odd"), room.connect("c")]
        await room.settle()
        assert [answer(peer).reason for peer in peers] == [0, ReasonCode.SERVER_UNAVAILABLE, 0]
        assert room.parts.faults.counts == {"room.admission": 1}
        await room.client("d")


async def test_a_connection_that_dies_while_its_app_is_looked_up_leaves_no_session() -> None:
    async with RunningRoom() as room:
        hold = room.store.hold("find_app")
        peer = room.connect("phone")
        await room.settle()
        peer.wire.abort()
        await room.settle()
        hold.set()
        await room.settle()
        assert room.parts.sessions.tenants == {}
        assert room.parts.counters.sessions == 0
        assert [session.device for session in room.parts.noted.gone] in ([], ["phone"])


async def test_a_connection_that_dies_between_bind_and_arrive_is_unbound_again() -> None:
    async with RunningRoom() as room:
        hold = room.store.hold("arrive")
        room.store.arrivals["phone"] = Arrival(1, True, 0, 0)
        peer = room.connect("phone")
        await room.settle()
        assert await room.register.count(7) == 1
        peer.wire.abort()
        await room.settle()
        hold.set()
        await room.settle()
        (gone,) = room.parts.noted.gone
        room.departures.add(gone)
        await room.settle()
        assert await room.register.count(7) == 0
        assert room.store.fetched == []
        assert room.parts.sessions.tenants == {}
        assert room.parts.counters.sessions == 0


@VERSIONS
async def test_of_two_connects_of_one_device_in_one_batch_the_later_wins(version: int) -> None:
    async with RunningRoom() as room:
        room.store.arrivals["phone"] = Arrival(1, True, 0, 0)
        room.store.pages[1] = [Page((push(1, qos=0), push(2)), 0, True)]
        first, second = room.connect("phone", version), room.connect("phone", version)
        await room.settle()
        assert first.over
        assert [type(packet) for packet in first.unread()] == []  # 0x8E is no word for CONNACK
        got = second.unread()
        assert isinstance(got[0], Connack)
        assert topics(got) == ["push/m1", "push/m2"]
        assert room.parts.sessions.find(7, "phone") is second.session
        assert room.parts.counters.sessions == 1
        (binding,) = await room.register.locate(7, ["phone"])
        assert binding is not None
        assert binding.epoch == second.session.epoch
        # The loser must not have taken the push of QoS 0 in the winner's place.
        assert len(room.parts.noted.acks) == 1
        assert len(room.store.fetched) == 1


async def test_a_takeover_ends_the_connection_that_was_there() -> None:
    async with RunningRoom() as room:
        old = await room.client("phone")
        new = await room.client("phone")
        assert old.over
        assert room.parts.counters.closed == {"taken_over": 1}
        assert room.parts.sessions.find(7, "phone") is new.session


async def test_a_connection_kicked_between_bind_and_arrive_is_not_let_in() -> None:
    async with RunningRoom() as room:
        hold = room.store.hold("arrive")
        peer = room.connect("phone")
        peer.wire.held = 1  # its socket is full, so that it lingers
        await room.settle()
        (binding,) = await room.register.locate(7, ["phone"])
        assert binding is not None
        await room.bus.send(NODE, [Close(7, "phone", binding.epoch, CloseReason.KICKED)])
        await room.settle()
        hold.set()
        await room.settle()
        assert not any(isinstance(packet, Connack) and packet.reason == 0 for packet in peer.unread())
        room.parts.tick(5)
        assert peer.over


async def test_a_push_that_arrives_between_bind_and_arrive_is_read_from_the_store() -> None:
    """It was committed before `arrive` looked, or is told of here: either way it is fetched."""
    async with RunningRoom() as room:
        hold = room.store.hold("arrive")
        room.store.arrivals["phone"] = Arrival(1, False, 0, 0)  # `arrive` looked before the commit
        room.store.pages[1] = [Page((push(5),), 0, True)]
        peer = room.connect("phone")
        await room.settle()
        await room.bus.send(NODE, [unicast("phone", 5, ordinal=1)])
        await room.settle()
        hold.set()
        await room.settle()
        assert topics(peer.unread()) == ["push/m5"]


async def test_what_was_pending_comes_right_behind_connack() -> None:
    async with RunningRoom() as room:
        room.store.arrivals["phone"] = Arrival(1, True, 4, 0)
        room.store.pages[1] = [Page((push(1, sent_before=True), push(2), push(9, broadcast=True)), 12, True)]
        peer = room.connect("phone")
        await room.settle()
        connack, *published = peer.unread()
        assert isinstance(connack, Connack)
        assert topics(published) == ["push/m1", "push/m2", "push/m9"]
        (fetch,) = room.store.fetched[0]
        assert (fetch.app, fetch.ordinal, fetch.inbox_after, fetch.log_after, fetch.limit) == (7, 1, 0, 4, 16)
        session = peer.session
        assert (session.window.inbox_written, session.window.log_written, session.window.waits()) == (
            2,
            12,
            False,
        )


async def test_what_a_client_sends_behind_connect_is_served_when_it_is_in() -> None:
    async with RunningRoom() as room:
        peer = room.parts.peer()
        packet = Connect(MQTT_5_0, "phone", username="news", password=a_token("phone"))
        peer.send(packet, Pingreq(), Publish("a", b"x", 1, packet_id=1))
        await room.settle()
        connack, *rest = peer.unread()
        assert isinstance(connack, Connack)
        assert rest == [Pingresp(), Puback(1, ReasonCode.NO_MATCHING_SUBSCRIBERS)]


# --- other rooms ---------------------------------------------------------------------------------------


async def bind_elsewhere(room: RunningRoom, *devices: str, node: str = "n2") -> list[int]:
    """The epochs of sessions that another room has."""
    bounds = await room.register.bind([Bind(7, device, node, NOW_MS) for device in devices])
    return [bound.binding.epoch for bound in bounds]


async def test_the_room_that_had_the_device_is_told() -> None:
    async with RunningRoom() as room:
        await room.bus.open("n2")
        epochs = await bind_elsewhere(room, "d0", "d1")
        peers = [room.connect(device) for device in ("d0", "d1", "d2")]
        await room.settle()
        assert [answer(peer).reason for peer in peers] == [0, 0, 0]
        assert await room.bus.receive("n2") == [
            Close(7, f"d{n}", epoch, CloseReason.TAKEN_OVER) for n, epoch in enumerate(epochs)
        ]


async def test_a_device_that_comes_back_to_the_same_room_is_nobody_elses_business() -> None:
    async with RunningRoom() as room:
        await room.client("phone")
        await room.client("phone")
        assert room.takeovers.waiting() == 0
        assert room.bus.waiting(NODE) == 0


async def test_no_connack_waits_for_the_room_that_had_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    async with RunningRoom() as room:
        stuck = asyncio.Event()

        async def send(node: str, commands: Sequence[Command]) -> None:
            await stuck.wait()

        monkeypatch.setattr(room.bus, "send", send)
        await bind_elsewhere(room, "phone")
        peer = room.connect("phone")
        await room.settle()
        assert answer(peer).reason == 0


@pytest.mark.parametrize(("version", "told"), [(MQTT_3_1_1, 3), (MQTT_5_0, 0x88)])
async def test_a_room_that_was_declared_dead_lets_nobody_in_and_says_so(version: int, told: int) -> None:
    async with RunningRoom() as room:
        inside = await room.client("inside", version)
        await room.register.declare_dead(NODE)
        assert room.fenced == []
        peer = room.connect("phone", version)
        await room.settle()
        assert peer.wire.writes[-1][3] == told
        assert peer.over
        assert room.fenced == [NODE]
        assert not inside.over


async def test_a_suspended_room_refuses_clients_and_keeps_those_it_has() -> None:
    async with RunningRoom() as room:
        inside = await room.client("inside")
        await room.admission.suspend()
        refused = room.connect("phone")
        assert answer(refused).reason == ReasonCode.SERVER_UNAVAILABLE
        await room.bus.send(NODE, [unicast("inside", 1)])
        await room.settle()
        assert topics(inside.unread()) == ["push/m1"]
        room.admission.resume("n1-again")
        await room.client("phone")
        (binding,) = await room.register.locate(7, ["phone"])
        assert binding is not None
        assert binding.node == "n1-again"


async def test_a_room_is_suspended_when_the_last_connect_under_way_is_answered() -> None:
    async with RunningRoom() as room:
        hold = room.store.hold("arrive")
        peer = room.connect("phone")
        await room.settle()
        suspending = asyncio.create_task(room.admission.suspend())
        await room.settle()
        assert not suspending.done()
        hold.set()
        await suspending
        await room.settle()
        assert answer(peer).reason == 0


async def test_while_the_stores_do_not_keep_up_clients_are_refused_as_busy() -> None:
    async with RunningRoom() as room:
        inside = await room.client("inside")
        room.parts.turn.pressed = True
        assert answer(room.connect("phone")).reason == ReasonCode.SERVER_BUSY
        assert not inside.over
        room.parts.turn.relieve()
        await room.client("phone")
