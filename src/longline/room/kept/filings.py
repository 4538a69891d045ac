"""What clients of sessions that are kept subscribe to and unsubscribe from, on its way to the store.

It is answered after the commit, and after all rooms know that the app has such sessions. In this room it
holds from the moment at which it was asked for, as for any other session.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from itertools import groupby, islice
from typing import Final, Protocol

from longline.errors import LonglineError
from longline.flow.batcher import Batcher, Retry
from longline.model.pubsub import Filter
from longline.mqtt.packets import Packet, Suback, Subscription
from longline.mqtt.reasons import ReasonCode
from longline.mqtt.topics import is_shared
from longline.room.kept.apps import KeptApps
from longline.room.pubsub.rules import reserved
from longline.room.session.session import Session
from longline.room.turn import Turn
from longline.saver.port.sessions import AddFilter, RemoveFilter, SessionStore
from longline.telemetry.faults import Faults

BATCH: Final = 500  # packets
LIMIT: Final = 5000  # that may wait: then clients are not read from
RETRY: Final = Retry(0.1, 2.0)  # s, while the store cannot be reached
PLACE: Final = "room.filings"


class Subscribing(Protocol):
    """A client whose SUBACK or UNSUBACK waits for the store."""

    def filed(self, answer: Packet) -> None:
        """It is committed."""


class Filing:
    """A packet of a client's: what it adds or removes, and how it is answered."""

    __slots__ = ("added", "answer", "client", "removed", "session", "tried")

    def __init__(
        self,
        client: Subscribing | None,
        session: Session,
        answer: Packet | None,
        added: Sequence[Filter] = (),
        removed: Sequence[str] = (),
    ) -> None:
        self.client = client
        self.session = session
        self.answer = answer
        self.added = added
        self.removed = removed
        self.tried = 0  # the epoch under which it was asked for last


class Filings:
    """Owned by the room, which runs `run` as a task."""

    def __init__(
        self,
        store: SessionStore,
        apps: KeptApps,
        turn: Turn,
        faults: Faults,
        *,
        limit: int = LIMIT,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._apps = apps
        self._turn = turn
        self._faults = faults
        self._limit = limit
        self._held_up: list[Callable[[], None]] = []  # at most one a connection
        self._queue: Batcher[Filing] = Batcher(
            PLACE, self._file, faults=faults, limit=1 << 30, batch=BATCH, retry=RETRY, sleep=sleep
        )

    def waiting(self) -> int:
        """How many packets the store does not have yet."""
        return len(self._queue)

    def full(self) -> bool:
        """Whether a client should wait."""
        return len(self._queue) >= self._limit

    def hold_up(self, go_on: Callable[[], None]) -> None:
        """Has a client go on when there is room again."""
        self._held_up.append(go_on)

    def subscribe(
        self,
        client: Subscribing,
        session: Session,
        wanted: Sequence[Subscription],
        identifier: int,
        suback: Suback,
    ) -> None:
        """Commits what SUBACK grants."""
        attachment = session.attachment
        shares = attachment is not None and attachment.outlet.mqtt5  # in 3.1.1 a filter like any other
        added = [
            filter_of(item, reason, identifier, shares and is_shared(item.filter))
            for item, reason in zip(wanted, suback.reasons, strict=True)
            if reason <= 2 and not reserved(item.filter)
        ]
        self._queue.add(Filing(client, session, suback, added))

    def unsubscribe(
        self, client: Subscribing | None, session: Session, filters: Sequence[str], unsuback: Packet | None
    ) -> None:
        """Commits that filters are gone. Without a client nobody is answered."""
        self._queue.add(Filing(client, session, unsuback, removed=tuple(filters)))

    async def finished(self) -> None:
        """Returns when everything taken in so far is in the store."""
        await self._queue.settled()

    async def run(self) -> None:
        """Works for as long as the room lives."""
        await self._queue.run()

    async def _file(self, batch: Sequence[Filing]) -> Sequence[Filing]:
        """Returns those that are to be tried again, under the epoch that their sessions have by now."""
        again: list[Filing] = []
        for adds, run in groupby(batch, lambda filing: bool(filing.added)):
            filings = list(run)
            done = await self._done(filings, adds)
            again += [
                filing for filing, fine in zip(filings, done, strict=True) if not fine and _renamed(filing)
            ]
            refused = {id(filing) for filing, fine in zip(filings, done, strict=True) if not fine}
            for filing in filings:
                if filing not in again:
                    self._answer(filing, id(filing) in refused)
        if self._held_up and not self.full():
            held_up, self._held_up = self._held_up, []
            for go_on in held_up:
                self._turn.later(go_on)
        return again

    async def _done(self, filings: Sequence[Filing], adds: bool) -> list[bool]:
        """Which of these the store has. Raises what says that all of them are to be tried again."""
        try:
            return await (self._add(filings) if adds else self._remove(filings))
        except Exception as error:
            if isinstance(error, LonglineError) and error.retryable:
                raise
            if len(filings) == 1:
                self._faults.note(PLACE, error)
                return [False]
        # Something is wrong with one of them: the others are filed by themselves.
        return [done for filing in filings for done in await self._done([filing], adds)]

    async def _add(self, filings: Sequence[Filing]) -> list[bool]:
        items = [
            AddFilter(s.tenant.app, s.device, s.ordinal, number, epoch, filter)
            for filing in filings
            for s, number, epoch in [_owner(filing)]
            for filter in filing.added
        ]
        had = iter(await self._store.subscribe(items))
        done = [None not in list(islice(had, len(filing.added))) for filing in filings]
        await self._apps.announce({filing.session.tenant.app for filing in filings})
        return done

    async def _remove(self, filings: Sequence[Filing]) -> list[bool]:
        items = [
            RemoveFilter(s.tenant.app, s.ordinal, number, epoch, filter)
            for filing in filings
            for s, number, epoch in [_owner(filing)]
            for filter in filing.removed
        ]
        had = iter(await self._store.unsubscribe(items) if items else ())
        return [None not in list(islice(had, len(filing.removed))) for filing in filings]

    def _answer(self, filing: Filing, refused: bool) -> None:
        client, answer = filing.client, filing.answer
        if client is None or answer is None:
            return
        if refused and isinstance(answer, Suback):  # the session is another connection's by now, or over
            answer.reasons = [int(ReasonCode.UNSPECIFIED_ERROR)] * len(answer.reasons)
        try:
            client.filed(answer)
        except Exception as error:
            self._faults.note(PLACE, error)


def filter_of(wanted: Subscription, qos: int, identifier: int, shared: bool) -> Filter:
    """A subscription as the store has it, with the QoS that was granted. `shared`: it is that of a group."""
    return Filter(wanted.filter, qos, wanted.no_local, wanted.retain_as_published, identifier, shared)


def _owner(filing: Filing) -> tuple[Session, int, int]:
    """Whose it is: the session, its number, and its epoch of now."""
    session = filing.session
    kept = session.kept
    number, epoch = (0, 0) if kept is None else (kept.number, kept.epoch)
    filing.tried = epoch
    return session, number, epoch


def _renamed(filing: Filing) -> bool:
    """Whether the session goes on under another epoch since."""
    kept = filing.session.kept
    return kept is not None and kept.epoch != filing.tried
