"""All processes of the host: as many of each kind as the settings say, whatever happens to them.

A process that ends is started again, after a pause that doubles with each early end. A rolling restart starts
the whole new generation first and sends SIGTERM to the old one process by process: each drains, and since the
old ones that are still to come have stopped accepting, its clients land on new processes and are moved only
once. A new generation that does not get ready, or is not wanted any more before it is, is taken back, and the
old one stays.
"""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import msgspec
import structlog

from longline.agent.child import Child
from longline.agent.pauses import Pauses
from longline.agent.restart import AgentRestart
from longline.agent.warm import WarmParent
from longline.errors import Conflict, LonglineError, NothingToCancel, RestartUnderWay
from longline.model.agents import ProcessExit, ProcessState, ProcessStatus, RestartStatus
from longline.model.times import wall_clock
from longline.telemetry.faults import Faults

log = structlog.get_logger("longline.agent")

LONGEST_PAUSE = 30.0  # s before a process that ends early is started again
KILL_AFTER = 10.0  # s more than its drain and shutdown may take
TRIES = 3  # starts of a process of a new generation before the generation is given up
READY_WITHIN = 60.0  # s for a new generation
TELL_EVERY = 0.5  # s
LAST_WORD = 15.0  # s that telling of the end may take, where the status cannot be reached at once
HASTY_WORD = 1.0  # s, once it has been hastened


class Kind(msgspec.Struct, frozen=True):
    """Processes that are alike: their roles, how many, and settings that only they have, by dotted name."""

    roles: tuple[str, ...]
    count: int
    settings: Mapping[str, str] = {}

    @property
    def name(self) -> str:
        return "+".join(self.roles)


Post = Callable[[Sequence[ProcessStatus]], Awaitable[None]]


class _Place:
    """One of the processes that there should be; who fills it changes."""

    def __init__(self, kind: Kind, number: int, parent: WarmParent, pauses: Pauses) -> None:
        self.kind = kind
        self.number = number  # the lowest that no other place had
        self.parent = parent
        self.child: Child | None = None
        self.since = 0  # ms
        self.last_exit: ProcessExit | None = None
        self.restarts = 0
        self.pauses = pauses
        self.leaving = False

    @property
    def ready(self) -> bool:
        return self.child is not None and self.child.ready

    @property
    def node(self) -> str | None:
        return None if self.child is None else self.child.name


