"""Damage done to a store behind its engine's back: for each check something for it to find."""

from collections.abc import Awaitable, Callable
from contextlib import closing
from typing import Any

import apsw

from longline.settings import StoreSettings
from longline.store.redis import Store, Word
from tests.contract.engines import PARTITIONS

# By check: a statement. `:app` is the app's number.
SQLITE: dict[str, str] = {
    "pending": "DELETE FROM inbox WHERE position = (SELECT min(position) FROM inbox)",
    "states": "UPDATE deliveries SET settled_at = NULL WHERE state = 1",
    "targets": "DELETE FROM deliveries WHERE position = (SELECT max(position) FROM deliveries)",
    "bodies": "UPDATE messages SET created_at = created_at + 1",
    "inboxes": "UPDATE inbox SET load = load + 2",
    "expiry": "DELETE FROM expiry WHERE kind = 0",
    "idempotency": "DELETE FROM messages WHERE label = 'summer'",
    "sets": "INSERT INTO broadcast_sets SELECT position, 900, 'expired', ordinals FROM broadcast_sets"
    " WHERE n = 0 UNION ALL SELECT position, 901, 'collapsed', ordinals FROM broadcast_sets WHERE n = 0",
    "log": "DELETE FROM log WHERE kept",
    "log_entries": "INSERT INTO log VALUES (7777777, :app, 1, 1, NULL, 0, 0)",
    "devices": "DELETE FROM departed",
    "labels": "DELETE FROM labels WHERE kind = 0 AND label = 'beta'",
    "cursors": "UPDATE devices SET log_from = 1 << 60",
    "gaps": "INSERT INTO gaps VALUES (:app << 32, 0, 0, 0, 1)",
    "remains": "INSERT INTO shadows VALUES (:app << 32 | 4, 1, 1, 1, x'', x'')",
    "event_queue": "UPDATE queues SET length = length + 1",
    "events": "DELETE FROM past",
    "latest": "UPDATE latest SET numbers = x'0000000000000001'",
    "standings": "DELETE FROM standings",
    "standing_rows": "UPDATE standings SET n = n + 1000",
    "presence": "INSERT INTO standings VALUES (:app, 'nobody', 1, x'7b7d')",
    "session_queues": "UPDATE sessions SET length = length + 1",
    "session_ends": "UPDATE sessions SET ends_at = 1 WHERE node IS NOT NULL",
    "session_rows": "UPDATE filters SET number = number - 1",
    "queued_messages": "DELETE FROM publications",
    "filters": "UPDATE filters SET device = device + (1 << 32)",
    "retained": "UPDATE retained SET size = size + 1",
    "retained_totals": "UPDATE retained_totals SET messages = messages + 1",
    "timers": "UPDATE timer_totals SET due = due + 1",
    "groups": "UPDATE chat_groups SET members = members + 1",
    "memberships": "INSERT INTO group_members VALUES (:app << 32, 7777777)",
    "webhooks": "UPDATE webhooks SET dead = dead + 1",
    "sayings": "INSERT INTO sayings VALUES (7777777, 1, 0, 1, x'')",
    "trail": "INSERT INTO trail_totals VALUES ('news', 7)",
    "apps": "INSERT INTO timer_keys VALUES (4711, 'k', x'', '', 1)",
    "app_numbers": "UPDATE apps SET next_ordinal = 1",
    "messages": "INSERT INTO deliveries (position, device, state, routed) VALUES (7777777, :app << 32, 0, 0)",
    "publications": "INSERT INTO publications VALUES (7777777, 0, x'')",
}


def damage_file(place: str, app: int, check: str) -> None:
    """Carries out the statement of a check."""
    with closing(apsw.Connection(place)) as connection:
        connection.set_busy_timeout(10_000)
        connection.execute(SQLITE[check].replace(":app", str(app)))
        assert connection.changes() > 0, "nothing was damaged"


