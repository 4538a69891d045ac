"""Webhooks, end to end: an app's events at its own server, signed and in order, whatever that one does."""

import asyncio
import json
import math
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import jwt
import pytest
import pytest_asyncio

from longline import Center, Device
from longline.errors import ValidationFailed, WebhookNotFound
from tests.cluster.cluster import Cluster
from tests.integration.live_node import LiveNode
from tests.integration.server_process import ServerProcess
from tests.integration.shapes import WEBHOOKS, Server
from tests.integration.test_commands import access, longline
from tests.integration.web_target import SECRET, Mode, Target
from tests.waiting import eventually, until

OTHER_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DEVICES = 8
PACE = 0.02  # s between two messages of a device
SPELL = 4.0  # s that a target is slow, answers 500, hangs
DOWN = float(os.environ.get("LONGLINE_TEST_DOWN", "6"))  # s that it is down: 120 shows it at full length


@pytest_asyncio.fixture
async def target() -> AsyncIterator[Target]:
    async with Target() as target:
        yield target


@pytest_asyncio.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        yield center


class Fleet:
    """Devices that send all the time, and how long each waited for its PUBACK."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self.sent: dict[str, list[str]] = {}
        self.waits: list[float] = []

    def device(self, server: Server, name: str) -> Device:
        token = jwt.encode({"sub": name}, self.secret, algorithm="HS256")
        return Device("127.0.0.1", server.mqtt_port, app="news", device=name, token=token)

    async def send(self, device: Device, name: str, seconds: float) -> None:
        """Sends for so long; what is in `sent` was acknowledged, so it is stored."""
        end = time.monotonic() + seconds
        sent = self.sent.setdefault(name, [])
        while time.monotonic() < end:
            began = time.monotonic()
            text = f"{name} {len(sent)}"
            await device.send("x", text)
            sent.append(text)
            self.waits.append(time.monotonic() - began)
            await asyncio.sleep(PACE)

    async def spell(self, devices: dict[str, Device], seconds: float) -> list[float]:
        """The waits of all, in order, over some time in which all send."""
        self.waits = []
        await asyncio.gather(*(self.send(device, name, seconds) for name, device in devices.items()))
        return sorted(self.waits)

    @property
    def total(self) -> int:
        return sum(map(len, self.sent.values()))


def at(share: float, waits: Sequence[float]) -> float:
    return waits[min(len(waits) - 1, math.ceil(share * len(waits)) - 1)] * 1000


async def in_order(target: Target, fleet: Fleet) -> None:
    """Everything that was acknowledged arrives, each device's in order, when what came twice is left out."""

    def missing() -> dict[str, int]:
        return {
            name: len(sent) - len(set(sent) & set(target.payloads(name))) for name, sent in fleet.sent.items()
        }

    await until(lambda: not any(missing().values()), 90, tell=missing)
    for name, sent in fleet.sent.items():
        assert [text for text in target.payloads(name) if text in set(sent)] == sent
    assert target.strangers == []


async def test_events_arrive_signed_as_they_are_read(server: Server, center: Center, target: Target) -> None:
    """What was there before the webhook is not sent, and what is not wanted neither."""
    fleet = Fleet((await center.create_app("news")).device_secret)
    async with fleet.device(server, "d1") as device:
        await device.send("before", "old")
        info = await center.put_webhook("news", target.url, secret=SECRET, events=["upstream"])
        assert (info.url, info.events, info.status.state) == (target.url, ("upstream",), "active")
        for number in range(20):
            await device.send("x", str(number))
    await until(lambda: len(target.taken) >= 20, tell=lambda: target.strangers)
    assert [event["payload"] for event in target.taken] == [str(number) for number in range(20)]
    assert {event["type"] for event in target.taken} == {"upstream"}
    assert {call["app"] for _, call in target.calls} == {"news"}
    read = [event async for event in center.upstream("news", follow=False)]
    wanted = {event.cursor: event.payload for event in read if event.type == "upstream"}
    assert {event["cursor"]: event["payload"] for event in target.taken}.items() <= wanted.items()
    await eventually(lambda: _taken(center), 20)
    assert target.strangers == []


