"""Where messages, inboxes and ledgers are in Redis, and how values are packed.

A device lives in one partition; all keys of partition 17 begin with `{p17}`, so that one script may touch
them. Scripts get that beginning as KEYS[1]. *place*: a device's local ordinal, a decimal number.

- `pos`: the last position; positions of inbox and log entries of all apps rise above it.
- `i:<app>:<place>` STRING: the inbox, entries one after the other, oldest first; there only while something
  waits.
- `o:<app>:<place>` STRING: the same for `online_only` messages, which nobody fetches.
- `m:<id>` STRING: a message whose body is not in the inbox, being large or for several devices.
- `l:<app>:<bucket>` HASH id → row: the ledger, where each message stands for the devices of this partition.
- `lx:<app>` ZSET of buckets, all with score 0: which there are, by their names and thus by time.
- `lw:<app>:<bucket>` HASH id → its sender's word for it, of messages that have one.
- `L:<id>` HASH place → delivery: of a message to several devices of this partition.
- `due` ZSET app → when (ms) something is to be done for its messages; 0 for all of an app that is deleted.
- `due:<app>` ZSET bucket → when something is to be done for its messages: end them, or forget them.
- `b:<app>` ZSET id → position: the log of open broadcasts.
- `bo:<app>` ZSET id → position: open broadcasts for who is online only, which nobody fetches.
- `be:<app>` ZSET id → position: broadcasts that have ended with devices that may have missed them.
- `bh:<app>` ZSET id → position: those of `b:<app>` with high priority.
- `ih:<app>:<place>` ZSET position → position: entries of the inbox with high priority.
- `il:<app>` HASH place → how much a long inbox holds, see `lua/inbox.lua`.
- `bk:<app>:<key>` SET of ids: broadcasts in the log that have this collapse key and are pending for somebody.
- `s:<id>:<label>` STRING: a set of places of a broadcast as a bitmap. `o` over or never targeted, `w`
  written, `a` acked, `e` expired, `c` collapsed, `d<reason>` dropped.
- `r:<id>` SET: the reasons of a broadcast's drops.
- `c:<app>:<key>` SET of places in whose inbox a message with this collapse key waits.
- `unr` ZSET `<app>:<place>:<position>` → stored at (ms): messages for connected devices of which no receipt
  came.
- `j:<app>:<key or id>` HASH: a submission's journal entry, see `journal.py`. `jd`, `je` ZSETs of them, by
  when they were begun, while unfinished, and by when they are forgotten.
- `q:…` what an expression is worked out with, gone with the script (`lua/audiences.lua`).
- `ok`: nothing; written to see whether the store takes it.
- `last` HASH operation → token and answer of its last call, see `once.lua`.
- `ms:…` and others of two letters that begin with `m`: sessions that are kept and their queues, see
  `sessions.py` and `queues.py`.
- `rt:…`, `rb:…`, `re:…`, `rd`, `rn`, `rm`, `ra`: retained messages, in the partitions of their topics, see
  `retained.py`.
- `qt:…`: what apps have of a rate, see `rates.py`.
- `cl:…`: calls that somebody waits for, see `calls.py`.
- `gp:…`, `gn:…`, `gh:…`, `gi:…`, `gq:…`, `gl:…`: groups, and what is said in them, see `sayings.py`.
- `sd:…`, `sp:…`: what devices should be like, see `shadows.py`.
- `hc:…`: the connections that devices had, see `visits.py`.
- `wh:…`, `whs`, `whe:…`, `whd:…`, `whr:…`, `whn:…`: webhooks and what their targets never took, see
  `webhooks.py`.
- `sch:…`, `schl:…`, `schd:…`, `schn:…`, `schk:…`, `schs`, `schw`: what is to be sent later, see
  `schedules.py`.

Not in partitions: the directory of apps and their named keys, `{apps}…`, see `apps.py` and `keys.py`; the
audit log, `{trail}…`, see `lua/trail.lua`; what processes tell about themselves, `{figures}…`, see
`figures.py`; profiles, `{profiles}…`, see `profiles.py`; and how the store was laid out when it was first
used, `{meta}…`: the numbers of partitions and lanes, and that of this layout, `store.redis.LAYOUT`.

In a broadcast's home partition (`home_of`) there are also its message, `m:<id>`, and

- `br` ZSET `<app>:<id>` → stored at: broadcasts whose sub-tasks were not assigned.
- `k:<id>` HASH node → 0, or 1 when its sub-task is done.
- `kn:<node>` SET `<app>:<id>` of the sub-tasks that a node still has.

Of devices and apps, scripts here read: `n:<app>` (name → place), `ns:<app>` (names in order), `next:<app>`,
`x:<app>` (bitmap of deleted places), `d:<app>:<place>` (fields `n` name, `c` created, `l` log cursor), `gone`
(deleted apps).
And the register's `w:<app>` (name → `<epoch> <since> <due> <node>`).

A device that is deleted: `drop_pending.lua`, before its name goes. An app that is deleted: `ZADD {p}due 0
<app>` in every partition, when it enters `gone`; `expire` then removes all that is here of it, in slices.

An id is the 16 bytes of the message's UUID. A ledger bucket is named by the first five of them: the UUIDv7
of the same 256 ms share it, so that the hash stays small enough to be a list in memory. All integers are
big-endian.

A ledger *row*: kind, flags, missing names, position, created at, TTL in ms; then by kind

- `u`, one device: its place and delivery;
- `m`, several devices: how many are pending; their deliveries are in `L:<id>`;
- `x`, none: only names that do not exist;
- `b`, a broadcast: how many places there were, how many of those it is not for, and the collapse key.

A *delivery*: state (and whether the device was connected at the commit), when written and when settled,
both in ms since the creation plus 1 (0: not yet), and the reason.

An inbox *entry*: its size in all, flags, position, expiry, id; then, if the flags say so, the collapse key
with its length; then the body, or, if that is in `m:<id>`, the length of what is there; then its position
again, so that the end of an inbox tells what was last put into it.
"""

