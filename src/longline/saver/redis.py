"""The engine for a cluster: Redis or Valkey, one server or a Cluster.

Devices, their inboxes and ledgers are divided into partitions, each of which is one atomic place; what spans
several goes by way of a journal. The parts are in `longline.saver.kv`; `layout.py` there is the map of the
keys.
"""

from collections.abc import Mapping, Sequence

from longline.model.apps import App
from longline.model.commands import Broadcast, Unicast
from longline.model.devices import Device
from longline.model.events import Event
from longline.model.ledger import DeliveryRecord
from longline.saver.adapting import Ports
from longline.saver.bundle import Durability
from longline.saver.kv.apps import Apps
from longline.saver.kv.arriving import Arriving
from longline.saver.kv.bodies import Bodies
from longline.saver.kv.events import Events
from longline.saver.kv.expiring import Expiring
from longline.saver.kv.fetching import Fetching
from longline.saver.kv.purging import Purging
from longline.saver.kv.reading import Reading
from longline.saver.kv.registry import Registry
from longline.saver.kv.routing import Routing
from longline.saver.kv.sending import Sending
from longline.saver.kv.settling import Settling
from longline.saver.port.devices import Registration
from longline.saver.port.inboxes import Arrival, Arrive, Cursor, Fetch, Page, Receipt
from longline.saver.port.ledgers import Status
from longline.saver.port.messages import IdempotencyConflict, Outcome, Submission
from longline.store.redis import Store


class RedisSaver(Ports):
    """Fulfils `Saver` for any number of processes that share a store. Made by `open`."""

    def __init__(self, store: Store, ledger_retention_ms: int, event_limit: int, cache_bytes: int) -> None:
        self._store = store
        self._bodies = Bodies(store, cache_bytes)
        self._apps = Apps(store)
        self._registry = Registry(store, self._apps, ledger_retention_ms)
        self._arriving = Arriving(store, self._apps)
        self._purging = Purging(store, self._apps)
        self._events = Events(store, event_limit)
        self._sending = Sending(store, ledger_retention_ms)
        self._fetching = Fetching(store, self._bodies)
        self._settling = Settling(store)
        self._routing = Routing(store, self._bodies)
        self._expiring = Expiring(store, ledger_retention_ms)
        self._reading = Reading(store, self._apps)
        self.adapt()

    @classmethod
    async def open(
        cls,
        store: Store,
        *,
        ledger_retention_ms: int = 7 * 86_400_000,
        event_limit: int = 100_000,
        cache_bytes: int = 64 * 1024 * 1024,
    ) -> "RedisSaver":
        """An engine on an open store, which stays its owner's to close.

        `ledger_retention_ms`: how long a ledger is kept after its message's end. `event_limit`: events kept
        for each app. `cache_bytes`: memory for the messages of broadcasts.
        """
        return cls(store, ledger_retention_ms, event_limit, cache_bytes)

    def durability(self) -> Durability:
        assurance = self._store.durability()
        return Durability(assurance.level, assurance.copies)

    async def close(self) -> None:
        """Nothing waits here: what was accepted is in the store."""

    # --- apps ---

    async def create_app(self, app: App) -> App:
        return await self._apps.create_app(app)

    async def find_app(self, name: str) -> App | None:
        return await self._apps.find_app(name)

    async def list_apps(self, after: str, limit: int) -> list[App]:
        return await self._apps.list_apps(after, limit)

    async def update_app(self, app: App, before: App) -> bool:
        return await self._apps.update_app(app, before)

    async def delete_app(self, app: int) -> None:
        await self._apps.delete_app(app)

    # --- devices ---

    async def register(self, app: int, batch: Sequence[Registration], now: int) -> list[Device]:
        return await self._registry.register(app, batch, now)

    async def find_devices(self, app: int, names: Sequence[str]) -> list[Device | None]:
        return await self._registry.find_devices(app, names)

    async def list_devices(
        self, app: int, *, tag: str | None, alias: str | None, after: int, limit: int
    ) -> list[Device]:
        return await self._registry.list_devices(app, tag=tag, alias=alias, after=after, limit=limit)

    async def count_devices(self, app: int) -> int:
        return await self._registry.count_devices(app)

    async def count_pending(self, app: int, ordinals: Sequence[int], now: int) -> list[int]:
        return await self._fetching.count_pending(app, ordinals, now)

    async def delete_device(self, app: int, device: str, now: int) -> bool:
        return await self._registry.delete_device(app, device, now)

    async def ban(self, app: int, device: str, until: int) -> bool:
        return await self._registry.ban(app, device, until)

    async def arrive(self, batch: Sequence[Arrive]) -> list[Arrival | None]:
        return await self._arriving.arrive(batch)

    # --- messages ---

    async def enqueue(self, batch: Sequence[Submission]) -> list[Outcome | IdempotencyConflict]:
        return await self._sending.enqueue(batch)

    async def fetch(self, batch: Sequence[Fetch]) -> list[Page]:
        return await self._fetching.fetch(batch)

    async def settle(self, batch: Sequence[Receipt]) -> None:
        await self._settling.settle(batch)

    async def assign(self, app: int, message_id: str, nodes: Sequence[str]) -> None:
        await self._routing.assign(app, message_id, nodes)

    async def finish(self, app: int, message_id: str, node: str, at: int) -> None:
        await self._routing.finish(app, message_id, node, at)

    async def unrouted(self, before: int, limit: int) -> list[Unicast | Broadcast]:
        return await self._routing.unrouted(before, limit)

    async def complete(self, before: int, limit: int) -> list[Unicast | Broadcast]:
        return await self._sending.complete(before, limit)

    async def unfinished(self, node: str, limit: int) -> list[tuple[int, str]]:
        return await self._routing.unfinished(node, limit)

    async def advance(self, batch: Sequence[Cursor]) -> None:
        await self._settling.advance(batch)

    async def status(self, app: int, message_id: str) -> Status | None:
        return await self._reading.status(app, message_id)

    async def deliveries(
        self, app: int, message_id: str, after: int, limit: int
    ) -> list[tuple[int, DeliveryRecord]] | None:
        return await self._reading.deliveries(app, message_id, after, limit)

    async def cancel(self, app: int, message_id: str, now: int) -> bool:
        return await self._settling.cancel(app, message_id, now)

    async def expire(self, now: int, limit: int) -> int:
        """Messages first: a deleted app's devices go after its messages."""
        done = await self._expiring.expire(now, limit)
        return done + (await self._purging.purge(limit - done) if done < limit else 0)

    async def next_expiry(self) -> int | None:
        return 0 if await self._purging.waits() else await self._expiring.next_expiry()

    # --- events for app servers ---

    async def record(self, batch: Sequence[Event]) -> None:
        await self._events.record(batch)

    async def read_events(self, app: int, after: str, limit: int) -> list[tuple[str, Event]]:
        return await self._events.events(app, after, limit)

    def statistics(self) -> Mapping[str, int]:
        return {**self._store.statistics(), "broadcast_cache_bytes": self._bodies.size}
