"""What goes wrong between a device and its server, drawn from a number: the same number is the same schedule.

While messages go both ways, the network between them cuts, half-closes, delays, chunks, stalls, refuses and
lies: it says what the server never said, or answers in its place with what is no MQTT. Meanwhile the device
is kicked, its token is worth nothing any more, and it is closed and made again, with and without a good-bye.
"""

import random
from enum import Enum, auto
from typing import Final, Literal, Self

import msgspec

Way = Literal["tcp", "ws", "tls", "wss"]

STEPS: Final = 12
LIES: Final = (
    b"\x00",
    b"\xff" * 40,
    b"\xd0\x00" * 3,  # PINGRESP that nobody asked for
    b"\x40\x02\x77\x77",  # PUBACK of what was never published
    b"\x32\xff\xff\xff\xff",  # PUBLISH of a length that is none
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
)
IN_ITS_PLACE: Final = (*LIES, b"\x20\x02\x00", b"")  # a piece of CONNACK, and nothing


class Fault(Enum):
    """What goes wrong in a step."""

    CUT = auto()
    CLOSE_UPWARD = auto()
    CLOSE_DOWNWARD = auto()
    DELAY = auto()
    CHUNK = auto()
    STALL = auto()
    RESUME = auto()
    REFUSE = auto()
    LIE = auto()
    IMPOSTOR = auto()  # somebody else is where the server was
    KICK = auto()
    NEW_SECRET = auto()  # so that its token is worth nothing
    RESTART = auto()
    CRASH = auto()  # as a restart, and the server hears no good-bye


class Step(msgspec.Struct, frozen=True):
    """Messages of both ways, and then a fault."""

    pushes: tuple[Literal[0, 1, 2], ...]  # the QoS of each
    posts: int
    sends: int
    fault: Fault
    delay: float  # s
    chunk: int  # bytes; 0: whole
    lasts: float  # s that it is refused, or an impostor is there
    lie: int  # its place among them
    disconnects: bool  # whether a new secret ends the connection as well
    settles: bool  # whether the device is connected again before the next step begins


class Schedule(msgspec.Struct, frozen=True):
    """What a device is, and what becomes of it."""

    number: int
    way: Way
    protocol: Literal[4, 5]
    session_expiry: int  # s
    steps: tuple[Step, ...]

    @classmethod
    def drawn(cls, number: int) -> Self:
        draw = random.Random(number)
        return cls(
            number,
            draw.choice(("tcp", "ws", "tls", "wss")),
            draw.choice((4, 5)),
            draw.choice((0, 0, 3600)),
            tuple(_step(draw) for _ in range(STEPS)),
        )


def _step(draw: random.Random) -> Step:
    return Step(
        pushes=tuple(draw.choice((0, 1, 1, 2)) for _ in range(draw.randrange(5))),
        posts=draw.randrange(4),
        sends=draw.randrange(3),
        fault=draw.choice(tuple(Fault)),
        delay=draw.choice((0.0, 0.001, 0.01)),
        chunk=draw.choice((0, 1, 3, 50)),
        lasts=draw.uniform(0.0, 0.05),
        lie=draw.randrange(len(IN_ITS_PLACE)),
        disconnects=draw.random() < 0.5,
        settles=draw.random() < 0.7,
    )