async def _taken(center: Center) -> int:
    return (await center.webhook("news")).status.taken


async def test_presence_is_sent_too(server: Server, center: Center, target: Target) -> None:
    fleet = Fleet((await center.create_app("news")).device_secret)
    await center.put_webhook("news", target.url, secret=SECRET)
    async with fleet.device(server, "d1") as device:
        await device.send("x", "hello")
        await until(lambda: {"upstream", "presence"} <= {event["type"] for event in target.taken})
    await until(lambda: any(event.get("state") == "offline" for event in target.taken))


async def test_what_is_wrong_with_a_webhook_is_told_and_its_secret_never_is(
    server: Server, center: Center, target: Target
) -> None:
    await center.create_app("news")
    for call in (
        center.webhook("news"),
        center.delete_webhook("news"),
        center.replay_webhook("news"),
        anext(center.dead_events("news")),
    ):
        with pytest.raises(WebhookNotFound):
            await call
    for url, secret in (
        (target.url, None),
        (target.url, "whsec_dG9vIHNob3J0"),
        (target.url, SECRET.removeprefix("whsec_")),
        (target.url, "whsec_no base64!"),
        ("ftp://example.org/", SECRET),
        ("https://user:password@example.org/", SECRET),
        ("https://", SECRET),
        ("nonsense", SECRET),
    ):
        with pytest.raises(ValidationFailed):
            await center.put_webhook("news", url, secret=secret)
    await center.put_webhook("news", target.url, secret=SECRET)
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {server.admin_key}"}) as http:
        found = await http.get(f"{server.url}/v1/apps/news/webhook")
        changed = await http.put(
            f"{server.url}/v1/apps/news/webhook", json={"url": target.url, "secret": OTHER_SECRET}
        )
    assert "former_secret_until" in changed.json()
    assert SECRET not in found.text + changed.text + server.tail()
    assert OTHER_SECRET not in found.text + changed.text + server.tail()
    await center.delete_webhook("news")
    with pytest.raises(WebhookNotFound):
        await center.webhook("news")


async def test_the_secret_before_signs_while_the_target_learns_the_new_one(
    server: Server, center: Center, target: Target
) -> None:
    fleet = Fleet((await center.create_app("news")).device_secret)
    await center.put_webhook("news", target.url, secret=SECRET, events=["upstream"])
    info = await center.put_webhook("news", target.url, secret=OTHER_SECRET, events=["upstream"])
    assert info.former_secret_until is not None
    async with fleet.device(server, "d1") as device:
        await device.send("x", "signed twice")
        await until(lambda: target.taken)
        assert target.strangers == []
        info = await center.put_webhook("news", target.url, secret=SECRET, grace=0)
        assert info.former_secret_until is None


async def test_a_poisonous_event_is_alone_in_the_end_and_can_be_replayed(
    server: Server, center: Center, target: Target
) -> None:
    """All others arrive, and the list of the dead says why it does not."""
    fleet = Fleet((await center.create_app("news")).device_secret)
    target.mode, target.poison = "refuse", {"7"}
    await center.put_webhook("news", target.url, secret=SECRET, events=["upstream"])
    async with fleet.device(server, "d1") as device:
        for number in range(16):
            await device.send("x", str(number))
    others = [str(number) for number in range(16) if number != 7]
    await until(lambda: target.payloads("d1") == others, tell=lambda: target.payloads("d1"))
    (dead,) = [event async for event in center.dead_events("news")]
    assert (dead.payload, dead.reason, dead.error, dead.replaying) == (
        "7",
        "refused",
        "it answered 422",
        False,
    )
    assert (await center.webhook("news")).status.dead.events == 1
    target.poison = set()
    assert await center.replay_webhook("news", [dead.cursor]) == 1
    await until(lambda: target.payloads("d1")[-1] == "7")

    async def left() -> int:
        return (await center.webhook("news")).status.dead.events

    await eventually(left, 0)
    assert await center.replay_webhook("news") == 0