class Tampered:
    """A store's keys, for whoever damages them."""

    def __init__(self, store: Store, app: int) -> None:
        self._store = store
        self.app = app

    async def keys(self, kind: str) -> list[bytes]:
        """All keys of a kind, such as `i:APP:`, in all partitions."""
        found: list[bytes] = []
        for partition in range(PARTITIONS):
            cursor: Any = b"0"
            while True:
                match = b"{p%d}%b*" % (partition, kind.replace("APP", str(self.app)).encode())
                reply: Any = await self._store.call(
                    b"p%d" % partition, "SCAN", cursor, "MATCH", match, "COUNT", 10_000
                )
                cursor = reply[0]
                found += reply[1]
                if cursor == b"0":
                    break
        return sorted(set(found))

    async def call(self, key: bytes, command: str, *words: Word) -> Any:
        tag = key[1 : key.index(b"}")]
        return await self._store.call(tag, command, key, *words)

    async def one(self, kind: str) -> bytes:
        keys = await self.keys(kind)
        assert keys, f"there is no {kind}"
        return keys[0]

    async def drop(self, kind: str) -> None:
        """Removes all keys of a kind."""
        keys = await self.keys(kind)
        assert keys, f"there is no {kind}"
        for key in keys:
            await self.call(key, "DEL")

    async def field(self, kind: str, change: Callable[[bytes], Word], field: str | None = None) -> None:
        """Changes a field of the hashes of a kind: this one, or the first."""
        done = False
        for key in await self.keys(kind):
            rows = await self.call(key, "HGETALL")
            for name, value in zip(rows[::2], rows[1::2], strict=True):
                if field is None or name == field.encode():
                    await self.call(key, "HSET", name, change(value))
                    done = True
                    break
        assert done, "nothing was damaged"


async def with_store(place: str, app: int, damage: Callable[[Tampered], Awaitable[None]]) -> None:
    """Has damage done to a store."""
    store = await Store.open(StoreSettings(url=place, partitions=PARTITIONS))
    try:
        await damage(Tampered(store, app))
    finally:
        await store.close()


def one_more(value: bytes) -> Word:
    return int(value) + 1


def dropping(kind: str) -> Callable[[Tampered], Awaitable[None]]:
    async def damage(store: Tampered) -> None:
        await store.drop(kind)

    return damage


def changing(
    kind: str, change: Callable[[bytes], Word], field: str | None = None
) -> Callable[[Tampered], Awaitable[None]]:
    async def damage(store: Tampered) -> None:
        await store.field(kind, change, field)

    return damage


def adding(kind: str, command: str, *words: Word) -> Callable[[Tampered], Awaitable[None]]:
    async def damage(store: Tampered) -> None:
        key = kind.replace("APP", str(store.app)).encode()
        await store.call(key, command, *words)

    return damage


def adding_to(beside: str, kind: str, command: str, *words: Word) -> Callable[[Tampered], Awaitable[None]]:
    """Like `adding`, in the partition in which there is a key of another kind."""

    async def damage(store: Tampered) -> None:
        key = await store.one(beside)
        tag = key[: key.index(b"}") + 1]
        await store.call(tag + kind.replace("APP", str(store.app)).encode(), command, *words)

    return damage


async def unpend(store: Tampered) -> None:
    """Sets the count of a message to several devices."""
    for key in await store.keys("l:APP:"):
        rows = await store.call(key, "HGETALL")
        for id, row in zip(rows[::2], rows[1::2], strict=True):
            if row[:1] == b"m":
                await store.call(key, "HSET", id, row[:20] + (9).to_bytes(2))


async def unstate(store: Tampered) -> None:
    """Gives a settled delivery no time."""
    for key in await store.keys("L:"):
        rows = await store.call(key, "HGETALL")
        for place, delivery in zip(rows[::2], rows[1::2], strict=True):
            if delivery[0] & 15 == 1:
                await store.call(key, "HSET", place, delivery[:5] + bytes(4))
                return
    raise AssertionError("nothing was damaged")


async def misplace(store: Tampered) -> None:
    """Moves a row of the ledger into another bucket."""
    key = await store.one("l:APP:")
    id, row = (await store.call(key, "HGETALL"))[:2]
    prefix = key[: key.rindex(b":") + 1] if key[-6:-5] == b":" else key[:-5]
    tag = key[: key.index(b"}") + 1]
    await store.call(prefix + b"other", "HSET", id, row)
    await store.call(tag + b"lx:%d" % store.app, "ZADD", 0, b"other")
    await store.call(tag + b"due:%d" % store.app, "ZADD", 1, b"other")


async def reorder(store: Tampered) -> None:
    """Repeats an inbox behind itself."""
    for key in await store.keys("i:APP:"):
        await store.call(key, "APPEND", await store.call(key, "GET"))


async def overdue(store: Tampered) -> None:
    """Puts off what is due."""
    for key in await store.keys("due:APP"):
        buckets = await store.call(key, "ZRANGE", 0, -1)
        for bucket in buckets:
            await store.call(key, "ZADD", 1 << 50, bucket)


async def unset(store: Tampered) -> None:
    """Gives whoever has acknowledged another outcome too."""
    for key in await store.keys("s:"):
        if key.endswith(b":a"):
            await store.call(key[:-1] + b"e", "SET", await store.call(key, "GET"))


