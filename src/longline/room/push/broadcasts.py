"""Writes broadcasts to the sessions that they are for.

A broadcast visits every session of its app: it goes through them in slices and lets the loop serve
heartbeats, unicasts and new connections in between, as `BulkPace` says. Broadcasts that have gathered
meanwhile go through them together, so that a device gets what there is for it with one write; several apps
take turns. Each device gets them, and unicasts, in the order of their commits: whoever is about to write
something newer to a session asks `bring` for what goes first.

Whoever brings a broadcast never waits. When `WAITING` wait already, or `AT_ONCE` paced ones are under way,
the next is left in the log: the sessions of its app are looked at in turn, and read it there.

A message to a group is one too, but goes to the sessions of the members alone; `chains.py` says how the
others hear of it. Where too many of these wait, the members are had look into the log at once.

What is written is this room's sub-task of the broadcast; the store is told when it is done. A store that does
not answer delays that, but not the broadcasts behind it, up to `UNTOLD` of them.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Final

from longline.errors import LonglineError
from longline.flow.batcher import Batcher, OnFull, Retry
from longline.flow.lru import LruCache
from longline.model.commands import Broadcast
from longline.model.times import wall_clock
from longline.room.counters import RoomCounters
from longline.room.push.chains import Chain
from longline.room.push.delivery_rates import DeliveryRates
from longline.room.push.pace import BulkPace
from longline.room.push.passes import Pass, Passes
from longline.room.push.pushes import Pushes
from longline.room.push.receipts import Receipts
from longline.room.push.spreading import Spreading
from longline.room.session.session import Session
from longline.saver.port.routing import RoutingStore
from longline.telemetry.faults import Faults

WAITING: Final = 64  # broadcasts that wait for those before them
SAID: Final = 4096  # of them to groups, besides; and
SAID_BYTES: Final = 16 * 1024 * 1024  # what these are together
CHAINS: Final = 10_000  # apps of which it is known how far their logs have come; then they begin anew
TOGETHER: Final = 16  # broadcasts that go through the sessions together
UNTOLD: Final = 10_000
TOLD_TOGETHER: Final = 64  # sub-tasks that the store is told of at a time
REMEMBERED: Final = 10_000  # online_only broadcasts that are known when they come again
RETRY: Final = Retry(0.2, 5.0)

_Done = tuple[str, Broadcast]  # and whose sub-task it is


class _Walk:
    """Sessions that `passes` go through, and how many of them are done.

    With `left`, they are had look into the log instead, for what was left there up to these positions.
    """

    __slots__ = ("done", "left", "passes", "sessions")

    def __init__(
        self, sessions: Sequence[Session], passes: Sequence[Pass], left: Mapping[int, int] | None
    ) -> None:
        self.sessions = sessions
        self.passes = passes
        self.left = left
        self.done = 0


class Broadcasts:
    """Owned by the room, which runs `run`, `spreading.run` and `told.run` as tasks.

    `sessions` lists all sessions of an app that are here, `some` those of some devices; who comes later reads
    the log.
    """

    def __init__(
        self,
        node: str,
        store: RoutingStore,
        faults: Faults,
        *,
        pushes: Pushes,
        receipts: Receipts,
        sessions: Callable[[int], list[Session]],
        some: Callable[[int, Iterable[int]], list[Session]],
        pace: BulkPace,
        rates: DeliveryRates,
    ) -> None:
        self._node = node
        self._store = store
        self._faults = faults
        self._pushes = pushes
        self._receipts = receipts
        self._sessions = sessions
        self._some = some
        self._pace = pace
        self.rates = rates
        self._passes = Passes()
        self._waiting: dict[int, list[Pass]] = {}  # by app
        self._waits = 0  # how many these are
        self._said = 0  # those to groups among them, and
        self._said_bytes = 0  # theirs
        self._chains: dict[int, list[Chain]] = {}  # by app, of those in which something was for a few
        self._left: dict[int, dict[int, int]] = {}  # by app, part of the log: up to where it is to be read
        self._wake = asyncio.Event()
        self._seen: LruCache[tuple[int, str], None] = LruCache(REMEMBERED)
        self.spreading = Spreading(faults)
        self.told: Batcher[_Done] = Batcher(
            "room.broadcasts-done",
            self._tell,
            faults=faults,
            limit=UNTOLD,
            batch=TOLD_TOGETHER,
            retry=RETRY,
            on_full=OnFull.DROP_OLDEST,
        )

    @property
    def counters(self) -> RoomCounters:
        """The room's."""
        return self._pushes.counters

    def add(self, command: Broadcast) -> None:
        """Takes a broadcast in, or leaves it in the log when there is no place for it."""
        name = (command.app, command.message.id)
        # One that is only for who is connected cannot be asked about afterwards: it is not written twice.
        if command.message.online_only and not self._seen.add(name, None):
            self.told.add((self._node, command))
            return
        each = Pass(self._node, command)
        if each.few and not command.message.online_only and command.app not in self._chains:
            if len(self._chains) >= CHAINS:
                self._chains.clear()
            self._chains[command.app] = [Chain() for _ in command.parts]
        if self._begin(each):
            self._passes.add(each)
        else:
            self._leave(each)

    def _begin(self, each: Pass) -> bool:
        """Has a broadcast written when its turn comes; False when there is no place."""
        app, seconds = each.command.app, each.command.message.spread_over
        if seconds:
            sessions = self._sessions(app)
            return self.spreading.add(
                sessions,
                max(seconds, self.rates.least_seconds(app, len(sessions))),
                lambda some: self._write(some, each),
                lambda: self._over(each),
            )
        if each.few:
            if self._said >= SAID or self._said_bytes >= SAID_BYTES:
                return False
            self._said += 1
            self._said_bytes += len(each.command.message.payload)
        elif self._waits >= WAITING:
            return False
        else:
            self._waits += 1
        self._waiting.setdefault(app, []).append(each)
        self._wake.set()
        return True

    def cancel(self, app: int, message_id: str) -> None:
        """Writes no more of it; nothing when it is not waiting or under way here."""
        self._passes.cancel(app, message_id)

    def rename(self, node: str) -> None:
        """Leaves everything that came for the former node: its sub-tasks are not this one's."""
        self._node = node
        self._chains.clear()

    def under_way(self, app: int) -> bool:
        """Whether there is anything that `bring` may have to write."""
        return bool(self._passes.of(app)) or app in self._left or app in self._chains

    def bring(self, session: Session, position: int, now: int) -> int:
        """Writes to a session the broadcasts that go before what is at this position of its inbox or log.

        How many there were. None where the session has to be read for: nothing that is newer can be
        written to it now, and what is brought would be left in the store each time anew.
        """
        if session.guest or not session.window.current():
            return 0
        left = self._left.get(session.tenant.app)
        if left is not None and session.window.log_written < left[session.ordinal % len(left)] < position:
            self._pushes.lost(session)
        due = self._passes.due(session, position)
        chain = self._chain(session)
        for each in due:
            if chain is not None:
                chain.lift(session.window, each.at(session))
            each.give(session, self._pushes, now)
        if chain is not None:
            chain.lift(session.window, position)
        return len(due)

    def _chain(self, session: Session) -> Chain | None:
        """That of the part of the log that a session's device is in, where there is one."""
        chains = self._chains.get(session.tenant.app)
        return None if chains is None else chains[session.ordinal % len(chains)]

    async def run(self) -> None:
        """Writes broadcasts for as long as the room lives: a slice for each app in turn."""
        walks: dict[int, _Walk] = {}
        begun = self._pace.begin()
        while True:
            apps = dict.fromkeys((*walks, *self._left, *self._waiting))
            if not apps:
                self._wake.clear()
                await self._wake.wait()
                begun = self._pace.begin()
                continue
            due = [app for app in apps if not self.rates.wait(app)]
            if not due:
                await self._rest(min(map(self.rates.wait, apps)))
                begun = self._pace.begin()
            for app in due:
                walk = walks.get(app)
                if walk is None:
                    walk = walks[app] = self._next(app)
                try:
                    self._step(app, walk)
                except Exception as error:
                    self._faults.note("room.broadcasts", error)
                    walk.done = len(walk.sessions)
                    for each in walk.passes:
                        each.broken = True
                if walk.done >= len(walk.sessions):
                    del walks[app]
                    self._end(app, walk)
                begun = await self._pace.pause(begun)

    async def _rest(self, seconds: float) -> None:
        """Until an app may go on, or another has something waiting."""
        self.rates.held += 1
        self._wake.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()

    def _next(self, app: int) -> "_Walk":
        """What is to be done for an app that has something waiting: what was left before what came later."""
        left = self._left.get(app)
        if left is not None:
            return _Walk(self._sessions(app), [], dict(left))
        waiting = self._waiting.pop(app)
        passes, rest = waiting[:TOGETHER], waiting[TOGETHER:]
        if rest:
            self._waiting[app] = rest
        few = [each for each in passes if each.few]
        self._said -= len(few)
        self._said_bytes -= sum(len(each.command.message.payload) for each in few)
        self._waits -= len(passes) - len(few)
        if len(few) < len(passes):
            return _Walk(self._sessions(app), passes, None)
        ordinals = few[0].ordinals() if len(few) == 1 else {o for each in few for o in each.ordinals()}
        return _Walk(self._some(app, ordinals), passes, None)

    def _step(self, app: int, walk: "_Walk") -> None:
        """One slice of a walk."""
        if walk.left is not None:
            end = walk.done + max(1, self.rates.allowed(app, self._pace.slice))
            self.rates.took(app, min(end, len(walk.sessions)) - walk.done)
            for session in walk.sessions[walk.done : end]:
                try:
                    self._pushes.lost(session)
                except Exception as error:  # this session's: the others look
                    self._faults.note("room.broadcasts", error)
            walk.done = end
        elif passes := self._going_on(walk.passes):
            walk.done = self._write_slice(walk.sessions, walk.done, passes)
        else:
            walk.done = len(walk.sessions)

    def _end(self, app: int, walk: "_Walk") -> None:
        for each in walk.passes:
            self._over(each)
        # Else more was left meanwhile, of which those who were had look first do not know.
        if walk.left is not None and self._left[app] == walk.left:
            del self._left[app]

    def _leave(self, each: Pass) -> None:
        """There is no place for a broadcast: devices read it from the log, if it is there."""
        self.counters.broadcasts_left += 1
        if each.few:
            for session in self._some(each.command.app, each.ordinals()):
                self._pushes.lost(session)
        elif not each.command.message.online_only:
            left = self._left.setdefault(each.command.app, {})
            for number, part in enumerate(each.parts):
                left[number] = max(part.position, left.get(number, 0))
            self._wake.set()
        self.told.add((each.node, each.command))

    def _over(self, each: Pass) -> None:
        self._passes.remove(each)
        if each.node == self._node:
            chains = self._chains.get(each.command.app)
            if chains is not None and not (each.online_only or each.broken):
                for chain, part in zip(chains, each.parts, strict=True):
                    if part.position:
                        chain.passed(part.before, part.position)
            self.told.add((each.node, each.command))

    async def _write(self, sessions: Sequence[Session], each: Pass) -> bool:
        """Writes a paced broadcast to sessions; False when it was cancelled, or left to another node."""
        begun = self._pace.begin()
        done = 0
        while done < len(sessions) and self._going_on([each]):
            done = self._write_slice(sessions, done, [each])
            begun = await self._pace.pause(begun)
        return bool(self._going_on([each]))

    def _write_slice(self, sessions: Sequence[Session], done: int, passes: Sequence[Pass]) -> int:
        """Writes broadcasts of one app to some sessions more; returns how many are done by then."""
        now = wall_clock()
        pushes = self._pushes
        app = passes[0].command.app
        chains = self._chains.get(app)
        more = self._passes.older(passes)  # which are brought before these
        end = done + max(1, self.rates.allowed(app, self._pace.slice) // len(passes))
        given = 0
        for session in sessions[done:end]:
            if session.guest:
                continue
            if session.window.fresh():
                session.window.lost()  # it is just connecting: it reads these from the log
                continue
            chain = None if chains is None else chains[session.ordinal % len(chains)]
            try:
                for each in passes:
                    if chain is not None:
                        chain.lift(session.window, each.at(session))
                    if more:
                        self.bring(session, each.at(session), now)
                    given += each.give(session, pushes, now)
            except Exception as error:  # this session's: the others go on
                self._faults.note("room.broadcasts", error)
                for each in passes:
                    each.broken = True
        self.rates.took(app, given)
        return end

    def _going_on(self, passes: Sequence[Pass]) -> list[Pass]:
        return [each for each in passes if each.node == self._node and not each.cancelled]

    async def _tell(self, batch: Sequence[_Done]) -> Sequence[_Done]:
        """Tells the store which sub-tasks are done; returns those that it could not be told of."""
        if any(command.message.online_only for _, command in batch):
            # What was not noted as written by then is over for its devices.
            self._receipts.note_all()
            await self._receipts.settled()
        told = await asyncio.gather(*(self._finish(node, command) for node, command in batch))
        return [item for item, done in zip(batch, told, strict=True) if not done]

    async def _finish(self, node: str, command: Broadcast) -> bool:
        now = wall_clock()
        try:
            await self._store.finish(command.app, command.message.id, node, now)
        except LonglineError:
            return now > command.message.expires_at  # over by itself
        return True
