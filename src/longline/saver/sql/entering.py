"""How messages enter the queues of sessions: what a transaction adds, gathered and then written at once."""

from collections.abc import Iterable, Sequence
from uuid import UUID

import msgspec

from longline.saver.port.queues import QueueBounds, QueuePublication, Received
from longline.saver.publications import bytes_of
from longline.saver.sql.database import Database, device_key, id_bytes, integer
from longline.saver.sql.group_filters import SharedFilter
from longline.saver.sql.matching import Found, interest
from longline.saver.sql.positions import Positions
from longline.saver.subscriptions import AS_PUBLISHED

RETAIN = 4

_Identifier = tuple[int, int, int]  # device, session, packet identifier
_Receiver = tuple[int, list[tuple[int, int, int]], bool, str]
_heads = msgspec.json.Decoder(list[tuple[int, int, int | None, int, int, int, str]])
_received = msgspec.json.Decoder(list[tuple[bool | int, int | None, str]])
_pack = msgspec.msgpack.Encoder().encode

HEADS = """
SELECT json_group_array(json_array(s.device, s.number, s.ends_at, s.latest, s.length, s.bytes, d.address))
  FROM carray(?1) CROSS JOIN sessions AS s ON s.device = value CROSS JOIN devices AS d ON d.device = value"""

# A message's record: number, expiry, body.
PUBLICATION = b"%019d%019d%b"
INSERT_PUBLICATIONS = f"""
INSERT INTO publications (n, expires_at, body)
SELECT {integer(1, 19)}, {integer(20, 19)}, substr(value, 39) FROM carray(?1)"""

# A place's record: device, session, place, message, bytes, options, identifiers, group ("" for none).
PLACE = b"%019d%019d%019d%019d%010d%d%b|%b"
INSERT_PLACES = f"""
INSERT INTO waiting (device, number, place, publication, bytes, options, identifiers, share)
SELECT {integer(1, 19)}, {integer(20, 19)}, {integer(39, 19)}, {integer(58, 19)}, {integer(77, 10)},
       {integer(87, 1)}, substr(rest, 1, instr(rest, '|') - 1), nullif(substr(rest, instr(rest, '|') + 1), '')
  FROM (SELECT value, CAST(substr(value, 88) AS TEXT) AS rest FROM carray(?1))"""

# A head's record: device, last place, places, bytes.
HEAD = b"%019d%019d%010d%019d"
MOVE_HEADS = f"""
UPDATE sessions SET latest = given.latest, length = given.length, bytes = given.bytes
  FROM (SELECT {integer(1, 19)} AS device, {integer(20, 19)} AS latest, {integer(39, 10)} AS length,
               {integer(49, 19)} AS bytes FROM carray(?1)) AS given
 WHERE sessions.device = given.device"""

# A packet identifier's record: device, session, packet identifier, epoch, id of the message.
RECEIVED = b"%019d%019d%05d%019d%b"
FIND_RECEIVED = f"""
SELECT json_group_array(json_array(
         s.number IS {integer(20, 19)} AND s.epoch IS {integer(44, 19)}, s.ends_at, hex(r.id)))
  FROM carray(?1)
  LEFT JOIN sessions AS s ON s.device = {integer(1, 19)}
  LEFT JOIN received AS r ON r.device = {integer(1, 19)} AND r.number = {integer(20, 19)}
        AND r.packet_id = {integer(39, 5)}"""
INSERT_RECEIVED = f"""
INSERT INTO received (device, number, packet_id, id)
SELECT {integer(1, 19)}, {integer(20, 19)}, {integer(39, 5)}, substr(value, 63) FROM carray(?1)"""


class Head(msgspec.Struct):
    """How a session's queue stands."""

    number: int
    ends_at: int | None
    latest: int
    length: int
    bytes: int
    device: str

    def over(self, now: int) -> bool:
        """Whether the session's time is."""
        return self.ends_at is not None and self.ends_at <= now


class Entered(msgspec.Struct):
    """What became of a message, but for where devices are bound."""

    app: int
    id: str
    devices: list[str]
    ordinals: list[int]
    places: list[int]
    full: int = 0
    again: bool = False
    groups: tuple[str, ...] = ()


