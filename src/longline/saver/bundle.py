"""The store of a shape, as the bundle of its ports."""

from collections.abc import Mapping
from typing import Protocol

import msgspec

from longline.saver.port.apps import AppStore
from longline.saver.port.devices import DeviceStore
from longline.saver.port.events import EventStore
from longline.saver.port.expiry import ExpiryStore
from longline.saver.port.inboxes import InboxStore
from longline.saver.port.ledgers import LedgerStore
from longline.saver.port.messages import MessageStore
from longline.saver.port.retained import RetainedStore
from longline.saver.port.routing import RoutingStore


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
    def retained(self) -> RetainedStore: ...

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
