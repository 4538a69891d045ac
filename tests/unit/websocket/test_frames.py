"""Frames in and out: what they carry, what they may not be, and what they may cost."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longline.websocket.frames import (
    BARREN,
    BINARY,
    CLOSE,
    CONTINUATION,
    NO_STATUS,
    PING,
    PONG,
    TEXT,
    FrameDecoder,
    binary_frame,
    close_payload,
    control_frame,
    frame_header,
    masked,
    masked_frame,
)

KEY = b"\x01\x80\xff\x7e"
LARGEST = 1 << 20


def raw_frame(
    first: int, payload: bytes = b"", *, length: bytes | None = None, key: bytes | None = KEY
) -> bytes:
    """A frame as it may not be: its first byte, and its length as it is to be written."""
    bit = 0 if key is None else 0x80
    if length is None:
        length = frame_header(BINARY, len(payload), False)[1:]
    head = bytes([first, length[0] | bit]) + length[1:]
    return head + payload if key is None else head + key + masked(payload, key)


def of_client(largest: int = LARGEST) -> FrameDecoder:
    return FrameDecoder(True, largest)


# --- what frames carry ------------------------------------------------------------------------------------

SIZES = (0, 1, 3, 4, 5, 124, 125, 126, 127, 300, 65_535, 65_536, 70_001)


@pytest.mark.parametrize("size", SIZES)
def test_a_frame_of_either_side_carries_its_data(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    data = data[:size]
    assert of_client().feed(masked_frame(BINARY, data, KEY)) == data
    assert FrameDecoder(False, LARGEST).feed(binary_frame(data)) == data


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
@pytest.mark.parametrize("size", [2, 3, 6, 125])
def test_the_first_frame_of_a_server_may_be_one_of_control(opcode: int, size: int) -> None:
    """Whatever it carries, and whatever comes with it."""
    payload = b"\x03\xe8" + b"x" * (size - 2)
    for behind in (b"", binary_frame(b"data")):
        decoder = FrameDecoder(False, LARGEST)
        carried = decoder.feed(control_frame(opcode, payload) + behind)
        assert not decoder.failed
        assert decoder.ping == (payload if opcode == PING else None)
        assert decoder.closed == (1000 if opcode == CLOSE else 0)
        assert carried == (b"data" if behind and opcode != CLOSE else b"")


STREAM = (
    masked_frame(BINARY, b"one", KEY)
    + raw_frame(BINARY, b"two, ")
    + masked_frame(PING, b"are you there?", KEY)
    + raw_frame(CONTINUATION, b"in ")
    + raw_frame(CONTINUATION)
    + raw_frame(0x80 | CONTINUATION, b"pieces")
    + masked_frame(PONG, b"", KEY)
    + masked_frame(BINARY, b"x" * 300, b"\0\0\0\0")
    + masked_frame(BINARY, b"y" * 66_000, KEY)
)
CARRIED = b"onetwo, in pieces" + b"x" * 300 + b"y" * 66_000


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 1000, len(STREAM)])
def test_slicing_never_changes_what_arrives(step: int) -> None:
    """However the network cuts the bytes, the same data comes out."""
    frames = of_client()
    pieces = [frames.feed(STREAM[at : at + step]) for at in range(0, len(STREAM), step)]
    assert b"".join(pieces) == CARRIED
    assert frames.failure is None
    assert frames.held == 0


@given(
    st.lists(
        st.tuples(st.binary(max_size=200), st.booleans(), st.binary(min_size=4, max_size=4)), max_size=12
    ),
    st.data(),
)
def test_any_frames_cut_anywhere_carry_the_same(
    parts: list[tuple[bytes, bool, bytes]], data: st.DataObject
) -> None:
    stream = b""
    begun = False
    for payload, final, key in parts:
        opcode = CONTINUATION if begun else BINARY
        stream += raw_frame((0x80 if final else 0) | opcode, payload, key=key)
        begun = not final
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    frames = of_client()
    edges = [0, *cuts, len(stream)]
    out = b"".join(frames.feed(stream[a:b]) for a, b in itertools.pairwise(edges))
    assert out == b"".join(payload for payload, _, _ in parts)
    assert frames.failure is None


def test_a_long_frame_is_handed_on_as_it_comes_and_none_of_it_is_held() -> None:
    frames = of_client()
    frame = masked_frame(BINARY, bytes(100_000), KEY)
    assert frames.feed(frame[:50_000]) == bytes(50_000 - 14)
    assert frames.held == 0
    assert frames.feed(frame[50_000:]) == bytes(50_014)
    assert frames.held == 0


def test_an_idle_connection_holds_nothing() -> None:
    frames = of_client()
    frames.feed(masked_frame(BINARY, b"abc", KEY)[:5])
    assert frames.held == 5
    frames.feed(masked_frame(BINARY, b"abc", KEY)[5:])
    assert frames.held == 0


# --- control frames ---------------------------------------------------------------------------------------


def test_the_latest_ping_is_to_be_answered() -> None:
    """Section 5.5.3: one Pong for many Pings that came together."""
    frames = of_client()
    assert frames.feed(masked_frame(PING, b"a", KEY) + masked_frame(PING, b"b" * 125, KEY)) == b""
    assert frames.ping == b"b" * 125
    frames.feed(b"")
    assert frames.ping is None


@pytest.mark.parametrize(
    ("payload", "code"), [(b"", NO_STATUS), (b"\x03\xe8", 1000), (b"\x0f\xa0gone\xc3\xa4", 4000)]
)
def test_a_close_tells_its_code_and_nothing_behind_it_is_read(payload: bytes, code: int) -> None:
    frames = of_client()
    data = frames.feed(
        masked_frame(BINARY, b"last", KEY) + masked_frame(CLOSE, payload, KEY) + b"\xff\xff\xff"
    )
    assert data == b"last"
    assert frames.closed == code
    assert frames.failure is None
    assert frames.held == 0
    assert frames.feed(masked_frame(BINARY, b"more", KEY)) == b""


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_a_control_frame_cut_into_bytes_is_read_whole(opcode: int) -> None:
    frames = of_client()
    payload = b"\x03\xe8" + b"r" * 123
    pings = []
    for byte in masked_frame(opcode, payload, KEY):
        frames.feed(bytes([byte]))
        pings.append(frames.ping)
    assert frames.failure is None
    assert pings[-1] == (payload if opcode == PING else None)
    assert frames.closed == (1000 if opcode == CLOSE else 0)


# --- what frames may not be -------------------------------------------------------------------------------

BAD = {
    "unmasked": (raw_frame(0x80 | BINARY, b"a", key=None), 1002),
    "unmasked and empty": (raw_frame(0x80 | BINARY, key=None), 1002),
    "text": (masked_frame(TEXT, b"a", KEY), 1003),
    "text that goes on": (raw_frame(TEXT, b"a"), 1003),
    "first reserved bit": (raw_frame(0xC0 | BINARY, b"a"), 1002),
    "second reserved bit": (raw_frame(0xA0 | BINARY, b"a"), 1002),
    "third reserved bit": (raw_frame(0x90 | BINARY, b"a"), 1002),
    **{
        f"opcode {opcode}": (raw_frame(0x80 | opcode), 1002) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    },
    "going on with nothing": (raw_frame(0x80 | CONTINUATION, b"a"), 1002),
    "a message in a message": (raw_frame(BINARY, b"") + raw_frame(0x80 | BINARY, b"a"), 1002),
    "text in a message": (raw_frame(BINARY, b"") + raw_frame(0x80 | TEXT, b"a"), 1002),
    "a fragment of a Ping": (raw_frame(PING, b"a"), 1002),
    "a Ping of 126 bytes": (raw_frame(0x80 | PING, b"a" * 126), 1002),
    "a Close of 126 bytes": (raw_frame(0x80 | CLOSE, b"\x03\xe8" + b"a" * 124), 1002),
    "a Pong with 8 bytes of length": (raw_frame(0x80 | PONG, b"", length=b"\x7f" + bytes(8)), 1002),
    "2 bytes of length for 125": (raw_frame(0x80 | BINARY, b"a" * 125, length=b"\x7e\x00\x7d"), 1002),
    "2 bytes of length for none": (raw_frame(0x80 | BINARY, b"", length=b"\x7e\x00\x00"), 1002),
    "8 bytes of length for 65535": (
        raw_frame(0x80 | BINARY, b"a", length=b"\x7f" + (65_535).to_bytes(8)),
        1002,
    ),
    "a length of 2 to the 63rd": (raw_frame(0x80 | BINARY, b"a", length=b"\x7f\x80" + bytes(7)), 1002),
    "all ones for a length": (raw_frame(0x80 | BINARY, b"a", length=b"\x7f" + b"\xff" * 8), 1002),
    "a length of 2 to the 62nd": (raw_frame(0x80 | BINARY, b"a", length=b"\x7f\x40" + bytes(7)), 1009),
    "one byte too many": (raw_frame(0x80 | BINARY, b"", length=b"\x7f" + (LARGEST + 1).to_bytes(8)), 1009),
    "a fragment of that size": (raw_frame(BINARY, b"", length=b"\x7f" + (LARGEST + 1).to_bytes(8)), 1009),
    "half a code": (masked_frame(CLOSE, b"\x03", KEY), 1002),
    "bad UTF-8": (masked_frame(CLOSE, b"\x03\xe8\xff", KEY), 1007),
    "half a character": (masked_frame(CLOSE, b"\x03\xe8\xc3", KEY), 1007),
    "a surrogate": (masked_frame(CLOSE, b"\x03\xe8\xed\xa0\x80", KEY), 1007),
    **{
        f"the code {code}": (masked_frame(CLOSE, code.to_bytes(2), KEY), 1002)
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535)
    },
}


@pytest.mark.parametrize("step", [1, 5, 1 << 20])
@pytest.mark.parametrize("name", BAD)
def test_what_the_standard_forbids_ends_the_reading_with_its_code(name: str, step: int) -> None:
    raw, code = BAD[name]
    stream = masked_frame(BINARY, b"before", KEY) + raw + masked_frame(BINARY, b"after", KEY)
    frames = of_client()
    out = b""
    for at in range(0, len(stream), step):
        out += frames.feed(stream[at : at + step])
        assert frames.held <= 131
    assert out == b"before"
    assert frames.failure is not None
    assert frames.failure.close == code
    assert not frames.closed
    assert frames.held == 0


def test_a_server_that_masks_is_refused() -> None:
    frames = FrameDecoder(False, LARGEST)
    assert frames.feed(masked_frame(BINARY, b"a", KEY)) == b""
    assert frames.failure is not None
    assert frames.failure.close == 1002


def test_a_frame_of_exactly_the_limit_is_read() -> None:
    frames = of_client(1000)
    assert frames.feed(masked_frame(BINARY, bytes(1000), KEY)) == bytes(1000)
    frames.feed(masked_frame(BINARY, bytes(1001), KEY))
    assert frames.failure is not None
    assert frames.failure.close == 1009


@given(st.binary(max_size=400), st.integers(1, 50))
def test_no_bytes_raise_or_make_it_hold_more_than_a_control_frame(data: bytes, step: int) -> None:
    frames = of_client()
    for at in range(0, len(data), step):
        frames.feed(data[at : at + step])
        assert frames.held <= 131


# --- what they may cost -----------------------------------------------------------------------------------

WASTE = {
    "empty fragments": raw_frame(BINARY) + raw_frame(CONTINUATION) * (BARREN + 10),
    "empty messages": raw_frame(0x80 | BINARY) * (BARREN + 10),
    "Pings": raw_frame(0x80 | PING) * (BARREN + 10),
    "Pongs": raw_frame(0x80 | PONG, b"x" * 125) * (BARREN + 10),
}


@pytest.mark.parametrize("name", WASTE)
def test_who_sends_frames_that_carry_nothing_is_cut_off(name: str) -> None:
    frames = of_client()
    assert frames.feed(WASTE[name]) == b""
    assert frames.failure is not None
    assert frames.failure.close == 1008


def test_a_ping_now_and_then_is_no_waste() -> None:
    frames = of_client()
    for _ in range(20 * BARREN):
        frames.feed(masked_frame(PING, b"", KEY))
    assert frames.failure is None


def test_one_call_reads_so_many_frames_and_says_that_there_are_more() -> None:
    frames = of_client()
    stream = b"".join(masked_frame(BINARY, bytes([number]), KEY) for number in range(10))
    assert frames.feed(stream, 4) == bytes([0, 1, 2, 3])
    assert frames.more
    assert frames.held == 6 * 7
    assert frames.feed(b"", 4) == bytes([4, 5, 6, 7])
    assert frames.feed(masked_frame(BINARY, b"!", KEY), 4) == bytes([8, 9]) + b"!"
    assert not frames.more
    assert frames.held == 0


def test_a_frame_at_hand_is_no_further_frame() -> None:
    frames = of_client()
    frame = masked_frame(BINARY, bytes(1000), KEY)
    frames.feed(frame[:500], 1)
    assert not frames.more
    assert frames.feed(frame[500:] + frame, 1) == bytes(508 + 1000)
    assert not frames.more


def test_what_is_held_can_be_dropped() -> None:
    frames = of_client()
    frames.feed(b"\x82")
    frames.forget()
    assert frames.held == 0


# --- writing ----------------------------------------------------------------------------------------------


def test_a_close_without_a_code_is_empty() -> None:
    assert control_frame(CLOSE, close_payload(NO_STATUS)) == b"\x88\x00"
    assert control_frame(CLOSE, close_payload(1001)) == b"\x88\x02\x03\xe9"


@given(st.binary(max_size=300), st.binary(min_size=4, max_size=4))
def test_masking_twice_is_nothing(data: bytes, key: bytes) -> None:
    once = masked(data, key)
    assert masked(once, key) == data
    assert once == bytes(byte ^ key[at & 3] for at, byte in enumerate(data))
