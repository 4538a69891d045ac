"""Frames: what they carry out of the bytes of one connection, and bytes around what is to be carried.

Reading never raises on a peer's bytes. The first thing that the standard forbids becomes `failure`, with the
code to close with; what came before it is still delivered, and nothing after it is read.

Memory: nothing is held between frames. Of a frame that is not all there its header is held, or the whole of a
control frame, which is at most 131 bytes; the rest is handed on as it comes.

Time: linear in the bytes, however they are cut, but a frame costs some even when it carries nothing. So one
call reads at most `most` frames, of which `BARREN` may carry nothing; who sends more of these wants to waste
our time.
"""

from typing import Final, final

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
UNSUPPORTED_DATA: Final = 1003
NO_STATUS: Final = 1005  # never on the wire: a Close without a code
INVALID_DATA: Final = 1007
POLICY_VIOLATION: Final = 1008
TOO_BIG: Final = 1009

BARREN: Final = 256  # frames in one call that carry no data
LONGEST_CONTROL: Final = 125  # bytes, section 5.5


@final
class Failure:
    """Why a peer's bytes are not read any further. `close` is the code to close with, section 7.4.

    `code` is a name for counters and logs; `message` is a sentence of ours and never repeats what the peer
    sent.
    """

    __slots__ = ("close", "code", "message")

    def __init__(self, close: int, code: str, message: str) -> None:
        self.close = close
        self.code = code
        self.message = message

    def __repr__(self) -> str:
        return f"Failure({self.close} {self.code}: {self.message})"


