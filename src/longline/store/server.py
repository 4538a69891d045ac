"""One server of the store: the queue of calls for it, its connection, and what must be repeated.

A call is in exactly one place: in the queue; in the connection's `sent`, which is to be out; in the lane of
its tag, when the server refused one of the tag's calls for the moment; or with the securer, when it was
carried out and is to be copied or synced before it is answered. All calls of a slot are with one server, the
one that the `Owner` gives new calls of the slot to.

What order is promised: the calls of one tag that are not out go out in the order given (by `sequence`),
whatever they have been through, and what goes out over one connection is carried out in that order. So a call
that comes back is overtaken by those of its tag that were out behind it when it came back, if those do not
come back too, and by none else; nothing given after it came back is carried out before it. Which calls come
back, and what can have been carried out between the first time and the next:

- Refused for the moment: whatever was out behind it. Each of those may be refused or not.
- Left unanswered by a broken connection: nothing that was given later, since all that was out behind it comes
  back with it. It may have been carried out itself, so it may be carried out twice.
- Carried out, and not known to be copied or synced when its server was started again or lost its slot: again
  nothing that was given later and is still there. The securer gives it up in the moment in which we learn
  that, and nothing is out then: the new process has not been sent anything yet, and a slot is handed over
  only when no call of it is out.
- Carried out, and whether it is copied or synced cannot be asked: it is carried out once more, behind what is
  out. What it did the first time stands; if the process is not the same any more, what is out comes back too.

How that is done:

- What comes back when nothing of its tag is out is sorted into the queue (`_put_back`).
- While a tag has a lane, all its calls go there. One is sent as a probe, and when it is answered the others
  follow. A connection answers in order, so that by then all earlier calls of the tag have come back too.
- A slot goes to another server only when no call of it is out: `leave` holds its calls back, sends a PING
  as a fence behind those that are out, and hands over when that is answered, or when the connection broke.
  All calls of the slot go with it, those that are with the securer included.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from operator import attrgetter
from typing import Protocol

import structlog

from longline.errors import Overloaded, StoreError, Unavailable
from longline.settings import StoreSettings
from longline.store.addresses import Address
from longline.store.calls import Call, Remedy, Reply, judge, refusal
from longline.store.connection import ServerConnection
from longline.store.dial import Dial, Facts
from longline.store.figures import Figures
from longline.store.lanes import Lane
from longline.store.script import Script
from longline.store.securing import Securer
from longline.store.slots import read_target, slot_of
from longline.store.upkeep import Upkeep

logger = structlog.get_logger(__name__)

FINAL = (Remedy.ANSWER, Remedy.FULL, Remedy.DENIED)  # what is told to whoever made the call
_TRIES_AT_ONCE = 3  # a call that is sent to and fro waits before it goes again
_sequence = attrgetter("sequence")


class Owner(Protocol):
    """Who knows all servers."""

    scripts: dict[Script, None]

    def moved(self, server: "Server", slot: int, address: Address) -> None:
        """A server said that a slot is at another address."""
        ...

    def assign(self, slot: int, server: "Server") -> None:
        """From now on, calls of the slot are given to this server."""
        ...

    def troubled(self, server: "Server") -> None:
        """The server does not answer, or says that the Cluster is changing."""
        ...

    def restarted(self, server: "Server") -> None:
        """The server is back, and not the same process as before."""
        ...


class Server:
    """See the module. `addresses` are tried in turn: those of a single server may be several."""

    def __init__(
        self,
        addresses: Sequence[Address],
        dial: Dial,
        settings: StoreSettings,
        owner: Owner,
        figures: Figures,
    ) -> None:
        self.connection: ServerConnection | None = None
        self.securer: Securer | None = None
        if settings.wait_replicas or settings.wait_fsync:
            self.securer = Securer(dial, settings, where=lambda: self.address, repeat=self.repeat)
        self._owner = owner
        self._figures = figures
        self._timeout = settings.timeout
        self._limit = settings.queue
        self._limit_bytes = settings.queue_bytes
        self._patience = dial.patience
        self._period = min(max(settings.timeout / 20, 0.01), 0.25)
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Call] = deque()
        self._lanes: dict[bytes, Lane] = {}
        self._leaving: dict[int, Server] = {}
        self._waiting = 0  # calls in the queue and in lanes
        self._bytes = 0  # and what they add up to
        self._closed = False
        self._flushing = False
        self._ticker: asyncio.TimerHandle | None = None
        self._ticked = 0.0
        self._late = False
        self._run = b""  # which process it was
        troubled = partial(owner.troubled, self)
        self._upkeep = Upkeep(addresses, dial, owner.scripts, figures, self._adopt, troubled)

    @property
    def address(self) -> Address:
        """Where it is, or is looked for now."""
        return self._upkeep.address

    @property
    def facts(self) -> Facts | None:
        """What it said of itself when it was last connected."""
        return self._upkeep.facts

    # --- taking calls

    def put(self, call: Call) -> None:
        """Takes a new call; `Overloaded` when as many or as much as may wait are waiting."""
        if self._closed:
            call.fail(Unavailable("the store is closed"))
            return
        size = len(call.payload)
        waiting, waiting_bytes = self.counts()
        if waiting >= self._limit or waiting_bytes + size > self._limit_bytes:
            call.fail(Overloaded("too much is waiting for the store"))
            return
        self._queue.append(call)
        self._waiting += 1
        self._bytes += size
        self._flush_soon()

    def take(self, calls: Collection[Call]) -> None:
        """Takes calls that were accepted before, from a server that has lost their slot."""
        if self._closed:
            for call in calls:
                call.fail(Unavailable("the store is closed"))
            return
        self._put_back(calls)
        self._flush_soon()

    def repeat(self, calls: Iterable[Call]) -> None:
        """Takes calls back that this server has carried out once, to be carried out again."""
        for call in calls:
            if not call.future.done():
                self._hold(call)
        self._sift()  # a probe must not go ahead of an earlier call of its tag

    def counts(self) -> tuple[int, int]:
        """Calls that are waiting here, and their bytes."""
        waiting, size = self._waiting, self._bytes
        if self.connection is not None:
            waiting += len(self.connection.sent)
            size += self.connection.sent_bytes
        if self.securer is not None:
            waiting += self.securer.waiting
        return waiting, size

    def _put_back(self, calls: Collection[Call]) -> None:
        """Puts calls, of whose tags nothing is out, where they belong: before what was given later."""
        rest = []
        for call in calls:
            lane = self._lanes.get(call.tag)
            if lane is None:
                rest.append(call)
            else:
                lane.add(call)
        if rest:
            self._queue = deque(sorted(chain(rest, self._queue), key=_sequence))
        self._count(calls)

    def _count(self, calls: Iterable[Call], sign: int = 1) -> None:
        """Adds calls to what is in the queue and in lanes, or with `sign` -1 takes them off."""
        for call in calls:
            self._waiting += sign
            self._bytes += sign * len(call.payload)

    def successors(self) -> Iterable["Server"]:
        """Servers that get slots of this one as soon as no call of them is out."""
        return self._leaving.values()

    def _flush_soon(self) -> None:
        if not self._flushing and not self._closed:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._flushing = False
        if self._ticker is None and not self._closed:
            self._ticked = self._loop.time()
            self._ticker = self._loop.call_later(self._period, self._tick)
        connection = self.connection
        if connection is None or not connection.takes_more:
            return
        if self._lanes or self._leaving:
            self._sift()
        before = len(self._queue)
        self._bytes -= connection.send(self._queue)
        self._waiting -= before - len(self._queue)
        if self._queue and connection.takes_more:
            self._flush_soon()

    def _sift(self) -> None:
        """Moves what must be held back from the queue to its lanes."""
        lanes, leaving = self._lanes, self._leaving
        rest: deque[Call] = deque()
        for call in self._queue:
            if call.tag in lanes or (leaving and slot_of(call.tag) in leaving):
                self._lane(call.tag).add(call)
            else:
                rest.append(call)
        self._queue = rest

    # --- calls held back

    def _lane(self, tag: bytes) -> Lane:
        lane = self._lanes.get(tag)
        if lane is None:
            lane = self._lanes[tag] = Lane()
            lane.wait(self._patience, partial(self._probe, tag))
        return lane

    def _hold(self, call: Call, remedy: Remedy = Remedy.AGAIN) -> Lane:
        """Puts a call that was sent back into its lane, and sees to it that the lane is probed."""
        call.refusals += 1
        self._figures.repeated += 1
        self._count((call,))
        tag = call.tag
        lane = self._lane(tag)
        lane.add(call)
        if lane.probe is call or not lane.delay:
            lane.probe = None
            if remedy is Remedy.LOAD and call.refusals <= _TRIES_AT_ONCE:
                lane.wait(0, partial(self._probe, tag))
            else:
                lane.back_off(partial(self._probe, tag))
        if self._ticker is None:
            self._flush_soon()
        return lane

    def _probe(self, tag: bytes) -> None:
        lane = self._lanes[tag]
        lane.stop()
        while lane.calls and lane.calls[0].future.done():
            self._count((lane.calls.popleft(),), -1)
        if not lane.calls:
            del self._lanes[tag]
        elif self.connection is None or not self.connection.takes_more or slot_of(tag) in self._leaving:
            lane.wait(self._period, partial(self._probe, tag))
        else:
            call = lane.calls.popleft()
            call.plain = False
            lane.probe = call
            self._count((call,), -1)
            self.connection.send_at_once(call)

    def _release(self, tag: bytes) -> None:
        lane = self._lanes.pop(tag)
        lane.stop()
        self._queue.extendleft(reversed(lane.calls))
        self._flush_soon()

    # --- answers that need thought

    def _special(self, connection: ServerConnection, call: Call, reply: Reply | StoreError) -> None:
        lane = self._lanes.get(call.tag)
        probe = lane is not None and lane.probe is call
        if isinstance(reply, StoreError):
            remedy = judge(reply)
            if remedy is Remedy.LOAD and call.script in connection.broken:
                reply, remedy = connection.broken[call.script], Remedy.ANSWER
            if remedy not in FINAL:
                self._refused(connection, call, reply, remedy)
                return
            call.fail(refusal(reply))
        elif call.durable and self.securer is not None and self.facts is not None:
            self.securer.add(call, reply, self.facts.run)
        else:
            call.answer(reply)
        if probe:
            self._release(call.tag)

    def _refused(self, connection: ServerConnection, call: Call, error: StoreError, remedy: Remedy) -> None:
        lane = self._hold(call, remedy)
        match remedy:
            case Remedy.MOVED:
                self._figures.moved += 1
                found = read_target(error.text, self.address)
                if found is not None and call.refusals <= _TRIES_AT_ONCE and slot_of(call.tag) == found[0]:
                    lane.wait(self._patience, partial(self._probe, call.tag))
                    self._owner.moved(self, *found)
                else:
                    self._owner.troubled(self)
            case Remedy.LOAD:
                if call.script is not None:
                    connection.loaded.discard(call.script)
            case Remedy.RECONNECT:
                logger.warning("store_takes_no_writes", server=str(self.address), code=error.word)
                connection.abort()
            case _:
                self._owner.troubled(self)

    # --- slots that leave

    def leave(self, slots: Mapping[int, "Server"]) -> None:
        """Hands slots over to other servers, each when no call of it is out any more."""
        fresh = {slot: server for slot, server in slots.items() if self._leaving.get(slot) is not server}
        if not fresh:
            return
        self._leaving.update(fresh)
        connection = self.connection
        if connection is None:
            self._hand_over(self._leaving)
        elif connection.silent() > self._patience / 4:
            connection.abort()  # whoever has lost its slots and says nothing is not waited for
        else:
            connection.ask("PING").add_done_callback(partial(self._fenced, list(fresh)))

    def _fenced(self, slots: list[int], pong: "asyncio.Future[Reply]") -> None:
        if pong.exception() is None:  # else the connection broke, and `_connection_lost` has seen to it
            self._hand_over(slots)

    def _hand_over(self, slots: Iterable[int]) -> None:
        self._sift()
        leaving = {slot: self._leaving.pop(slot) for slot in list(slots) if slot in self._leaving}
        gone: dict[Server, list[Call]] = {server: [] for server in leaving.values()}
        for tag in [tag for tag in self._lanes if slot_of(tag) in leaving]:
            lane = self._lanes.pop(tag)
            lane.stop()
            self._count(lane.calls, -1)
            gone[leaving[slot_of(tag)]] += lane.calls
        for call in self._given_up(lambda call, _: slot_of(call.tag) in leaving):
            gone[leaving[slot_of(call.tag)]].append(call)
        for slot, server in leaving.items():
            self._owner.assign(slot, server)
        for server, calls in gone.items():
            server.take(calls)
        self._owner.troubled(self)  # it may have nothing left to do
        self._flush_soon()

    def _given_up(self, lost: Callable[[Call, bytes], bool]) -> list[Call]:
        """Calls that the securer had and that are `lost`: whoever has their slot carries them out again."""
        calls = self.securer.give_up(lost) if self.securer is not None else []
        self._figures.repeated += len(calls)
        return calls

    # --- the connection

    def _adopt(self, connection: ServerConnection) -> None:
        connection.on_special = self._special
        connection.on_lost = self._connection_lost
        connection.on_writable = self._flush_soon
        connection.answers, connection.patience = self._figures.answers.call_seconds, self._timeout
        self.connection = connection
        run = self.facts.run if self.facts is not None else b""
        before, self._run = self._run, run
        if before and before != run:
            self._put_back(self._given_up(lambda _, carried_out_by: carried_out_by != run))
            self._owner.restarted(self)
        self._flush_soon()

    def _connection_lost(self, connection: ServerConnection) -> None:
        self._figures.bytes_in += connection.bytes_in
        self._figures.bytes_out += connection.bytes_out
        self.connection = None
        if not self._closed:
            logger.warning("store_connection_lost", server=str(self.address), unanswered=len(connection.sent))
        front = []
        for call in connection.sent:
            if call.future.done():
                continue
            if call.tag in self._lanes:
                self._hold(call)
            else:
                front.append(call)
        self._figures.repeated += len(front)
        self._put_back(front)
        for tag, lane in self._lanes.items():
            if lane.probe is not None:  # nobody waited for it any more
                lane.probe = None
                lane.wait(0, partial(self._probe, tag))
        if self._leaving:
            self._hand_over(self._leaving)

    # --- time

    def _tick(self) -> None:
        self._ticker = None
        now = self._loop.time()
        # When this process was stopped or held up, answers may be waiting to be read. They get one tick, and
        # time in which we did not listen is nobody's silence, however often that happens.
        unheard = max(0.0, now - self._ticked - self._period)
        late = not self._late and unheard > 2 * self._period
        self._late = late
        self._ticked = now
        connection = self.connection
        if connection is not None:
            connection.heard = min(now, connection.heard + unheard)
        if connection is not None and connection.silent() > self._patience:
            logger.warning(
                "store_server_silent", server=str(self.address), seconds=round(connection.silent(), 2)
            )
            connection.abort()
        elif connection is not None and connection.silent() > self._patience / 4:
            self._owner.troubled(self)
        if not late:
            self._expire(now)
        if self.counts()[0] and not self._closed:
            self._ticker = self._loop.call_later(self._period, self._tick)

    def _expire(self, now: float) -> None:
        """Ends calls whose deadline has passed. One that is out stays in `sent` until its answer comes."""
        places = [self._queue, *(lane.calls for lane in self._lanes.values())]
        if self.connection is not None:
            places.append(self.connection.sent)
        if self.securer is not None:
            places.append(self.securer.calls())
        for place in places:
            for call in place:
                if call.deadline <= now and call.sequence:
                    call.fail(Unavailable("the store did not answer in time"))
        for place in places[: 1 + len(self._lanes)]:
            over = [call for call in place if call.future.done()]
            if over:
                kept = [call for call in place if not call.future.done()]
                place.clear()
                place.extend(kept)
                self._count(over, -1)

    def close(self) -> None:
        """Ends the connection and every call with `Unavailable`."""
        self._closed = True
        self._upkeep.close()
        if self._ticker is not None:
            self._ticker.cancel()
        if self.connection is not None:
            self.connection.abort()
        if self.securer is not None:
            self.securer.close()
        for lane in self._lanes.values():
            lane.stop()
        for call in chain(self._queue, *(lane.calls for lane in self._lanes.values())):
            call.fail(Unavailable("the store is closed"))
        self._queue.clear()
        self._lanes.clear()
        self._waiting = self._bytes = 0

    async def closed(self) -> None:
        """Waits until nothing of it is running any more."""
        await self._upkeep.closed()
        if self.securer is not None:
            await self.securer.closed()
