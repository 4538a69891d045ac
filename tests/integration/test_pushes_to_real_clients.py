"""Clients that we did not write, as devices of a node: each gets each push once, and the ledger says so."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from longline import Center
from tests.integration.clients.real import KINDS, OVER_WEBSOCKET, RealClient, Refused, Transport, missing
from tests.integration.shapes import Server
from tests.waiting import WITHIN

WAYS: list[tuple[str, Transport]] = [
    *((kind, "tcp") for kind in KINDS),
    *((kind, "ws") for kind in OVER_WEBSOCKET),
]
EACH_WAY = pytest.mark.parametrize(("kind", "transport"), WAYS)
FINAL = "final"  # follows all others, so a copy too many would be seen before it


@pytest_asyncio.fixture
async def center(server: Server) -> AsyncIterator[Center]:
    async with server.center() as center:
        await center.create_app("news", pubsub=True)
        yield center


async def device(
    kind: str,
    transport: Transport,
    server: Server,
    center: Center,
    *,
    persistent: bool = True,
    token: str | None = None,
) -> RealClient:
    lacking = missing(kind)
    if lacking is not None:
        pytest.skip(lacking)
    token = token or (await center.token("news", "d1")).password
    port = server.mqtt_port if transport == "tcp" else server.ws_port
    return RealClient(
        kind, port, app="news", device="d1", token=token, persistent=persistent, transport=transport
    )


@pytest.mark.parametrize("persistent", [True, False])
@EACH_WAY
async def test_a_push_arrives_once_online_and_once_on_return(
    kind: str, transport: Transport, persistent: bool, server: Server, center: Center
) -> None:
    online, away = {"title": "online"}, "while you were away"
    sent = []
    async with await device(kind, transport, server, center, persistent=persistent) as client:
        await client.ready()
        sent.append(await center.send("news", online, devices=["d1"]))
        sent.append(await center.send("news", b"\x00\xff", everyone=True))
        first, second = await client.receive(2)
        assert (first.topic, first.payload, first.qos) == (
            f"push/{sent[0].message_id}",
            b'{"title":"online"}',
            1,
        )
        assert (second.topic, second.payload, second.qos) == (f"push/{sent[1].message_id}", b"\x00\xff", 1)
        # The receipts are in before the client goes, so nothing of this may come again.
        for receipt in sent:
            await center.wait("news", receipt.message_id, within=WITHIN)
    sent.append(await center.send("news", away, devices=["d1"]))
    sent.append(await center.send("news", away, everyone=True))
    async with await device(kind, transport, server, center, persistent=persistent) as client:
        await client.ready()
        waited = await client.receive(2)
        assert [message.topic for message in waited] == [f"push/{receipt.message_id}" for receipt in sent[2:]]
        assert {message.payload for message in waited} == {away.encode()}
        sent.append(await center.send("news", FINAL, devices=["d1"]))
        [last] = await client.receive(1)
        assert last.payload == FINAL.encode()
        for receipt in sent:
            ledger = (await center.wait("news", receipt.message_id, within=WITHIN)).ledger
            assert (ledger.targeted, ledger.acked, ledger.pending) == (1, 1, 0)
    assert (await center.device("news", "d1")).pending == 0


@EACH_WAY
async def test_a_connection_that_breaks_loses_nothing(
    kind: str, transport: Transport, server: Server, center: Center
) -> None:
    client = await device(kind, transport, server, center)
    async with client:
        await client.ready()
        await client.kill()
    receipts = [await center.send("news", str(number), devices=["d1"]) for number in range(30)]
    async with await device(kind, transport, server, center) as client:
        await client.ready()
        messages = await client.receive(30)
        assert [message.payload for message in messages] == [b"%d" % number for number in range(30)]
        for receipt in receipts:
            ledger = (await center.wait("news", receipt.message_id, within=WITHIN)).ledger
            assert (ledger.acked, ledger.pending) == (1, 0)


@EACH_WAY
async def test_a_forged_token_is_refused(
    kind: str, transport: Transport, server: Server, center: Center
) -> None:
    await center.create_app("other")
    foreign = (await center.token("other", "d1")).password
    async with await device(kind, transport, server, center, token=foreign) as client:
        with pytest.raises(Refused):
            await client.ready()