async def test_a_target_that_is_gone_is_left_alone_until_it_is_put_anew(
    server: Server, center: Center, target: Target
) -> None:
    fleet = Fleet((await center.create_app("news")).device_secret)
    target.mode = "gone"
    await center.put_webhook("news", target.url, secret=SECRET, events=["upstream"])
    async with fleet.device(server, "d1") as device:
        await device.send("x", "1")

    async def state() -> str:
        return (await center.webhook("news")).status.state

    await eventually(state, "gone")
    target.mode = "ok"
    await center.put_webhook("news", target.url)
    await until(lambda: target.payloads("d1") == ["1"])
    assert await state() == "active"


@pytest.mark.timeout(600 + 2 * DOWN)
async def test_devices_notice_nothing_of_what_a_target_does(
    server: Server, center: Center, target: Target, tmp_path: Path
) -> None:
    """It is slow, answers 500, hangs, and is down. Another app's target gets its events all the while.

    A node beside it, which has no targets, shows what of the waiting is the machine's.
    """
    fleet = Fleet((await center.create_app("news")).device_secret)
    other = Fleet((await center.create_app("other")).device_secret)
    async with AsyncExitStack() as stack:
        names = [f"d{number}" for number in range(DEVICES)]
        devices = {name: await stack.enter_async_context(fleet.device(server, name)) for name in names}
        token = jwt.encode({"sub": "o1"}, other.secret, algorithm="HS256")
        bystander = await stack.enter_async_context(
            Device("127.0.0.1", server.mqtt_port, app="other", device="o1", token=token)
        )
        quick = await stack.enter_async_context(Target())
        beside = await stack.enter_async_context(ServerProcess(tmp_path / "beside"))
        async with beside.center() as its_center:
            untold = Fleet((await its_center.create_app("news")).device_secret)
        witnesses = {
            name: await stack.enter_async_context(untold.device(beside, name)) for name in ("w1", "w2")
        }

        async def spells(seconds: float) -> tuple[list[float], list[float]]:
            """The waits of the devices, and of those at the node beside."""
            waits, theirs = await asyncio.gather(
                fleet.spell(devices, seconds), untold.spell(witnesses, seconds)
            )
            return waits, theirs

        await spells(1.0)
        before, calm = await spells(SPELL)  # nobody is told of anything
        skipped = {name: len(sent) for name, sent in fleet.sent.items()}
        await center.put_webhook("news", target.url, secret=SECRET)
        await center.put_webhook("other", quick.url, secret=SECRET, events=["upstream"])
        told: dict[str, tuple[list[float], list[float]]] = {"none": (before, calm)}
        modes: list[Mode] = ["ok", "slow", "error", "hang"]
        for mode in modes:
            target.mode = mode
            told[mode] = await spells(SPELL)
            await bystander.send("x", mode)
            await until(lambda: quick.payloads("o1")[-1:] == [mode])  # noqa: B023  # in this round
        target.mode = "ok"
        await target.down()
        told["down"] = await spells(DOWN)
        await target.up()
        for name, count in skipped.items():
            del fleet.sent[name][:count]
        await in_order(target, fleet)
    figures = {
        mode: f"p50 {at(0.5, waits):.1f} p99 {at(0.99, waits):.1f} ms, beside {at(0.5, theirs):.1f} and "
        f"{at(0.99, theirs):.1f} ms"
        for mode, (waits, theirs) in told.items()
    }
    print(fleet.total, "events,", len(target.calls), "calls:", figures)
    for waits, theirs in told.values():  # what waits for a target waits for a second and more
        slower = max(1.0, at(0.5, theirs) / at(0.5, calm))  # that the machine has become meanwhile
        assert at(0.5, waits) < 3 * slower * at(0.5, before) + 20, figures
        assert at(0.99, waits) < 1000 + 3 * at(0.99, theirs), figures
    ids: dict[str, list[str]] = {}
    for id, call in target.calls:
        ids.setdefault(id, [event["cursor"] for event in call["events"]])
        assert ids[id] == [event["cursor"] for event in call["events"]]  # a duplicate is known by its id


