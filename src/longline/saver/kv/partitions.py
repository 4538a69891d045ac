"""The partitions of the store, as this engine's scripts are run in them."""

from collections.abc import Awaitable, Sequence

from longline.saver.kv import layout
from longline.store.redis import Reply, Script, Store, Word
from longline.store.scatter import ask_all

LUA = "longline.saver.kv.lua"


class Partitions:
    """A store in parts, numbered from 0. Errors as those of `Store`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.count = store.partitions
        self._tags = [layout.tag(partition) for partition in range(store.partitions)]
        self._keys = [[layout.prefix(partition)] for partition in range(store.partitions)]

    def of(self, app: int, device: str) -> int:
        """The partition of a device, by its name."""
        return self.store.partition_of(app, device)

    def run(
        self, partition: int, script: Script, args: Sequence[Word], *, durable: bool = False
    ) -> Awaitable[Reply]:
        """Carries a script out in one partition."""
        return self.store.run(self._tags[partition], script, self._keys[partition], args, durable=durable)

    async def run_all(self, script: Script, args: Sequence[Word], *, durable: bool = False) -> list[Reply]:
        """Carries a script out in every partition, each one step; to be repeated when it is interrupted."""
        return await ask_all(self.count, lambda partition: self.run(partition, script, args, durable=durable))

    def call(self, partition: int, *command: Word) -> Awaitable[Reply]:
        """Carries one command out in a partition."""
        return self.store.call(self._tags[partition], *command)


def script(name: str) -> Script:
    """One of this engine's scripts."""
    return Script(LUA, name)
