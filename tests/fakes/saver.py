"""A saver that does what a test says and notes what it is asked."""

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import cast

from longline.errors import LonglineError
from longline.model.apps import App
from longline.model.commands import Broadcast, Unicast
from longline.model.devices import Device, Profile
from longline.model.pubsub import Publication
from longline.mqtt.topics import matches
from longline.saver.bundle import Durability
from longline.saver.port.apps import AppStore
from longline.saver.port.audiences import AudienceStore
from longline.saver.port.calls import CallStore
from longline.saver.port.devices import DeviceStore
from longline.saver.port.events import EventStore
from longline.saver.port.expiry import ExpiryStore
from longline.saver.port.figures import FigureStore
from longline.saver.port.flights import FlightStore
from longline.saver.port.groups import GroupStore
from longline.saver.port.inboxes import GUEST, Arrival, Arrive, Cursor, Fetch, InboxStore, Page, Receipt, Told
from longline.saver.port.keys import KeyStore
from longline.saver.port.ledgers import LedgerStore
from longline.saver.port.messages import IdempotencyConflict, MessageStore, Outcome, Submission
from longline.saver.port.parking import ParkingStore
from longline.saver.port.profiles import ProfileStore
from longline.saver.port.queues import QueueStore
from longline.saver.port.rates import RateStore
from longline.saver.port.retained import FindRetained, Retain, RetainedPage, RetainedStore
from longline.saver.port.retirement import RetirementStore
from longline.saver.port.routing import RoutingStore
from longline.saver.port.schedules import DueTimers, ScheduleStore
from longline.saver.port.sessions import SessionStore
from longline.saver.port.shadows import ShadowStore
from longline.saver.port.statistics import StatisticsStore
from longline.saver.port.trail import TrailStore
from longline.saver.port.visits import VisitStore
from longline.saver.port.webhooks import WebhookStore
from tests.fakes.parking import FakeParking
from tests.fakes.sessions import FakeSessions


