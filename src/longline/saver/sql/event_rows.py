"""An event as its row has it: what is no column of the row, by place rather than by name.

Connections write most of the events, two for each device that comes for the first time. The names of fields
were a third of what a page of the database holds of them.
"""

import msgspec

from longline.model.events import Event


class _Row(msgspec.Struct, array_like=True, frozen=True, gc=False):
    kind: str
    at: int
    data: bytes
    source: str
    sequence: int
    state: str
    missed: bool
    payload: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Row).decode


def packed(event: Event) -> bytes:
    """The column `body`."""
    return _encode(
        _Row(
            event.kind,
            event.at,
            event.data,
            event.source,
            event.sequence,
            event.state,
            event.missed,
            event.payload,
        )
    )


def unpacked(app: int, device: str, body: bytes) -> Event:
    """The event of a row."""
    row = _decode(body)
    return Event(
        app,
        row.kind,
        device,
        row.at,
        row.data,
        row.source,
        row.sequence,
        row.state,
        row.missed,
        row.payload,
    )