class Entering:
    """One for a transaction."""

    def __init__(self, database: Database, positions: Positions, bounds: QueueBounds) -> None:
        self._database = database
        self._positions = positions
        self._bounds = bounds
        self._heads: dict[int, Head] = {}
        self._moved: set[int] = set()
        self._known: dict[_Identifier, str] = {}  # ids of messages
        self._publications: list[bytes] = []
        self._places: list[bytes] = []
        self._received: list[bytes] = []

    def judge(self, batch: Sequence[QueuePublication]) -> list[bool]:
        """Whether each comes from who has its session; which packet identifiers are known is learnt here."""
        rows = [
            RECEIVED % (*_identifier(item.app, item.received), item.received.epoch, b"")
            for item in batch
            if item.received is not None
        ]
        if not rows:
            return [True] * len(batch)
        found = iter(_received.decode(self._database.text(FIND_RECEIVED, tuple(rows))))
        heard = []
        for item in batch:
            if item.received is None:
                heard.append(True)
                continue
            owned, ends_at, digits = next(found)
            heard.append(bool(owned) and (ends_at is None or ends_at > item.now))
            if digits:
                self._known[_identifier(item.app, item.received)] = str(UUID(digits))
        return heard

    @property
    def entered(self) -> int:
        """Places that were given."""
        return len(self._places)

    def load(self, devices: Iterable[int]) -> None:
        """Looks at the queues that messages may enter, and were not looked at."""
        keys = tuple(set(devices) - self._heads.keys())
        if keys:
            for key, number, ends_at, latest, length, size, address in _heads.decode(
                self._database.text(HEADS, keys)
            ):
                device = address.partition("/")[2]
                self._heads[key] = Head(number, ends_at, latest, length, size, device)

    def enter(self, item: QueuePublication, found: Found) -> Entered:
        """Queues a message for the sessions that it is given, and those whose filters match."""
        publication = item.publication
        if item.received is not None:
            identifier = _identifier(item.app, item.received)
            earlier = self._known.get(identifier)
            if earlier is not None:
                return Entered(item.app, earlier, [], [], [], again=True)
            self._known[identifier] = publication.id
            self._received.append(RECEIVED % (*identifier, item.received.epoch, id_bytes(publication.id)))
        entered = Entered(item.app, publication.id, [], [], [])
        size = bytes_of(publication)
        position = 0
        for key, filters, given, share in self._receivers(item, found):
            head = self._heads.get(key)
            if head is None or head.over(item.now):
                continue
            own = head.device == item.sender and not given
            qos, as_published, identifiers = interest(filters, head.number, own)
            qos = min(qos, publication.qos)
            if not qos:
                continue
            if not self._has_room(head, size):
                entered.full += 1
                continue
            if not position:
                position = self._positions.take()
                self._publications.append(
                    PUBLICATION % (position, publication.expires_at, _pack(publication))
                )
            head.latest += 1
            head.length += 1
            head.bytes += size
            self._moved.add(key)
            options = qos | (RETAIN if as_published and publication.retain else 0)
            told = ",".join(map(str, identifiers)).encode()
            place = (key, head.number, head.latest, position, size, options, told, share.encode())
            self._places.append(PLACE % place)
            entered.devices.append(head.device)
            entered.ordinals.append(key & 0xFFFF_FFFF)
            entered.places.append(head.latest)
        return entered

    def _receivers(self, item: QueuePublication, found: Found) -> Iterable[_Receiver]:
        """Whom a message is for: device, what it asks for, and whether it was given the message."""
        for to in item.given:
            options = to.qos | (AS_PUBLISHED if to.as_published else 0)
            yield device_key(item.app, to.ordinal), [(to.number, options, to.identifier)], True, to.share
        for key, filters in found.items():
            yield key, filters, False, ""

    def _has_room(self, head: Head, size: int) -> bool:
        bounds = self._bounds
        return head.length < bounds.messages and (not head.bytes or head.bytes + size <= bounds.bytes)

    def choose(self, members: Sequence[SharedFilter], now: int, size: int) -> tuple[SharedFilter | None, int]:
        """Of a group's members that were looked at, the one with the fewest messages in its queue that can
        take one of so many bytes; and how many cannot because they have as much as they may."""
        found: SharedFilter | None = None
        fewest, full = 0, 0
        for member in members:
            head = self._heads.get(member.device)
            if head is None or head.number != member.number or head.over(now) or not member.options & 3:
                continue
            if not self._has_room(head, size):
                full += 1
            elif found is None or head.length < fewest:
                found, fewest = member, head.length
        return found, full

    def write(self) -> None:
        """Writes all of it."""
        run = self._database.run
        if self._places:
            run(INSERT_PUBLICATIONS, tuple(self._publications))
            run(INSERT_PLACES, tuple(self._places))
            heads = [(key, self._heads[key]) for key in self._moved]
            run(MOVE_HEADS, tuple([HEAD % (key, h.latest, h.length, h.bytes) for key, h in heads]))
        if self._received:
            run(INSERT_RECEIVED, tuple(self._received))


def _identifier(app: int, received: Received) -> _Identifier:
    return device_key(app, received.ordinal), received.number, received.packet_id
