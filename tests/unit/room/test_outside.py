"""CONNECTs that somebody outside has to be asked about: they wait alone, and come back in their order."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx
import msgspec
import pytest

from longline.model.access import AclRule, AppAccess, TokenIssuer
from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Connack, Disconnect, Packet, Pingreq, Pingresp
from longline.room.life.authority_counters import AuthorityCounters
from longline.room.life.callback import ConnectCallback
from longline.settings import AuthoritySettings, RoomSettings
from tests.unit.jose.identity_provider import AUDIENCE, ISSUER, issued, public_jwk
from tests.unit.room.fixture import Peer
from tests.unit.room.running import RunningRoom, Store, a_token, an_app
from tests.unit.room.test_key_sets import URL, Provider

TRUSTED = TokenIssuer(jwks_url=URL, issuer=ISSUER, audience=(AUDIENCE,), algorithms=("EdDSA",))


def store(**access: Any) -> Store:
    made = Store()
    made.known["news"] = msgspec.structs.replace(an_app(), access=AppAccess(**{"tokens": TRUSTED, **access}))
    return made


def reason(peer: Peer) -> int:
    (connack,) = [packet for packet in peer.unread() if isinstance(packet, Connack)]
    return int(connack.reason)


async def test_a_client_waits_for_the_keys_and_nobody_waits_with_it() -> None:
    provider = Provider()
    provider.hold = asyncio.Event()
    async with RunningRoom(store=store(), outbound=provider) as room:
        waits = [room.connect(f"d{n}", password=issued(f"d{n}", "EdDSA", kid="a")) for n in range(3)]
        other = room.connect("phone", password=a_token("phone"))
        await room.settle()
        assert reason(other) == 0
        assert [peer.unread() for peer in waits] == [[]] * 3
        assert room.authority_counters.waiting == 3
        provider.hold.set()
        await room.settle()
        assert [reason(peer) for peer in waits] == [0] * 3
        assert len(provider.reads) == 1
        assert room.authority_counters.waiting == 0


async def test_a_key_that_the_set_does_not_have_is_asked_for_once_and_refused() -> None:
    provider = Provider()
    async with RunningRoom(store=store(), outbound=provider) as room:
        for _ in range(3):
            peer = room.connect("phone", password=issued("phone", "EdDSA", kid="b"))
            await room.settle()
            assert reason(peer) == 0x86
        assert len(provider.reads) == 1
        room.parts.time += 30
        provider.kids = ["b"]
        peer = room.connect("phone", password=issued("phone", "EdDSA", kid="b"))
        await room.settle()
        assert reason(peer) == 0


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
async def test_without_keys_a_client_is_told_to_come_back(version: int) -> None:
    provider = Provider()
    provider.away = True
    async with RunningRoom(store=store(), outbound=provider) as room:
        for _ in range(2):
            peer = room.connect("phone", version, password=issued("phone", "EdDSA", kid="a"))
            await room.settle()
            assert reason(peer) == 0x88
        assert room.parts.noted.refusals == ["keys_unavailable"] * 2


async def test_an_algorithm_that_the_app_does_not_take_has_nobody_asked() -> None:
    provider = Provider()
    async with RunningRoom(store=store(), outbound=provider) as room:
        for made in (issued("phone", "RS256", kid="a"), issued("phone", "RS256")):
            peer = room.connect("phone", password=made)
            await room.settle()
            assert reason(peer) == 0x86
        assert provider.reads == []


async def test_an_app_may_take_no_tokens_by_its_own_secret() -> None:
    kept = TokenIssuer(keys=json.dumps([public_jwk("EdDSA")]), algorithms=("EdDSA",), device_secret=False)
    async with RunningRoom(store=store(tokens=kept)) as room:
        for made, code in ((a_token("phone"), 0x86), (issued("phone", "EdDSA"), 0)):
            peer = room.connect("phone", password=made)
            await room.settle()
            assert reason(peer) == code


async def test_so_many_may_wait_and_one_more_is_told_that_we_are_busy() -> None:
    provider = Provider()
    provider.hold = asyncio.Event()
    async with RunningRoom(store=store(), outbound=provider, outside=2) as room:
        peers = [room.connect(f"d{n}", password=issued(f"d{n}", "EdDSA", kid="a")) for n in range(3)]
        await room.settle()
        assert [peer.unread() != [] for peer in peers].count(True) == 1
        provider.hold.set()
        await room.settle()
        assert room.parts.noted.refusals == ["overloaded"]
        assert sum(peer.connection.attachment is not None for peer in peers) == 2


async def test_who_hangs_up_while_it_waits_is_forgotten() -> None:
    provider = Provider()
    provider.hold = asyncio.Event()
    async with RunningRoom(store=store(), outbound=provider) as room:
        peer = room.connect("phone", password=issued("phone", "EdDSA", kid="a"))
        await room.settle()
        peer.wire.abort()
        await room.settle()
        provider.hold.set()
        await room.settle()
        assert room.store.arrived == []
        assert not room.parts.faults.counts


async def test_a_room_that_is_suspended_meanwhile_lets_nobody_in() -> None:
    provider = Provider()
    provider.hold = asyncio.Event()
    async with RunningRoom(store=store(), outbound=provider) as room:
        peer = room.connect("phone", password=issued("phone", "EdDSA", kid="a"))
        await room.settle()
        await room.admission.suspend()
        provider.hold.set()
        await room.settle()
        assert reason(peer) == 0x88
        assert room.store.arrived == []


class Held:
    """A service whose answers come when the test says so, by password."""

    def __init__(self) -> None:
        self.holds: dict[str, asyncio.Event] = {}
        self.result = "allow"

    async def handle(self, request: httpx.Request) -> httpx.Response:
        hold = self.holds.get(json.loads(request.content)["password"])
        if hold is not None:
            await hold.wait()
        return httpx.Response(200, stream=httpx.ByteStream(b'{"result": "%s"}' % self.result.encode()))

    def callback(self, clock: Callable[[], float] = lambda: 0.0) -> ConnectCallback:
        return ConnectCallback(
            "https://decides.example.org/",
            AuthoritySettings(timeout=30, allowed_for=0, denied_for=0),
            AuthorityCounters(),
            transport=httpx.MockTransport(self.handle),
            clock=clock,
        )


@pytest.mark.parametrize("order", ["first", "second"])
async def test_of_two_that_wait_as_one_device_the_later_is_who_stays(order: str) -> None:
    """Whichever of the two is answered first."""
    service = Held()
    service.holds = {"first": asyncio.Event(), "second": asyncio.Event()}
    async with RunningRoom(callback=service.callback()) as room:
        peers = {}
        for name in ("first", "second"):
            room.parts.time += 1
            peers[name] = room.connect("phone", password=name.encode())
            await room.settle()
        service.holds[order].set()
        await room.until(lambda: room.store.arrived)
        for hold in service.holds.values():
            hold.set()
        await room.until(lambda: peers["first"].over)
        await room.settle()
        said: list[Packet] = peers["second"].unread()
        assert isinstance(said[0], Connack)
        assert said[0].reason == 0
        assert not peers["second"].over


async def test_a_service_that_leaves_it_to_the_token_has_the_keys_read_then() -> None:
    """Two questions, one after the other, and the first is not asked again."""
    provider, service = Provider(), Held()
    service.result = "token"
    async with RunningRoom(store=store(), outbound=provider, callback=service.callback()) as room:
        peer = room.connect("phone", password=issued("phone", "EdDSA", kid="a"))
        await room.until(lambda: peer.connection.attachment is not None)
        assert reason(peer) == 0
        assert len(provider.reads) == 1


async def test_the_service_is_asked_about_who_has_no_credentials_too() -> None:
    service = Held()
    service.result = "deny"
    settings = RoomSettings(ack_delay=0, linger=0, anonymous_app="news")

    async def handle(request: httpx.Request) -> httpx.Response:
        assert "password" not in json.loads(request.content)
        return httpx.Response(200, stream=httpx.ByteStream(b'{"result": "%s"}' % service.result.encode()))

    service.handle = handle  # type: ignore[method-assign]
    async with RunningRoom(settings, callback=service.callback()) as room:
        peer = room.connect("sensor", username=None)
        await room.until(lambda: peer.over)
        assert reason(peer) == 0x87
        service.result = "allow"
        peer = room.connect("sensor", username=None)
        await room.until(lambda: peer.connection.attachment is not None)
        assert peer.session.device == "anonymous-sensor"


async def test_a_connection_ends_when_its_token_does_and_the_app_wants_that() -> None:
    """By the wheel that looks for silence, busy or not, also where no keep alive was agreed."""
    made = store(tokens=None, end_at_expiry=True)
    for keep_alive in (0, 5, 600):
        settings = RoomSettings(ack_delay=0, linger=0, default_keep_alive=0)
        async with RunningRoom(settings, store=made) as room:
            now = room.wall()
            exp = now // 1000 + 3
            peer = room.connect("phone", password=a_token("phone", exp=exp), keep_alive=keep_alive)
            stays = room.connect("tablet", password=a_token("tablet"), keep_alive=600)
            await room.settle()
            assert reason(peer) == 0
            assert reason(stays) == 0
            assert room.parts.wheel.size == 2
            peer.send(Pingreq())
            room.parts.tick(2)
            assert peer.unread() == [Pingresp()]
            assert not peer.over
            peer.connection.extras.ends_at = now  # so much for the time
            room.parts.tick(3)
            assert peer.unread() == [Disconnect(0xA0)]
            assert not stays.over


async def test_rules_hold_for_who_comes_and_go_with_the_app() -> None:
    made = store(tokens=None, rules=(AclRule("both", "a"),))
    async with RunningRoom(store=made) as room:
        peer = await room.client("phone")
        tenant = peer.session.tenant
        assert tenant.acl is not None
        assert tenant.acl.rules == (AclRule("both", "a"),)
        assert not tenant.sifting
        made.known["news"] = an_app()
        room.apps.forget("news")
        await room.client("tablet")
        assert tenant.acl is None
