"""Pushes with QoS 2 to sessions that are kept: under which packet identifier each goes, and how far it is.

Such a push is read from the store like any other, and before it is written the store is given its
identifier: so it goes under the same one on each connection, in whatever room, and a client that has it is
not sent it again. PUBREC settles it in the ledger. That it is released is stored before PUBREL is sent, and
the identifier is forgotten at PUBCOMP, when the receipt is stored, too.

What a connection finds is *reserved*: the push is read in its turn and takes its identifier. When all is
read, and it did not come, it is over (its time or its sender has ended it), or the device had it and no more
of that was stored: then it is released without being sent, for the client may hold its identifier.

In sessions that end with their connection none of this is needed, and nothing of it is called.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from longline.errors import LonglineError
from longline.flow.batcher import Batcher, Retry
from longline.model.times import wall_clock
from longline.mqtt.packets import Packet, Pubrel
from longline.room.push.frames import Frames
from longline.room.push.pace import BulkPace
from longline.room.push.pushes import BUSY, Pushes, Releasing
from longline.room.push.receipts import Receipts
from longline.room.push.sent import SentPush, SentTwice
from longline.room.session.client import ClientConnection
from longline.room.session.inflight import Inflight, Reserved
from longline.room.session.session import Attachment, Session
from longline.saver.port.flights import BeginFlights, Flight, FlightStep, FlightStore
from longline.saver.port.inboxes import Page, PendingPush
from longline.telemetry.faults import Faults

PLACE: Final = "room.flights"
LIMIT: Final = 1 << 30  # bounded by what is in flight: at most a window for each session
BATCH: Final = 1000
NOW: Final = 10_000  # pushes for who is connected that wait for the store; of one more, nothing is kept
TOGETHER: Final = 256  # identifiers of a session in one step
RETRY: Final = Retry(0.2, 5.0)


class Resuming(Protocol):
    """A client whose session goes on."""

    @property
    def mqtt5(self) -> bool:
        """The version of its connection."""

    def send(self, packet: Packet) -> None:
        """What it is sent."""


class ReleaseStep(NamedTuple):
    """What has become of an identifier, and who is told when that is committed."""

    step: FlightStep
    session: Session
    client: Releasing | None


class Urgent(NamedTuple):
    """A push that nobody can read from the store, with the attachment that it was for."""

    session: Session
    attachment: Attachment
    frames: Frames
    flight: Flight


class Flights:
    """Owned by the room, which runs `run` and `run_urgent` as tasks. Fulfils `FlightLog`."""

    def __init__(
        self,
        store: FlightStore,
        receipts: Receipts,
        pushes: Pushes,
        faults: Faults,
        pace: BulkPace,
        *,
        delay: float,
    ) -> None:
        self._store = store
        self._receipts = receipts
        self._pushes = pushes
        self._faults = faults
        self._pace = pace
        self._released: Batcher[ReleaseStep] = Batcher(
            PLACE, self._release, faults=faults, limit=LIMIT, batch=BATCH, retry=RETRY, delay=delay
        )
        self._over: Batcher[FlightStep] = Batcher(
            PLACE, self._forget, faults=faults, limit=LIMIT, batch=BATCH, retry=RETRY, delay=delay
        )
        self._urgent: Batcher[Urgent] = Batcher(
            PLACE, self._write_urgent, faults=faults, limit=NOW, batch=BATCH, retry=RETRY
        )

    def waiting(self) -> int:
        """How many steps the store does not have yet."""
        return len(self._released) + len(self._over) + len(self._urgent)

    async def committed(self) -> None:
        """Returns when all that clients have said so far is committed: who comes back finds it."""
        await self._released.settled()

    async def finished(self) -> None:
        """Returns when nothing is to be stored any more of what there was so far."""
        await self._released.settled()
        await self._over.settled()

    async def run(self) -> None:
        """Commits what clients have, for as long as the room lives."""
        await self._released.run()

    async def run_over(self) -> None:
        """Commits what is over, for as long as the room lives."""
        await self._over.run()

    async def run_urgent(self) -> None:
        """Writes what is only for who is connected, for as long as the room lives."""
        await self._urgent.run()

    # --- before they are written ------------------------------------------------------------------

    async def prepare(self, pages: Sequence[tuple[Session, Page | None]]) -> set[Session]:
        """Has the store have an identifier for each push with QoS 2 that was read for a session that is kept.

        Returns the sessions for which it did not answer.
        """
        begun = [
            (session, BeginFlights(*_name(session), session.kept.epoch, flights[n : n + TOGETHER]))
            for session, page in pages
            if page is not None and session.kept is not None and session.durable
            for flights in [self._new(session, page)]
            for n in range(0, len(flights), TOGETHER)
        ]
        return await self._begin(begun) if begun else set()

    async def _begin(self, begun: Sequence[tuple[Session, BeginFlights]]) -> set[Session]:
        try:
            with self._pace.asking():
                answers: Sequence[bool | None] = await self._store.begin([item for _, item in begun])
        except Exception as error:
            if not isinstance(error, LonglineError):
                self._faults.note(PLACE, error)
            answers = [None] * len(begun)
        failed: set[Session] = set()
        for (session, item), answer in zip(begun, answers, strict=True):
            inflight, kept = session.window.inflight, session.kept
            for flight in item.flights:
                key = (flight.position, flight.broadcast)
                if answer is not False and kept is not None:
                    # Also when the call has failed the store may have it: the next call says the same.
                    if kept.flights is None:
                        kept.flights = {}
                    kept.flights[key] = Reserved(flight.packet_id, False, answer is not None)
                    continue
                self.taken(session, *key)  # where it was asked before
                if inflight is not None:
                    inflight.unreserve(flight.packet_id)
            if answer is None:
                failed.add(session)
        return failed

    def _new(self, session: Session, page: Page) -> tuple[Flight, ...]:
        """The pushes of a page whose identifiers the store has not confirmed, each with its own."""
        wanted: dict[tuple[int, bool], PendingPush] = {
            (push.position, push.broadcast): push
            for push in (*page.urgent, *page.pushes)
            if push.message.qos == 2
        }
        if not wanted:
            return ()
        window, kept = session.window, session.kept
        inflight = window.inflight
        if inflight is None:
            inflight = window.inflight = Inflight()
        written = inflight.of(window)
        flights = kept.flights if kept is not None and kept.flights is not None else {}
        new: list[Flight] = []
        for key, push in wanted.items():
            reserved = flights.get(key)
            if key in written or (reserved is not None and reserved.stored):
                continue
            packet_id = inflight.reserve() if reserved is None else reserved.packet_id
            new.append(Flight(packet_id, *key, push.message.id))
        return tuple(new)

    def ready(self, session: Session, push: PendingPush) -> bool:
        """Whether a push that was read can be dealt with: its identifier is stored, or it needs none."""
        if push.message.qos != 2 or not session.durable:
            return True
        inflight = session.window.inflight
        if _stored(session, push.position, push.broadcast):
            return True
        # It is not written again.
        return inflight is not None and (push.position, push.broadcast) in inflight.of(session.window)

    def taken(self, session: Session, position: int, broadcast: bool) -> Reserved | None:
        kept = session.kept
        if kept is None or kept.flights is None:
            return None
        reserved = kept.flights.pop((position, broadcast), None)
        if not kept.flights:
            kept.flights = None
        return reserved

    def write_now(self, session: Session, frames: Frames, position: int, broadcast: bool) -> bool:
        attachment, window = session.attachment, session.window
        if attachment is None or len(self._urgent) >= NOW:
            return False
        if window.inflight is None:
            window.inflight = Inflight()
        flight = Flight(window.inflight.reserve(), position, broadcast, frames.message.id)
        self._urgent.add(Urgent(session, attachment, frames, flight))
        return True

    async def _write_urgent(self, batch: Sequence[Urgent]) -> None:
        there = [item for item in batch if item.session.attachment is item.attachment]
        begun = [
            (item.session, BeginFlights(*_name(item.session), item.session.kept.epoch, (item.flight,)))
            for item in there
            if item.session.kept is not None
        ]
        if begun:
            await self._begin(begun)
        now = wall_clock()
        for session, attachment, frames, flight in batch:
            window, kept = session.window, session.kept
            here = session.attachment is attachment and kept is not None
            stored = _stored(session, flight.position, flight.broadcast)
            if (
                here
                and stored
                and attachment.outlet.ready()
                and window.free() > 0
                and window.current()
                and flight.position >= window.latest
            ):
                window.latest = flight.position
                self._pushes.write(attachment, frames, flight.position, flight.broadcast, False, now)
                continue
            self._pushes.outcomes.dropped(session, flight.position, flight.broadcast, BUSY)
            if self.taken(session, flight.position, flight.broadcast) is not None:
                self._drop(session, flight.packet_id, flight.position)

    # --- a session that goes on -------------------------------------------------------------------

    def resume(self, session: Session, flights: Sequence[Flight]) -> None:
        """Takes over what an earlier connection had in flight, right before the client is let in."""
        window, kept = session.window, session.kept
        if kept is None or not flights:
            return
        if window.inflight is None:
            window.inflight = Inflight()
        for flight in flights:
            if flight.released:
                push = SentPush(
                    session, flight.position, flight.broadcast, flight.message_id, False, wall_clock()
                )
                window.inflight.put(flight.packet_id, SentTwice(push, True, True))
                self._receipts.acknowledged(push)  # its receipt may have been lost with its room
            else:
                window.inflight.reserve(flight.packet_id)
                if kept.flights is None:
                    kept.flights = {}
                kept.flights[flight.position, flight.broadcast] = Reserved(flight.packet_id, True)

    def begin(self, client: Resuming, flights: Sequence[Flight]) -> None:
        """The client is let in: PUBREL for what it has [MQTT-4.4.0-1]."""
        for flight in flights:
            if flight.released:
                client.send(Pubrel(flight.packet_id))

    def caught_up(self, session: Session) -> None:
        """Everything that waits for a session was read: what is still reserved does not wait any more."""
        kept, attachment, inflight = session.kept, session.attachment, session.window.inflight
        if kept is None or kept.flights is None or attachment is None or inflight is None:
            return
        left, kept.flights = kept.flights, None
        now = wall_clock()
        for (position, broadcast), reserved in left.items():
            packet_id = reserved.packet_id
            inflight.unreserve(packet_id)
            if not reserved.before:  # it was never written
                self._drop(session, packet_id, position)
                continue
            push = SentPush(session, position, broadcast, "", False, now)
            inflight.put(packet_id, SentTwice(push, True, True))
            outlet = attachment.outlet
            client = outlet if isinstance(outlet, ClientConnection) else None
            self._released.add(ReleaseStep(_step(push, packet_id, released=True), session, client))

    # --- steps ------------------------------------------------------------------------------------

    def released(self, client: Releasing, push: SentPush, packet_id: int) -> None:
        self._released.add(ReleaseStep(_step(push, packet_id, released=True), push.session, client))

    def settled(self, push: SentPush, packet_id: int) -> None:
        self._over.add(_step(push, packet_id, released=False))

    def _drop(self, session: Session, packet_id: int, position: int) -> None:
        """An identifier was not used."""
        inflight = session.window.inflight
        if inflight is not None:
            inflight.unreserve(packet_id)
        self._over.add(FlightStep(*_name(session), packet_id, position, False))

    async def _release(self, batch: Sequence[ReleaseStep]) -> None:
        with self._pace.asking():
            await self._store.step([step for step, _, _ in batch])
        for step, session, client in batch:
            if client is None:
                continue
            try:
                client.released(session, step.packet_id)
            except Exception as error:
                self._faults.note(PLACE, error)

    async def _forget(self, batch: Sequence[FlightStep]) -> None:
        # As long as its receipt is not stored, only this says that the device has it.
        await self._receipts.settled()
        with self._pace.asking():
            await self._store.step(batch)


def _stored(session: Session, position: int, broadcast: bool) -> bool:
    """Whether the store has an identifier for a push that was not written to this connection yet."""
    kept = session.kept
    reserved = None if kept is None or kept.flights is None else kept.flights.get((position, broadcast))
    return reserved is not None and reserved.stored


def _name(session: Session) -> tuple[int, int, int]:
    kept = session.kept
    return session.tenant.app, session.ordinal, 0 if kept is None else kept.number


def _step(push: SentPush, packet_id: int, *, released: bool) -> FlightStep:
    return FlightStep(*_name(push.session), packet_id, push.position, released)