import struct
from binascii import crc32
from typing import NamedTuple

import msgspec

from longline.model.devices import Binding
from longline.model.ledger import State
from longline.model.messages import Message, Said

INLINE = 512  # bytes: a larger body does not lie in the inbox itself, which is read and written as a whole

# Flags of an inbox entry.
WRITTEN = 1  # to a connection, though never acknowledged
APART = 2  # the body is in `m:<id>`
COLLAPSES = 4  # there is a collapse key
ROUTED = 8  # there is an entry in `unr`
HIDDEN = 16  # the message is for who is online only
DEAD = 32  # the entry is over, see `inbox.lua`
URGENT = 64  # the message has high priority

# Flags of a ledger row.
ONLINE_ONLY = 1
CANCELLED = 2
ENDED = 4
HOME = 8  # the broadcast's home partition, which keeps its body
HIGH = 32  # priority
KEPT_APART = 16  # the body is in `m:<id>` of this partition while something is pending

CONNECTED = 16  # in the state of a delivery

_ENTRY = struct.Struct(">HBHIHI16s")
_POSITION = 6  # bytes
_ROW = struct.Struct(">cBHHIHII")
_DELIVERY = struct.Struct(">BII")
_BODY = struct.Struct(">BHIB")
_MESSAGE = struct.Struct(">BHIH")

_PRIORITIES = ("normal", "high")
_TYPES = ("application/json", "text/plain;charset=utf-8", "application/octet-stream")
_SAID = 5  # to a group: type, group, sender and sequence follow
_ANSWER = 6  # to a device, where it has asked for it: type, topic and correlation data follow
_OTHER = 7
_PACED = 8


def prefix(partition: int) -> bytes:
    """What the keys of a partition begin with."""
    return b"{p%d}" % partition


def tag(partition: int) -> bytes:
    """What stands between the braces of a partition's keys."""
    return b"p%d" % partition


def home_of(message_id: bytes, partitions: int) -> int:
    """The partition that keeps what there is once of a broadcast."""
    return crc32(message_id) % partitions


