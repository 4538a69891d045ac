"""Clients that take pushes and acknowledge none: slowed, then parked, until they acknowledge something.

What is known of them is in the store, so that one that comes back elsewhere is the same. A device is told of
by `arrive`; here is what follows for its session. To *slow* it is to let one push be in flight, and to begin
later. To *park* it is not to begin at all: its window is not opened, so that whatever is sent to it stays in
the store, within the bounds of what waits for devices, and nothing is read for it. When `retry_after` has
passed it gets one push, as if it were slowed.

Who acknowledges costs an addition for each acknowledgement. A connection that ends with nothing acknowledged
is a *strike* when a push was unacknowledged for `WITHIN`, or when it is not the device's first such in this
room lately: so a network that fails for everybody costs no write for each device.
"""

import heapq
from collections.abc import Callable, Sequence
from itertools import count
from typing import Final

from longline.flow.batcher import Batcher, Retry
from longline.flow.lru import LruCache
from longline.model.times import wall_clock
from longline.room.counters import RoomCounters
from longline.room.push.pushes import InboxReader
from longline.room.push.sent import SentPush, SentTwice
from longline.room.session.inflight import Inflight
from longline.room.session.session import Gone, Session
from longline.room.session.window import ASK
from longline.saver.port.inboxes import Arrival
from longline.saver.port.parking import ParkingStore, Release, Strike
from longline.settings import ParkingSettings
from longline.telemetry.faults import Faults

WITHIN: Final = 5_000  # ms in which who acknowledges at all has done so
LATELY: Final = 50_000  # devices of which is remembered that they went without a word
WAITING: Final = 50_000  # strikes and releases; of one more nothing is remembered
BATCH: Final = 500
RETRY: Final = Retry(0.5, 10.0)
LONGEST: Final = 60.0  # s that a slowed device waits for its first push
LOOKS: Final = 1000  # sessions looked at in one second


class Hold:
    """What a session is kept from. `size`: that of its window otherwise; `opens`: whether its window is still
    to be opened, with the device's place in the log, `log_after`.
    """

    __slots__ = ("limited", "log_after", "opens", "parked", "size")

    def __init__(self, size: int, log_after: int) -> None:
        self.size = size
        self.log_after = log_after
        self.limited = False
        self.parked = False
        self.opens = False