class BadFrame(Exception):
    """How a failure leaves the reading of a frame; it never leaves this file."""

    def __init__(self, close: int, code: str, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(close, code, message)


def violation(message: str) -> BadFrame:
    """Something that section 5 or 7 forbids."""
    return BadFrame(PROTOCOL_ERROR, "websocket_protocol_error", message)


@final
class FrameDecoder:
    """The frames of one peer, of a client (`masked`) or a server. `largest` is what one may carry, in bytes.

    After each call of `feed`: `ping` is what the latest Ping said, to be answered (one answer is enough for
    many, section 5.5.3); `closed` is the code of the Close that came, 0 as long as none did; `more` says that
    frames were left for the next call, which may be without further bytes; `count` is how many were read.
    """

    __slots__ = (
        "_fragments",
        "_held",
        "_key",
        "_left",
        "_masked",
        "closed",
        "count",
        "failure",
        "largest",
        "more",
        "ping",
    )

    def __init__(self, masked: bool, largest: int) -> None:
        self.largest = largest
        self.failure: Failure | None = None
        self.closed = 0
        self.count = 0
        self.more = False
        self.ping: bytes | None = None
        self._masked = masked
        self._fragments = False  # a message has begun that has not ended
        self._left = 0  # bytes of the frame at hand that are still to come
        self._key: bytes | None = None  # of the frame at hand, turned to where its payload goes on
        self._held: bytes | None = None

    @property
    def failed(self) -> bool:
        """Whether there is a failure: for who looks after `feed`, which a narrowed type does not see."""
        return self.failure is not None

    @property
    def held(self) -> int:
        """How many bytes wait for the rest of their frame, or for the next call."""
        return 0 if self._held is None else len(self._held)

    def feed(self, data: bytes, most: int = 1 << 30) -> bytes:
        """Takes the next bytes; returns the data that they carry."""
        self.ping = None
        self.more = False
        self.count = 0
        if self.closed or self.failure is not None:
            return b""  # section 5.5.1: nothing comes behind a Close, and behind a failure nothing is read
        held = self._held
        if held is not None:
            self._held = None
            data = held + data
        chunks: list[bytes] = []
        try:
            pos = self._read(data, chunks, most)
        except BadFrame as refusal:
            self.failure = refusal.failure
            self._key = None
        else:
            if pos < len(data) and not self.closed:
                self._held = data[pos:]
        if len(chunks) == 1:
            return chunks[0]
        return b"".join(chunks)

    def forget(self) -> None:
        """Drops what is held: nobody will ask for it."""
        self._held = None
        self._key = None
        self.more = False

    def _read(self, data: bytes, chunks: list[bytes], most: int) -> int:
        """Reads into `chunks`; returns where the first unread byte is."""
        size = len(data)
        pos = 0
        barren = 0
        while pos < size:
            left = self._left
            if left:
                end = min(pos + left, size)
                self._left = left - (end - pos)
                chunks.append(self._unmasked(data[pos:end]))
                pos = end
                continue
            if most <= 0:
                self.more = True
                break
            most -= 1
            self.count += 1
            body, length = self._read_header(data, pos, size)
            if body == 0:
                break
            first = data[pos]
            if first & 0x08:
                if body + length > size:
                    break
                payload = data[body : body + length]
                if self._masked:
                    payload = masked(payload, data[body - 4 : body])
                self._control(first & 0x0F, payload)
                pos = body + length
                if self.closed:
                    break
                barren += 1
            else:
                if self._masked:
                    self._key = data[body - 4 : body]
                self._left = length
                self._fragments = first < 0x80
                pos = body
                if not length:
                    barren += 1
            if barren > BARREN:
                raise BadFrame(
                    POLICY_VIOLATION, "websocket_empty_frames", "too many frames that carry nothing"
                )
        return pos

    def _read_header(self, data: bytes, pos: int, size: int) -> tuple[int, int]:
        """Where the payload of the frame at `pos` begins, and its length; (0, 0) when a part is missing."""
        first = data[pos]
        self._check_first_byte(first)
        body = pos + 2
        if body > size:
            return 0, 0
        length = data[pos + 1]
        if (length >= 0x80) != self._masked:
            # Section 5.1: a client masks each frame, a server none.
            raise violation("a frame is not masked" if self._masked else "a frame is masked")
        length &= 0x7F
        if length > LONGEST_CONTROL:
            if first & 0x08:
                raise violation("a control frame is longer than 125 bytes")  # section 5.5
            body += 2 if length == 126 else 8
            if length == 127 and size > pos + 2 and data[pos + 2] >= 0x80:
                raise violation("the length of a frame has its highest bit set")
            if body > size:
                return 0, 0
            length = self._long_length(data[pos + 2 : body])
        if self._masked:
            body += 4
            if body > size:
                return 0, 0
        return body, length

    def _check_first_byte(self, first: int) -> None:
        """Section 5.2. It takes one byte to know, so a stranger costs no more."""
        if first & 0x70:
            raise violation("a reserved bit is set, and no extension was agreed on")
        opcode = first & 0x0F
        if opcode & 0x08:
            if opcode > PONG:
                raise violation("the opcode of a control frame is reserved")
            if first < 0x80:
                raise violation("a control frame is fragmented")  # section 5.5
        elif opcode == CONTINUATION:
            if not self._fragments:
                raise violation("a message goes on that has not begun")  # section 5.4
        elif opcode > BINARY:
            raise violation("the opcode of a data frame is reserved")
        elif self._fragments:
            raise violation("a message begins within another")
        elif opcode == TEXT:
            # [MQTT-6.0.0-1]
            raise BadFrame(UNSUPPORTED_DATA, "websocket_text", "MQTT comes in binary frames, not in text")

    def _long_length(self, raw: bytes) -> int:
        """A length of 2 or 8 bytes, section 5.2."""
        length = int.from_bytes(raw, "big")
        if length <= (LONGEST_CONTROL if len(raw) == 2 else 0xFFFF):
            raise violation("the length of a frame is written longer than it need be")
        if length > self.largest:
            raise BadFrame(TOO_BIG, "websocket_too_big", "a frame is larger than allowed")
        return length

    def _unmasked(self, payload: bytes) -> bytes:
        key = self._key
        if key is None:
            return payload
        if not self._left:
            self._key = None
        else:
            turn = len(payload) & 3
            if turn:
                self._key = key[turn:] + key[:turn]
        return masked(payload, key)

    def _control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self.ping = payload
        elif opcode == CLOSE:
            self.closed = read_close(payload)


def read_close(payload: bytes) -> int:
    """The code that a Close gives, sections 5.5.1 and 7.4."""
    if not payload:
        return NO_STATUS
    if len(payload) == 1:
        raise violation("the code of a Close has one byte")
    try:
        payload[2:].decode("utf-8")
    except UnicodeDecodeError:
        raise BadFrame(
            INVALID_DATA, "websocket_invalid_data", "the reason of a Close is not well-formed UTF-8"
        ) from None
    code = payload[0] << 8 | payload[1]
    if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
        raise violation("the code of a Close is none that may be sent")
    return code


# --- writing ----------------------------------------------------------------------------------------------


def binary_frame(data: bytes) -> bytes:
    """A server's frame around a piece of the stream."""
    return frame_header(BINARY, len(data), False) + data


def control_frame(opcode: int, payload: bytes) -> bytes:
    """A server's Ping, Pong or Close; `payload` has at most 125 bytes."""
    return frame_header(opcode, len(payload), False) + payload


def masked_frame(opcode: int, payload: bytes, key: bytes) -> bytes:
    """A client's frame. `key` has 4 bytes that nobody can foresee, section 5.3."""
    return frame_header(opcode, len(payload), True) + key + masked(payload, key)


def close_payload(code: int) -> bytes:
    """What a Close with this code carries; NO_STATUS stands for nothing."""
    return b"" if code == NO_STATUS else code.to_bytes(2, "big")


def frame_header(opcode: int, length: int, mask: bool) -> bytes:
    """Of a whole message in one frame, without the key."""
    bit = 0x80 if mask else 0
    if length <= LONGEST_CONTROL:
        return ((0x80 | opcode) << 8 | bit | length).to_bytes(2, "big")
    if length < 0x10000:
        return ((0x80 | opcode) << 24 | (bit | 126) << 16 | length).to_bytes(4, "big")
    return ((0x80 | opcode) << 8 | bit | 127).to_bytes(2, "big") + length.to_bytes(8, "big")


def masked(data: bytes, key: bytes) -> bytes:
    """Each byte with one of the key's in turn, which is its own undoing, section 5.3."""
    size = len(data)
    pattern = key * ((size >> 2) + 1)
    if len(pattern) != size:
        pattern = pattern[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(pattern, "little")).to_bytes(size, "little")
