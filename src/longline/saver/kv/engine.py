"""Opening the engine of a cluster, on a store that is open already."""

import asyncio
from collections.abc import Mapping

from longline.model.devices import ConnectionBounds
from longline.model.events import EventBounds
from longline.model.figures import FigureBounds
from longline.model.groups import GroupBounds
from longline.model.profiles import ProfileBounds
from longline.model.statistics import KeepCounts
from longline.model.trail import TrailBounds
from longline.model.webhooks import DeadBounds
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
from longline.saver.port.inboxes import InboxBounds
from longline.saver.port.queues import QueueBounds
from longline.saver.port.schedules import TimerBounds
from longline.saver.sealing import IN_CLEAR, Seals
from longline.store.redis import Store
from longline.telemetry.faults import Faults

CHECK = script("check.lua")
QUEUES = QueueBounds()
TIMERS = TimerBounds()
EVENTS = EventBounds()
INBOX = InboxBounds()
DEAD = DeadBounds()
TRAIL = TrailBounds()
PROFILES = ProfileBounds()
COUNTS = KeepCounts()
GROUPS = GroupBounds()
FIGURES = FigureBounds()
CONNECTIONS = ConnectionBounds()


class RedisSaver:
    """Fulfils `Saver` for processes that share a store: a port is an attribute. Made by `open`."""

    def __init__(
        self,
        store: Store,
        urgent: Store,
        ledger_retention_ms: int,
        events: EventBounds,
        cache_bytes: int,
        queue: QueueBounds,
        retained_messages: int,
        retained_bytes: int,
        timers: TimerBounds,
        inbox: InboxBounds,
        dead: DeadBounds,
        trail: TrailBounds,
        counts: KeepCounts,
        groups: GroupBounds,
        figures: FigureBounds,
        profiles: ProfileBounds,
        connections: ConnectionBounds,
        seals: Seals,
        faults: Faults,
    ) -> None:
        self._store = store
        partitions = self._partitions = Partitions(store)
        in_haste = Partitions(urgent)
        self._bodies = Bodies(partitions, cache_bytes)
        journal = Journal(partitions, faults)
        sayings = Sayings(partitions, groups)
        carrying = Carrying(partitions, ledger_retention_ms, inbox, sayings)
        self.apps = KvApps(partitions, seals)
        self.webhooks = KvWebhooks(partitions, self.apps, dead, seals, faults)
        self.events = KvEvents(partitions, ChangeStreams(partitions), events, faults)
        self.retained = KvRetained(
            partitions, self.apps, faults, max_messages=retained_messages, max_bytes=retained_bytes
        )
        self.devices = KvDevices(
            partitions, self.apps, self.events, self.webhooks, self.retained, ledger_retention_ms, faults
        )
        self.visits = KvVisits(partitions, connections, faults)
        self.retirement = KvRetirement(
            partitions, self.apps, self.events, self.webhooks, self.retained, ledger_retention_ms
        )
        self.counts = KvCounts(partitions, counts)
        self.audiences = KvAudiences(partitions, sayings)
        self.groups = KvGroups(partitions, self.apps, sayings, groups)
        self.messages = KvMessages(partitions, in_haste, journal, carrying, sayings, faults)
        self.inboxes = KvInboxes(partitions, in_haste, self.apps, self._bodies, inbox, connections, faults)
        self.ledgers = KvLedgers(partitions, self.apps)
        matching = Matching(partitions, queue.match_limit)
        directories = Directories(partitions, self.apps, faults)
        entering = Entering(partitions, queue)
        received = ReceivedMessages(partitions, entering, self.events, faults)
        self.sessions = KvSessions(partitions, in_haste, matching, directories, faults)
        self.flights = KvFlights(partitions, faults)
        choosing = Choosing(partitions, queue)
        handing = Handing(partitions, matching, choosing, entering)
        self.queues = KvQueues(partitions, self.apps, matching, received, choosing, handing, faults)
        self.routing = KvRouting(partitions, self._bodies, journal, carrying, received, faults)
        self.schedules = KvSchedules(partitions, self.apps, timers, faults)
        self.shadows = KvShadows(partitions, self.apps, faults)
        self.parking = KvParking(partitions, faults)
        self.replies = KvCalls(in_haste, faults)
        self.keys = KvKeys(partitions)
        self.trail = KvTrail(partitions, trail)
        self.figures = KvFigures(partitions, figures)
        self.profiles = KvProfiles(partitions, profiles)
        self.rates = KvRates(in_haste)
        self.expiry = KvExpiry(
            partitions,
            self.apps,
            self.keys,
            self.trail,
            self.retained,
            self.queues,
            ledger_retention_ms,
            faults,
        )

    @classmethod
    async def open(
        cls,
        store: Store,
        *,
        urgent: Store | None = None,
        ledger_retention_ms: int = 7 * 86_400_000,
        events: EventBounds = EVENTS,
        cache_bytes: int = 64 * 1024 * 1024,
        queue: QueueBounds = QUEUES,
        retained_messages: int = 1_000_000,
        retained_bytes: int = 256 * 1024 * 1024,
        timers: TimerBounds = TIMERS,
        inbox: InboxBounds = INBOX,
        dead: DeadBounds = DEAD,
        trail: TrailBounds = TRAIL,
        counts: KeepCounts = COUNTS,
        groups: GroupBounds = GROUPS,
        figures: FigureBounds = FIGURES,
        profiles: ProfileBounds = PROFILES,
        connections: ConnectionBounds = CONNECTIONS,
        seals: Seals = IN_CLEAR,
        faults: Faults | None = None,
    ) -> "RedisSaver":
        """An engine on an open store, which stays its owner's to close.

        `urgent`: the same store by connections of its own, for what is little and is not to wait behind bulk
        work; `store` unless given. `ledger_retention_ms`: how long a ledger is kept after its message's end.
        `events`, `retained_messages` and `retained_bytes`: what is kept of each app. `timers`: what an app
        may have that is to be sent later. `cache_bytes`: memory for the messages of broadcasts. `queue`: what
        the queue of a session may hold, and a topic may cost. `inbox`: what may wait for a device. `dead`:
        what is kept of events that no webhook's target took. `trail`: what the audit log keeps. `counts`: for
        how long statistics are kept. `groups`: what there may be of these. `figures`: what is kept of what
        processes tell. `profiles`: what is kept of these. `connections`: what is kept of those that devices
        had. `seals`: how secrets are kept. `faults`: where it is noted when the store refuses one item of a
        batch.
        """
        kept = (ledger_retention_ms, events, cache_bytes, queue, retained_messages, retained_bytes)
        bounds = (timers, inbox, dead, trail, counts, groups)
        return cls(
            store, urgent or store, *kept, *bounds, figures, profiles, connections, seals, faults or Faults()
        )

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