def id_bytes(message_id: str) -> bytes:
    """A message's UUID in 16 bytes; nothing for what is not a UUID, which is never stored."""
    try:
        packed = bytes.fromhex(message_id.replace("-", ""))
    except ValueError:
        return b""
    return packed if len(packed) == 16 else b""


def id_text(packed: bytes) -> str:
    """The 36-character form of an id."""
    text = packed.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def ledger_key(partition: int, app: int, message_id: bytes) -> bytes:
    """The bucket of the ledger that a message's row is in."""
    return b"{p%d}l:%d:%b" % (partition, app, message_id[:5])


def body_key(partition: int, message_id: bytes) -> bytes:
    """The key of a body that is not in an inbox."""
    return b"{p%d}m:%b" % (partition, message_id)


def pack_body(message: Message) -> bytes:
    """What an inbox entry or a ledger row does not say of a message."""
    kind = _TYPES.index(message.content_type) if message.content_type in _TYPES else _OTHER
    said = message.said
    if said is not None:
        kind = _SAID
    elif message.topic is not None:
        kind = _ANSWER
    rank = _PRIORITIES.index(message.priority) if message.priority in _PRIORITIES else 3
    app = message.app.encode()
    paced = _PACED if message.spread_over else 0
    head = _BODY.pack(
        message.qos << 6 | rank << 4 | paced | kind,
        message.created_at >> 32,
        message.created_at & 0xFFFF_FFFF,
        len(app),
    )
    texts = b""
    if rank == 3:
        texts += _text(message.priority)
    if kind in (_OTHER, _ANSWER, _SAID):
        texts += _text(message.content_type)
    if message.topic is not None:
        has = message.correlation is not None
        texts += _text(message.topic) + _bytes(b"\1" + (message.correlation or b"") if has else b"")
    if said is not None:
        texts += _text(said.group) + _text(said.sender or "") + said.sequence.to_bytes(8)
    if paced:
        texts += message.spread_over.to_bytes(4)
    return b"".join((head, app, texts, message.payload))


def _text(text: str) -> bytes:
    return _bytes(text.encode())


