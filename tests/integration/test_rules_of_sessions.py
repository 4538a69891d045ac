"""Rules that changed while nobody was connected, or a message or a will was on its way: nothing leaks."""

from pathlib import Path

import pytest

from longline.mqtt.packets import (
    MQTT_5_0,
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Will,
)
from longline.mqtt.properties import Properties, PropertyId
from tests.integration.live_node import RawClient
from tests.integration.test_authority import House, house, published, rules, subscribed
from tests.integration.test_bad_input import token
from tests.waiting import until

NOT_AUTHORIZED = 0x87


async def comes(
    here: House, device: str, *, will: Will | None = None, expiry: int = 600
) -> tuple[RawClient, Connack]:
    """A client whose session is kept."""
    client = await here.client()
    client.send(
        Connect(
            MQTT_5_0,
            device,
            False,
            600,
            "news",
            token(device, here.secret).encode(),
            will,
            {PropertyId.SESSION_EXPIRY_INTERVAL: expiry},
        )
    )
    connack = await client.receive()
    assert isinstance(connack, Connack)
    return client, connack


async def goes(client: RawClient) -> None:
    client.send(Disconnect())
    await client.rest()


async def delivered(client: RawClient) -> list[str]:
    """The topics of all that has come by now."""
    client.send(Pingreq())
    topics = []
    while not isinstance(packet := await client.receive(), Pingresp):
        if isinstance(packet, Publish):
            topics.append(packet.topic)
            client.send(Puback(packet.packet_id))
    return topics


async def in_force(here: House, topic: str, *, allowed: bool) -> None:
    """Returns when the room knows the rules: a publication of somebody else's is taken, or is not."""
    prober = await here.entered("prober")

    async def so() -> bool:
        return (await published(prober, topic) == NOT_AUTHORIZED) is not allowed

    await until(so)


async def test_what_waits_for_who_is_away_is_not_delivered_when_the_rules_deny_it_by_then(
    tmp_path: Path,
) -> None:
    async with house(tmp_path / "data", {}) as here:
        reader, _ = await comes(here, "reader")
        assert await subscribed(reader, "a/#", "b/#") == [1, 1]
        await goes(reader)
        writer = await here.entered("writer")
        for topic in ("a/1", "b/1", "b/2", "a/2"):
            assert await published(writer, topic) == 0
        await rules(here, ("both", "a/#"))
        await in_force(here, "b/0", allowed=False)
        reader, connack = await comes(here, "reader")
        assert connack.session_present

        seen: list[str] = []

        async def all_of_it() -> bool:
            seen.extend(await delivered(reader))
            return len(seen) >= 2

        await until(all_of_it)
        assert await published(writer, "a/3") == 0

        async def the_last() -> bool:
            seen.extend(await delivered(reader))
            return "a/3" in seen

        await until(the_last)
        assert seen == ["a/1", "a/2", "a/3"]


@pytest.mark.parametrize("connected", [True, False])
async def test_a_subscription_that_was_taken_away_does_not_come_back_with_the_session(
    tmp_path: Path, connected: bool
) -> None:
    """Wherever its client was when the rules changed."""
    async with house(tmp_path / "data", {}) as here:
        reader, _ = await comes(here, "reader")
        assert await subscribed(reader, "a/#", "b/#") == [1, 1]
        if not connected:
            await goes(reader)
        await rules(here, ("both", "a/#"))
        await in_force(here, "b/0", allowed=False)
        if connected:
            await goes(reader)
        reader, connack = await comes(here, "reader")
        assert connack.session_present
        assert await subscribed(reader, "a/x") == [1]  # what was filed before this is committed
        await rules(here)
        await in_force(here, "b/0", allowed=True)
        await goes(reader)
        reader, _ = await comes(here, "reader")
        writer = await here.entered("writer")
        for topic in ("b/1", "a/1"):
            await published(writer, topic)
        seen: list[str] = []

        async def something() -> bool:
            seen.extend(await delivered(reader))
            return "a/1" in seen

        await until(something)
        assert "b/1" not in seen


async def test_a_will_is_refused_at_connect_and_again_when_it_is_due(tmp_path: Path) -> None:
    async with house(tmp_path / "data", {}) as here:
        one, _ = await comes(here, "one", will=Will("b/will", b"x", 1), expiry=0)
        two, _ = await comes(here, "two", will=Will("a/will", b"x", 1), expiry=0)
        watcher = await here.entered("watcher")
        assert await subscribed(watcher, "#") == [1]
        await rules(here, ("publish", "a/#"), ("subscribe", "#"))
        await in_force(here, "b/0", allowed=False)
        await delivered(watcher)  # what the probes have said before
        _, connack = await comes(here, "three", will=Will("b/will", b"x"))
        assert connack.reason == NOT_AUTHORIZED
        one.abort()
        two.abort()
        seen: list[str] = []

        async def the_allowed_one() -> bool:
            seen.extend(await delivered(watcher))
            return "a/will" in seen

        await until(the_allowed_one)
        third, _ = await comes(here, "four", will=Will("a/last", b"x", 1), expiry=0)
        third.abort()

        async def a_later_one() -> bool:
            seen.extend(await delivered(watcher))
            return "a/last" in seen

        await until(a_later_one)
        assert "b/will" not in seen


async def test_a_client_without_credentials_is_registered_only_for_what_is_kept_of_it(tmp_path: Path) -> None:
    async with house(tmp_path / "data", {"room.anonymous_app": "news"}) as here:
        for device, will, expiry in (("plain", None, 0), ("will", Will("w", b"x"), 0), ("kept", None, 60)):
            client = await here.client()
            told: Properties = {PropertyId.SESSION_EXPIRY_INTERVAL: expiry}
            client.send(Connect(MQTT_5_0, device, False, 600, None, None, will, told))
            connack = await client.receive()
            assert isinstance(connack, Connack)
            assert connack.reason == 0
        found = (await here.call("GET", "/devices"))["devices"]
        assert [row["device"] for row in found] == ["anonymous-will", "anonymous-kept"]
