"""WebSockets that break the rules, or keep to them to do harm: the node lives, and answers the others.

    LONGLINE_HOSTILE_SECONDS=3

is for how long those go on that never end. What another app saw meanwhile, and the memory, are printed.
"""

import asyncio
import os
import struct
import time
from collections import Counter
from collections.abc import Callable

import pytest

from longline.mqtt.codec import encode
from longline.mqtt.packets import MQTT_3_1_1, Publish
from longline.websocket.frames import BINARY, CLOSE, CONTINUATION, TEXT, masked_frame
from tests.adversity import light
from tests.adversity.hostile import APP, MIB, Site, close_code, until_closed

pytestmark = [
    pytest.mark.adversity,
    pytest.mark.shape("embedded"),
    pytest.mark.timeout(3600),
    pytest.mark.asyncio(loop_scope="module"),
]

SECONDS = float(os.environ.get("LONGLINE_HOSTILE_SECONDS", "3"))
OFTEN = 100  # times that each does it
KEY = b"\x01\x02\x03\x04"
Tell = Callable[[str], None]

BAD_FRAMES = {
    "a huge length": (b"\x82\xff" + struct.pack(">Q", 1 << 62) + KEY, 1009),
    "a length that is negative": (b"\x82\xff" + b"\xff" * 8 + KEY, 1002),
    "not masked": (b"\x82\x05hello", 1002),
    "text": (masked_frame(TEXT, b"hello", KEY), 1003),
    "bad UTF-8": (masked_frame(CLOSE, b"\x03\xe8\xff\xfe", KEY), 1007),
    "reserved bits": (b"\xf2\x80" + KEY, 1002),
    "a long ping": (b"\x89\xfe\x04\x00" + KEY + bytes(1024), 1002),
    "empty frames": ((b"\x02\x80" + KEY) + (b"\x00\x80" + KEY) * 10_000, 1008),
}


async def test_websockets_that_break_the_rules_are_told_and_closed(site: Site, tell: Tell) -> None:
    async def offend(kind: str) -> tuple[str, int]:
        streams = await site.upgrade()
        data, _ = BAD_FRAMES[kind]
        streams[1].write(data)
        return kind, close_code(await until_closed(streams))

    async with site.unharmed(tell, most=64 * MIB):
        told = Counter(await asyncio.gather(*map(offend, list(BAD_FRAMES) * OFTEN)))
    assert told == {(kind, code): OFTEN for kind, (_, code) in BAD_FRAMES.items()}


async def test_fragments_without_end_are_bounded_as_the_packets_in_them_are(site: Site, tell: Tell) -> None:
    """One PUBLISH after the other, a byte a frame, and no frame is ever the last."""
    packet = encode(Publish("endless", bytes(10_000)), MQTT_3_1_1)
    fragments = b"".join(b"\x00" + masked_frame(CONTINUATION, bytes([byte]), KEY)[1:] for byte in packet)
    end = time.monotonic() + SECONDS

    async def go_on(number: int) -> int:
        reader, writer = await site.upgrade()
        hello = light.connect(APP, f"endless-{number}", site.secret)
        writer.write(bytes([BINARY]) + masked_frame(BINARY, hello, KEY)[1:])
        assert await reader.readexactly(6) == b"\x82\x04\x20\x02\x00\x00"
        sent = 0
        while time.monotonic() < end:
            writer.write(fragments)
            await writer.drain()
            sent += len(fragments)
        writer.transport.abort()
        return sent

    async with site.unharmed(tell):
        sent = await asyncio.gather(*map(go_on, range(4)))
        tell(f"{sum(sent) / MIB:.0f} MiB of fragments")
