"""Who is let in, by whom, and what it may do, on a live node with its neighbours: an identity provider and a
service that decides on CONNECTs, each of which may hang, redirect, fail or be gone.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from longline.mqtt.packets import (
    MQTT_3_1_1,
    MQTT_5_0,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Subscription,
)
from tests.integration.live_node import LiveNode, RawClient
from tests.integration.test_bad_input import token
from tests.integration.web_server import WebServer
from tests.unit.jose.identity_provider import AUDIENCE, ISSUER, issued, pem, public_jwk
from tests.waiting import eventually, until

BAD_TOKEN, NOT_AUTHORIZED, UNAVAILABLE, BUSY = 0x86, 0x87, 0x88, 0x89
BAD_DEVICE, MAXIMUM_CONNECT_TIME = 0x85, 0xA0

LOCAL = {"authority.jwks_http": True, "authority.jwks_private_addresses": True}


class House:
    """A node with an app, and clients that are let in or not."""

    def __init__(self, node: LiveNode, secret: str) -> None:
        self.node = node
        self.secret = secret
        self.stack = AsyncExitStack()
        self.http = httpx.AsyncClient(headers={"Authorization": f"Bearer {node.admin_key}"})

    async def call(self, method: str, path: str, body: object = None, status: int = 200) -> Any:
        answer = await self.http.request(method, f"{self.node.url}/v1/apps/news{path}", json=body)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    async def client(self, version: int = MQTT_5_0) -> RawClient:
        return await self.stack.enter_async_context(await self.node.connect(version))

    async def reason(self, device: str, password: str | bytes, version: int = MQTT_5_0) -> int:
        """How a CONNECT is answered."""
        text = password if isinstance(password, str) else password.decode()
        return int((await (await self.client(version)).enter(device, "news", text)).reason)

    async def entered(self, device: str, password: str | bytes = "", version: int = MQTT_5_0) -> RawClient:
        text = password if isinstance(password, str) else password.decode()
        client = await self.client(version)
        assert (await client.enter(device, "news", text or token(device, self.secret))).reason == 0
        return client

    async def takes(self, **tokens: object) -> None:
        body = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["RS256", "ES256", "EdDSA"], **tokens}
        await self.call("PUT", "/tokens", body)


@asynccontextmanager
async def house(data: Path, settings: Mapping[str, object]) -> AsyncIterator[House]:
    async with LiveNode(data, settings) as node, node.center() as center:
        if "room.anonymous_app" in settings:  # which is there already
            keys = await center.rotate_keys("news", server_key=False, device_secret=True)
        else:
            keys = await center.create_app("news", pubsub=True)
        made = House(node, keys.device_secret)
        async with made.http, made.stack:
            yield made


# --- identity providers ---


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_an_identity_provider_makes_tokens_with_keys_that_the_app_has_given(
    tmp_path: Path, algorithm: str
) -> None:
    async with house(tmp_path / "data", {}) as here:
        await here.takes(keys=[public_jwk(algorithm, kid="k1")])
        for version in (MQTT_3_1_1, MQTT_5_0):
            assert await here.reason("phone", issued("phone", algorithm, kid="k1"), version) == 0
        assert await here.reason("phone", token("phone", here.secret)) == 0  # the app's own, beside them
        for wrong in (
            issued("tablet", algorithm, kid="k1"),
            issued("phone", algorithm, number=1, kid="k1"),
            issued("phone", algorithm, kid="k2"),
            issued("phone", algorithm, kid="k1", aud="another"),
            issued("phone", algorithm, kid="k1", iss="another"),
            issued("phone", algorithm, kid="k1", exp=int(time.time()) - 60),
            issued("phone", "RS384"),
        ):
            assert await here.reason("phone", wrong) == BAD_TOKEN
        await here.takes(keys=[public_jwk(algorithm, kid="k1")], device_secret=False)
        assert await here.reason("phone", token("phone", here.secret)) == BAD_TOKEN
        assert await here.reason("phone", issued("phone", algorithm, kid="k1")) == 0
        await here.call("DELETE", "/tokens", status=204)
        assert await here.reason("phone", issued("phone", algorithm, kid="k1")) == BAD_TOKEN
        assert await here.reason("phone", token("phone", here.secret)) == 0


async def test_a_public_key_is_nobodys_secret(tmp_path: Path) -> None:
    async with house(tmp_path / "data", {}) as here:
        await here.takes(keys=[pem("RS256")])
        claims = {"sub": "phone", "iss": ISSUER, "aud": AUDIENCE}
        forged = jwt.api_jws.PyJWS(algorithms=["HS256"])
        public = pem("RS256").encode()
        with pytest.MonkeyPatch.context() as patch:  # PyJWT itself does not make such a token
            patch.setattr("jwt.algorithms.is_pem_format", lambda key: False)
            made = forged.encode(str(claims).replace("'", '"').encode(), public, algorithm="HS256")
        assert await here.reason("phone", made) == BAD_TOKEN
        assert await here.reason("phone", issued("phone", "RS256")) == 0


async def test_the_claim_that_names_the_device_may_be_another(tmp_path: Path) -> None:
    async with house(tmp_path / "data", {}) as here:
        await here.takes(keys=[public_jwk("ES256")], device_claim="device_id")
        assert await here.reason("d1", issued("somebody", "ES256", device_id="d1")) == 0
        assert await here.reason("somebody", issued("somebody", "ES256")) == BAD_TOKEN
        client = await here.client()
        assert (await client.enter("", "news", issued("x", "ES256", device_id="d2").decode())).reason == 0


async def test_keys_are_read_from_the_provider_and_read_again_when_it_has_others(tmp_path: Path) -> None:
    async with (
        WebServer() as provider,
        house(tmp_path / "data", {**LOCAL, "authority.jwks_unknown_key": 0.1}) as here,
    ):
        provider.says(200, {"keys": [public_jwk("RS256", kid="one")]})
        await here.takes(jwks_url=f"{provider.url}/keys")
        for _ in range(3):
            assert await here.reason("phone", issued("phone", kid="one")) == 0
        assert [asked.path for asked in provider.asked] == ["/keys"]
        provider.says(
            200, {"keys": [public_jwk("RS256", number, kid=kid) for number, kid in ((0, "one"), (1, "two"))]}
        )
        await until(lambda: accepted(here, issued("phone", number=1, kid="two")))
        await provider.close()  # what was read stays good
        assert await here.reason("phone", issued("phone", number=1, kid="two")) == 0
        metrics = await here.node.metrics()
        assert metrics["longline_authority_key_sets_read_total"] >= 2


async def accepted(here: House, password: bytes) -> bool:
    return await here.reason("phone", password) == 0


@pytest.mark.parametrize("fault", ["hang", "500", "redirect", "down", "no set", "too long"])
async def test_a_provider_that_gives_no_keys_holds_up_nobody_else(tmp_path: Path, fault: str) -> None:
    """Those whose tokens need its keys are told that they are not to be had now; the others come in."""
    settings = {**LOCAL, "authority.jwks_timeout": 0.5, "authority.jwks_size": 1024}
    async with WebServer() as provider, WebServer() as elsewhere, house(tmp_path / "data", settings) as here:
        elsewhere.says(200, {"keys": [public_jwk("RS256", kid="one")]})
        if fault == "hang":
            provider.answers.clear()
        elif fault == "500":
            provider.says(500)
        elif fault == "redirect":
            provider.says(302, Location=f"{elsewhere.url}/keys")
        elif fault == "no set":
            provider.says(200, [])
        elif fault == "too long":
            provider.says(200, {"keys": [public_jwk("RS256", kid=str(number)) for number in range(5)]})
        else:
            await provider.close()
        await here.takes(jwks_url=f"{provider.url}/keys")
        waits = asyncio.create_task(here.reason("phone", issued("phone", kid="one")))
        assert await here.reason("tablet", token("tablet", here.secret)) == 0
        if fault == "hang":
            assert not waits.done()
        assert await waits == UNAVAILABLE
        assert await here.reason("phone", issued("phone", kid="one"), MQTT_3_1_1) == UNAVAILABLE
        assert elsewhere.asked == []
        refused = await here.node.refused()
        assert refused["keys_unavailable"] == 2


async def test_a_provider_in_this_host_is_not_asked_unless_the_settings_allow_it(tmp_path: Path) -> None:
    """Nor when the host is written so that only who looks it up knows what it means."""
    settings = {"authority.jwks_http": True}
    async with WebServer() as provider, house(tmp_path / "data", settings) as here:
        body = {"issuer": ISSUER, "audience": AUDIENCE, "jwks_url": f"{provider.url}/keys"}
        answer = await here.call("PUT", "/tokens", body, status=422)
        assert answer["error"]["details"][0]["field"] == "jwks_url"
        await here.takes(jwks_url=f"http://127.1:{provider.port}/keys")
        assert await here.reason("phone", issued("phone", kid="one")) == UNAVAILABLE
        assert provider.asked == []


# --- secrets ---


async def test_for_a_grace_both_device_secrets_are_good(tmp_path: Path) -> None:
    async with house(tmp_path / "data", {}) as here:
        old = token("phone", here.secret)
        rotation = {"server_key": False, "device_secret": True, "grace_seconds": 600}
        new = token("phone", (await here.call("POST", "/keys:rotate", rotation))["device_secret"])
        assert [await here.reason("phone", old), await here.reason("phone", new)] == [0, 0]
        last = (await here.call("POST", "/keys:rotate", {**rotation, "grace_seconds": 0}))["device_secret"]
        assert [await here.reason("phone", text) for text in (old, new)] == [BAD_TOKEN] * 2
        assert await here.reason("phone", token("phone", last)) == 0


@pytest.mark.parametrize("version", [MQTT_3_1_1, MQTT_5_0])
async def test_a_connection_ends_with_its_token_where_the_app_wants_that(
    tmp_path: Path, version: int
) -> None:
    async with house(tmp_path / "data", {}) as here:
        ends = int(time.time()) + 2
        stays = await here.entered("stays", token("stays", here.secret, exp=ends), version)
        await here.call("PATCH", "", {"end_at_expiry": True})
        endless = await here.entered("endless", token("endless", here.secret), version)
        later = await here.entered("later", token("later", here.secret, exp=ends + 3600), version)
        client = await here.entered("phone", token("phone", here.secret, exp=ends), version)
        assert await client.rest() == ([Disconnect(MAXIMUM_CONNECT_TIME)] if version == MQTT_5_0 else [])
        assert ends <= time.time() < ends + 10
        for other in (stays, endless, later):
            other.send(Pingreq())
            assert await other.receive() == Pingresp()
        metrics = await here.node.metrics()
        assert metrics['longline_room_closed_total{kind="token_expired"}'] == 1


async def test_a_connection_by_a_former_secret_ends_with_its_grace_where_the_app_wants_that(
    tmp_path: Path,
) -> None:
    async with house(tmp_path / "data", {}) as here:
        await here.call("PATCH", "", {"end_at_expiry": True})
        rotation = {"server_key": False, "device_secret": True, "grace_seconds": 2}
        await here.call("POST", "/keys:rotate", rotation)
        client = await here.entered("phone")
        assert await client.rest() == [Disconnect(MAXIMUM_CONNECT_TIME)]
        assert await here.reason("phone", token("phone", here.secret)) == BAD_TOKEN


async def test_tokens_that_are_not_taken_any_more_end_connections_where_that_is_wanted(
    tmp_path: Path,
) -> None:
    async with house(tmp_path / "data", {}) as here:
        await here.takes(keys=[public_jwk("ES256")])
        client = await here.entered("phone", issued("phone", "ES256"))
        await here.call("DELETE", "/tokens?disconnect=true", status=204)
        assert await client.rest() == [Disconnect(NOT_AUTHORIZED)]
        assert await here.reason("phone", issued("phone", "ES256")) == BAD_TOKEN


# --- the callback ---


@asynccontextmanager
async def decided(data: Path, **settings: object) -> AsyncIterator[tuple[House, WebServer]]:
    async with WebServer() as service:
        given = {f"authority.{name}": value for name, value in settings.items()}
        async with house(data, {"room.auth_url": f"{service.url}/connect", **given}) as here:
            yield here, service


async def test_the_service_decides_who_comes_in_whatever_the_password_is(tmp_path: Path) -> None:
    async with decided(tmp_path / "data", key="a-key-of-ours") as (here, service):
        service.says(200, {"result": "allow"})
        assert await here.reason("phone", "a password that is no token") == 0
        (asked,) = service.asked
        assert (asked.method, asked.path) == ("POST", "/connect")
        assert asked.headers["authorization"] == "Bearer a-key-of-ours"
        assert asked.json == {
            "app": "news",
            "device": "phone",
            "username": "news",
            "address": "127.0.0.1",
            "transport": "tcp",
            "protocol": "MQTT 5.0",
            "password": "a password that is no token",
        }
        service.says(200, {"result": "deny"})
        good = token("tablet", here.secret)
        assert await here.reason("tablet", good) == NOT_AUTHORIZED
        assert await here.reason("tablet", good, MQTT_3_1_1) == NOT_AUTHORIZED
        service.says(200, {"result": "token"})
        assert await here.reason("watch", token("watch", here.secret)) == 0
        assert await here.reason("watch", "no token") == BAD_TOKEN
        service.says(200, {"result": "allow", "device": "d7"})
        client = await here.client()
        assert (await client.enter("", "news", "x")).reason == 0
        assert await here.reason("d8", "x") == NOT_AUTHORIZED
        devices = (await here.call("GET", "/devices"))["devices"]
        assert [device["device"] for device in devices] == ["phone", "watch", "d7"]


async def test_the_same_question_is_not_asked_again_for_a_while(tmp_path: Path) -> None:
    async with decided(tmp_path / "data") as (here, service):
        service.says(204)
        assert [await here.reason("phone", "secret") for _ in range(5)] == [0] * 5
        assert len(service.asked) == 1
        assert await here.reason("phone", "another") == 0
        assert len(service.asked) == 2
        service.says(403)
        assert [await here.reason("tablet", "secret") for _ in range(5)] == [NOT_AUTHORIZED] * 5
        assert len(service.asked) == 3


@pytest.mark.parametrize("fault", ["hang", "500", "redirect", "down"])
@pytest.mark.parametrize("when_away", ["refuse", "token"])
async def test_when_the_service_is_away_a_setting_decides(tmp_path: Path, fault: str, when_away: str) -> None:
    data = tmp_path / "data"
    async with WebServer() as elsewhere, decided(data, when_away=when_away, timeout=0.3) as (here, service):
        if fault == "hang":
            service.answers.clear()
        elif fault == "500":
            service.says(500)
        elif fault == "redirect":
            service.says(307, Location=elsewhere.url)
        else:
            await service.close()
        good = token("phone", here.secret)
        assert await here.reason("phone", good) == (0 if when_away == "token" else UNAVAILABLE)
        assert await here.reason("phone", good, MQTT_3_1_1) == (0 if when_away == "token" else UNAVAILABLE)
        assert await here.reason("phone", "no token") == (BAD_TOKEN if when_away == "token" else UNAVAILABLE)
        assert elsewhere.asked == []


async def test_a_service_that_hangs_is_left_alone_and_taken_up_again(tmp_path: Path) -> None:
    async with decided(tmp_path / "data", timeout=0.2, failures=3) as (here, service):
        service.answers.clear()
        answers = await asyncio.gather(*(here.reason(f"d{number}", "x") for number in range(20)))
        assert answers == [UNAVAILABLE] * 20
        metrics = await here.node.metrics()
        assert metrics["longline_authority_breaker_opened_total"] >= 1
        asked = len(service.asked)
        begun = time.monotonic()
        assert await here.reason("d99", "x") == UNAVAILABLE
        assert len(service.asked) <= asked + 1  # and at once, or as the one that finds out
        service.says(204)
        service.answers.set()
        await until(lambda: let_in(here))
        assert time.monotonic() - begun < 30


async def let_in(here: House) -> bool:
    return await here.reason("phone", "x") == 0


async def test_too_many_who_wait_for_the_service_are_refused_as_too_busy(tmp_path: Path) -> None:
    async with decided(tmp_path / "data", waiting=3, timeout=30) as (here, service):
        service.answers.clear()
        waits = [asyncio.create_task(here.reason(f"d{number}", "x")) for number in range(3)]
        await eventually(lambda: len(service.asked), 3)
        assert await here.reason("d4", "x") == BUSY
        service.says(204)
        service.answers.set()
        assert await asyncio.gather(*waits) == [0] * 3
        metrics = await here.node.metrics()
        assert metrics["longline_authority_waiting"] == 0


async def test_a_client_that_comes_again_meanwhile_is_who_stays(tmp_path: Path) -> None:
    """The later CONNECT wins, whichever of the two answers is there first."""
    async with decided(tmp_path / "data", timeout=30, allowed_for=0) as (here, service):
        service.answers.clear()
        service.says(204)
        first, second = await here.client(), await here.client()
        for client, password in ((first, b"one"), (second, b"two")):
            client.send(Connect(MQTT_5_0, "phone", username="news", password=password))
            await eventually(lambda: len(service.asked), 1 + (client is second))
        service.answers.set()
        connack = await second.receive()
        assert isinstance(connack, Connack)
        assert connack.reason == 0
        second.send(Pingreq())
        assert await second.receive() == Pingresp()


async def test_no_password_is_in_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async with decided(tmp_path / "data", timeout=0.2, failures=2) as (here, service):
        for content in ({"result": "deny"}, "what-nobody-may-read", None):
            service.says(200, content)
            await here.reason("phone", f"what-nobody-may-read-{content}")
        await service.close()
        await here.reason("phone", "what-nobody-may-read")
    out, err = capfd.readouterr()
    assert "what-nobody-may-read" not in out + err


# --- clients without credentials ---


async def test_nobody_without_credentials_is_a_registered_device_or_becomes_one(tmp_path: Path) -> None:
    async with house(tmp_path / "data", {"room.anonymous_app": "news"}) as here:
        device = await here.entered("phone")
        for version in (MQTT_5_0, MQTT_3_1_1):
            stranger = await here.client(version)
            stranger.send(Connect(version, "phone"))
            refused = await stranger.receive()
            assert isinstance(refused, Connack)
            assert refused.reason == BAD_DEVICE
        device.send(Pingreq())
        assert await device.receive() == Pingresp()  # it was not taken over
        guest = await here.client()
        guest.send(Connect(MQTT_5_0, "sensor"))
        welcome = await guest.receive()
        assert isinstance(welcome, Connack)
        assert welcome.reason == 0
        guest.send(Subscribe(1, [Subscription("a/#", 1)]), Publish("a/b", b"x", 1, packet_id=2))
        got = [await guest.receive() for _ in range(3)]
        assert sorted(type(packet).__name__ for packet in got) == ["Puback", "Publish", "Suback"]
        found = (await here.call("GET", "/devices"))["devices"]
        assert [row["device"] for row in found] == ["phone"]
        body = {"audience": "all", "payload": "hello"}
        message = await here.call("POST", "/messages", body, status=202)
        push = await device.receive()
        assert isinstance(push, Publish)
        assert message["targeted"] == 1
        guest.send(Pingreq())
        assert await guest.receive() == Pingresp()  # and no push


# --- rules ---


async def rules(here: House, *given: tuple[str, str]) -> None:
    body = {"rules": [{"allow": allow, "filter": filter} for allow, filter in given]}
    await here.call("PUT", "/acl", body)


async def subscribed(client: RawClient, *filters: str) -> list[int]:
    client.send(Subscribe(9, [Subscription(filter, 1) for filter in filters]))
    suback = await client.receive()
    assert isinstance(suback, Suback), suback
    return [int(reason) for reason in suback.reasons]


async def published(client: RawClient, topic: str, payload: bytes = b"x", *, retain: bool = False) -> int:
    client.send(Publish(topic, payload, 1, retain, packet_id=5))
    packet: Packet | None = None
    while not isinstance(packet, Puback):
        packet = await client.receive()
        assert packet is not None
    return int(packet.reason)


async def test_rules_say_what_a_device_may_publish_and_subscribe_to(tmp_path: Path) -> None:
    async with house(tmp_path / "data", {}) as here:
        await rules(here, ("both", "home/{device}/#"), ("subscribe", "news/+"))
        one, two = await here.entered("one"), await here.entered("two")
        asked = ("home/one/#", "home/two/#", "home/+/x", "#", "news/+", "news/#", "push/#")
        assert await subscribed(one, *asked) == [1, 0x87, 0x87, 0x87, 1, 0x87, 1]
        assert await published(two, "home/one/x") == NOT_AUTHORIZED
        assert await published(two, "news/x") == NOT_AUTHORIZED
        assert await published(two, "home/two/x", retain=True) in (0, 0x10)
        old = await here.entered("three", version=MQTT_3_1_1)
        assert await subscribed(old, "home/two/x", "home/three/x") == [0x80, 1]
        refused = await here.node.refused()
        assert refused["acl_denied"] >= 5


async def test_rules_that_change_take_effect_on_who_is_connected(tmp_path: Path) -> None:
    async with house(tmp_path / "data", {}) as here:
        reader, writer = await here.entered("reader"), await here.entered("writer")
        assert await subscribed(reader, "a/#", "b/#") == [1, 1]
        assert await published(writer, "b/x", b"kept", retain=True) == 0
        assert isinstance(await reader.receive(), Publish)
        await rules(here, ("both", "a/#"))

        async def denied() -> bool:
            return await published(writer, "b/x", b"late") == NOT_AUTHORIZED

        await until(denied)
        await rules(here, ("publish", "#"), ("subscribe", "a/#"))

        async def allowed() -> bool:
            return await published(writer, "b/x", b"leak") != NOT_AUTHORIZED

        await until(allowed)
        assert await published(writer, "a/x", b"last") == 0
        reader.send(Puback(1), Pingreq())
        seen: list[bytes] = []
        while not isinstance(packet := await reader.receive(), Pingresp):
            assert isinstance(packet, Publish)
            seen.append(packet.payload)
        assert b"leak" not in seen
        assert await subscribed(reader, "b/#") == [0x87]  # and nothing retained comes
        await rules(here)

        async def free() -> bool:
            return await subscribed(reader, "b/x") == [1]

        await until(free)