class FakeSaver:
    """Fulfils `Saver` as far as roles' tests need it; what is missing raises `AttributeError`.

    Every call is noted in `calls` by the name of the method below. `holds` hold calls of a method up,
    `faults` fail its next ones. A test that needs more overrides a method; the ports call it.
    """

    def __init__(self) -> None:
        self.holds: dict[str, asyncio.Event] = {}
        self.faults: dict[str, list[LonglineError]] = {}
        self.calls: list[str] = []
        # What it has.
        self.known: dict[str, App] = {}
        self.arrivals: dict[str, Arrival | None] = {}  # None: the app was deleted
        self.unregistered: set[str] = set()  # who came and was not to be registered
        self.pages: dict[int, list[Page]] = {}  # by ordinal, one for each fetch
        self.outcomes: list[Outcome | IdempotencyConflict] = []  # one for each submission
        self.interrupted: list[Unicast | Broadcast] = []
        self.unsaid: list[Unicast | Broadcast] = []
        self.due: int | None = None
        self.work = 0  # messages that are over
        self.retained_messages: dict[tuple[int, str], Publication] = {}
        self.unretained: dict[str, str] = {}  # topics that are refused, and why
        self.poison: set[str] = set()  # topics that nobody foresaw
        # What it was told.
        self.looked_up: list[str] = []
        self.submitted: list[list[Submission]] = []
        self.arrived: list[list[Arrive]] = []
        self.fetched: list[list[Fetch]] = []
        self.settled: list[list[Receipt]] = []
        self.advanced: list[list[Cursor]] = []
        self.told: list[Told] = []
        self.assigned: list[tuple[int, str, list[str]]] = []
        self.finished: list[tuple[int, str, str]] = []
        self.kept: list[list[Retain]] = []
        self.found: list[list[FindRetained]] = []
        self.asked: list[tuple[str, int]] = []  # `complete` and `unrouted`, and how old what they look for is
        self.apps = cast(AppStore, SimpleNamespace(find=self.find_app))
        self.devices = cast(DeviceStore, SimpleNamespace(find=self.find_devices, count=self.count_devices))
        self.audiences = cast(AudienceStore, SimpleNamespace())
        self.messages = cast(MessageStore, SimpleNamespace(enqueue=self.enqueue))
        self.inboxes = cast(
            InboxStore,
            SimpleNamespace(
                arrive=self.arrive,
                fetch=self.fetch,
                settle=self.settle,
                advance=self.advance,
                close_gaps=self.close_gaps,
            ),
        )
        self.ledgers = cast(LedgerStore, SimpleNamespace())
        self.routing = cast(
            RoutingStore,
            SimpleNamespace(
                assign=self.assign, finish=self.finish, complete=self.complete, unrouted=self.unrouted
            ),
        )
        self.events = cast(EventStore, SimpleNamespace())
        self.kept_sessions = FakeSessions()
        self.sessions: SessionStore = self.kept_sessions
        self.queues: QueueStore = self.kept_sessions
        self.flights: FlightStore = self.kept_sessions
        self.schedules = cast(ScheduleStore, SimpleNamespace(due=self.due_timers))
        self.replies = cast(CallStore, SimpleNamespace())
        self.rates = cast(RateStore, SimpleNamespace())
        self.shadows = cast(ShadowStore, SimpleNamespace())
        self.webhooks = cast(WebhookStore, SimpleNamespace())
        self.keys = cast(KeyStore, SimpleNamespace())
        self.trail = cast(TrailStore, SimpleNamespace())
        self.figures = cast(FigureStore, SimpleNamespace())
        self.profiles = cast(ProfileStore, SimpleNamespace())
        self.retirement = cast(RetirementStore, SimpleNamespace())
        self.counts = cast(StatisticsStore, SimpleNamespace())
        self.visits = cast(VisitStore, SimpleNamespace())
        self.groups = cast(GroupStore, SimpleNamespace())
        self.noted_silent = FakeParking()
        self.parking: ParkingStore = self.noted_silent
        self.retained = cast(RetainedStore, SimpleNamespace(keep=self.keep_retained, find=self.find_retained))
        self.expiry = cast(ExpiryStore, SimpleNamespace(next_due=self.next_due, end=self.end))

    def hold(self, method: str) -> asyncio.Event:
        """Calls of this method wait until the event is set."""
        return self.holds.setdefault(method, asyncio.Event())

    async def _enter(self, method: str) -> None:
        self.calls.append(method)
        hold = self.holds.get(method)
        if hold is not None:
            await hold.wait()
        faults = self.faults.get(method)
        if faults:
            raise faults.pop(0)

    def durability(self) -> Durability:
        return Durability("memory")

    def statistics(self) -> Mapping[str, int]:
        return {}

    async def check(self) -> None:
        await self._enter("check")

    async def close(self) -> None:
        self.calls.append("close")

    # --- apps and messages ---

    async def find_app(self, name: str) -> App | None:
        self.looked_up.append(name)
        await self._enter("find_app")
        return self.known.get(name)

    async def count_devices(self, app: int) -> int:
        return len(self.arrivals)

    async def enqueue(self, batch: Sequence[Submission]) -> list[Outcome | IdempotencyConflict]:
        self.submitted.append(list(batch))
        await self._enter("enqueue")
        return [self.outcomes.pop(0) for _ in batch]

    # --- inboxes ---

    async def arrive(self, batch: Sequence[Arrive]) -> list[Arrival | None]:
        self.arrived.append(list(batch))
        await self._enter("arrive")
        return [self._arrival(item) for item in batch]

    def _arrival(self, item: Arrive) -> Arrival | None:
        if item.device not in self.arrivals and not item.register:
            self.unregistered.add(item.device)
            return Arrival(GUEST, False, 0, 0)
        return self.arrivals.setdefault(item.device, Arrival(len(self.arrivals), False, 0, 0))

    async def find_devices(self, app: int, names: Sequence[str]) -> list[Device | None]:
        await self._enter("find_devices")
        return [
            None
            if arrival is None
            else Device(app="", device=name, ordinal=arrival.ordinal, profile=Profile(), created_at=0)
            for name in names
            for arrival in [self.arrivals.get(name)]
        ]

    async def fetch(self, batch: Sequence[Fetch]) -> list[Page]:
        self.fetched.append(list(batch))
        await self._enter("fetch")
        nothing = Page((), 0, True)
        return [self.pages[f.ordinal].pop(0) if self.pages.get(f.ordinal) else nothing for f in batch]

    async def settle(self, batch: Sequence[Receipt]) -> None:
        self.settled.append(list(batch))
        await self._enter("settle")

    async def advance(self, batch: Sequence[Cursor]) -> None:
        self.advanced.append(list(batch))
        await self._enter("advance")

    async def close_gaps(self, batch: Sequence[Told]) -> None:
        self.told += batch
        await self._enter("close_gaps")

    # --- what is to be sent later ---

    async def due_timers(self, now: int, limit: int) -> DueTimers:
        await self._enter("due_timers")
        return DueTimers((), 0)

    # --- retained messages ---

    async def keep_retained(self, batch: Sequence[Retain]) -> list[str | None]:
        self.kept.append(list(batch))
        await self._enter("keep_retained")
        if any(item.publication.topic in self.poison for item in batch):
            raise ValueError("what nobody foresaw")
        codes = [self.unretained.get(item.publication.topic) for item in batch]
        for item, code in zip(batch, codes, strict=True):
            if code is None:
                place = (item.app, item.publication.topic)
                self.retained_messages.pop(place, None)
                if item.publication.payload:
                    self.retained_messages[place] = item.publication
        return codes

    async def find_retained(self, batch: Sequence[FindRetained]) -> list[RetainedPage]:
        self.found.append(list(batch))
        await self._enter("find_retained")
        if any(find.filter in self.poison for find in batch):
            raise ValueError("what nobody foresaw")
        return [self._page(find) for find in batch]

    def _page(self, find: FindRetained) -> RetainedPage:
        found = sorted(
            (topic, publication)
            for (app, topic), publication in self.retained_messages.items()
            if app == find.app and topic >= find.start and matches(find.filter, topic)
        )
        left = found[find.limit :]
        publications = tuple([publication for _, publication in found[: find.limit]])
        return RetainedPage(publications, left[0][0] if left else "")

    # --- routing ---

    async def assign(self, app: int, message_id: str, nodes: Sequence[str]) -> None:
        self.assigned.append((app, message_id, sorted(nodes)))
        await self._enter("assign")

    async def finish(self, app: int, message_id: str, node: str, at: int) -> None:
        self.finished.append((app, message_id, node))
        await self._enter("finish")

    async def complete(self, before: int, limit: int) -> list[Unicast | Broadcast]:
        self.asked.append(("complete", before))
        await self._enter("complete")
        return self.interrupted

    async def unrouted(self, before: int, limit: int) -> list[Unicast | Broadcast]:
        self.asked.append(("unrouted", before))
        await self._enter("unrouted")
        return self.unsaid

    # --- expiry ---

    async def next_due(self) -> int | None:
        await self._enter("next_due")
        return self.due

    async def end(self, now: int, limit: int) -> int:
        await self._enter("end")
        done = min(limit, self.work)
        self.work -= done
        return done
