"""Sessions that are kept and their queues, in the words of the suites."""

from dataclasses import dataclass, field
from itertools import count
from typing import Any
from uuid import UUID

from longline.model.pubsub import Filter, Publication, StoredWill
from longline.saver.port.queues import (
    Complete,
    Declined,
    Published,
    QueueEntry,
    QueuePage,
    QueuePublication,
    QueueStore,
    Read,
    Received,
    Settle,
    Step,
)
from longline.saver.port.sessions import (
    FOREVER,
    AddFilter,
    CloseSession,
    DueWill,
    KeepSession,
    KeptSession,
    OpenSession,
    RemoveFilter,
    SessionStore,
)
from tests.contract.store_fixture import START, StoreFixture

GRACE = 10_000  # ms
LEASE = 30_000  # ms


@dataclass(frozen=True)
class Session:
    """A session as the room has it that its device is connected to."""

    device: str
    ordinal: int
    epoch: int
    node: str
    opened: KeptSession

    @property
    def number(self) -> int:
        return self.opened.number


@dataclass
class Kept:
    """A store and what its suites say of sessions."""

    store: StoreFixture
    _ids: "count[int]" = field(default_factory=lambda: count(1))

    @property
    def sessions(self) -> SessionStore:
        return self.store.saver.sessions

    @property
    def queues(self) -> QueueStore:
        return self.store.saver.queues

    # --- sessions ---

    def asks(
        self,
        device: str,
        ordinal: int,
        epoch: int,
        *,
        node: str = "n1",
        clean: bool = False,
        expires_in: int = FOREVER,
        will: StoredWill | None = None,
    ) -> OpenSession:
        return OpenSession(
            self.store.app, device, ordinal, node, epoch, self.store.now, clean, expires_in, will
        )

    async def open(
        self,
        device: str,
        *,
        node: str = "n1",
        clean: bool = False,
        expires_in: int = FOREVER,
        will: StoredWill | None = None,
    ) -> Session:
        """The device connects to a node, and its client asks for a session."""
        ordinal = (await self.store.arrive(device)).ordinal
        epoch = (await self.store.bind(device, node)).epoch
        asked = self.asks(device, ordinal, epoch, node=node, clean=clean, expires_in=expires_in, will=will)
        (opened,) = await self.sessions.open([asked])
        assert opened is not None
        return Session(device, ordinal, epoch, node, opened)

    async def close(self, session: Session, *, will: bool = False, expires_in: int | None = None) -> bool:
        closing = CloseSession(
            self.store.app, session.ordinal, session.epoch, self.store.now, will, expires_in
        )
        (closed,) = await self.sessions.close([closing])
        return closed

    async def abandon(self, node: str = "n1", *, grace: int = GRACE, limit: int = 1000) -> int:
        return await self.sessions.abandon(node, self.store.now, grace, limit)

    async def keep(self, session: Session, epoch: int, node: str = "n2") -> bool:
        (kept,) = await self.sessions.keep(
            [KeepSession(self.store.app, session.ordinal, session.number, session.epoch, epoch, node)]
        )
        return kept

    async def sweep(self, limit: int = 1000) -> int:
        return await self.sessions.sweep(self.store.now, limit)

    async def clear(self) -> None:
        """Ends what is over, and removes what it leaves, with no call that does more than a little."""
        while await self.sweep(2):
            pass
        while done := await self.store.saver.expiry.end(self.store.now, 5):
            assert done <= 5

    # --- filters ---

    def subscription(
        self,
        session: Session,
        filter: str,
        qos: int = 2,
        *,
        no_local: bool = False,
        as_published: bool = False,
        identifier: int = 0,
    ) -> AddFilter:
        return AddFilter(
            self.store.app,
            session.device,
            session.ordinal,
            session.number,
            session.epoch,
            Filter(filter, qos, no_local, as_published, identifier),
        )

    async def subscribe(
        self,
        session: Session,
        filter: str,
        qos: int = 2,
        *,
        no_local: bool = False,
        as_published: bool = False,
        identifier: int = 0,
    ) -> bool | None:
        asked = self.subscription(
            session, filter, qos, no_local=no_local, as_published=as_published, identifier=identifier
        )
        (had,) = await self.sessions.subscribe([asked])
        return had

    async def unsubscribe(self, session: Session, filter: str) -> bool | None:
        asked = RemoveFilter(self.store.app, session.ordinal, session.number, session.epoch, filter)
        (had,) = await self.sessions.unsubscribe([asked])
        return had

    async def filters(self, session: Session) -> list[str]:
        """What the store has of the session: that of another connection to it."""
        return [filter.filter for filter in (await self.again(session)).filters]

    async def again(self, session: Session) -> KeptSession:
        """What is told to who asks once more for the same session and epoch."""
        (opened,) = await self.sessions.open(
            [self.asks(session.device, session.ordinal, session.epoch, node=session.node)]
        )
        assert opened is not None
        return opened

    async def member(self, device: str, *groups: str, qos: int = 2, **terms: Any) -> Session:
        """A device with a session that shares these subscriptions, `$share/{name}/{filter}`."""
        session = await self.open(device, **terms)
        for group in groups:
            filter = Filter(group, qos, shared=True)
            key = (self.store.app, device, session.ordinal, session.number, session.epoch)
            assert await self.sessions.subscribe([AddFilter(*key, filter)]) == [False]
        return session

    async def subscribed(self, device: str, *filters: str, qos: int = 2) -> Session:
        """A device with a session that has these filters."""
        session = await self.open(device)
        for filter in filters:
            assert await self.subscribe(session, filter, qos) is False
        return session

    # --- messages ---

    def publication(
        self,
        topic: str,
        payload: str = "x",
        qos: int = 1,
        *,
        retain: bool = False,
        properties: bytes = b"",
        ttl: int = 0,
    ) -> Publication:
        return Publication(
            id=str(UUID(int=(START << 80) | (7 << 76) | (2 << 62) | next(self._ids))),
            topic=topic,
            payload=payload.encode(),
            qos=qos,
            retain=retain,
            properties=properties,
            at=self.store.now,
            expires_at=self.store.now + ttl if ttl else 0,
        )

    async def send(
        self, publication: Publication, *, sender: str | None = None, received: Received | None = None
    ) -> Published | Declined:
        (answer,) = await self.queues.publish(
            [QueuePublication(self.store.app, publication, self.store.now, sender, received)]
        )
        return answer

    async def publish(
        self, topic: str, payload: str = "x", qos: int = 1, *, sender: str | None = None, ttl: int = 0
    ) -> Published:
        answer = await self.send(self.publication(topic, payload, qos, ttl=ttl), sender=sender)
        assert isinstance(answer, Published)
        return answer

    async def reached(self, topic: str, qos: int = 1) -> list[str]:
        """The devices that have a message to a topic in their queue."""
        return sorted(queued.device for queued in (await self.publish(topic, qos=qos)).queued)

    # --- queues ---

    async def page(
        self, session: Session, after: int = 0, limit: int = 1000, limit_bytes: int = 1 << 24
    ) -> QueuePage:
        asked = Read(
            self.store.app, session.ordinal, session.number, after, limit, self.store.now, limit_bytes
        )
        (page,) = await self.queues.read([asked])
        return page

    async def entries(self, session: Session) -> list[QueueEntry]:
        page = await self.page(session)
        assert page.complete
        return list(page.entries)

    async def texts(self, session: Session) -> list[str]:
        return [entry.publication.payload.decode() for entry in await self.entries(session)]

    async def settle(self, session: Session, place: int, step: Step = Step.SETTLED) -> None:
        await self.queues.settle([Settle(self.store.app, session.ordinal, session.number, place, step)])

    async def complete(self, session: Session, packet_id: int) -> None:
        await self.queues.complete([Complete(self.store.app, session.ordinal, session.number, packet_id)])

    def received(self, session: Session, packet_id: int) -> Received:
        return Received(session.ordinal, session.number, session.epoch, packet_id)

    # --- wills ---

    async def due(self, limit: int = 100, lease: int = LEASE) -> list[DueWill]:
        return await self.sessions.due_wills(self.store.now, limit, lease)

    async def said(self) -> list[str]:
        """The payloads of the wills that are due, which are published by this."""
        wills = await self.due()
        await self.sessions.published(wills)
        return [due.will.payload.decode() for due in wills]


def a_will(text: str = "gone", qos: int = 1, *, delay: int = 0) -> StoredWill:
    return StoredWill(topic="wills/here", payload=text.encode(), qos=qos, delay=delay)
