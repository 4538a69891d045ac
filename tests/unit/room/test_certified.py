"""A client's certificate in the place of a token: whose it is, and what it does not open."""

import msgspec
import pytest

from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Connack, Connect
from longline.room.life.certified import certificate_of
from longline.settings import RoomSettings
from tests.unit.room.fixture import Peer
from tests.unit.room.running import RunningRoom, Store, a_token, an_app

LONG = "Jan  1 00:00:00 2100 GMT"
PAST = "Jan  1 00:00:00 2020 GMT"


def told(device: str = "phone", *apps: str, until: str = LONG) -> dict[str, object]:
    """What `ssl` says of a certificate."""
    units = tuple((("organizationalUnitName", app),) for app in apps)
    return {"subject": (*units, (("commonName", device),)), "notAfter": until}


def store(*, takes: bool = True) -> Store:
    made = Store()
    made.known = {"news": msgspec.structs.replace(an_app(), client_certificates=takes)}
    return made


async def answered(
    room: RunningRoom,
    shown: object,
    device: str = "phone",
    *,
    username: str | None = "news",
    password: bytes | None = b"",
    version: int = MQTT_5_0,
) -> tuple[Connack, Peer]:
    peer = room.parts.peer(version)
    peer.wire.told["peercert"] = shown
    peer.send(Connect(version, device, username=username, password=password or None))
    await room.settle()
    connack, *_ = peer.unread()
    assert isinstance(connack, Connack)
    return connack, peer


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
async def test_a_certificate_of_the_app_and_the_device_lets_it_in_without_a_token(version: int) -> None:
    async with RunningRoom(store=store()) as room:
        connack, peer = await answered(room, told("phone", "news"), version=version)
        assert connack.reason == 0
        assert peer.session.device == "phone"


async def test_who_says_no_names_has_those_of_the_certificate() -> None:
    async with RunningRoom(store=store()) as room:
        connack, peer = await answered(room, told("phone", "news"), "", username=None)
        assert connack.reason == 0
        assert (peer.session.tenant.name, peer.session.device) == ("news", "phone")


@pytest.mark.parametrize(
    ("shown", "device", "code"),
    [
        (told("tablet", "news"), "phone", "bad_certificate"),
        (told("phone", "weather"), "phone", "bad_certificate"),
        (told("phone"), "phone", "bad_certificate"),
        (told("phone", "news", until=PAST), "phone", "bad_certificate"),
        ({"subject": ((("organizationalUnitName", "news"),),), "notAfter": LONG}, "phone", "bad_certificate"),
        (None, "phone", "bad_token"),
        ({}, "phone", "bad_token"),
    ],
)
async def test_another_certificate_or_none_is_refused_as_a_bad_password(
    shown: object, device: str, code: str
) -> None:
    async with RunningRoom(store=store()) as room:
        connack, _ = await answered(room, shown, device)
        assert connack.reason == 0x86
        assert room.parts.noted.refusals == [code]


async def test_an_app_that_has_not_said_so_takes_no_certificate() -> None:
    async with RunningRoom(store=store(takes=False)) as room:
        connack, _ = await answered(room, told("phone", "news"))
        assert connack.reason == 0x86
        assert room.parts.noted.refusals == ["bad_token"]


async def test_a_token_is_looked_at_whatever_the_certificate_says() -> None:
    """A gateway shows its own certificate for all the devices behind it; each of them has its token."""
    async with RunningRoom(store=store()) as room:
        good, _ = await answered(room, told("gateway", "news"), password=a_token("phone"))
        assert good.reason == 0
        forged, _ = await answered(
            room, told("phone", "news"), password=a_token("phone", "another secret" * 4)
        )
        assert forged.reason == 0x86


async def test_a_certificate_of_many_apps_is_good_for_the_one_that_the_client_names() -> None:
    async with RunningRoom(store=store()) as room:
        connack, _ = await answered(room, told("phone", "weather", "news"))
        assert connack.reason == 0
        unnamed, _ = await answered(room, told("phone", "weather", "news"), username=None)
        assert unnamed.reason == 0x86


async def test_a_certificate_opens_no_name_that_is_kept_for_clients_without_credentials() -> None:
    settings = RoomSettings(ack_delay=0, linger=0, anonymous_app="news")
    async with RunningRoom(settings, store=store()) as room:
        connack, _ = await answered(room, told("anonymous-x", "news"), "anonymous-x")
        assert connack.reason == 0x85


def test_what_no_device_has_is_no_certificate() -> None:
    assert certificate_of(None) is None
    assert certificate_of({}) is None
    assert certificate_of("text") is None
