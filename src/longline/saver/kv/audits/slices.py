"""A step of a walk: which script it is, where it goes on, and what came back."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from longline.saver.findings import Findings
from longline.saver.kv.partitions import Partitions
from longline.store.redis import Script, Word

NAMES: Final = 100  # devices in one step
BUCKETS: Final = 8  # of a ledger: each has the messages of 256 ms
ENTRIES: Final = 500
COUNTED: Final = (
    20_000  # of what an app has, up to which it is added up: by one script, which holds up its server
)
COUNTED_BYTES: Final = 32 * 1024 * 1024  # the same of the bytes of events
BEGIN: Final = b"0"  # of a walk by a cursor of the server's


class Slice:
    """Where a step is: in a partition, of an app, behind what the step before ended with."""

    __slots__ = ("after", "app", "findings", "partition", "partitions")

    def __init__(
        self, partitions: Partitions, app: int, partition: int, after: bytes, findings: Findings
    ) -> None:
        self.partitions = partitions
        self.app = app
        self.partition = partition
        self.after = after
        self.findings = findings

    async def ask(self, script: Script, *args: Word) -> list[Any]:
        """The answer of a script, which is a list."""
        reply = await self.partitions.run(self.partition, script, [self.app, *args])
        assert isinstance(reply, list)
        return reply

    def named(self, what: str) -> str:
        """A subject with its partition."""
        return f"{what} in partition {self.partition}"

    def device(self, place: int | bytes | str) -> str:
        """A device by its ordinal, as the SQLite engine and the API's cursors have it."""
        return f"device {int(place) * self.partitions.count + self.partition}"


class Walked(NamedTuple):
    """How many things a step looked at, and where the next one goes on; None: it was the last."""

    looked: int
    next: bytes | None


Walk = Callable[[Slice], Awaitable[Walked]]


def following(cursor: bytes) -> bytes | None:
    """Where a walk by a cursor of the server's goes on."""
    return None if cursor == BEGIN else cursor


def text(word: bytes | None) -> str:
    """A name or a topic as people read it."""
    return "" if word is None else word.decode("utf-8", "replace")
