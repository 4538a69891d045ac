"""Right uses of the SDK, which every type checker takes as they are. Nothing here is run."""

from datetime import datetime, timedelta
from typing import Literal, assert_type

from longline import (
    AppLimits,
    Center,
    Device,
    DeviceInfo,
    Message,
    MessageAccepted,
    Missed,
    Push,
    SyncCenter,
    TopicRule,
    UpstreamEvent,
    device_token,
    errors,
    new_webhook_secret,
    verify_webhook,
)


async def app_server(center: Center) -> None:
    accepted = await center.send("news", {"title": "Goal!"}, devices=["d1"], ttl=timedelta(hours=1))
    assert_type(accepted, MessageAccepted)
    status = await center.wait("news", accepted.message_id, within=30)
    assert_type(status.status, Literal["scheduled", "accepted", "delivering", "done", "cancelled"])
    assert_type(status.created_at, datetime)
    assert_type(status.send_at, datetime | None)
    async for device in center.devices("news", tag="beta"):
        assert_type(device, DeviceInfo)
    async for event in center.upstream("news"):
        assert_type(event.type, Literal["upstream", "presence", "receipt", "device"])
        if event.type == "upstream":
            print(event.data.decode())
    for outcome in await center.send_batch("news", [Push(payload=b"x", everyone=True, priority="high")]):
        if isinstance(outcome, errors.LonglineError):
            print(outcome.code, outcome.retryable)
        else:
            print(outcome.message_id)
    await center.put_limits("news", AppLimits(devices=10))
    await center.put_topic_rules("news", [TopicRule(allow="both", filter="home/{device}/#")])


def without_asyncio(center: SyncCenter) -> None:
    accepted = center.send("news", "hello", aliases=["user-7"], ttl=60)
    assert_type(accepted, MessageAccepted)
    for device in center.devices("news"):
        assert_type(device, DeviceInfo)
    with SyncCenter("http://127.0.0.1:8080", "key", timeout=timedelta(seconds=3)) as another:
        another.kick("news", "d1", ban=60)


async def a_device(token: str) -> None:
    async def fresh() -> str:
        return token

    def missed(what: Missed) -> None:
        print(what.dropped)

    async with Device(
        "wss://push.example.org", app="news", device="d1", token=fresh, on_gap=missed
    ) as device:

        @device.on_call
        async def blink(call: Message) -> dict[str, bool]:
            return {"done": bool(call.json(dict[str, int])["times"])}

        assert_type(await blink(await device.receive()), dict[str, bool])
        await device.post("reading", {"celsius": 21.5})
        async for message in device:
            assert_type(message, Message)
            assert_type(message.json(list[int]), list[int])
            assert_type(message.sent_at, datetime | None)
            await message.opened()


def a_webhook(body: bytes, headers: dict[str, str]) -> list[UpstreamEvent]:
    device_token("secret", "d1", expires_in=timedelta(days=1))
    return verify_webhook(body, headers, new_webhook_secret())
