"""Membership, leadership and values of the processes of one host, in the store that they share anyway.

A few times a second each process makes one call: it says that its members are alive (only every third of
the session's timeout, so that the store has little to write), lets them lead what nobody leads, and hears
what has changed. How it lies in the store is in `lua/__init__.py`.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import structlog

from longline.errors import Conflict, LonglineError, StoreError, Unavailable
from longline.flow.kept import kept
from longline.keeper.names import Names
from longline.keeper.port import Kept, Node
from longline.keeper.view import Lead, View, check_name, check_write
from longline.store.redis import Reply, Script, Store, Word
from longline.telemetry.faults import Faults

TICK: Final = 0.25  # s, or less when sessions are short
BEAT: Final = 1 / 3  # of the session's timeout
IN_TOUCH: Final = 2 / 3
SURE: Final = 0.01  # s by which a timer may be early
CLOSE_WITHIN: Final = 2.0  # s

_PACKAGE: Final = "longline.keeper.lua"
_TICK: Final = Script(_PACKAGE, "tick.lua")
_JOIN: Final = Script(_PACKAGE, "join.lua")
_LEAVE: Final = Script(_PACKAGE, "leave.lua")
_WRITE: Final = Script(_PACKAGE, "write.lua")

_TAG: Final = b"keeper"
_KEYS: Final = tuple(
    b"{keeper}" + name for name in (b"members", b"beats", b"leaders", b"terms", b"values", b"state")
)

# Changes, writes, members that are no more, [members, leaders, terms], values; hashes lie flat.
_News = tuple[int, int, list[bytes], tuple[list[bytes], list[bytes], list[bytes]] | None, list[bytes] | None]


log = structlog.get_logger("longline.keeper")


def _boot_clock() -> float:
    """Seconds that go on also while the machine sleeps, unlike those of `time.monotonic`."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class RedisKeeper:
    """Fulfils `Keeper` for processes that all use this store.

    Members that were not heard of for the session's timeout are taken for dead by the others; joining again
    under such a name raises `Fenced`. While the store itself is away nobody dies: the time in which nobody
    was heard of counts against nobody.
    """

    def __init__(self, store: Store, session_timeout: float) -> None:
        self._store = store
        self._timeout = session_timeout
        self._owner = secrets.token_hex(8)
        self._view = View()
        self._names = Names()
        self._decoded: dict[bytes, Node] = {}
        self._wanted: dict[tuple[str, str], None] = {}  # duties, and members of ours that would lead them
        self._changes = -1
        self._written = -1
        self._writes = 0
        self._contact = float("-inf")  # when the last answered heartbeat was sent
        self._looked = float("-inf")  # and the last answered look
        self._was_in_touch = False
        self._asking = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._ticking: asyncio.Task[None] | None = None
        self._closed = False

    @classmethod
    async def open(cls, store: Store, *, session_timeout: float, faults: Faults) -> "RedisKeeper":
        """`session_timeout` in seconds, the same in all processes. Raises `Unavailable`."""
        keeper = cls(store, session_timeout)
        await keeper._look()
        tick_on = kept("keeper.tick", keeper._tick_on, faults)
        keeper._ticking = asyncio.create_task(tick_on, name="keeper.tick")
        return keeper

    async def close(self) -> None:
        """Takes two seconds at most; members that could not leave within go with the session's timeout."""
        if self._closed:
            return
        self._closed = True
        if self._ticking is not None:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
        with contextlib.suppress(TimeoutError, LonglineError):
            async with asyncio.timeout(CLOSE_WITHIN):
                await self._store.run(_TAG, _LEAVE, _KEYS, [self._owner, *self._names.not_dead()])
        self._view.close()

    # --- members ----------------------------------------------------------------------------------

    async def join(self, node: Node) -> None:
        name = node.node
        check_name(name)
        known = name in self._names
        self._names.begin(name)
        data = msgspec.json.encode(node)
        arguments: list[Word] = [self._owner, self._milliseconds, name, data, int(not known)]
        try:
            # Nothing may come in between: a look that names a member must reach the store after its joining.
            done = await self._run(_JOIN, arguments)
        except BaseException:
            if not known:
                self._names.forget(name)
            raise
        if done == -1:
            self._names.forget(name)
            raise Conflict(f"another process is a member under the name {name}")
        if done == 0:
            self._names.die([name])
        self._names.begin(name)
        await self._see()

    async def leave(self, node: str) -> None:
        if self._names.leave(node):
            await self._run(_LEAVE, [self._owner, node])
            await self._see()
        self._names.forget(node)

    async def members(self) -> list[Node]:
        return self._view.by_name()

    def in_touch(self) -> bool:
        return not self._closed and _boot_clock() - self._contact < self._timeout * IN_TOUCH

    def age(self) -> float:
        return _boot_clock() - self._looked

    # --- leaders ----------------------------------------------------------------------------------

    async def leads(self, duty: str, node: str) -> bool:
        check_name(duty)
        if self._names.is_member(node):
            self._wanted.setdefault((duty, node))
            if duty not in self._view.leaders and self.in_touch():
                await self._see()
        lead = self._view.leaders.get(duty)
        # Of our own the living, of others those that are listed.
        alive = node in self._view.members and (node not in self._names or self._names.is_member(node))
        return alive and lead is not None and lead.node == node and self.in_touch()

    async def term(self, duty: str) -> int:
        return self._view.term(duty)

    def _claims(self) -> list[str]:
        """Duties that nobody leads, and who of ours would, one after the other."""
        self._wanted = {want: None for want in self._wanted if self._names.is_member(want[1])}
        return [word for want in self._wanted if want[0] not in self._view.leaders for word in want]

    # --- values -----------------------------------------------------------------------------------

    async def read(self, key: str) -> Kept | None:
        return self._view.values.get(key)

    async def read_all(self, prefix: str) -> Mapping[str, Kept]:
        return self._view.below(prefix)

    async def write(self, key: str, value: bytes | None, version: int | None = None) -> int:
        check_write(key, value)
        expected = -1 if version is None else version
        async with self._writing:  # the store remembers the last write of each owner, to know it again
            self._writes += 1
            arguments: list[Word] = [self._writes, key, expected, int(value is not None), value or b""]
            memory = b"{keeper}wrote:" + self._owner.encode()
            reply = await self._run(_WRITE, arguments, [*_KEYS, memory], durable=True)
        done, new = msgspec.convert(reply, tuple[int, int])
        if not done:
            raise Conflict(f"version {new} of {key} is in force, not {version}")
        await self._see()
        return new

    async def changed(self, seen: int) -> int:
        return await self._view.changed(seen)

    # --- looking ----------------------------------------------------------------------------------

    async def _tick_on(self) -> None:
        every = min(TICK, self._timeout / 8)
        while True:
            await asyncio.sleep(every)
            try:
                await self._look()
                if self._claims():  # somebody has left what one of ours would lead
                    await self._look()
            except Unavailable as error:
                log.debug("store_not_looked_at", error=error.message)
            except LonglineError as error:
                log.warning("store_not_looked_at", code=error.code, error=error.message)

    def _heard(self, sent: float) -> None:
        """A heartbeat was answered, so we are in touch until so long after it was sent."""
        self._contact = sent
        self._notice_touch()
        asyncio.get_running_loop().call_later(self._timeout * IN_TOUCH + SURE, self._notice_touch)

    def _notice_touch(self) -> None:
        if self.in_touch() is not self._was_in_touch and not self._closed:
            self._was_in_touch = not self._was_in_touch
            if self._was_in_touch:
                log.info("in_touch")
            else:
                log.warning("out_of_touch")
            self._view.ring()

    async def _see(self) -> None:
        """Has our own change in view before it is answered; it is made, whether that works or not."""
        with contextlib.suppress(LonglineError):
            await self._look()

    async def _look(self) -> None:
        """One call: says that we are alive when it is time to, claims, and hears what is new."""
        async with self._asking:  # so that news are put in, in the order in which they were told
            sent = _boot_clock()
            beat = sent - self._contact >= self._timeout * BEAT - TICK / 2
            names = self._names.not_dead()
            seen = (int(beat), self._changes, self._written)
            who: tuple[Word, ...] = (self._owner, self._milliseconds)
            claims = self._claims()
            arguments = [*who, *seen, len(names), *names, *claims]
            reply = await self._run(_TICK, arguments, durable=bool(claims))
            changes, written, lost, standing, values = msgspec.convert(reply, _News)
            if lost:
                gone = [name.decode() for name in lost]
                if dead := [name for name in gone if self._names.is_member(name)]:  # and did not leave
                    log.warning("taken_for_dead", nodes=dead)
                self._names.die(gone)
            if standing is not None:
                self._put(*standing)
            if values is not None:
                self._view.put_values({key: _kept(told) for key, told in _pairs(values).items()})
            self._changes, self._written = changes, written
            self._looked = sent
            if beat:
                self._heard(sent)

    def _put(self, members: list[bytes], leaders: list[bytes], terms: list[bytes]) -> None:
        known, self._decoded = self._decoded, {}
        for name, told in _pairs(members).items():
            node = known.get(told) or _decode(name, told)
            if node is not None:
                self._decoded[told] = node
        self._view.put_members({node.node: node for node in self._decoded.values()})
        reached = {duty: int(term) for duty, term in _pairs(terms).items()}
        for duty, term in reached.items():
            self._view.put_term(duty, term)
        led = {duty: node.decode() for duty, node in _pairs(leaders).items()}
        for duty in {*led, *self._view.leaders}:
            lead = Lead(led[duty], reached.get(duty, 0)) if duty in led else None
            self._view.put_leader(duty, lead)

    async def _run(
        self,
        script: Script,
        arguments: Sequence[Word],
        keys: Sequence[bytes] = _KEYS,
        *,
        durable: bool = False,
    ) -> Reply:
        if self._closed:
            raise Unavailable("the keeper is closed")
        try:
            return await self._store.run(_TAG, script, keys, arguments, durable=durable)
        except StoreError as error:
            raise Unavailable(f"the store refused: {error.word}") from None

    @property
    def _milliseconds(self) -> int:
        return int(self._timeout * 1000)


def _pairs(flat: Sequence[bytes]) -> dict[str, bytes]:
    return {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}


def _decode(name: str, told: bytes) -> Node | None:
    try:
        return msgspec.json.decode(told.partition(b" ")[2], type=Node)
    except msgspec.MsgspecError as error:
        log.warning("member_not_read", node=name, error=str(error))
        return None


def _kept(told: bytes) -> Kept:
    version, _, value = told.partition(b"\n")
    return Kept(value, int(version))
