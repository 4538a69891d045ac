"""Random and mutated bytes against the codec and the link, for as long as asked.

    python tests/fuzz/codec_fuzz.py --seconds 300 [--seed N]

Whatever a peer sends, the decoder and the link must not raise, must come to the same verdict however the
bytes are cut, must read nothing that the writer would refuse, and must not keep memory. A failure prints
the seed and the bytes in hex. Inputs that reach a new verdict during the warm-up join the corpus, so that
mutations of them go deeper.
"""

import argparse
import gc
import random
import sys
import time
from dataclasses import dataclass, field

from longline.mqtt.codec import Decoder, encode
from longline.mqtt.link import NO_LIMIT, Link, Phase, Role
from longline.mqtt.packets import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from longline.mqtt.properties import Properties

LIMIT = 64 * 1024
MAX_INPUT = 4096
MAX_CORPUS = 2000
WARM_UP = 2000  # inputs before memory is first measured: caches and the corpus fill meanwhile

# A block is an object or a part of one; a leak of one for each thousand inputs would be seen in seconds.
MAX_MORE_BLOCKS = 3000

USER: Properties = {0x26: [("name", "value"), ("name", "")]}
METHOD: Properties = {0x15: "SCRAM", 0x16: b"data"}
SEEDS: list[Packet] = [
    Connect(4, "device", True, 60, "app", b"token", Will("up/gone", b"bye", 1, True)),
    Connect(
        5, "device", False, 60, "app", b"token", Will("up/gone", b"", 2, False, {0x18: 5, **USER}), {0x21: 9}
    ),
    Connect(5, "device", properties={**METHOD, **USER, 0x11: 1, 0x27: 9999}),
    Connack(True),
    Connack(False, 0, {0x12: "name", 0x13: 30, 0x24: 1, **USER}),
    Publish("up/a", b"payload"),
    Publish("push/1", b"x" * 200, 1, True, True, 7),
    Publish("a/b/c", b"", 2, packet_id=1, properties={1: 1, 2: 9, 3: "t", 8: "r", 9: b"c", **USER}),
    Publish("", b"", properties={0x23: 3, 0x0B: [1, 200]}),
    Puback(1),
    Pubrec(2, 0x97, {0x1F: "why"}),
    Pubrel(3, 0x92),
    Pubcomp(4, 0, USER),
    Subscribe(5, [Subscription("a/+/#", 1), Subscription("$share/g/a", 2)], {0x0B: [5]}),
    Suback(5, [0, 1, 0x80], USER),
    Unsubscribe(6, ["a/#", "b"]),
    Unsuback(6, [0, 0x11]),
    Pingreq(),
    Pingresp(),
    Disconnect(0, {0x11: 5}),
    Disconnect(0x9C, {0x1C: "elsewhere:1883"}),
    Auth(0x18, METHOD),
]
INTERESTING = b"\x00\x01\x02\x7f\x80\xff\xc0\xc2\xed\xa0\x23\x2b\x24\x2f\x26\x0b"


@dataclass
class Report:
    """What a run did, and what went wrong in it."""

    inputs: int = 0
    packets: int = 0
    faults: int = 0
    verdicts: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    blocks_before: int = 0
    blocks_after: int = 0
    kib_before: int = 0
    kib_after: int = 0

    @property
    def grown(self) -> bool:
        """Whether the process holds more objects than at its warm-up."""
        return self.blocks_before > 0 and self.blocks_after - self.blocks_before > MAX_MORE_BLOCKS


def corpus() -> list[bytes]:
    """Every seed in the versions that have it, and one conversation of all."""
    alone = [encode(packet, packet.version if isinstance(packet, Connect) else 5) for packet in SEEDS]
    old = [encode(packet, 4) for packet in SEEDS if not isinstance(packet, Connect | Auth) and plain(packet)]
    return [*alone, *old, b"".join(alone[:1] + old), b"".join(alone[1:])]


def plain(packet: Packet) -> bool:
    """Whether 3.1.1 can say it: a message needs a topic there."""
    return not isinstance(packet, Publish) or bool(packet.topic)


def mutate(dice: random.Random, pool: list[bytes]) -> bytes:
    """Some input that nobody sent before, most of them near to something legal."""
    if dice.random() < 0.05:
        return dice.randbytes(dice.randrange(64))
    raw = bytearray(dice.choice(pool))
    for _ in range(dice.choice((1, 1, 1, 2, 3, 8))):
        at = dice.randrange(len(raw) + 1)
        match dice.randrange(7):
            case 0 if at < len(raw):
                raw[at] ^= 1 << dice.randrange(8)
            case 1 if at < len(raw):
                raw[at] = dice.choice(INTERESTING)
            case 2:
                raw[at:at] = dice.randbytes(dice.randrange(1, 5))
            case 3:
                del raw[at : at + dice.randrange(1, 9)]
            case 4:
                raw[at:at] = dice.choice(pool)
            case 5:
                begin = dice.randrange(len(raw) + 1)
                raw[at:at] = raw[begin : begin + dice.randrange(64)]
            case _:
                if len(raw) > 1:
                    raw[1] = dice.randrange(256)
    return bytes(raw[:MAX_INPUT])


