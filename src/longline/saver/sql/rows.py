"""The rows of messages to be stored, and of their deliveries, as records for the statements of `messages.py`.

Compiled: this is done for each message.
"""

from collections.abc import Sequence
from typing import Final, final

import msgspec

from longline.model.devices import Binding
from longline.model.messages import Envelope, Message
from longline.saver.sql.database import id_bytes, integer

_pack: Final = msgspec.msgpack.Encoder().encode

# A message's record: position, app, expires_at, online_only, missing, created_at, bytes of the label, id,
# label (may be empty), body.
_KIND: Final = b"%010d%015d%d%05d%015d"  # what messages that were sent together mostly have in common
_LABEL: Final = b"%03d"
_NO_LABEL: Final = b"000"
LABEL_SIZE: Final = integer(66, 3)
INSERT_MESSAGES: Final = f"""
INSERT INTO messages (position, app, expires_at, online_only, missing, created_at, id, label, body)
SELECT {integer(1, 19)}, {integer(20, 10)}, {integer(30, 15)}, {integer(45, 1)}, {integer(46, 5)},
       {integer(51, 15)}, substr(value, 69, 16), nullif(CAST(substr(value, 85, {LABEL_SIZE}) AS TEXT), ''),
       substr(value, 85 + {LABEL_SIZE})
  FROM carray(?1)"""

# A delivery's record: position, device, routed, load, collapse key (may be empty).
_NUMBER: Final = b"%019d"  # a position, and a device
_WAY: Final = b"%d%07d%b"
POSITION: Final = integer(1, 19)
DEVICE: Final = integer(20, 19)
COLLAPSE: Final = "CAST(substr(value, 47) AS TEXT)"
INSERT_DELIVERIES: Final = f"""
INSERT INTO deliveries (position, device, state, routed)
SELECT {POSITION}, {DEVICE}, 0, {integer(39, 1)} FROM carray(?1)"""
INSERT_INBOX: Final = f"""
INSERT INTO inbox (device, position, collapse, load)
SELECT {DEVICE}, {POSITION}, nullif({COLLAPSE}, ''), {integer(40, 7)} FROM carray(?1)"""


@final
class SubmissionRows:
    """The rows of a group of submissions, its latest time, and the last open broadcast of each app."""

    __slots__ = (
        "_kind",
        "_kinds",
        "_way",
        "_ways",
        "added",
        "broadcasts",
        "collapsing",
        "deliveries",
        "kept",
        "keyed",
        "messages",
        "newest",
        "now",
        "runs",
    )

    def __init__(self, now: int, newest: dict[int, int]) -> None:
        self.now = now
        self.newest = newest
        self.messages: list[bytes] = []
        self.deliveries: list[bytes] = []
        self.kept: list[bytes] = []
        self.collapsing: list[bytes] = []
        # Of the same: by app and collapse key, position and devices of each message, in their order.
        self.keyed: dict[tuple[int, str], list[tuple[int, list[int]]]] = {}
        self.added: list[tuple[list[int], int]] = []  # devices, and bytes of what each has in its inbox more
        self.broadcasts: list[tuple[int, int, Message]] = []  # position, app, message; of those that collapse
        self.runs: list[tuple[int, int, int]] = []  # at, first, last
        # The latest parts of records, and of what: most are asked for again by the next message.
        self._kinds = (-1, 0, False, 0, 0)
        self._kind = b""
        self._ways = (False, -1, b"")
        self._way = b""

    def add_message(self, position: int, app: int, envelope: Envelope, missing: int) -> None:
        """`missing`: how many names of its audience no device has."""
        message = envelope.message
        ends_at = message.expires_at
        kind = (app, ends_at, message.online_only, missing, message.created_at)
        if kind != self._kinds:
            self._kinds = kind
            self._kind = _KIND % kind
        label = b"" if envelope.label is None else envelope.label.encode()
        size = _LABEL % len(label) if label else _NO_LABEL
        parts = (_NUMBER % position, self._kind, size, id_bytes(message.id), label, _pack(message))
        self.messages.append(b"".join(parts))
        self._ends(ends_at, position)

    def add_deliveries(
        self,
        position: int,
        message: Message,
        devices: list[int],
        bindings: Sequence[Binding | None],
        first: int,
    ) -> None:
        """One for each device; `bindings`: where each is, from the `first` on."""
        collapse = b"" if message.collapse_key is None else message.collapse_key.encode()
        size = len(message.payload)
        load = 2 * size + (1 if message.priority == "high" else 0)
        at = _NUMBER % position
        rows: list[bytes] = []
        for place, device in enumerate(devices):
            way = (bindings[first + place] is not None, load, collapse)
            if way != self._ways:
                self._ways = way
                self._way = _WAY % way
            rows.append(b"".join((at, _NUMBER % device, self._way)))
        self.deliveries += rows
        if not message.online_only:
            self.kept += rows
            self.added.append((devices, size))
            if collapse:
                self.collapsing += rows
                name = (devices[0] >> 32, message.collapse_key or "")
                self.keyed.setdefault(name, []).append((position, devices))

    def _ends(self, at: int, position: int) -> None:
        """Notes when a message ends, in the run before it when they are neighbours and end together."""
        if self.runs:
            last_at, first, last = self.runs[-1]
            if last_at == at and last + 1 == position:
                self.runs[-1] = (at, first, position)
                return
        self.runs.append((at, position, position))
