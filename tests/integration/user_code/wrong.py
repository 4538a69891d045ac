"""Wrong uses of the SDK, one in each line that says so: a type checker finds each. Nothing here is run."""

from typing import Literal

from longline import Center, Device, Message, Push, SyncCenter, TopicRule, verify_webhook


async def app_server(center: Center) -> None:
    await center.send("news", "x", device=["d1"])  # wrong
    await center.send("news", "x", devices="d1", priority="urgent")  # wrong
    await center.send("news", "x", devices=["d1"], qos=3)  # wrong
    await center.send("news", "x", devices=["d1"], ttl="1h")  # wrong
    await center.wait("news", "id")  # wrong
    (await center.message("news", "id")).ledger.lost  # wrong
    _: Literal["finished"] = (await center.message("news", "id")).status  # wrong
    (await center.message("news", "id")).created_at.upper()  # wrong
    for _device in center.devices("news"):  # wrong
        pass
    await center.devices("news")  # wrong
    await center.statistics("news", by="week")  # wrong
    await center.messages("news", status="lost").__anext__()  # wrong
    TopicRule(allow="all", filter="#")  # wrong
    Push(devices=["d1"])  # wrong


def without_asyncio(center: SyncCenter) -> None:
    center.send("news", "x", devices=["d1"]).status.missing  # wrong
    center.wait("news", 7, within=1)  # wrong
    Center("http://127.0.0.1", key=b"key")  # wrong
    verify_webhook("body", {}, "whsec_")  # wrong


async def a_device(device: Device, message: Message) -> None:
    Device("127.0.0.1", app="news", device="d1", token=lambda: "t")  # wrong
    Device("127.0.0.1", app="news", device="d1", token="t", protocol=3)  # wrong
    Device("127.0.0.1", app="news", device="d1", token="t", transport="quic")  # wrong
    await device.publish("up/x", {"json": 1})  # wrong
    await device.publish("up/x", b"x", qos=2)  # wrong
    message.json(int).upper()  # wrong
    message.text()  # wrong
    message.payload.encode()  # wrong
    device.on_call("blink")  # wrong
