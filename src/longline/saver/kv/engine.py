"""Opening the engine of a cluster, on a store that is open already."""

import asyncio
from collections.abc import Mapping

from longline.saver.bounds import BOUNDS, SaverBounds
from longline.saver.bundle import Durability
from longline.saver.kv.apps import KvApps
from longline.saver.kv.audiences import KvAudiences
from longline.saver.kv.bodies import Bodies
from longline.saver.kv.calls import KvCalls
from longline.saver.kv.carrying import Carrying
from longline.saver.kv.changes import ChangeStreams
from longline.saver.kv.choosing import Choosing
from longline.saver.kv.counts import KvCounts
from longline.saver.kv.devices import KvDevices
from longline.saver.kv.directories import Directories
from longline.saver.kv.entering import Entering
from longline.saver.kv.events import KvEvents
from longline.saver.kv.expiry import KvExpiry
from longline.saver.kv.figures import KvFigures
from longline.saver.kv.flights import KvFlights
from longline.saver.kv.groups import KvGroups
from longline.saver.kv.handing import Handing
from longline.saver.kv.inboxes import KvInboxes
from longline.saver.kv.journal import Journal
from longline.saver.kv.keys import KvKeys
from longline.saver.kv.ledgers import KvLedgers
from longline.saver.kv.matching import Matching
from longline.saver.kv.messages import KvMessages
from longline.saver.kv.parking import KvParking
from longline.saver.kv.partitions import Partitions, script
from longline.saver.kv.profiles import KvProfiles
from longline.saver.kv.queues import KvQueues
from longline.saver.kv.rates import KvRates
from longline.saver.kv.received import ReceivedMessages
from longline.saver.kv.retained import KvRetained
from longline.saver.kv.retirement import KvRetirement
from longline.saver.kv.routing import KvRouting
from longline.saver.kv.sayings import Sayings
from longline.saver.kv.schedules import KvSchedules
from longline.saver.kv.sessions import KvSessions
from longline.saver.kv.shadows import KvShadows
from longline.saver.kv.trail import KvTrail
from longline.saver.kv.visits import KvVisits
from longline.saver.kv.webhooks import KvWebhooks
from longline.saver.sealing import IN_CLEAR, Seals
from longline.store.redis import Store
from longline.telemetry.faults import Faults

CHECK = script("check.lua")


class RedisSaver:
    """Fulfils `Saver` for processes that share a store: a port is an attribute. Made by `open`."""

    def __init__(
        self,
        store: Store,
        urgent: Store,
        cache_bytes: int,
        bounds: SaverBounds,
        seals: Seals,
        faults: Faults,
    ) -> None:
        self._store = store
        partitions = self._partitions = Partitions(store)
        retention, inbox, connections = bounds.ledger_retention_ms, bounds.inbox, bounds.connections
        in_haste = Partitions(urgent)
        self._bodies = Bodies(partitions, cache_bytes)
        journal = Journal(partitions, faults)
        sayings = Sayings(partitions, bounds.groups)
        carrying = Carrying(partitions, retention, inbox, sayings)
        self.apps = KvApps(partitions, seals)
        self.webhooks = KvWebhooks(partitions, self.apps, bounds.dead, seals, faults)
        self.events = KvEvents(partitions, ChangeStreams(partitions), bounds.events, faults)
        self.retained = KvRetained(
            partitions,
            self.apps,
            faults,
            max_messages=bounds.retained_messages,
            max_bytes=bounds.retained_bytes,
        )
        self.devices = KvDevices(
            partitions, self.apps, self.events, self.webhooks, self.retained, retention, faults
        )
        self.visits = KvVisits(partitions, connections, faults)
        self.retirement = KvRetirement(
            partitions, self.apps, self.events, self.webhooks, self.retained, retention
        )
        self.counts = KvCounts(partitions, bounds.counts)
        self.audiences = KvAudiences(partitions, sayings)
        self.groups = KvGroups(partitions, self.apps, sayings, bounds.groups)
        self.messages = KvMessages(partitions, in_haste, journal, carrying, sayings, faults)
        self.inboxes = KvInboxes(partitions, in_haste, self.apps, self._bodies, inbox, connections, faults)
        self.ledgers = KvLedgers(partitions, self.apps)
        matching = Matching(partitions, bounds.queue.match_limit)
        directories = Directories(partitions, self.apps, faults)
        entering = Entering(partitions, bounds.queue)
        received = ReceivedMessages(partitions, entering, self.events, faults)
        self.sessions = KvSessions(partitions, in_haste, matching, directories, faults)
        self.flights = KvFlights(partitions, faults)
        choosing = Choosing(partitions, bounds.queue)
        handing = Handing(partitions, matching, choosing, entering)
        self.queues = KvQueues(partitions, self.apps, matching, received, choosing, handing, faults)
        self.routing = KvRouting(partitions, self._bodies, journal, carrying, received, faults)
        self.schedules = KvSchedules(partitions, self.apps, bounds.timers, faults)
        self.shadows = KvShadows(partitions, self.apps, faults)
        self.parking = KvParking(partitions, faults)
        self.replies = KvCalls(in_haste, faults)
        self.keys = KvKeys(partitions)
        self.trail = KvTrail(partitions, bounds.trail)
        self.figures = KvFigures(partitions, bounds.figures)
        self.profiles = KvProfiles(partitions, bounds.profiles)
        self.rates = KvRates(in_haste)
        self.expiry = KvExpiry(
            partitions,
            self.apps,
            self.keys,
            self.trail,
            self.retained,
            self.queues,
            retention,
            faults,
        )

    @classmethod
    async def open(
        cls,
        store: Store,
        *,
        urgent: Store | None = None,
        cache_bytes: int = 64 * 1024 * 1024,
        bounds: SaverBounds = BOUNDS,
        seals: Seals = IN_CLEAR,
        faults: Faults | None = None,
    ) -> "RedisSaver":
        """An engine on an open store, which stays its owner's to close.

        `urgent`: the same store by connections of its own, for what is little and is not to wait behind bulk
        work; `store` unless given. `cache_bytes`: memory for the messages of broadcasts. `seals`: how secrets
        are kept. `faults`: where it is noted when the store refuses one item of a batch.
        """
        return cls(store, urgent or store, cache_bytes, bounds, seals, faults or Faults())

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
            "wills_forgotten": self.sessions.wills_forgotten,
            "retained_messages": self.expiry.retained_messages(),
            "audit_forgotten": self.trail.forgotten,
        }
