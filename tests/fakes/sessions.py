"""Sessions that are kept, and their queues, in memory: as far as a room's tests need them."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from longline.errors import Fenced, LonglineError
from longline.model.devices import Binding
from longline.model.pubsub import Filter, StoredWill
from longline.mqtt.topics import matches
from longline.saver.port.flights import BeginFlights, Flight, FlightStep
from longline.saver.port.queues import (
    Complete,
    Declined,
    HandedOver,
    Published,
    Queued,
    QueueEntry,
    QueuePage,
    QueuePublication,
    Read,
    Settle,
    Step,
)
from longline.saver.port.sessions import (
    AddFilter,
    CloseSession,
    DueWill,
    KeepSession,
    KeptSession,
    OpenSession,
    RemoveFilter,
)

Key = tuple[int, int]  # app and ordinal


@dataclass
class Stored:
    """A session as the store has it."""

    number: int
    epoch: int
    device: str
    expires_in: int
    connected: bool = True
    will: StoredWill | None = None
    filters: dict[str, Filter] = field(default_factory=dict)
    queue: dict[int, QueueEntry] = field(default_factory=dict)
    released: set[int] = field(default_factory=set)
    received: dict[int, str] = field(default_factory=dict)  # the ids of messages by packet identifiers
    flights: dict[int, Flight] = field(default_factory=dict)
    latest: int = 0
    sent: int = 0


class FakeSessions:
    """Fulfils `SessionStore`, `QueueStore` and `FlightStore`. `locate` says where a device is bound."""

    def __init__(self) -> None:
        self.there: dict[Key, Stored] = {}
        self.calls: list[str] = []
        self.faults: dict[str, list[LonglineError]] = {}
        self.holds: dict[str, asyncio.Event] = {}
        self.declines: dict[str, str] = {}  # topics that are, and why
        self.full: set[str] = set()  # topics for which no queue has room
        self.closed: list[CloseSession] = []
        self.settled: list[Settle] = []
        self.behind: list[tuple[int, Queued]] = []  # those of which nobody was told, once
        self.asked: list[int] = []  # since when
        self.locate: Callable[[int, str], Binding | None] = lambda app, device: None

    def _enter(self, method: str) -> None:
        self.calls.append(method)
        if self.faults.get(method):
            raise self.faults[method].pop(0)

    async def open(self, batch: Sequence[OpenSession]) -> list[KeptSession | None]:
        self._enter("open")
        return [self._open(item) for item in batch]

    def _open(self, item: OpenSession) -> KeptSession | None:
        key = (item.app, item.ordinal)
        known = self.there.get(key)
        if known is not None and known.epoch > item.epoch:
            return None
        present = known is not None and not item.clean and known.expires_in > 0
        if known is None or not present:
            known = self.there[key] = Stored(item.epoch, item.epoch, item.device, item.expires_in)
        known.epoch, known.expires_in, known.connected = item.epoch, item.expires_in, True
        known.will = item.will
        return KeptSession(
            known.number,
            present,
            tuple(known.filters[name] for name in sorted(known.filters)),
            min(known.queue, default=0),
            known.sent,
            known.latest,
            tuple(sorted(known.released)),
            tuple(sorted(known.received)),
            tuple(sorted(known.flights.values(), key=lambda flight: flight.position)),
        )

    async def begin(self, batch: Sequence[BeginFlights]) -> list[bool]:
        self._enter("begin")
        answers = []
        for item in batch:
            known = self.there.get((item.app, item.ordinal))
            answers.append(known is not None and (known.number, known.epoch) == (item.number, item.epoch))
            if known is not None and answers[-1]:
                known.flights.update({flight.packet_id: flight for flight in item.flights})
        return answers

    async def step(self, batch: Sequence[FlightStep]) -> None:
        self._enter("step")
        for item in batch:
            known = self.there.get((item.app, item.ordinal))
            if known is None or known.number != item.number:
                continue
            flight = known.flights.get(item.packet_id)
            if flight is None or flight.position != item.position:
                continue
            if item.released:
                known.flights[item.packet_id] = msgspec.structs.replace(flight, released=True)
            else:
                del known.flights[item.packet_id]

    async def keep(self, batch: Sequence[KeepSession]) -> list[bool]:
        self._enter("keep")
        answers = []
        for item in batch:
            known = self.there.get((item.app, item.ordinal))
            answers.append(known is not None and known.number == item.number and known.epoch == item.before)
            if known is not None and answers[-1]:
                known.epoch, known.connected = item.epoch, True
        return answers

    async def close(self, batch: Sequence[CloseSession]) -> list[bool]:
        self._enter("close")
        self.closed += batch
        answers = []
        for item in batch:
            key = (item.app, item.ordinal)
            known = self.there.get(key)
            answers.append(known is None or known.epoch == item.epoch)
            if known is not None and answers[-1]:
                known.connected = False
                if item.expires_in is not None:
                    known.expires_in = item.expires_in
                if not known.expires_in:
                    del self.there[key]
        return answers

    async def abandon(self, node: str, now: int, grace: int, limit: int) -> int:
        return 0

    async def subscribe(self, batch: Sequence[AddFilter]) -> list[bool | None]:
        self._enter("subscribe")
        answers: list[bool | None] = []
        for item in batch:
            known = self._owned(item.app, item.ordinal, item.number, item.epoch)
            answers.append(None if known is None else item.filter.filter in known.filters)
            if known is not None:
                known.filters[item.filter.filter] = item.filter
        return answers

    async def unsubscribe(self, batch: Sequence[RemoveFilter]) -> list[bool | None]:
        self._enter("unsubscribe")
        answers: list[bool | None] = []
        for item in batch:
            known = self._owned(item.app, item.ordinal, item.number, item.epoch)
            answers.append(None if known is None else known.filters.pop(item.filter, None) is not None)
        return answers

    def _owned(self, app: int, ordinal: int, number: int, epoch: int | None = None) -> Stored | None:
        known = self.there.get((app, ordinal))
        if known is None or known.number != number or epoch not in (None, known.epoch):
            return None
        return known

    async def filters(self, app: int, ordinal: int, now: int) -> list[Filter] | None:
        known = self.there.get((app, ordinal))
        return None if known is None else [known.filters[name] for name in sorted(known.filters)]

    async def wanted(self, apps: Sequence[int]) -> list[bool]:
        self._enter("wanted")
        return [any(key[0] == app and known.filters for key, known in self.there.items()) for app in apps]

    async def count(self, app: int) -> int:
        return sum(key[0] == app for key in self.there)

    async def sweep(self, now: int, limit: int) -> int:
        return 0

    async def due_wills(self, now: int, limit: int, lease: int) -> list[DueWill]:
        return []

    async def published(self, wills: Sequence[DueWill]) -> None:
        pass

    async def publish(self, batch: Sequence[QueuePublication]) -> list[Published | Declined]:
        if "publish" in self.holds:
            await self.holds["publish"].wait()
        self._enter("publish")
        return [self._publish(item) for item in batch]

    def _publish(self, item: QueuePublication) -> Published | Declined:
        publication = item.publication
        if publication.topic in self.declines:
            return Declined(self.declines[publication.topic])
        received = item.received
        if received is not None:
            sender = self._owned(item.app, received.ordinal, received.number, received.epoch)
            if sender is None:
                return Declined(Fenced.code)
            if received.packet_id in sender.received:
                return Published(sender.received[received.packet_id], again=True)
            sender.received[received.packet_id] = publication.id
        queued: list[Queued] = []
        full = 0
        receivers = [(to.ordinal, to.number, to.qos, to.identifier) for to in item.given]
        groups = self._groups(item)
        receivers += groups.values()
        full += len(self._groups(item, any_queue=True).keys() - groups.keys())
        for (app, ordinal), known in self.there.items() if item.matching else ():
            wanted = [f.qos for f in known.filters.values() if matches(f.filter, publication.topic)]
            if app == item.app and wanted:
                receivers.append((ordinal, known.number, max(wanted), 0))
        for ordinal, number, qos, identifier in receivers:
            session = self._owned(item.app, ordinal, number)
            if session is None or not qos:
                continue
            if publication.topic in self.full or session.device in self.full:
                full += 1
                continue
            session.latest += 1
            session.queue[session.latest] = QueueEntry(
                session.latest,
                publication,
                min(qos, publication.qos),
                False,
                (identifier,) if identifier else (),
            )
            binding = self.locate(item.app, session.device)
            queued.append(Queued(session.device, ordinal, binding, session.latest))
        return Published(publication.id, tuple(queued), full, groups=tuple(groups))

    def _groups(
        self, item: QueuePublication, *, any_queue: bool = False
    ) -> dict[str, tuple[int, int, int, int]]:
        """Of each group for which the store is to choose, a session: one with room, unless `any_queue`."""
        shares, found = item.shares, dict[str, tuple[int, int, int, int]]()
        for (app, ordinal), known in self.there.items() if shares is not None else ():
            for key, filter in known.filters.items():
                if (
                    shares is not None
                    and app == item.app
                    and filter.shared
                    and matches(key.split("/", 2)[2], item.publication.topic)
                    and key not in shares.served
                    and (shares.only is None or key in shares.only)
                    and (any_queue or known.device not in self.full)
                ):
                    found.setdefault(key, (ordinal, known.number, filter.qos, filter.identifier))
        return found

    async def hand_over(self, now: int, limit: int) -> HandedOver:
        return HandedOver()

    async def read(self, batch: Sequence[Read]) -> list[QueuePage]:
        if "read" in self.holds:
            await self.holds["read"].wait()
        self._enter("read")
        pages = []
        for item in batch:
            known = self._owned(item.app, item.ordinal, item.number)
            entries = (
                [] if known is None else [e for place, e in sorted(known.queue.items()) if place > item.after]
            )
            pages.append(QueuePage(tuple(entries[: item.limit]), len(entries) <= item.limit))
        return pages

    async def settle(self, batch: Sequence[Settle]) -> None:
        if "settle" in self.holds:
            await self.holds["settle"].wait()
        self._enter("settle")
        self.settled += batch
        for item in batch:
            known = self._owned(item.app, item.ordinal, item.number)
            if known is None:
                continue
            if item.step == Step.SENT:
                known.sent = max(known.sent, item.place)
            elif item.step == Step.RELEASED:
                if known.queue.pop(item.place, None) is not None:
                    known.released.add(item.place)
            else:
                known.queue.pop(item.place, None)
                known.released.discard(item.place)

    async def complete(self, batch: Sequence[Complete]) -> None:
        self._enter("complete")
        for item in batch:
            known = self._owned(item.app, item.ordinal, item.number)
            if known is not None:
                known.received.pop(item.packet_id, None)

    async def untold(self, before: int, limit: int) -> list[tuple[int, Queued]]:
        self._enter("untold")
        self.asked.append(before)
        found, self.behind = self.behind[:limit], self.behind[limit:]
        return found
