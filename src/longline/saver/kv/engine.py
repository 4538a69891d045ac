"""Opening the engine of a cluster, on a store that is open already."""

import asyncio
from collections.abc import Mapping

from longline.saver.bundle import Durability
from longline.saver.kv.apps import KvApps
from longline.saver.kv.bodies import Bodies
from longline.saver.kv.carrying import Carrying
from longline.saver.kv.devices import KvDevices
from longline.saver.kv.events import KvEvents
from longline.saver.kv.expiry import KvExpiry
from longline.saver.kv.inboxes import KvInboxes
from longline.saver.kv.journal import Journal
from longline.saver.kv.ledgers import KvLedgers
from longline.saver.kv.messages import KvMessages
from longline.saver.kv.partitions import Partitions, script
from longline.saver.kv.retained import KvRetained
from longline.saver.kv.routing import KvRouting
from longline.store.redis import Store
from longline.telemetry.faults import Faults

CHECK = script("check.lua")


class RedisSaver:
    """Fulfils `Saver` for processes that share a store: a port is an attribute. Made by `open`."""

    def __init__(
        self,
        store: Store,
        urgent: Store,
        ledger_retention_ms: int,
        event_limit: int,
        cache_bytes: int,
        retained_messages: int,
        retained_bytes: int,
        faults: Faults,
    ) -> None:
        self._store = store
        partitions = self._partitions = Partitions(store)
        self._bodies = Bodies(partitions, cache_bytes)
        journal = Journal(partitions, faults)
        carrying = Carrying(partitions, ledger_retention_ms)
        self.apps = KvApps(partitions)
        self.devices = KvDevices(partitions, self.apps, ledger_retention_ms, faults)
        self.messages = KvMessages(partitions, journal, carrying, faults)
        self.inboxes = KvInboxes(partitions, Partitions(urgent), self.apps, self._bodies, faults)
        self.ledgers = KvLedgers(partitions, self.apps)
        self.routing = KvRouting(partitions, self._bodies, journal, carrying, faults)
        self.events = KvEvents(partitions, event_limit, faults)
        self.retained = KvRetained(
            partitions, self.apps, faults, max_messages=retained_messages, max_bytes=retained_bytes
        )
        self.expiry = KvExpiry(partitions, self.apps, self.retained, ledger_retention_ms, faults)

    @classmethod
    async def open(
        cls,
        store: Store,
        *,
        urgent: Store | None = None,
        ledger_retention_ms: int = 7 * 86_400_000,
        event_limit: int = 100_000,
        cache_bytes: int = 64 * 1024 * 1024,
        retained_messages: int = 1_000_000,
        retained_bytes: int = 256 * 1024 * 1024,
        faults: Faults | None = None,
    ) -> "RedisSaver":
        """An engine on an open store, which stays its owner's to close.

        `urgent`: the same store by connections of its own, for what is not to wait behind bulk work; `store`
        unless given. `ledger_retention_ms`: how long a ledger is kept after its message's end. `event_limit`:
        events kept for each app, `retained_messages` and `retained_bytes` likewise. `cache_bytes`: memory for
        the messages of broadcasts. `faults`: where it is noted when the store refuses one item of a batch.
        """
        kept = (ledger_retention_ms, event_limit, cache_bytes, retained_messages, retained_bytes)
        return cls(store, urgent or store, *kept, faults or Faults())

    def durability(self) -> Durability:
        assurance = self._store.durability()
        return Durability(assurance.level, assurance.copies, assurance.appended)

    async def check(self) -> None:
        """A key in every partition; the error of one of them where none takes it."""
        partitions = self._partitions
        calls = [partitions.run(each, CHECK, (), durable=True) for each in range(partitions.count)]
        replies = await asyncio.gather(*calls, return_exceptions=True)
        errors = [reply for reply in replies if isinstance(reply, BaseException)]
        if len(errors) == len(replies):
            raise errors[0]

    async def close(self) -> None:
        """Nothing waits here: what was accepted is in the store."""

    def statistics(self) -> Mapping[str, int]:
        return {
            "broadcast_cache_bytes": self._bodies.size,
            "retained_messages": self.expiry.retained_messages(),
        }
