"""Commands as bytes: how they travel between processes, which need not be of the same release.

A command is a pair of its kind and its fields by name (MessagePack), a batch is an array of commands. A field
that the reader does not know is passed over; one that the writer did not know has its default.
"""

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from longline.model.commands import (
    AppChanged,
    Broadcast,
    Cancelled,
    Close,
    Command,
    Desired,
    Filled,
    Forward,
    Looked,
    Resync,
    Routes,
    SessionsKept,
    Unicast,
    Vouched,
)

MAX_BATCH: Final = 0xFFFF  # commands

# A number stands for one kind for ever: queues outlive releases.
_KINDS: Final[dict[type[Command], int]] = {
    Unicast: 1,
    Broadcast: 2,
    Close: 3,
    AppChanged: 4,
    Forward: 5,
    Routes: 6,
    Cancelled: 7,
    Resync: 8,
    Looked: 9,
    Filled: 10,
    SessionsKept: 11,
    Desired: 12,
    Vouched: 17,
}
_READERS: Final[dict[int, Callable[[bytes | msgspec.Raw], Command]]] = {
    kind: msgspec.msgpack.Decoder(command).decode for command, kind in _KINDS.items()
}
_encode: Final = msgspec.msgpack.Encoder().encode
_split: Final = msgspec.msgpack.Decoder(list[tuple[int, msgspec.Raw]]).decode


def pack(command: Command) -> bytes:
    """A command as an item of a batch."""
    return _encode((_KINDS[type(command)], command))


def join(packed: Sequence[bytes]) -> bytes:
    """A batch of at most `MAX_BATCH` packed commands."""
    return b"\xdc%b%b" % (len(packed).to_bytes(2), b"".join(packed))


def unpack(batch: bytes) -> list[Command]:
    """The commands of a batch. One that cannot be read was lost: a `Resync` stands where it was."""
    try:
        items = _split(batch)
    except msgspec.DecodeError:
        return [Resync()]
    return [_read(kind, fields) for kind, fields in items]


def _read(kind: int, fields: msgspec.Raw) -> Command:
    reader = _READERS.get(kind)
    if reader is None:
        return Resync()
    try:
        return reader(fields)
    except msgspec.DecodeError:  # what it has instead of a field may be known to a later release
        return Resync()