async def stranger(store: Tampered) -> None:
    """Puts somebody into a set of a label."""
    await store.call(await store.one("t:APP:0:beta"), "SADD", 4000)


async def unindexed(store: Tampered) -> None:
    for key in await store.keys("mx:APP"):
        await store.call(key, "ZADD", 0, b"other/#\x000 1 1 0")


async def far(store: Tampered) -> None:
    for key in await store.keys("d:APP:"):
        await store.call(key, "HSET", "l", 1 << 50)


async def longer(store: Tampered) -> None:
    """Says of an inbox that it was counted."""
    key = await store.one("i:APP:")
    tag, place = key[: key.index(b"}") + 1], key.rsplit(b":", 1)[1]
    await store.call(tag + b"il:%d" % store.app, "HSET", place, (77).to_bytes(4) + bytes(12))


async def unfit(store: Tampered) -> None:
    """Says that a message is in the log, under another position."""
    for key in await store.keys("b:APP"):
        for id in await store.call(key, "ZRANGE", 0, -1):
            await store.call(key, "ZINCRBY", 1, id)


async def ownerless(store: Tampered) -> None:
    await store.call(b"{p1}m:" + b"0123456789abcdef", "SET", "x")


async def reworded(store: Tampered) -> None:
    await store.call(await store.one("lw:APP:"), "HSET", b"0123456789abcdef", "word")


async def missed(store: Tampered) -> None:
    await store.call(await store.one("d:APP:"), "HSET", "gd", -1)


async def strayed(store: Tampered) -> None:
    """Takes an event to where its number says that it is of another lane."""
    await store.call(await store.one("u:APP"), "ZADD", 1, b"0\0\1astray")


# By what is found.
REDIS: dict[str, Callable[[Tampered], Awaitable[None]]] = {
    "pending": dropping("i:APP:"),
    "counts": unpend,
    "states": unstate,
    "buckets": misplace,
    "bodies": dropping("m:"),
    "due": overdue,
    "words": reworded,
    "sets": unset,
    "log": dropping("b:APP"),
    "log_entries": unfit,
    "inboxes": dropping("L:"),
    "order": reorder,
    "inbox_counts": longer,
    "urgent": dropping("ih:APP:"),
    "collapse_keys": dropping("c:APP:"),
    "places": dropping("x:APP"),
    "cursors": far,
    "labels": dropping("t:APP:0:beta"),
    "label_sets": stranger,
    "shadows": dropping("sp:APP"),
    "gaps": missed,
    "presence": dropping("at:"),
    "event_queue": changing("ua:APP", one_more, "bytes"),
    "event_lanes": strayed,
    "events": dropping("uf:APP"),
    "standings": dropping("ul:APP"),
    "latest": changing("uf:APP", lambda numbers: b"1" * 16),
    "timers": changing("schn:APP", one_more, "b"),
    "timer_indexes": dropping("schd:APP"),
    "session_queues": changing("ms:APP:", one_more, "c"),
    "session_ends": dropping("mn:"),
    "filters": dropping("mx:APP"),
    "queued_messages": dropping("mm:"),
    "retained": dropping("rb:APP"),
    "retained_totals": changing("rn", one_more),
    "groups": changing("gp:APP:", lambda sequence: 0, "s"),
    "group_members": changing("gp:APP:", lambda members: 0, "m"),
    "webhooks": dropping("whs"),
    "dead_events": changing("wh:APP", one_more, "y"),
    "apps": adding("{p1}sp:4711", "SADD", 1),
    "remains": adding("{p1}sd:APP:4000", "HSET", "v", 1),
    "messages": ownerless,
    "indexes": adding("{p1}linger", "ZADD", 1, "1/nobody"),
}


# What else is found by a check, by what was done.
OTHER_DAMAGE: dict[str, tuple[str, Callable[[Tampered], Awaitable[None]]]] = {
    "a group without a record": ("groups", dropping("gp:APP:")),
    "more bytes said than counted": ("groups", changing("gp:APP:", lambda size: -1, "u")),
    "a dead event less": ("dead_events", dropping("whe:APP")),
    "a number less": ("dead_events", dropping("whd:APP")),
    "another device's": ("dead_events", changing("whn:APP", one_more)),
    "a list of those to be sent again": ("dead_events", adding_to("whe:APP", "whr:APP", "ZADD", 7, 7)),
    "a webhook less": ("webhooks", dropping("wh:APP")),
}


async def damage_store(place: str, app: int, damage: Callable[[Tampered], Awaitable[None]]) -> None:
    """Does the damage that a check is to find."""
    await with_store(place, app, damage)
