"""The store of a shape, as the bundle of its ports."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from longline.saver.port.apps import AppStore
from longline.saver.port.audiences import AudienceStore
from longline.saver.port.calls import CallStore
from longline.saver.port.devices import DeviceStore
from longline.saver.port.events import EventStore
from longline.saver.port.expiry import ExpiryStore
from longline.saver.port.figures import FigureStore
from longline.saver.port.flights import FlightStore
from longline.saver.port.groups import GroupStore
from longline.saver.port.inboxes import InboxStore
from longline.saver.port.keys import KeyStore
from longline.saver.port.ledgers import LedgerStore
from longline.saver.port.messages import MessageStore
from longline.saver.port.parking import ParkingStore
from longline.saver.port.profiles import ProfileStore
from longline.saver.port.queues import QueueStore
from longline.saver.port.rates import RateStore
from longline.saver.port.retained import RetainedStore
from longline.saver.port.retirement import RetirementStore
from longline.saver.port.routing import RoutingStore
from longline.saver.port.schedules import ScheduleStore
from longline.saver.port.sessions import SessionStore
from longline.saver.port.shadows import ShadowStore
from longline.saver.port.statistics import StatisticsStore
from longline.saver.port.trail import TrailStore
from longline.saver.port.visits import VisitStore
from longline.saver.port.webhooks import WebhookStore


class Durability(msgspec.Struct, frozen=True):
    """What an accepted message survives at the moment of its 202, as far as the engine makes sure of it.

    `level`: `memory` (the store's process must live), `fsync` (on its disk), `replicated` (also in the memory
    of `copies` replicas). `appended`: of `memory`, that a crash of the process alone loses nothing; its host
    must live until the next sync.
    """

    level: str
    copies: int = 0
    appended: bool = False


class Saver(Protocol):
    """What an engine has: a port for each subject, and a life of its own."""

    @property
    def apps(self) -> AppStore: ...

    @property
    def devices(self) -> DeviceStore: ...

    @property
    def visits(self) -> VisitStore: ...

    @property
    def retirement(self) -> RetirementStore: ...

    @property
    def counts(self) -> StatisticsStore: ...

    @property
    def audiences(self) -> AudienceStore: ...

    @property
    def messages(self) -> MessageStore: ...

    @property
    def inboxes(self) -> InboxStore: ...

    @property
    def ledgers(self) -> LedgerStore: ...

    @property
    def routing(self) -> RoutingStore: ...

    @property
    def events(self) -> EventStore: ...

    @property
    def sessions(self) -> SessionStore: ...

    @property
    def queues(self) -> QueueStore: ...

    @property
    def flights(self) -> FlightStore: ...

    @property
    def parking(self) -> ParkingStore: ...

    @property
    def retained(self) -> RetainedStore: ...

    @property
    def schedules(self) -> ScheduleStore: ...

    @property
    def shadows(self) -> ShadowStore: ...

    @property
    def webhooks(self) -> WebhookStore: ...

    @property
    def groups(self) -> GroupStore: ...

    @property
    def replies(self) -> CallStore: ...

    @property
    def keys(self) -> KeyStore: ...

    @property
    def trail(self) -> TrailStore: ...

    @property
    def figures(self) -> FigureStore: ...

    @property
    def profiles(self) -> ProfileStore: ...

    @property
    def rates(self) -> RateStore: ...

    @property
    def expiry(self) -> ExpiryStore: ...

    def durability(self) -> Durability:
        """What `messages.enqueue` and `inboxes.settle` promise on their return."""
        ...

    async def check(self) -> None:
        """Writes something of no meaning as it would a message; raises what keeps the store from taking one.

        Where the store has parts, some of which take what is written, it raises nothing.
        """
        ...

    def statistics(self) -> Mapping[str, int]:
        """Plain figures for the metrics: queue lengths, commits, rows, bytes."""
        ...

    async def close(self) -> None:
        """Finishes what was accepted, then releases the store."""
        ...
