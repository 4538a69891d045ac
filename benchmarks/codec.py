"""How long the codec takes for one packet, in nanoseconds: `python benchmarks/codec.py`.

Best of several rounds, each over a chunk of many packets, as a busy socket delivers them. Runs against
whichever form of `longline.mqtt` is importable, and says which it is.
"""

import sys
import time
from collections.abc import Callable

from longline.mqtt import codec, link, packets
from longline.mqtt.properties import Properties

ROUNDS = 15
COUNT = 2000  # packets in a round
PAYLOAD = bytes(128)
TOPIC = "push/0192f0c1a7e87c3d"
PROPERTIES: Properties = {
    0x02: 86400,
    0x03: "application/json",
    0x26: [("message-id", TOPIC), ("sent-at", "1")],
}


def best(work: Callable[[], object], count: int = COUNT) -> float:
    """Nanoseconds for one of the `count` packets that `work` handles, in its best round."""
    fastest = float("inf")
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        work()
        fastest = min(fastest, time.perf_counter() - begin)
    return fastest / count * 1e9


def decoding(packet: packets.Packet, version: int, from_client: bool = True) -> Callable[[], object]:
    """Work that reads one chunk full of this packet."""
    chunk = codec.encode(packet, version) * COUNT
    decoder = codec.Decoder(1 << 20, version, from_client)
    return lambda: decoder.feed(chunk)


def encoding(packet: packets.Packet, version: int) -> Callable[[], object]:
    """Work that writes this packet many times."""
    encode = codec.encode
    return lambda: [encode(packet, version) for _ in range(COUNT)]


def linked(packet: packets.Packet, version: int) -> Callable[[], object]:
    """Work that reads one chunk through a server's open link."""
    chunk = codec.encode(packet, version) * COUNT
    server = link.Link(link.Role.SERVER, 1 << 20)
    server.receive(codec.encode(packets.Connect(version, "bench"), version), 0.0)
    server.send(packets.Connack())
    return lambda: server.receive(chunk, 1.0)


def splicing(version: int) -> Callable[[], object]:
    """Work that addresses one message to many receivers."""
    frame = codec.PublishFrame(TOPIC, PAYLOAD, 1, False, None, version)
    return lambda: [frame.with_id(number) for number in range(1, COUNT + 1)]


def dribbled() -> Callable[[], object]:
    """Work that reads one packet of 256 KiB byte by byte."""
    raw = codec.encode(packets.Publish(TOPIC, bytes(256 * 1024)), 4)
    pieces = [raw[index : index + 1] for index in range(len(raw))]

    def work() -> int:
        decoder = codec.Decoder(1 << 20, 4)
        return sum(len(decoder.feed(piece)) for piece in pieces)

    return work


def main() -> None:
    """Measure and print a table."""
    compiled = not (codec.__file__ or "").endswith(".py")
    print(f"longline.mqtt is {'compiled' if compiled else 'interpreted'}")
    at_most_once = packets.Publish(TOPIC, PAYLOAD)
    at_least_once = packets.Publish(TOPIC, PAYLOAD, 1, packet_id=7)
    described = packets.Publish(TOPIC, PAYLOAD, 1, packet_id=7, properties=PROPERTIES)
    puback = packets.Puback(7)
    idle = link.Link(link.Role.SERVER, 1 << 20)
    rows: list[tuple[str, float]] = []
    for name, packet in (
        ("PUBLISH QoS 0, 128 bytes", at_most_once),
        ("PUBLISH QoS 1, 128 bytes", at_least_once),
        ("PUBLISH QoS 1, 4 properties", described),
        ("PUBACK", puback),
    ):
        for version in (4, 5):
            if version == 4 and packet is described:
                continue
            rows.append((f"decode {name}, version {version}", best(decoding(packet, version))))
            rows.append((f"encode {name}, version {version}", best(encoding(packet, version))))
    rows.append(("through a link: PUBLISH QoS 1", best(linked(at_least_once, 5))))
    rows.append(("splice a packet identifier into a frame", best(splicing(5))))
    rows.append(("256 KiB byte by byte, for each byte", best(dribbled(), 256 * 1024)))
    for text, nanoseconds in rows:
        print(f"{text:48} {nanoseconds:8.0f} ns")
    decoder = codec.Decoder(1)
    print(f"an idle link with its decoder: {sys.getsizeof(idle) + sys.getsizeof(decoder)} bytes")


if __name__ == "__main__":
    main()