async def _kills(server: ServerProcess, fleet: Fleet, target: Target) -> None:
    """Kills it while devices send and the target is called; they come back, and send again what was lost."""
    async with AsyncExitStack() as stack:
        devices = {
            f"d{number}": await stack.enter_async_context(fleet.device(server, f"d{number}"))
            for number in range(3)
        }
        for _ in range(3):
            sending = asyncio.create_task(fleet.spell(devices, 4.0), name="spell")
            calls = len(target.calls)
            await until(lambda: len(target.calls) > calls)  # noqa: B023  # in this round
            await server.kill()
            await server.start()
            await sending


@pytest.mark.parametrize("mode", ["ok", "slow", "hang"])
async def test_a_node_that_is_killed_goes_on_where_it_was(tmp_path: Path, target: Target, mode: Mode) -> None:
    """Each event arrives at least once, in order for each device, and the last batch at most twice."""
    server = ServerProcess(tmp_path / "data", **WEBHOOKS)
    await server.start()
    try:
        async with server.center() as center:
            fleet = Fleet((await center.create_app("news")).device_secret)
            target.mode = mode
            await center.put_webhook("news", target.url, secret=SECRET, events=["upstream"])
        await _kills(server, fleet, target)
        target.mode = "ok"
        await in_order(target, fleet)
    finally:
        await server.kill()


@pytest.mark.shape("cluster")
async def test_another_coordinator_goes_on_when_one_is_killed(
    server: Server, center: Center, target: Target
) -> None:
    assert isinstance(server, Cluster)
    fleet = Fleet((await center.create_app("news")).device_secret)
    await center.put_webhook("news", target.url, secret=SECRET, events=["upstream"])
    async with AsyncExitStack() as stack:
        devices = {
            f"d{number}": await stack.enter_async_context(fleet.device(server, f"d{number}"))
            for number in range(DEVICES)
        }
        for victim in (*server.coordinators, *server.coordinators):
            target.mode = "slow"
            sending = asyncio.create_task(fleet.spell(devices, 6.0), name="spell")
            calls = len(target.calls)
            await until(lambda: len(target.calls) > calls)  # noqa: B023  # in this round
            await victim.kill()
            target.mode = "error"
            await sending
            victim.start()
            await victim.ready()
        target.mode = "ok"
        await in_order(target, fleet)


async def test_private_addresses_are_refused_unless_they_are_allowed(tmp_path: Path, target: Target) -> None:
    """At once where they are written, and at each call where they hide behind a name."""
    async with LiveNode(tmp_path / "data") as node, node.center() as center:
        await center.create_app("news")
        for host in ("127.0.0.1", "[::1]", "10.0.0.1", "169.254.169.254", "[::ffff:127.0.0.1]", "localhost"):
            with pytest.raises(ValidationFailed):
                await center.put_webhook("news", f"https://{host}:{target.port}/", secret=SECRET)
        with pytest.raises(ValidationFailed):
            await center.put_webhook("news", "http://example.org/", secret=SECRET)


async def test_the_commands_set_show_and_replay(tmp_path: Path, target: Target) -> None:
    settings = {"webhooks.private_addresses": True, "webhooks.first_retry": 0.1}
    async with LiveNode(tmp_path / "data", settings) as node, node.center() as center:
        await center.create_app("news")

        async def run(*arguments: str) -> str:
            async with longline("webhook", *arguments, **access(node)) as process:
                out, err = await process.communicate()
            assert process.returncode == 0, err.decode()
            return out.decode()

        made = json.loads(await run("set", "news", target.url, "--event", "upstream", "--json"))
        assert made["secret"].startswith("whsec_")
        assert "secret" not in json.loads(await run("set", "news", target.url, "--json"))
        (tmp_path / "secret").write_text(SECRET)
        await run("set", "news", target.url, "--secret-file", str(tmp_path / "secret"), "--grace", "0")
        assert target.url in await run("show", "news")
        assert json.loads(await run("show", "news", "--json"))["status"]["state"] == "active"
        assert await run("dead", "news") == ""
        assert await run("replay", "news") == "0\n"
        await run("delete", "news")
        with pytest.raises(WebhookNotFound):
            await center.webhook("news")