class Agent:
    """`start` begins to keep everything running, `roll` replaces every process, `stop` ends them all.

    `make_parent` gives each generation the parent that its processes are forked from. `patience`: seconds
    that a process may take from SIGTERM to its end. `status_ports`: the first of the ports that processes
    get, one each; 0: none. `post` is where the status goes, with what `beside` tells of other processes of
    the host, and an empty one in the end. `ready_within`: seconds for a new generation.
    """

    def __init__(
        self,
        kinds: Sequence[Kind],
        make_parent: Callable[[], WarmParent],
        *,
        faults: Faults,
        patience: float,
        status_ports: int = 0,
        post: Post | None = None,
        beside: Callable[[], Sequence[ProcessStatus]] = tuple,
        ready_within: float = READY_WITHIN,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._kinds = tuple(kinds)
        self._make_parent = make_parent
        self._parents: list[WarmParent] = []  # the latest generation's last
        self._faults = faults
        self._patience = patience
        self._status_ports = status_ports
        self._post = post
        self._beside = beside
        self._ready_within = ready_within
        self._monotonic = monotonic
        self._sleep = sleep
        self._places: dict[_Place, asyncio.Task[None]] = {}
        self._roll: AgentRestart | None = None  # under way, or the latest
        self._old: list[_Place] = []  # that it is of, until it is carried out
        self._last_word = LAST_WORD
        self._telling: asyncio.Timeout | None = None  # of the end
        self._bell = asyncio.Event()  # replaced when it has rung: whoever holds it misses nothing

    # --- life -------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins to keep all processes running."""
        parent = self._make_parent()
        self._parents.append(parent)
        for kind in self._kinds:
            for _ in range(kind.count):
                self._fill(kind, parent)

    async def ready(self) -> None:
        """Returns when every process takes traffic."""
        while not all(place.ready for place in self._places):
            await self._bell.wait()

    async def stop(self) -> None:
        """Ends all processes in good order."""
        await asyncio.gather(*(self._empty(place) for place in list(self._places)))
        await asyncio.gather(*(parent.close() for parent in self._parents))
        if self._post is not None:
            await self._tell_of_the_end(self._post)

    def hasten(self) -> None:
        """Has all processes that are to end do so without moving their clients first.

        That none are left is told within a second then, or not at all.
        """
        log.warning("stop_hastened")
        self._last_word = HASTY_WORD
        if self._telling is not None:
            self._telling.reschedule(asyncio.get_running_loop().time() + HASTY_WORD)
        for place in self._places:
            if place.child is not None:
                place.child.terminate()

    async def report(self) -> None:
        """Tells the status whenever it has changed; a task of its owner's."""
        while self._post is not None:
            bell = self._bell
            try:
                await self._post(self.status())
            except LonglineError as error:
                log.warning("status_not_told", code=error.code, error=error.message)
                self.ring()  # there is something to tell, still
            except Exception as error:  # nobody's process ends because nobody is told of it
                self._faults.note("agent.report", error)
            await self._sleep(TELL_EVERY)
            await bell.wait()

    async def _tell_of_the_end(self, post: Post) -> None:
        """That there are none any more; else who reads the status would take them to live on."""
        try:
            async with asyncio.timeout(self._last_word) as self._telling:
                while True:
                    try:
                        return await post([])
                    except LonglineError as error:
                        log.warning("status_not_told", code=error.code, error=error.message)
                    await self._sleep(TELL_EVERY)
        except TimeoutError:
            log.error("status_left_behind", reason="the keeper cannot be reached")
        finally:
            self._telling = None

    def status(self) -> list[ProcessStatus]:
        """Every process there is or should be."""
        return [*self._beside(), *map(self._status, self._places)]

    def _status(self, place: _Place) -> ProcessStatus:
        child = place.child
        if child is None:
            return ProcessStatus(
                place.kind.name, None, 0, "pausing", place.restarts, last_exit=place.last_exit
            )
        state: ProcessState = "ending" if place.leaving else "ready" if child.ready else "starting"
        return ProcessStatus(
            place.kind.name, child.name, child.pid, state, place.restarts, place.since, place.last_exit
        )

    def ring(self) -> None:
        """Something that the status tells has changed."""
        self._bell.set()
        self._bell = asyncio.Event()

    # --- places -----------------------------------------------------------------------------------

    def _fill(self, kind: Kind, parent: WarmParent) -> _Place:
        taken = {place.number for place in self._places}
        number = next(number for number in itertools.count() if number not in taken)
        place = _Place(kind, number, parent, Pauses(LONGEST_PAUSE, self._monotonic))
        self._places[place] = asyncio.create_task(self._keep(place), name=f"agent.{kind.name}")
        return place

    async def _keep(self, place: _Place) -> None:
        """Starts the place's process, and again whenever it has ended."""
        while True:
            place.pauses.starts()
            try:
                child = await self._spawn(place)
            except (LonglineError, OSError) as error:
                log.error("process_not_started", kind=place.kind.name, error=str(error))
            except Exception as error:  # as long as there is a place, somebody fills it
                self._faults.note("agent.place", error)
            else:
                await child.ended.wait()
                place.child = None
                place.last_exit = ProcessExit(wall_clock(), child.exit)
                tell = log.info if place.leaving else log.warning
                tell(
                    "process_ended",
                    kind=place.kind.name,
                    process=child.name,
                    pid=child.pid,
                    how=child.exit,
                )
            if place.leaving:
                return
            place.restarts += 1
            self.ring()
            await self._sleep(place.pauses.ended())

    async def _spawn(self, place: _Place) -> Child:
        settings = dict(place.kind.settings)
        if self._status_ports:
            settings["node.status_port"] = str(self._status_ports + place.number)
        worker = await place.parent.fork(place.kind.roles, settings)
        child = place.child = Child(worker, self.ring)
        place.since = wall_clock()
        log.info("process_started", kind=place.kind.name, pid=child.pid)
        self.ring()
        return child

    async def _empty(self, place: _Place) -> None:
        """Ends the place's process in good order, or by force when that takes too long."""
        place.leaving = True
        self.ring()
        child = place.child
        if child is None:
            self._places[place].cancel()
        else:
            child.terminate()
            try:
                async with asyncio.timeout(self._patience + KILL_AFTER):
                    await child.ended.wait()
            except TimeoutError:
                log.error("process_killed", kind=place.kind.name, process=child.name, pid=child.pid)
                child.kill()
                await child.ended.wait()
        await asyncio.gather(self._places[place], return_exceptions=True)
        del self._places[place]
        self.ring()

    # --- rolling restart --------------------------------------------------------------------------

    @property
    def restart(self) -> RestartStatus | None:
        """The rolling restart that is under way, or the latest one."""
        return None if self._roll is None else self._roll.status

    async def unrolled(self) -> None:
        """Returns when no rolling restart is under way."""
        while self._roll is not None and self._roll.under_way:
            await self._bell.wait()

    async def roll(self) -> bool:
        """Replaces every process by a new one, without a moment in which nobody takes traffic.

        False: the new ones did not get ready, and the old ones stay. Raises `RestartUnderWay`.
        """
        return await self.carry_out(self.begin())

    def begin(self, nodes: Collection[str] = (), *, id: str = "", by: str = "") -> AgentRestart:
        """A rolling restart of the processes that are these nodes, or of all; `carry_out` is to follow.

        Raises `RestartUnderWay`, and `Conflict` for a node that is none of them.
        """
        if self._roll is not None and self._roll.under_way:
            raise RestartUnderWay
        wanted = frozenset(nodes)
        if gone := wanted - {place.node for place in self._places}:
            raise Conflict(f"{min(gone)} is no process of this agent any more")
        self._old = [place for place in self._places if not wanted or place.node in wanted]
        self._roll = AgentRestart(len(self._old), id, by, self.ring)
        self.ring()
        return self._roll

    def cancel(self) -> None:
        """Has the new processes of a rolling restart end, and the old ones stay.

        Raises `NothingToCancel` when none is under way, or old ones are about to end already.
        """
        if self._roll is None or self._roll.status.state != "starting":
            raise NothingToCancel
        self._roll.cancelled = True
        self.ring()

    async def carry_out(self, roll: AgentRestart) -> bool:
        """Does what was begun; whether all were replaced."""
        try:
            return await self._carry_out(roll)
        finally:
            roll.end("interrupted")

    async def _carry_out(self, roll: AgentRestart) -> bool:
        old, self._old = self._old, []
        parent = self._make_parent()
        self._parents.append(parent)
        fresh = [self._fill(place.kind, parent) for place in old]
        done = await self._get_ready(fresh, roll)
        if done:
            roll.replaces(0)
            for place in old:
                place.leaving = True
                if place.child is not None:
                    place.child.retire()
            for replaced, place in enumerate(old, 1):
                await self._empty(place)
                roll.replaces(replaced)
            roll.end("done")
            log.info("rolled", processes=len(fresh))
        else:
            reason = "it was cancelled" if roll.cancelled else _why(fresh)
            tell = log.info if roll.cancelled else log.error
            tell("roll_given_up", reason=reason, kept=len(old))
            await asyncio.gather(*(self._empty(place) for place in fresh))
            roll.end("cancelled" if roll.cancelled else "given_up", reason)
        used = {place.parent for place in self._places}
        for spare in [each for each in self._parents if each not in used]:
            self._parents.remove(spare)
            await spare.close()
        return done

    async def _get_ready(self, places: Sequence[_Place], roll: AgentRestart) -> bool:
        """Whether all take traffic, within the time for it and with few tries."""
        try:
            async with asyncio.timeout(self._ready_within):
                while not all(place.ready for place in places):
                    roll.readied(sum(place.ready for place in places))
                    if roll.cancelled or any(place.restarts >= TRIES for place in places):
                        return False
                    await self._bell.wait()
        except TimeoutError:
            return False
        roll.readied(len(places))
        return not roll.cancelled


def _why(places: Sequence[_Place]) -> str:
    """What kept new processes from getting ready."""
    for place in places:
        if not place.ready and place.last_exit is not None:
            return f"a new {place.kind.name} ended ({place.last_exit.reason}): the agent's log says why"
    late = ", ".join(sorted({place.kind.name for place in places if not place.ready}))
    return f"the new processes did not get ready: {late}"