def pieces(dice: random.Random, raw: bytes) -> list[bytes]:
    """The same bytes as a network may cut them."""
    step = dice.choice((1, 2, 3, 7, 50))
    return [raw[begin : begin + step] for begin in range(0, len(raw), step)]


def try_decoder(dice: random.Random, raw: bytes) -> tuple[list[Packet], str]:
    """Read whole and cut; returns the packets and the verdict."""
    version, from_client = dice.choice((0, 4, 5)), dice.random() < 0.5
    whole = Decoder(LIMIT, version, from_client)
    packets = whole.feed(raw)
    cut = Decoder(LIMIT, version, from_client)
    heard: list[Packet] = []
    for piece in pieces(dice, raw):
        heard += cut.feed(piece)
    assert heard == packets, "slicing changed the packets"
    assert repr(cut.fault) == repr(whole.fault), "slicing changed the fault"
    assert whole.held <= len(raw), "more is held than came"
    for packet in packets:
        if not isinstance(packet, Connect) or version == 0:
            spoken = packet.version if isinstance(packet, Connect) else whole.version
            again = Decoder(LIMIT, 0 if isinstance(packet, Connect) else spoken, from_client)
            assert again.feed(encode(packet, spoken)) == [packet], "what was read cannot be written"
    kinds = ",".join(str(packet.kind) for packet in packets[:3])
    return packets, f"{version}{from_client:d} {kinds} {whole.fault!r}"


def try_link(dice: random.Random, raw: bytes) -> str:
    """Feed a link in some phase; returns the verdict."""
    role, version = dice.choice((Role.SERVER, Role.CLIENT)), dice.choice((3, 4, 5))
    link = Link(role, LIMIT, LIMIT // 4)
    stage = dice.randrange(3)
    if role is Role.CLIENT:
        link.send(Connect(version, "device"))
        if stage:
            link.receive(encode(Connack(), version), 0.0)
    elif stage:
        link.receive(encode(Connect(version, "device"), version), 0.0)
        if stage == 2:
            link.send(Connack())
    link.take_output()
    for piece in pieces(dice, raw) if dice.random() < 0.5 else [raw]:
        link.receive(piece, 1.0)
    if role is Role.SERVER and link.phase is Phase.CONNECTING and not link.authenticating:
        link.send(Connack())
        link.resume()
    assert link.left or link.fault is None, "something is read behind a fault"
    link.close(0x8B if link.fault is None else link.fault.reason, at_most=dice.choice((1, 3, 5, NO_LIMIT)))
    last = b"".join(link.take_output())
    link.closed()
    assert link.held == 0, "a closed link holds bytes"
    return f"{role} {version} {stage} {link.fault!r} {last[:1].hex()}"


def resident_kib() -> int:
    """Memory of this process, in KiB."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4


def measure() -> tuple[int, int]:
    """Blocks that Python holds, and memory in KiB, after all garbage is gone."""
    gc.collect()
    return sys.getallocatedblocks(), resident_kib()


def run(seconds: float, seed: int) -> Report:
    """Try inputs for so many seconds; stops at the first failures."""
    dice = random.Random(seed)
    pool = corpus()
    report = Report()
    end = time.monotonic() + seconds
    while time.monotonic() < end or report.inputs <= WARM_UP:
        raw = mutate(dice, pool)
        try:
            packets, verdict = try_decoder(dice, raw)
            verdicts = {verdict, try_link(dice, raw)}
        except Exception as error:  # whatever it is, it is what we look for
            report.failures.append(f"{type(error).__name__}: {error}: {raw.hex()}")
            if len(report.failures) >= 10:
                break
            continue
        report.inputs += 1
        report.packets += len(packets)
        report.faults += "Fault" in verdict
        if not verdicts <= report.verdicts and len(pool) < MAX_CORPUS and report.inputs < WARM_UP:
            pool.append(raw)
        if report.inputs < WARM_UP:
            report.verdicts |= verdicts
        elif report.inputs == WARM_UP:
            report.blocks_before, report.kib_before = measure()
    report.blocks_after, report.kib_after = measure()
    return report


def main() -> int:
    """Run from the command line; status 1 when something failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    asked = parser.parse_args()
    report = run(asked.seconds, asked.seed)
    print(f"seed {asked.seed}: {report.inputs} inputs, {report.packets} packets, {report.faults} faults")
    print(f"blocks of memory {report.blocks_before} -> {report.blocks_after}")
    print(f"KiB {report.kib_before} -> {report.kib_after}")
    for failure in report.failures:
        print(failure)
    return 1 if report.failures or report.grown else 0


if __name__ == "__main__":
    sys.exit(main())
