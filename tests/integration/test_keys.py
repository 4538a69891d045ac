"""Secrets that are replaced, and the connections that were made with them."""

from contextlib import AsyncExitStack

from longline.mqtt.packets import MQTT_3_1_1, MQTT_5_0, Disconnect, Pingreq, Pingresp
from tests.integration.live_node import RawClient
from tests.integration.shapes import Server
from tests.integration.test_bad_input import token

BAD_TOKEN = 0x86


async def test_a_new_device_secret_ends_the_connections_made_with_the_old_one_where_that_is_wanted(
    server: Server,
) -> None:
    """In every process that devices are connected to."""
    async with server.center() as center, AsyncExitStack() as stack:
        secret = (await center.create_app("news")).device_secret
        other_secret = (await center.create_app("maps")).device_secret

        async def connected(device: str, app: str, secret: str, version: int = MQTT_5_0) -> RawClient:
            client = await stack.enter_async_context(await RawClient.open(server.mqtt_port, version))
            assert (await client.enter(device, app, token(device, secret))).reason == 0
            return client

        old = [await connected(f"d{n}", "news", secret, MQTT_5_0 if n % 2 else MQTT_3_1_1) for n in range(8)]
        others = await connected("d0", "maps", other_secret)
        await center.rotate_keys("news", server_key=False, device_secret=True)
        for client in old:
            client.send(Pingreq())
            assert await client.receive() == Pingresp()  # nobody said that they were to go
        new_secret = (
            await center.rotate_keys("news", server_key=False, device_secret=True, disconnect=True)
        ).device_secret
        for client in old:
            assert await client.rest() == ([Disconnect(0x87)] if client.version == MQTT_5_0 else [])
        new = await connected("d0", "news", new_secret)
        for client in (new, others):
            client.send(Pingreq())
            assert await client.receive() == Pingresp()
        refused = await stack.enter_async_context(await RawClient.open(server.mqtt_port))
        assert (await refused.enter("d1", "news", token("d1", secret))).reason == BAD_TOKEN


async def test_what_was_changed_of_an_app_holds_for_the_next_call_wherever_it_goes(server: Server) -> None:
    """Each request goes to another center, where there are several, and each client to another room."""
    async with AsyncExitStack() as stack:
        centers = [await stack.enter_async_context(server.center()) for _ in range(2)]
        made = await centers[0].create_app("news")
        for round in range(5):
            for center in centers:  # they know it as it is now
                await center.app("news")
            changing, asked = centers[round % 2], centers[1 - round % 2]
            await changing.update_app("news", name=f"round {round}")
            assert (await asked.app("news")).name == f"round {round}"
            secret = (await changing.rotate_keys("news", server_key=False, device_secret=True)).device_secret
            assert secret != made.device_secret
            own = [token(f"d{n}", secret) for n in range(4)]
            theirs = (await asked.token("news", "d4")).password
            for n, password in enumerate([*own, theirs]):
                client = await stack.enter_async_context(await RawClient.open(server.mqtt_port))
                assert (await client.enter(f"d{n}", "news", password)).reason == 0, n
            await changing.delete_app("news")
            made = await changing.create_app("news")
            theirs = (await asked.token("news", "d5")).password
            client = await stack.enter_async_context(await RawClient.open(server.mqtt_port))
            assert (await client.enter("d5", "news", theirs)).reason == 0
