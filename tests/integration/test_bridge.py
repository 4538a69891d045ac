"""A real mosquitto as a bridge.

It asks by a level of its own (0x84) whether it is known as one; told that it is not, it is a client like any
other.
"""

import asyncio
import shutil
import subprocess
from pathlib import Path

import jwt
import pytest

from longline.mqtt.packets import Publish, Suback, Subscribe, Subscription
from tests.integration.live_node import LiveNode
from tests.servers.ports import free_ports
from tests.waiting import until

CONFIG = """
listener {port} 127.0.0.1
allow_anonymous true
connection longline
address 127.0.0.1:{mqtt_port}
bridge_protocol_version mqttv311
remote_clientid bridge
remote_username news
remote_password {token}
notifications false
restart_timeout 1
topic sensors/# out 1
"""


@pytest.mark.skipif(shutil.which("mosquitto") is None, reason="mosquitto is not installed")
async def test_a_mosquitto_bridge_as_it_comes_connects_and_what_it_carries_arrives(
    node: LiveNode, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    async with node.center() as center:
        secret = (await center.create_app("news", pubsub=True)).device_secret

        def token(device: str) -> str:
            return jwt.encode({"sub": device}, secret, algorithm="HS256")

        async def connected() -> bool:
            found = await center.status("news", ["bridge"])
            return found[0].online

        config = tmp_path / "mosquitto.conf"
        config.write_text(CONFIG.format(port=port, mqtt_port=node.mqtt_port, token=token("bridge")))
        async with await node.connect() as listener:
            await listener.enter("listener", "news", token("listener"))
            listener.send(Subscribe(1, [Subscription("sensors/#", 1)]))
            assert await listener.receive() == Suback(1, [1])
            bridge = await asyncio.create_subprocess_exec(
                "mosquitto", "-c", str(config), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                await until(connected)
                command = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(port), "-q", "1"]
                sending = await asyncio.create_subprocess_exec(*command, "-t", "sensors/1", "-m", "21 C")
                assert await sending.wait() == 0
                got = await listener.receive()
                assert isinstance(got, Publish)
                assert (got.topic, got.payload) == ("sensors/1", b"21 C")
            finally:
                bridge.terminate()
                await bridge.wait()
        assert (await node.refused())["unsupported_protocol_version"] >= 1
