"""The rows of messages to be stored, and of their deliveries, as records for the statements of `messages.py`.

Compiled: this is done for each message.
"""

from collections.abc import Mapping, Sequence
from typing import Final, final

import msgspec

from longline.model.commands import Target, Unicast
from longline.model.devices import Binding
from longline.model.messages import Envelope, Message
from longline.saver.sql.database import id_bytes, integer

_pack: Final = msgspec.msgpack.Encoder().encode

# A message's record: position, app, expires_at, online_only, missing, created_at, bytes of the label, id,
# label (may be empty), body.
MESSAGE: Final = b"%019d%010d%015d%d%05d%015d%03d%b%b%b"
LABEL_SIZE: Final = integer(66, 3)
INSERT_MESSAGES: Final = f"""
INSERT INTO messages (position, app, expires_at, online_only, missing, created_at, id, label, body)
SELECT {integer(1, 19)}, {integer(20, 10)}, {integer(30, 15)}, {integer(45, 1)}, {integer(46, 5)},
       {integer(51, 15)}, substr(value, 69, 16), nullif(CAST(substr(value, 85, {LABEL_SIZE}) AS TEXT), ''),
       substr(value, 85 + {LABEL_SIZE})
  FROM carray(?1)"""

# A delivery's record: position, device, routed, load, collapse key (may be empty).
DELIVERY: Final = b"%019d%019d%d%07d%b"
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

    def add_message(self, position: int, app: int, envelope: Envelope, missing: int) -> None:
        """`missing`: how many names of its audience no device has."""
        message = envelope.message
        label = b"" if envelope.label is None else envelope.label.encode()
        self.messages.append(
            MESSAGE
            % (
                position,
                app,
                message.expires_at,
                message.online_only,
                missing,
                message.created_at,
                len(label),
                id_bytes(message.id),
                label,
                _pack(message),
            )
        )
        self._ends(message.expires_at, position)

    def add_deliveries(
        self, position: int, message: Message, devices: list[int], bindings: Sequence[Binding | None]
    ) -> None:
        """One for each device; `bindings`: where each is."""
        collapse = b"" if message.collapse_key is None else message.collapse_key.encode()
        size = len(message.payload)
        load = 2 * size + (1 if message.priority == "high" else 0)
        rows: list[bytes] = []
        for place, device in enumerate(devices):
            rows.append(DELIVERY % (position, device, bindings[place] is not None, load, collapse))
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


def found(
    audience: Sequence[str], prefix: str, keys: Mapping[str, int | None]
) -> tuple[list[str], list[int]]:
    """The names of which there is a device, and the keys of these; `keys` has them by prefix and name."""
    names: list[str] = []
    devices: list[int] = []
    for name in audience:
        key = keys[prefix + name]
        if key is not None:
            names.append(name)
            devices.append(key)
    return names, devices


def routed(
    app: int,
    message: Message,
    position: int,
    log_before: int,
    names: list[str],
    ordinals: list[int],
    bindings: Sequence[Binding | None],
    first: int,
) -> Unicast:
    """A message to named devices, on its way to them; their bindings begin with the `first`."""
    targets: list[Target] = []
    for place, name in enumerate(names):
        # Unicasts come to the room of this process in their order: nothing of them is lost or late.
        targets.append(Target(name, ordinals[place], position, bindings[first + place], 0, log_before))
    return Unicast(app, message, tuple(targets))