class Parking:
    """Owned by the room, which runs `run` as a task and calls `tick` once a second."""

    def __init__(
        self,
        store: ParkingStore,
        reader: InboxReader,
        counters: RoomCounters,
        faults: Faults,
        settings: ParkingSettings,
        *,
        clock: Callable[[], int] = wall_clock,
    ) -> None:
        self._store = store
        self._reader = reader
        self._counters = counters
        self._settings = settings
        self._clock = clock
        self._holds: dict[Session, Hold] = {}
        self._due: list[tuple[int, int, Session]] = []  # windows to be opened: when (ms), which, whose
        self._numbers = count()
        # Who has something unacknowledged for longer than most: since when (ms), and how often it had
        # answered then.
        self._watched: dict[Session, tuple[int, int]] = {}
        self._lately: LruCache[tuple[int, int], None] = LruCache(LATELY)
        self._told: Batcher[Strike | Release] = Batcher(
            "room.parking", self._tell, faults=faults, limit=WAITING, batch=BATCH, retry=RETRY
        )

    def waiting(self) -> int:
        """How much the store was not told of yet."""
        return len(self._told)

    async def finished(self) -> None:
        """Returns when the store was told of everything so far."""
        await self._told.settled()

    async def run(self) -> None:
        """Tells the store, for as long as the room lives."""
        await self._told.run()

    # --- coming -----------------------------------------------------------------------------------

    def holds(self, session: Session, arrival: Arrival) -> bool:
        """A device with strikes begins a session: whether its window is not to be opened yet."""
        standing = arrival.standing
        if standing is None:
            return False
        settings, now = self._settings, self._clock()
        hold = self._holds[session] = Hold(session.window.size, arrival.log_after)
        self._listen(session)
        wait = 0
        if standing.parked_since or standing.strikes >= settings.park_after:
            hold.parked = True
            self._counters.clients_parked += 1
            wait = standing.at + settings.retry_after * 1000 - now
        elif standing.strikes >= settings.slow_after:
            wait = int(min(2.0 ** min(standing.strikes - settings.slow_after, 30), LONGEST) * 1000)
        else:
            return False
        self._limit(session, hold)
        if wait <= 0:
            return False
        hold.opens = True
        heapq.heappush(self._due, (now + wait, next(self._numbers), session))
        return True

    def tick(self) -> None:
        """Opens windows whose time has come, and parks who has not acknowledged anything for too long."""
        now = self._clock()
        for _ in range(LOOKS):
            if not self._due or self._due[0][0] > now:
                break
            session = heapq.heappop(self._due)[2]
            hold = self._holds.get(session)
            if hold is not None and hold.opens:
                self._open(session, hold)
        before = now - self._settings.patience * 1000
        for _ in range(min(LOOKS, len(self._watched))):
            session = next(iter(self._watched))
            since, answers = self._watched[session]
            if since > before:
                break
            del self._watched[session]
            self._look(session, answers, now)

    def _open(self, session: Session, hold: Hold) -> None:
        hold.opens = False
        window = session.window
        if session.attachment is not None and window.fresh() and window.open(hold.log_after, True) & ASK:
            self._reader.ask(session)

    # --- staying ----------------------------------------------------------------------------------

    def unanswered(self, session: Session) -> None:
        """Something that was written to a session a while ago is unacknowledged."""
        inflight = session.window.inflight
        if inflight is not None and session not in self._watched and session.attachment is not None:
            self._watched[session] = (self._clock(), inflight.answers)

    def _look(self, session: Session, answers: int, now: int) -> None:
        """Somebody was silent, or not, for as long as we have patience."""
        inflight = session.window.inflight
        if session.attachment is None or inflight is None or not _oldest(session):
            return
        if inflight.answers != answers:  # what is unacknowledged now is younger, or is left out
            self._watched[session] = (now, inflight.answers)
            return
        hold = self._holds.get(session)
        if hold is None:
            hold = self._holds[session] = Hold(session.window.size, 0)
            self._listen(session)
        self._limit(session, hold)
        if not hold.parked:
            hold.parked = True
            self._counters.clients_parked += 1
        self._struck(session, now, 1)

    def answered(self, session: Session) -> None:
        """A session that is listened to has acknowledged a push."""
        if session in self._holds:
            self._free(session)
            self._counters.clients_freed += 1
            self._told.add(Release(session.tenant.app, session.ordinal))

    def released(self, session: Session) -> None:
        """An operator has vouched for a device."""
        if session in self._holds:
            self._free(session)

    def _free(self, session: Session) -> None:
        hold = self._holds.pop(session)
        session.window.size = hold.size
        inflight, attachment = session.window.inflight, session.attachment
        if inflight is not None:
            inflight.listened = attachment is not None and any(
                each.session in self._holds for each in attachment.neighbours()
            )
        self._uncount(hold)
        if hold.opens:
            self._open(session, hold)
        elif session.window.made_room() & ASK:
            self._reader.ask(session)

    def _listen(self, session: Session) -> None:
        """Has its next acknowledgement told of."""
        if session.window.inflight is None:
            session.window.inflight = Inflight()
        session.window.inflight.listened = True

    def _limit(self, session: Session, hold: Hold) -> None:
        """One push at a time, and none while more are unacknowledged."""
        session.window.size = 1
        if not hold.limited:
            hold.limited = True
            self._counters.clients_slowed += 1

    def _uncount(self, hold: Hold) -> None:
        self._counters.clients_slowed -= hold.limited
        self._counters.clients_parked -= hold.parked

    # --- going ------------------------------------------------------------------------------------

    def left(self, session: Session) -> None:
        """A session is over; what it had in flight is still known."""
        self._watched.pop(session, None)
        hold = self._holds.pop(session, None)
        if hold is not None:
            self._uncount(hold)
        inflight = session.window.inflight
        if (
            inflight is None
            or inflight.answers
            or session.gone not in (Gone.BROKEN, Gone.LEFT, Gone.TAKEN_OVER)
        ):
            return
        oldest = _oldest(session)
        if not oldest:
            return
        now, device = self._clock(), (session.tenant.app, session.ordinal)
        if hold is not None or now - oldest >= WITHIN or device in self._lately:
            self._struck(session, now, self._settings.park_after)
        self._lately.put(device, None)

    def _struck(self, session: Session, now: int, parks_at: int) -> None:
        self._counters.clients_struck += 1
        self._told.add(Strike(session.tenant.app, session.ordinal, now, parks_at))

    async def _tell(self, batch: Sequence[Strike | Release]) -> None:
        releases: dict[tuple[int, int], Release] = {}
        strikes_of: dict[tuple[int, int], list[Strike]] = {}  # of each device, behind its latest release
        for item in batch:
            device = (item.app, item.ordinal)
            if isinstance(item, Release):
                releases[device] = item
                strikes_of.pop(device, None)
            else:
                strikes_of.setdefault(device, []).append(item)
        strikes = [strike for some in strikes_of.values() for strike in some]
        if releases:
            await self._store.release(list(releases.values()))
        if strikes:
            await self._store.strike(strikes)


def _oldest(session: Session) -> int:
    """When the oldest push was written that a session has not acknowledged, in ms; 0 where there is none."""
    inflight = session.window.inflight
    if inflight is not None:
        for entry in inflight.entries():
            push = entry.push if isinstance(entry, SentTwice) and not entry.released else entry
            if isinstance(push, SentPush) and push.session is session:
                return push.sent_at
    return 0
