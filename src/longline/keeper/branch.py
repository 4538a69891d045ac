"""Follows the nodes below one node of ZooKeeper's tree.

Watches fire once and say only where something changed. So a branch gathers what it has heard of, and reads
that anew, with new watches, when its owner calls `refresh`; what changes in between costs one read, however
often it changes.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from longline.store.zookeeper import Found, ZooKeeperSession

T = TypeVar("T")

Decode = Callable[[str, Found], T | None]


class Branch(Generic[T]):
    """`entries`: the nodes below `path` by name, as `decode` reads them; those that it gives None for are
    left out. `updated` is called when they may have changed. `is_read`: they were read at least once.

    Changes of data rest for `patience()` seconds, so that nodes that are written all the time are not read
    all the time.
    """

    def __init__(
        self,
        session: ZooKeeperSession,
        path: str,
        decode: Decode[T],
        updated: Callable[[Mapping[str, T]], None],
        *,
        patience: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.path = path
        self.entries: Mapping[str, T] = {}
        self.is_read = False
        self._session = session
        self._decode = decode
        self._updated = updated
        self._patience = patience
        self._known: set[str] = set()
        self._changed: set[str] = set()
        self._relist = True
        self._due = 0.0
        self._refreshing = asyncio.Lock()

    def suspect(self, name: str, *, others: bool) -> None:
        """A node has changed, or is there, or is gone, and with `others` perhaps more of them.

        What is heard of others may be on its way still when our own request is answered.
        """
        self._changed.add(name)
        self._relist |= others

    def suspect_all(self) -> None:
        """Every watch is gone."""
        self._changed |= self._known
        self._relist = True

    def noticed(self, path: str, children: bool, now: float) -> bool:
        """A watch fired; False when it is not one of ours."""
        above, _, name = path.rpartition("/")
        if path == self.path:
            self._relist = True
        elif above == self.path and not children:
            if not self._changed:
                self._due = now + self._patience()
            self._changed.add(name)
        else:
            return False
        return True

    def due_in(self, now: float) -> float | None:
        """Seconds until it is time to refresh; None when nothing has changed."""
        if self._relist:
            return 0.0
        return max(0.0, self._due - now) if self._changed else None

    def forget(self, names: set[str]) -> None:
        """Takes nodes out that are known to be gone."""
        self._known -= names
        if names & self.entries.keys():
            self._put({name: entry for name, entry in self.entries.items() if name not in names})

    async def refresh(self) -> None:
        """Reads what has changed. Raises what the session raises; what is to be read then stays so."""
        async with self._refreshing:
            relist, changed = self._relist, self._changed
            self._relist, self._changed = False, set()
            try:
                names = set(await self._session.children(self.path) if relist else self._known | changed)
                wanted = sorted((names - self._known) | (changed & names))
                found = await asyncio.gather(*(self._read(name) for name in wanted))
            except BaseException:
                self._relist |= relist
                self._changed |= changed
                raise
            # All of it changes in one step: who leads is judged by all that are there.
            entries = {name: entry for name, entry in self.entries.items() if name in names}
            for name, node in zip(wanted, found, strict=True):
                entries.pop(name, None)
                if node is None:
                    names.discard(name)  # unknown, so that it is read when it comes back
                elif (entry := self._decode(name, node)) is not None:
                    entries[name] = entry
            self._known = names
            self.is_read = True
            self._put(entries)

    async def _read(self, name: str) -> Found | None:
        return await self._session.get(f"{self.path}/{name}", watch=True)

    def _put(self, entries: Mapping[str, T]) -> None:
        self.entries = entries
        self._updated(entries)
