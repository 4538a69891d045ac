"""Messages that are sent later, and schedules, as users and devices see them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import jwt
import pytest

from longline import Center, Device, Push
from longline.errors import InvalidCron, InvalidSendAt, InvalidTimezone, MessageNotFound, ScheduleNotFound
from longline.sdk.answers import MessageStatus
from longline.sdk.message import Message
from tests.integration.live_node import LiveNode
from tests.integration.server_process import ServerProcess
from tests.integration.shapes import Server
from tests.integration.test_commands import access, longline
from tests.waiting import eventually, until

SOON = timedelta(seconds=1.5)


class Inbox:
    """Connected devices of an app, and what each has got."""

    def __init__(self, server: Server, center: Center, stack: AsyncExitStack) -> None:
        self.got: dict[str, list[Message]] = {}
        self._server = server
        self._center = center
        self._stack = stack
        self._secret = ""

    async def open(self, **zones: str | None) -> None:
        """Makes the app, and connects devices with these time zones."""
        self._secret = (await self._center.create_app("news")).device_secret
        for name, zone in zones.items():
            await self._center.put_device("news", name, timezone=zone)
            await self.connect(name)

    async def connect(self, name: str) -> None:
        token = jwt.encode({"sub": name}, self._secret, algorithm="HS256")
        device = Device("127.0.0.1", self._server.mqtt_port, app="news", device=name, token=token)
        self.got.setdefault(name, [])
        await self._stack.enter_async_context(device)
        listening = asyncio.create_task(self._listen(name, device), name=f"listen-{name}")
        self._stack.callback(listening.cancel)
        await device.wait_connected()

    async def _listen(self, name: str, device: Device) -> None:
        async for message in device:
            self.got[name].append(message)
            await message.ack()

    def texts(self, name: str) -> list[str]:
        return [message.text for message in self.got[name]]


@pytest.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        yield center


@pytest.fixture
async def inbox(server: Server, center: Center) -> AsyncIterator[Inbox]:
    async with AsyncExitStack() as stack:
        yield Inbox(server, center, stack)


def soon() -> datetime:
    return datetime.now(UTC) + SOON


async def test_a_message_arrives_at_its_time_and_not_before(center: Center, inbox: Inbox) -> None:
    """Under the id that it was accepted with; until then it says that it waits."""
    await inbox.open(d1=None)
    send_at = soon()
    accepted = await center.send("news", "later", devices=["d1"], send_at=send_at)
    assert accepted.targeted is None
    status = await center.message("news", accepted.message_id)
    assert (status.status, status.ledger.targeted) == ("scheduled", 0)
    assert [row async for row in center.deliveries("news", accepted.message_id)] == []
    await center.send("news", "now", devices=["d1"])
    await until(lambda: len(inbox.got["d1"]) == 2)
    assert inbox.texts("d1") == ["now", "later"]
    message = inbox.got["d1"][1]
    assert message.id == accepted.message_id
    assert message.sent_at is not None
    assert message.sent_at >= send_at.replace(microsecond=send_at.microsecond // 1000 * 1000)
    assert (await center.wait("news", accepted.message_id, within=60)).ledger.acked == 1


async def test_a_message_to_everyone_finds_who_is_there_at_its_time(center: Center, inbox: Inbox) -> None:
    """Also who has come since it was accepted."""
    await inbox.open(d1=None)
    accepted = await center.send("news", "later", everyone=True, send_at=soon())
    await inbox.connect("d2")
    await until(lambda: inbox.got["d1"] and inbox.got["d2"])
    assert (await center.wait("news", accepted.message_id, within=60)).ledger.acked == 2


async def test_a_cancelled_message_does_not_arrive(center: Center, inbox: Inbox) -> None:
    """Another one that was to be sent behind it does."""
    await inbox.open(d1=None)
    first = await center.send("news", "cancelled", devices=["d1"], send_at=soon())
    await center.send("news", "kept", devices=["d1"], send_at=soon() + timedelta(seconds=0.5))
    assert (await center.cancel("news", first.message_id)).status == "cancelled"
    assert (await center.message("news", first.message_id)).status == "cancelled"
    await until(lambda: inbox.got["d1"])
    assert inbox.texts("d1") == ["kept"]
    with pytest.raises(MessageNotFound):
        await center.cancel("news", "019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e21")


async def test_a_local_time_is_each_devices_own(center: Center, inbox: Inbox) -> None:
    """It is over in Tokyo, is soon in Berlin, and is later today in New York."""
    names = {"tokyo": "Asia/Tokyo", "berlin": "Europe/Berlin", "york": "America/New_York"}
    await inbox.open(**names)
    there = (soon() + SOON).astimezone(ZoneInfo("Europe/Berlin"))
    accepted = await center.send("news", "local", devices=[*names], send_at=there.replace(tzinfo=None))
    await until(lambda: inbox.got["tokyo"])
    assert not inbox.got["berlin"]
    await until(lambda: inbox.got["berlin"])
    sent_at = inbox.got["berlin"][0].sent_at
    assert sent_at is not None
    assert sent_at >= there - timedelta(milliseconds=1)

    async def acked() -> int:
        return (await center.message("news", accepted.message_id)).ledger.acked

    await eventually(acked, 2)
    status: MessageStatus = await center.message("news", accepted.message_id)
    assert status.status == "delivering"
    assert {firing.message_id for firing in status.firings} == {
        inbox.got["tokyo"][0].id,
        inbox.got["berlin"][0].id,
    }
    assert (await center.cancel("news", accepted.message_id)).status == "cancelled"
    assert not inbox.got["york"]


async def test_a_request_repeated_with_its_key_sends_once(center: Center, inbox: Inbox) -> None:
    await inbox.open(d1=None)
    send_at = soon()
    pushes = [Push(payload=text, devices=["d1"], send_at=send_at) for text in ("one", "two")]
    first = await center.send_batch("news", pushes, idempotency_key="k")
    assert await center.send_batch("news", pushes, idempotency_key="k") == first
    await center.send("news", "end", devices=["d1"], send_at=send_at + timedelta(seconds=0.5))
    await until(lambda: "end" in inbox.texts("d1"))
    assert sorted(inbox.texts("d1")) == ["end", "one", "two"]


async def test_a_schedule_is_made_shown_paused_and_deleted(center: Center) -> None:
    """With its next times, and its message as it was asked for."""
    await center.create_app("news")
    push = Push(payload={"title": "Good morning"}, everyone=True, ttl=3600)
    made = await center.schedule("news", push, "30 9 * * 1-5", timezone="Europe/Berlin")
    assert len(made.next) == 5
    for at in made.next:
        local = at.astimezone(ZoneInfo("Europe/Berlin"))
        assert (local.hour, local.minute) == (9, 30)
        assert local.weekday() < 5
    assert made.message == {"audience": "all", "payload": {"title": "Good morning"}, "options": {"ttl": 3600}}
    other = await center.schedule("news", push, "0 9 * * *", timezone="device")
    assert all(at.tzinfo is None and at.hour == 9 for at in other.next)
    listed = [schedule.schedule_id async for schedule in center.schedules("news")]
    assert listed == [made.schedule_id, other.schedule_id]
    paused = await center.pause_schedule("news", made.schedule_id)
    assert (paused.paused, paused.next) == (True, ())
    assert await center.schedule_info("news", made.schedule_id) == paused
    resumed = await center.resume_schedule("news", made.schedule_id)
    assert (resumed.paused, resumed.next) == (False, made.next)
    await center.delete_schedule("news", made.schedule_id)
    with pytest.raises(ScheduleNotFound):
        await center.schedule_info("news", made.schedule_id)
    assert [schedule.schedule_id async for schedule in center.schedules("news")] == [other.schedule_id]


async def test_what_is_wrong_is_told_by_its_code(center: Center) -> None:
    await center.create_app("news")
    push = Push(payload="x", everyone=True)
    with pytest.raises(InvalidCron):
        await center.schedule("news", push, "now and then")
    with pytest.raises(InvalidTimezone):
        await center.schedule("news", push, "0 9 * * *", timezone="Europe/Atlantis")
    with pytest.raises(InvalidSendAt):
        await center.send("news", "x", everyone=True, send_at=datetime.now(UTC) + timedelta(days=500))


async def test_a_deleted_app_takes_what_it_has_waiting_with_it(center: Center, inbox: Inbox) -> None:
    """An app of the same name has nothing of it."""
    await center.create_app("news")
    await center.send("news", "never", everyone=True, send_at=soon())
    await center.schedule("news", Push(payload="x", everyone=True), "0 9 * * *")
    await center.delete_app("news")
    await inbox.open(d1=None)
    await center.send("news", "end", everyone=True, send_at=soon() + timedelta(seconds=0.5))
    await until(lambda: inbox.got["d1"])
    assert inbox.texts("d1") == ["end"]
    assert [schedule async for schedule in center.schedules("news")] == []


async def test_a_killed_node_sends_what_it_has_promised_once(tmp_path: Path) -> None:
    """Killed between the 202 and the time, and again just when it is sent."""
    server = ServerProcess(tmp_path / "data")
    try:
        await server.start()
        async with server.center() as center:
            secret = (await center.create_app("news")).device_secret
            await center.put_device("news", "d1")
            accepted = await center.send("news", "once", devices=["d1"], send_at=soon())
        await server.kill()
        await server.start()
        async with server.center() as center:

            async def pending() -> int:
                return (await center.message("news", accepted.message_id)).ledger.pending

            await eventually(pending, 1)
        await server.kill()
        await server.start()
        async with server.center() as center:
            token = jwt.encode({"sub": "d1"}, secret, algorithm="HS256")
            await center.send("news", "end", devices=["d1"])
            got: list[str] = []
            async with Device("127.0.0.1", server.mqtt_port, app="news", device="d1", token=token) as device:
                async for message in device:
                    got.append(message.text)
                    await message.ack()
                    if message.text == "end":
                        break
            assert got == ["once", "end"]
            assert (await center.message("news", accepted.message_id)).ledger.targeted == 1
    finally:
        await server.kill()


async def test_the_commands_send_later_and_again(tmp_path: Path) -> None:
    """`push --at`, and every command of `schedule`, in JSON and for people."""
    async with LiveNode(tmp_path / "data") as node, node.center() as center:
        await center.create_app("news")

        async def run(*arguments: str) -> str:
            async with longline(*arguments, **access(node)) as process:
                out, err = await process.communicate()
            assert process.returncode == 0, err.decode()
            return out.decode()

        at = (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="seconds")
        id = (await run("push", "news", "later", "--all", "--at", at)).strip()
        assert (await center.message("news", id)).status == "scheduled"
        made = await run(
            *("schedule", "create", "news", "0 9 * * 1-5", '{"n": 1}', "--all"),
            *("--timezone", "Europe/Berlin", "--json"),
        )
        schedule = json.loads(made)["schedule_id"]
        assert "Europe/Berlin" in await run("schedule", "show", "news", schedule)
        assert schedule in await run("schedule", "list", "news")
        assert "paused" in await run("schedule", "pause", "news", schedule)
        assert json.loads(await run("schedule", "resume", "news", schedule, "--json"))["paused"] is False
        await run("schedule", "delete", "news", schedule)
        assert await run("schedule", "list", "news") == ""
        async with longline("push", "news", "x", "--all", "--at", "soon", **access(node)) as process:
            assert await process.wait() == 2
