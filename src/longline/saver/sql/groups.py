"""Groups: a row each, a row a membership, and what was said; and the label by which members are found."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import msgspec
from pyroaring import BitMap

from longline.errors import (
    AppNotFound,
    GroupNotFound,
    GroupTooLarge,
    LonglineError,
    QuotaExceeded,
    TooManyGroups,
)
from longline.model.groups import GROUP_DELETED, LEFT_GROUP, ChatGroup, GroupBounds, Saying
from longline.model.messages import Message
from longline.saver.labels import GROUP
from longline.saver.port.groups import GroupMember, MembersChanged
from longline.saver.sql.broadcasts import DROPPED, BroadcastLedgers
from longline.saver.sql.database import Database, device_key
from longline.saver.sql.labels import Labels
from longline.saver.sql.members import Members
from longline.saver.sql.positions import Positions
from longline.saver.sql.worker import Worker


class GroupRow(msgspec.Struct, array_like=True):
    """A group as the writer finds it."""

    number: int
    created_at: int
    sequence: int
    members: int
    bytes: int


_row = msgspec.json.Decoder(GroupRow | None)
_groups = msgspec.json.Decoder(list[tuple[str, int, int, int]])
_members = msgspec.json.Decoder(list[tuple[int, str]] | None)
_integers = msgspec.json.Decoder(list[int])
_sayings = msgspec.json.Decoder(list[str] | None)
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(Saying).decode

FIND = """
SELECT json_array(number, created_at, sequence, members, bytes)
  FROM chat_groups WHERE app = ?1 AND name = ?2"""
LIST = """
SELECT json_group_array(json_array(name, created_at, sequence, members)) FROM
 (SELECT * FROM chat_groups WHERE app = ?1 AND name > ?2 ORDER BY name LIMIT ?3)"""
MEMBERS = """
SELECT (SELECT json_group_array(json_array(d.device & 0xFFFFFFFF, d.address))
          FROM group_members AS m CROSS JOIN devices AS d ON d.device = m.device WHERE m.grp = g.number)
  FROM chat_groups AS g WHERE app = ?1 AND name = ?2"""
HISTORY = """
SELECT (SELECT json_group_array(hex(body)) FROM
         (SELECT body FROM sayings WHERE grp = g.number AND sequence > ?3 AND at > ?5
           ORDER BY sequence LIMIT ?4))
  FROM chat_groups AS g WHERE app = ?1 AND name = ?2"""
OPEN = "SELECT json_group_array(position) FROM log WHERE grp = ?1 AND grp > 0"

_Change = tuple[int, str, Sequence[int], Sequence[int], int]


class Sayings:
    """What the writer does with a message to a group, in the transaction that stores it."""

    def __init__(self, database: Database, bounds: GroupBounds) -> None:
        self._database = database
        self._bounds = bounds

    def find(self, app: int, group: str) -> GroupRow | None:
        """The group, None when there is none."""
        row: GroupRow | None = _row.decode(self._database.text(FIND, app, group))
        return row

    def add(self, row: GroupRow, message: Message, now: int) -> Message:
        """Gives a message the next sequence, and puts it into the history; the message with it."""
        said = message.said
        assert said is not None, "a message to a group says to which"
        row.sequence += 1
        row.bytes += len(message.payload)
        said = msgspec.structs.replace(said, sequence=row.sequence)
        run, bounds = self._database.run, self._bounds
        run(
            "UPDATE chat_groups SET sequence = ?2, bytes = ?3 WHERE number = ?1",
            row.number,
            row.sequence,
            row.bytes,
        )
        saying = Saying(
            row.sequence, message.id, said.sender, message.created_at, message.content_type, message.payload
        )
        run(
            "INSERT INTO sayings (grp, sequence, bytes_before, at, body) VALUES (?1, ?2, ?3, ?4, ?5)",
            row.number,
            row.sequence,
            row.bytes - len(message.payload),
            message.created_at,
            _pack(saying),
        )
        run(
            "DELETE FROM sayings WHERE grp = ?1 AND sequence IN"
            " (SELECT sequence FROM sayings WHERE grp = ?1 ORDER BY sequence LIMIT 16)"
            " AND (sequence <= ?2 OR at <= ?3 OR bytes_before < ?4 AND sequence < ?5)",
            row.number,
            row.sequence - bounds.history_messages,
            now - bounds.history_ms,
            row.bytes - bounds.history_bytes,
            row.sequence,
        )
        return msgspec.structs.replace(message, said=said)


def forget_member(database: Database, labels: Labels, app: int, ordinal: int) -> None:
    """A device is deleted: it is in no group any more."""
    key = device_key(app, ordinal)
    names = database.text(
        "SELECT json_group_array(name) FROM group_members CROSS JOIN chat_groups ON number = grp"
        " WHERE device = ?1",
        key,
    )
    found = msgspec.json.decode(names, type=list[str])
    if not found:
        return
    for name in found:
        labels.put(app, ordinal, (GROUP, name), comes=False)
    database.run(
        "UPDATE chat_groups SET members = members - 1"
        " WHERE number IN (SELECT grp FROM group_members WHERE device = ?1)",
        key,
    )
    database.run("DELETE FROM group_members WHERE device = ?1", key)


def purge_groups(database: Database, app: int, limit: int) -> int:
    """Removes a slice of what a deleted app had of groups, but for memberships; how much that was."""
    number = database.number("SELECT number FROM chat_groups WHERE app = ?1 LIMIT 1", app)
    if number is None:
        return 0
    done = database.run(
        "DELETE FROM sayings WHERE grp = ?1 AND sequence IN"
        " (SELECT sequence FROM sayings WHERE grp = ?1 LIMIT ?2)",
        number,
        limit,
    )
    if done < limit:
        done += database.run("DELETE FROM chat_groups WHERE number = ?1", number)
    return done


class SqlGroups:
    """Fulfils `GroupStore`. `deleted`: apps that are not there any more."""

    def __init__(
        self,
        writer: Worker,
        reader: Worker,
        writing: Database,
        reading: Database,
        *,
        members: Members,
        labels: Labels,
        positions: Positions,
        broadcasts: BroadcastLedgers,
        deleted: AbstractSet[int],
        bounds: GroupBounds,
    ) -> None:
        self._writer = writer
        self._reader = reader
        self._writing = writing
        self._reading = reading
        self._members = members
        self._labels = labels
        self._positions = positions
        self._broadcasts = broadcasts
        self._deleted = deleted
        self._bounds = bounds

    async def put(self, app: int, group: str, now: int, most: int = 0) -> bool:
        """A row, where there is none."""
        return await self._writer.call(self._put, (app, group, now, most))

    def _put(self, calls: list[tuple[int, str, int, int]]) -> list[bool | LonglineError]:
        return [self._put_one(*call) for call in calls]

    def _put_one(self, app: int, group: str, now: int, most: int) -> bool | LonglineError:
        database = self._writing
        if self._members.of(app) is None:
            return AppNotFound(f"there is no app {app}")
        if self._row(app, group) is not None:
            return False
        if most and (database.number("SELECT count(*) FROM chat_groups WHERE app = ?1", app) or 0) >= most:
            return QuotaExceeded(f"the app has {most} groups, as many as it may")
        database.run(
            "INSERT INTO chat_groups (number, app, name, created_at) VALUES (?1, ?2, ?3, ?4)",
            self._positions.take(),
            app,
            group,
            now,
        )
        return True

    def _row(self, app: int, group: str) -> GroupRow | None:
        row: GroupRow | None = _row.decode(self._writing.text(FIND, app, group))
        return row

    async def find(self, app: int, group: str) -> ChatGroup | None:
        """A row."""
        if app in self._deleted:
            return None
        return await self._reader.call(self._find, (app, group))

    def _find(self, calls: list[tuple[int, str]]) -> list[ChatGroup | None]:
        found: list[ChatGroup | None] = []
        for app, name in calls:
            row = _row.decode(self._reading.text(FIND, app, name))
            found.append(row and ChatGroup(name, row.created_at, row.sequence, row.members))
        return found

    async def page(self, app: int, after: str, limit: int) -> list[ChatGroup]:
        """A page of the index of names."""
        if app in self._deleted:
            return []
        return await self._reader.call(self._page, (app, after, limit))

    def _page(self, calls: list[tuple[int, str, int]]) -> list[list[ChatGroup]]:
        return [
            [ChatGroup(*row) for row in _groups.decode(self._reading.text(LIST, *call))] for call in calls
        ]

    async def members(self, app: int, group: str) -> list[GroupMember] | None:
        """One statement."""
        if app in self._deleted:
            return None
        return await self._reader.call(self._members_of, (app, group))

    def _members_of(self, calls: list[tuple[int, str]]) -> list[list[GroupMember] | None]:
        found: list[list[GroupMember] | None] = []
        for call in calls:
            rows = _members.decode(self._reading.text(MEMBERS, *call))
            if rows is None:
                found.append(None)
                continue
            some = [GroupMember(address.partition("/")[2], ordinal) for ordinal, address in rows]
            found.append(sorted(some, key=lambda member: member.device))
        return found

    async def change(
        self, app: int, group: str, add: Sequence[int], remove: Sequence[int], now: int
    ) -> MembersChanged:
        """A transaction: rows, labels, and what waits for who leaves."""
        return await self._writer.call(
            self._change, (app, group, add, remove, now), 1 + len(add) + len(remove)
        )

    def _change(self, calls: list[_Change]) -> list[MembersChanged | LonglineError]:
        return [self._change_one(*call) for call in calls]

    def _change_one(
        self, app: int, group: str, add: Sequence[int], remove: Sequence[int], now: int
    ) -> MembersChanged | LonglineError:
        row = self._row(app, group)
        if row is None or self._members.of(app) is None:
            return GroupNotFound()
        going = self._there(row.number, app, remove) - BitMap(add)
        coming = self._registered(app, add) - self._there(row.number, app, add)
        members = row.members - len(going) + len(coming)
        if coming and members > self._bounds.members:
            return GroupTooLarge(details=[("members", f"at most {self._bounds.members} members")])
        crowded = self._crowded(app, coming)
        if crowded is not None:
            return TooManyGroups(
                f"a device is in {self._bounds.device_groups} groups, as many as it may",
                details=[("members", f"{crowded} is in as many groups as it may")],
            )
        run = self._writing.run
        if going:
            self._drop(row.number, going, LEFT_GROUP)
            run("DELETE FROM group_members WHERE grp = ?1 AND device IN (SELECT value FROM carray(?2))",
                row.number, _keys(app, going))  # fmt: skip
        if coming:
            run("INSERT INTO group_members (device, grp) SELECT value, ?1 FROM carray(?2)",
                row.number, _keys(app, coming))  # fmt: skip
        for ordinals, comes in ((going, False), (coming, True)):
            for ordinal in ordinals:
                self._labels.put(app, ordinal, (GROUP, group), comes=comes)
        run("UPDATE chat_groups SET members = ?2 WHERE number = ?1", row.number, members)
        return MembersChanged(len(coming), len(going), members)

    def _there(self, number: int, app: int, ordinals: Sequence[int]) -> BitMap:
        """Which of these are members."""
        return self._some(
            "SELECT json_group_array(device & 0xFFFFFFFF) FROM carray(?1)"
            " CROSS JOIN group_members ON device = value AND grp = ?2",
            app,
            ordinals,
            number,
        )

    def _registered(self, app: int, ordinals: Sequence[int]) -> BitMap:
        return self._some(
            "SELECT json_group_array(device & 0xFFFFFFFF) FROM carray(?1)"
            " CROSS JOIN devices ON device = value",
            app,
            ordinals,
        )

    def _some(self, sql: str, app: int, ordinals: Sequence[int], *values: int) -> BitMap:
        if not ordinals:
            return BitMap()
        return BitMap(_integers.decode(self._writing.text(sql, _keys(app, ordinals), *values)))

    def _crowded(self, app: int, ordinals: BitMap) -> str | None:
        """The name of one of these devices that is in as many groups as it may."""
        if not ordinals:
            return None
        found = self._writing.text(
            "SELECT json_array(address) FROM carray(?1) CROSS JOIN devices ON device = value"
            " WHERE (SELECT count(*) FROM group_members AS m WHERE m.device = value) >= ?2 LIMIT 1",
            _keys(app, ordinals),
            self._bounds.device_groups,
        )
        if found == "null":
            return None
        (address,) = msgspec.json.decode(found, type=tuple[str])
        return address.partition("/")[2]

    def _drop(self, number: int, ordinals: BitMap, reason: str) -> None:
        """What waits for these of what was said in a group is dropped."""
        for position in _integers.decode(self._writing.text(OPEN, number)):
            self._broadcasts.settle(position, DROPPED + reason, ordinals, self._writing)

    async def delete(self, app: int, group: str, now: int) -> bool:
        """A transaction."""
        return await self._writer.call(self._delete, (app, group))

    def _delete(self, calls: list[tuple[int, str]]) -> list[bool]:
        return [self._delete_one(*call) for call in calls]

    def _delete_one(self, app: int, group: str) -> bool:
        database = self._writing
        row = self._row(app, group)
        if row is None or self._members.of(app) is None:
            return False
        members = BitMap(
            _integers.decode(
                database.text(
                    "SELECT json_group_array(device & 0xFFFFFFFF) FROM group_members WHERE grp = ?1",
                    row.number,
                )
            )
        )
        self._drop(row.number, members, GROUP_DELETED)
        for ordinal in members:
            self._labels.put(app, ordinal, (GROUP, group), comes=False)
        database.run("DELETE FROM group_members WHERE grp = ?1", row.number)
        database.run("DELETE FROM sayings WHERE grp = ?1", row.number)
        database.run("DELETE FROM chat_groups WHERE number = ?1", row.number)
        return True

    async def history(self, app: int, group: str, after: int, limit: int, now: int) -> list[Saying] | None:
        """One statement."""
        if app in self._deleted:
            return None
        return await self._reader.call(
            self._history, (app, group, after, limit, now - self._bounds.history_ms)
        )

    def _history(self, calls: list[tuple[int, str, int, int, int]]) -> list[list[Saying] | None]:
        found: list[list[Saying] | None] = []
        for call in calls:
            bodies = _sayings.decode(self._reading.text(HISTORY, *call))
            found.append(None if bodies is None else [_unpack(bytes.fromhex(body)) for body in bodies])
        return found


def _keys(app: int, ordinals: Sequence[int] | BitMap) -> tuple[int, ...]:
    return tuple([device_key(app, ordinal) for ordinal in ordinals])