def _bytes(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data


def unpack_body(
    packed: bytes, message_id: bytes, expires_at: int, collapse_key: str | None, online_only: bool
) -> Message:
    """The message whose body this is."""
    head, high, low, length = _BODY.unpack_from(packed)
    at = _BODY.size + length
    app = packed[_BODY.size : at].decode()
    rank, paced, kind = head >> 4 & 3, head & _PACED, head & 7
    priority, content_type = "", ""
    if rank == 3:
        priority, at = _read_text(packed, at)
    else:
        priority = _PRIORITIES[rank]
    topic: str | None = None
    correlation: bytes | None = None
    said: Said | None = None
    if kind in (_OTHER, _ANSWER, _SAID):
        content_type, at = _read_text(packed, at)
    else:
        content_type = _TYPES[kind]
    if kind == _ANSWER:
        topic, at = _read_text(packed, at)
        told, at = _read_bytes(packed, at)
        correlation = told[1:] if told else None
    elif kind == _SAID:
        group, at = _read_text(packed, at)
        sender, at = _read_text(packed, at)
        said = Said(group, int.from_bytes(packed[at : at + 8]), sender or None)
        at += 8
    spread_over = 0
    if paced:
        spread_over, at = int.from_bytes(packed[at : at + 4]), at + 4
    return Message(
        id=id_text(message_id),
        app=app,
        payload=packed[at:],
        content_type=content_type,
        created_at=high << 32 | low,
        expires_at=expires_at,
        qos=head >> 6,
        priority=priority,
        collapse_key=collapse_key,
        online_only=online_only,
        spread_over=spread_over,
        topic=topic,
        correlation=correlation,
        said=said,
    )


def _read_text(packed: bytes, at: int) -> tuple[str, int]:
    data, end = _read_bytes(packed, at)
    return data.decode(), end


def _read_bytes(packed: bytes, at: int) -> tuple[bytes, int]:
    end = at + 2 + int.from_bytes(packed[at : at + 2])
    return packed[at + 2 : end], end


def pack_message(message: Message) -> bytes:
    """All of a message but its id, as `m:<id>` has it."""
    collapse_key = (message.collapse_key or "").encode()
    head = _MESSAGE.pack(
        message.online_only, message.expires_at >> 32, message.expires_at & 0xFFFF_FFFF, len(collapse_key)
    )
    return b"".join((head, collapse_key, pack_body(message)))


def unpack_message(packed: bytes, message_id: bytes) -> Message:
    """The message that was packed."""
    online_only, high, low, length = _MESSAGE.unpack_from(packed)
    at = _MESSAGE.size + length
    collapse_key = packed[_MESSAGE.size : at].decode() or None
    return unpack_body(packed[at:], message_id, high << 32 | low, collapse_key, bool(online_only))


class Entry(NamedTuple):
    """An inbox entry. `body` is None when it lies apart."""

    flags: int
    position: int
    expires_at: int
    message_id: bytes
    collapse_key: str | None
    body: bytes | None

    @property
    def online_only(self) -> bool:
        """Whether the message is for who is online only."""
        return bool(self.flags & HIDDEN)


def unpack_entry(inbox: bytes, at: int) -> tuple[Entry, int]:
    """The entry of an inbox that begins there, and where the next one does."""
    size, flags, high, low, expires_high, expires_low, message_id = _ENTRY.unpack_from(inbox, at)
    start, end = at + _ENTRY.size, at + size
    body_end = end - _POSITION
    collapse_key = None
    if flags & COLLAPSES:
        collapse_key, start = _read_text(inbox, start)
    body = None if flags & APART else inbox[start:body_end]
    expires_at = expires_high << 32 | expires_low
    return Entry(flags, high << 32 | low, expires_at, message_id, collapse_key, body), end


class DeliveryRow(msgspec.Struct, frozen=True, gc=False):
    """Where a message stands for one device; times in ms, None for what has not happened."""

    state: State
    connected: bool
    sent_at: int | None
    settled_at: int | None
    reason: str | None

    @property
    def sent(self) -> bool:
        """Whether it was written to a connection, as far as receipts say."""
        return self.sent_at is not None or self.state == State.ACKED


def unpack_delivery(packed: bytes, created_at: int) -> DeliveryRow:
    """A delivery as a script wrote it."""
    state, sent, settled = _DELIVERY.unpack_from(packed)
    reason = packed[_DELIVERY.size :]
    return DeliveryRow(
        State(state & 15),
        bool(state & CONNECTED),
        created_at + sent - 1 if sent else None,
        created_at + settled - 1 if settled else None,
        reason.decode() if reason else None,
    )


class Row(NamedTuple):
    """A ledger row; `rest` is what follows by kind."""

    kind: bytes
    flags: int
    missing: int
    position: int
    created_at: int
    expires_at: int
    rest: bytes


def unpack_row(packed: bytes) -> Row:
    """A ledger row as a script wrote it."""
    kind, flags, missing, high, low, created_high, created_low, ttl = _ROW.unpack_from(packed)
    created_at = created_high << 32 | created_low
    return Row(kind, flags, missing, high << 32 | low, created_at, created_at + ttl, packed[_ROW.size :])


def unpack_binding(packed: bytes) -> Binding:
    """A register's binding: `<epoch> <since> <due> <node>`."""
    epoch, since, _, node = packed.split(b" ", 3)
    return Binding(node=node.decode(), epoch=int(epoch), since=int(since))


def unpack_places(row: Row) -> tuple[int, int]:
    """Of a broadcast's row: how many places there were, and how many of them it is not for."""
    return int.from_bytes(row.rest[:4]), int.from_bytes(row.rest[4:8])


def is_for_nobody(row: Row) -> bool:
    """Whether the row is there for another reason than a device."""
    return row.kind == b"x" or (row.kind == b"b" and unpack_places(row)[0] == 0)
