"""All keys of a partition: whether they are anybody's, and whether what is in an index leads to something."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, NamedTuple

from longline.errors import StoreError
from longline.model.apps import App
from longline.saver.kv.apps import KvApps
from longline.saver.kv.audits import belongings
from longline.saver.kv.audits.slices import BEGIN, ENTRIES, NAMES, Slice, Walked, following, text
from longline.saver.kv.layout import id_text, prefix
from longline.saver.kv.partitions import script
from longline.store.redis import Word

KEYS = script("audit_keys.lua")
LABEL = script("audit_label.lua")
MEMBERS = script("audit_members.lua")
SCANNED: Final = 1000  # keys that the server looks at in one step
PLACES: Final = 20_000  # of a set of labels in one script
MOST_APPS: Final = 1000  # above which nobody looks whose a message's keys are


class Key(NamedTuple):
    """A key by its parts: what is not in it is empty."""

    whole: bytes
    kind: bytes
    app: bytes
    place: bytes
    id: bytes

    @property
    def name(self) -> str:
        """As it is told of."""
        if self.id:
            return f"{text(self.kind)}:{id_text(self.id)}"
        return text(self.whole.partition(b"}")[2])


def read_key(whole: bytes, tag: bytes) -> Key:
    """The parts of a key of the partition with this tag."""
    kind, _, rest = whole.removeprefix(tag).partition(b":")
    if kind in belongings.OF_MESSAGE:
        return Key(whole, kind, b"", b"", rest[:16])
    if kind not in belongings.OF_DEVICE and kind not in belongings.OF_APP:
        return Key(whole, kind, b"", b"", b"")
    app, _, rest = rest.partition(b":")
    place = rest.partition(b":")[0] if kind in belongings.OF_DEVICE else b""
    return Key(whole, kind, app, place, b"")


async def walk_keys(at: Slice, apps: KvApps) -> Walked:
    """Some keys of one partition. Apps are read after the keys: a key is younger than its app."""
    tag = prefix(at.partition)
    reply: Any = await at.partitions.call(
        at.partition, "SCAN", at.after or BEGIN, "MATCH", tag + b"*", "COUNT", SCANNED
    )
    next, names = reply
    keys = [read_key(name, tag) for name in names]
    living = {app.number async for app in every(apps)}
    leaving = set(await apps.purges())
    await _compare_owners(at, keys, living, leaving)
    looked = len(keys)
    for key in keys:
        if key.kind == belongings.LABELS:
            looked += await _compare_label(at, key)
        elif key.kind in belongings.INDEXES:
            looked += await _compare_members(at, key)
    return Walked(looked, following(next))


async def every(apps: KvApps) -> AsyncIterator[App]:
    """All apps, page by page."""
    after = ""
    while page := await apps.list(after, ENTRIES):
        for app in page:
            yield app
        after = page[-1].app


async def _compare_owners(at: Slice, keys: Sequence[Key], living: set[int], leaving: set[int]) -> None:
    """Keys are of apps, devices and messages that there are."""
    asked = [key for key in keys if key.app or (key.id and len(living | leaving) <= MOST_APPS)]
    for start in range(0, len(asked), NAMES):
        part = asked[start : start + NAMES]
        words: list[Word] = [word for key in part for word in (key.app, key.place, key.id)]
        replies = await at.partitions.run(at.partition, KEYS, [*words, "apps", *sorted(living | leaving)])
        assert isinstance(replies, list)
        for key, reply in zip(part, replies, strict=True):
            name = at.named(f"key {key.name}")
            if key.app and int(key.app) not in living:
                if int(key.app) not in leaving:
                    at.findings.differs(name, "none: there is no such app", "a key", check="apps")
            elif reply == -1:
                at.findings.differs(name, "none: no device has this place", "a key", check="remains")
            elif reply == -2:
                at.findings.differs(name, "a row of a ledger", "none", check="messages")


async def _compare_label(at: Slice, key: Key) -> int:
    """Who is in a set is found by that label."""
    looked = place = 0
    while place >= 0:
        keys = [prefix(at.partition), key.whole]
        tag = key.whole[1 : key.whole.index(b"}")]
        reply: Any = await at.partitions.store.run(tag, LABEL, keys, [key.app, place, PLACES])
        place, wrong, count = reply
        looked += int(count)
        for each in wrong:
            name = at.named(f"{key.name}: {at.device(each)}")
            at.findings.differs(name, "a device that has it", "one that has not", check="label_sets")
    return looked


async def _compare_members(at: Slice, key: Key) -> int:
    """What is in an index leads to something."""
    looked, cursor = 0, BEGIN
    while True:
        tag = key.whole[1 : key.whole.index(b"}")]
        try:
            reply: Any = await at.partitions.store.run(
                tag, MEMBERS, [prefix(at.partition), key.whole], [key.kind, cursor, NAMES]
            )
        except StoreError as error:
            at.findings.differs(at.named(f"key {key.name}"), "an index", error.text, check="indexes")
            return looked
        cursor, count, wrong = reply
        looked += int(count)
        for member in wrong:
            name = at.named(f"{text(member)} in {key.name}")
            at.findings.differs(name, "what it leads to", "nothing", check="indexes")
        if cursor == BEGIN:
            return looked
