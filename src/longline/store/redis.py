"""The store: one Redis or Valkey, or a Cluster, which is recognised by itself.

This file finds the server of a call, keeps the map of a Cluster up to date, and is the only one of the
package that knows hiredis. What happens to a call behind that is in `server.py`.
"""

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, Literal, Self
from zlib import crc32

import structlog

from hiredis import Reader, pack_command
from longline.errors import LayoutRefused, LonglineError, SettingsError, StoreError, Unavailable
from longline.settings import StoreSettings
from longline.store.addresses import Address, parse
from longline.store.blocking import BlockingCalls
from longline.store.calls import SOME, Call, Reply, Word, read_error
from longline.store.condition import condition
from longline.store.connection import ServerConnection
from longline.store.dial import Dial, Facts
from longline.store.figures import AnswerTimes, Figures
from longline.store.lanes import FIRST_DELAY, LAST_DELAY, spread
from longline.store.script import Script
from longline.store.server import Server
from longline.store.slots import SLOTS, read_map, slot_of

__all__ = ["Assurance", "BlockingCalls", "Reply", "Script", "Store", "Word"]

logger = structlog.get_logger(__name__)

LAYOUT: Final = 4
"""Of all that is in the store, whoever wrote it. Raised when versions before could not work beside this one:
when keys, values or partitions mean something else, or a script leaves out what others rely on."""

LANES: Final = 8  # of the events of an app in a Cluster, where nothing else is said

_ROUTES: Final = 100_000  # tags whose server is remembered; beyond it they are worked out anew
_MAP_PAUSE: Final = 0.1  # seconds between two looks at the map of a Cluster
_MAP_LONGEST_PAUSE: Final = 1.0  # while nobody can be asked


@dataclass(frozen=True)
class Assurance:
    """What a write survives at the moment of its answer, as far as this store makes sure of it.

    `level`: `memory` (the master's process must live), `fsync` (it is on the master's disk), `replicated`
    (it is also in the memory of `copies` replicas). `synced`: it is on the master's disk, whatever the level;
    `appended`: it is in the master's append-only file, and with its host's next sync on the disk.
    """

    level: Literal["memory", "fsync", "replicated"]
    copies: int
    synced: bool
    appended: bool


class Store:
    """Calls to the servers of the store. Opened by `await Store.open(settings)`.

    Keys are `b"{" + tag + b"}" + rest`; a call touches the keys of one tag. Calls of one tag are carried out
    in the order given, with one exception: a call that a server refuses for the moment (a slot on the move, a
    failover, too few replicas) can be overtaken by calls of its tag that were sent before that was known,
    and by none that is given later (`server.py` has it in full). Calls are sent without waiting for each
    other's answers, so this cannot be otherwise. Who needs one carried out before another awaits its answer.
    Awaitables raise

    - `StoreError` for an error reply that would come again, a script's own included;
    - `Overloaded` at once, when as many calls or bytes as the settings allow are waiting for the server, or
      when the server is out of memory. Nothing was done;
    - `Unavailable` when there is no answer by the deadline (`store.timeout`), or the store is closed, or
      does not let us do this for now. The call may have been carried out, or may yet be.

    A call whose connection broke is repeated, so **every script and command must bear being carried out
    twice**. While a slot is moved to another server live, key by key, a call may also have been cut short
    by a key that it had not declared; it is repeated then, too.
    """

    def __init__(self, settings: StoreSettings) -> None:
        contacts = parse(settings.url)
        self.partitions = settings.partitions
        self.event_lanes = 1  # as the store says when it is open
        self.scripts: dict[Script, None] = {}
        self._settings = settings
        self._contacts = contacts.addresses
        self._dial = Dial(settings, contacts, pack_command, _reader)
        self._timeout = settings.timeout
        self._longest = settings.timeout + settings.wait_timeout  # of a call that waits for copies
        self._loop = asyncio.get_running_loop()
        self._figures = Figures()
        self._condition: Mapping[str, int] = {}
        self._sequence = 0
        self._single: Server | None = None
        self._servers: dict[Address, Server] = {}
        self._table: list[Server | None] = []
        self._routes: dict[bytes, Server] = {}
        self._replicas: list[Address] = []
        self._blocking: set[BlockingCalls] = set()
        self._stale = asyncio.Event()
        self._doubts = 0  # see `doubted`
        self._doubted = asyncio.Event()
        self._mapping: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def longest_call(self) -> float:
        """Seconds after which no call is carried out again any more."""
        return self._longest

    # --- life

    @classmethod
    async def open(cls, settings: StoreSettings) -> Self:
        """Connects; `Unavailable` when no server answers within `store.timeout`.

        `SettingsError` when the URL, the credentials, or what the servers can do does not fit the settings,
        or when the store was first used with another number of partitions, or of lanes. `LayoutRefused` when
        a version with another layout of keys wrote it.
        """
        store = cls(settings)
        try:
            await store._begin()
            await store._check()
        except BaseException:
            await store.close()
            raise
        return store

    async def close(self) -> None:
        """Ends every call that waits with `Unavailable`, and all connections."""
        self._closed = True
        servers = self._all()
        for server in servers:
            server.close()
        for calls in list(self._blocking):
            calls.close()
        if self._mapping is not None:
            self._mapping.cancel()
            await asyncio.gather(self._mapping, return_exceptions=True)
        for server in servers:
            await server.closed()

    async def _begin(self) -> None:
        deadline = self._loop.time() + self._timeout
        delay = FIRST_DELAY
        reason: Exception | None = None
        while True:
            for address in self._contacts:
                try:
                    connection, facts = await self._dial.open(address)
                except (OSError, Unavailable) as error:
                    reason = error
                    continue
                try:
                    await self._settle(connection, address, facts)
                except (StoreError, Unavailable) as error:
                    reason = error
                    continue
                finally:
                    connection.abort()
                return
            if self._loop.time() >= deadline:
                raise Unavailable(f"the store cannot be reached: {reason}") from reason
            await asyncio.sleep(spread(delay))
            delay = min(delay * 2, LAST_DELAY)

    async def _settle(self, connection: ServerConnection, address: Address, facts: Facts) -> None:
        if not facts.cluster:
            self._single = self._server(self._contacts)
            return
        masters, self._replicas = read_map(await connection.ask("CLUSTER", "SLOTS"), address)
        if not masters:
            raise Unavailable("the Cluster has no servers for its slots yet")
        self._table = [None] * SLOTS
        self._apply(masters)
        self._mapping = self._loop.create_task(self._keep_map(), name="store map")

    async def _check(self) -> None:
        """What must be so before the store is used."""
        tag, names = b"meta", (b"{meta}partitions", b"{meta}layout", b"{meta}lanes")
        asked = min(self._settings.event_lanes, self.partitions)
        lanes = asked or (1 if self._single is not None else min(LANES, self.partitions))
        # All at once, or none: of an earlier version's store only the first is there.
        await self.call(tag, b"MSETNX", names[0], self.partitions, names[1], LAYOUT, names[2], lanes)
        stored = await self.call(tag, b"MGET", *names)
        partitions, layout, lanes_before = map(_digits, stored if isinstance(stored, list) else ())
        if layout != str(LAYOUT):
            raise LayoutRefused(
                f"the store has layout {layout or '1'}; this version reads {LAYOUT} and has changed nothing"
            )
        if partitions != str(self.partitions):
            raise _wrong(
                "partitions", f"the store was first used with {partitions} partitions, which is for ever"
            )
        if asked and lanes_before != str(asked):
            raise _wrong(
                "event_lanes", f"the store was first used with {lanes_before} lanes, which is for ever"
            )
        self.event_lanes = int(lanes_before)
        if self._settings.wait_fsync:
            try:
                await self.call(tag, b"WAITAOF", 1, 0, 1)
            except StoreError as error:  # it has no such command (Redis before 7.2), or no append-only file
                raise _wrong("wait_fsync", f"the store cannot: {error.text}") from error

    # --- calls

    def partition_of(self, app: int, device: str) -> int:
        """The partition of a device, 0 to `partitions` - 1; always the same."""
        return crc32(f"{app}/{device}".encode()) % self.partitions

    def run(
        self,
        tag: bytes,
        script: Script,
        keys: Sequence[bytes],
        args: Sequence[Word],
        *,
        durable: bool = False,
        work: int = SOME,
    ) -> Awaitable[Reply]:
        """Carries a script out; errors as above. `work`: about how many items it goes through.

        `durable`: the answer comes only when what was written is copied and synced as the settings
        `store.wait_replicas` and `store.wait_fsync` ask (`Unavailable` when it is not within
        `store.wait_timeout`: stored, but not safe). Without these settings it changes nothing.
        """
        if script not in self.scripts:
            self.scripts[script] = None
        payload = pack_command((b"EVALSHA", script.sha, len(keys), *keys, *args))
        return self._put(tag, payload, script, durable, work)

    def call(self, tag: bytes, *command: Word, durable: bool = False) -> Awaitable[Reply]:
        """Carries one command out, at the server of the tag; errors and `durable` as above."""
        return self._put(tag, pack_command(command), None, durable, 1)

    def blocking(self, tag: bytes) -> BlockingCalls:
        """A connection of its own for commands on keys of this tag that block; close it after use."""
        calls = BlockingCalls(
            self._dial,
            self._timeout,
            where=lambda: self._route(tag).address,
            doubt=self._stale.set,
            ended=self._blocking.discard,
        )
        self._blocking.add(calls)
        if self._closed:
            calls.close()
        return calls

    def _put(
        self, tag: bytes, payload: bytes, script: Script | None, durable: bool, work: int
    ) -> "Future[Reply]":
        future: Future[Reply] = self._loop.create_future()
        self._sequence = sequence = self._sequence + 1
        deadline = self._loop.time() + (self._longest if durable else self._timeout)
        call = Call(future, payload, tag, sequence, deadline, script, durable, work)
        if self._closed:
            call.fail(Unavailable("the store is closed"))
        else:
            (self._routes.get(tag) or self._route(tag)).put(call)
        return future

    def _route(self, tag: bytes) -> Server:
        server = self._single or self._table[slot_of(tag)]
        if server is None:
            # Nobody has the slot. Any server will say so until somebody has, and then hands over what waits:
            # if it did not, later calls would go ahead.
            server = self._table[slot_of(tag)] = next(iter(self._servers.values()))
        if len(self._routes) >= _ROUTES:
            self._routes.clear()
        self._routes[tag] = server
        return server

    # --- the servers, and the map of a Cluster

    def _server(self, addresses: Sequence[Address]) -> Server:
        return Server(addresses, self._dial, self._settings, self, self._figures)

    def _all(self) -> list[Server]:
        return [*self._servers.values()] if self._single is None else [self._single]

    def _at(self, address: Address) -> Server:
        server = self._servers.get(address)
        if server is None:
            server = self._servers[address] = self._server((address,))
        return server

    def moved(self, server: Server, slot: int, address: Address) -> None:
        """See `server.Owner`."""
        if self._single is None and address != server.address:
            server.leave({slot: self._at(address)})
        self._stale.set()

    def assign(self, slot: int, server: Server) -> None:
        """See `server.Owner`."""
        if self._table[slot] is not None:
            self._doubt()
        self._table[slot] = server
        self._routes.clear()

    def troubled(self, server: Server) -> None:
        """See `server.Owner`."""
        self._stale.set()

    def restarted(self, server: Server) -> None:
        """See `server.Owner`."""
        self._doubt()

    def _doubt(self) -> None:
        self._doubts += 1
        self._doubted.set()

    async def doubted(self, seen: int) -> int:
        """Returns when writes that were answered may have been lost since `seen`: 0, then the last answer.

        That is when a server was started again, or its slots have another one, and calls go there.
        """
        while self._doubts == seen:
            self._doubted.clear()
            await self._doubted.wait()
        return self._doubts

    async def _keep_map(self) -> None:
        """Looks at the map again whenever somebody has a doubt, though not without a pause."""
        pause = _MAP_PAUSE
        while True:
            try:
                await self._stale.wait()
                self._stale.clear()
                masters, self._replicas = await self._ask_map()
                self._apply(masters)
                pause = _MAP_PAUSE
            except Exception as error:  # whatever it is: without this task the map would stay as it is
                if pause == _MAP_PAUSE:
                    logger.warning("store_map_unknown", reason=str(error))
                pause = min(pause * 2, _MAP_LONGEST_PAUSE)
                self._stale.set()
            await asyncio.sleep(spread(pause))

    async def _ask_map(self) -> tuple[dict[int, Address], list[Address]]:
        """The map as seen by a server that is in touch, or by any that can be reached."""
        patience = self._dial.patience / 4
        connections = [
            (server.connection, server.address) for server in self._servers.values() if server.connection
        ]
        connection, address = min(connections, key=lambda each: each[0].silent(), default=(None, None))
        if connection is not None and address is not None and connection.silent() < patience:
            async with asyncio.timeout(patience):
                return read_map(await connection.ask("CLUSTER", "SLOTS"), address)
        error: Exception = Unavailable("the store cannot be reached")
        for address in chain(self._contacts, self._replicas):
            try:
                connection, _ = await self._dial.open(address)
            except (OSError, LonglineError) as trouble:
                error = trouble
                continue
            try:
                return read_map(await connection.ask("CLUSTER", "SLOTS"), address)
            finally:
                connection.abort()
        raise error

    def _apply(self, masters: Mapping[int, Address]) -> None:
        leaving: dict[Server, dict[int, Server]] = {}
        for slot, address in masters.items():
            old, new = self._table[slot], self._at(address)
            if old is None:
                self.assign(slot, new)
            elif old is not new:
                leaving.setdefault(old, {})[slot] = new
        for server, slots in leaving.items():
            logger.info("store_slots_moved", server=str(server.address), slots=len(slots))
            server.leave(slots)
        needed = {self._at(address) for address in masters.values()}.union(
            self._table, *(server.successors() for server in self._servers.values())
        )
        for address, server in list(self._servers.items()):
            if server not in needed and not server.counts()[0]:
                server.close()
                del self._servers[address]

    # --- figures

    def durability(self) -> Assurance:
        """What a `durable` call promises by its answer. Where a server hides its settings: nothing."""
        servers = self._all()
        synced = self._settings.wait_fsync or all(
            server.facts is not None and server.facts.synced for server in servers
        )
        copies = self._settings.wait_replicas
        appended = all(server.facts is not None and server.facts.append_only == "yes" for server in servers)
        return Assurance(
            "replicated" if copies else "fsync" if synced else "memory", copies, synced, appended
        )

    def signs(self) -> tuple[int, int]:
        """A number that rises whenever a server says something, and how many calls wait for an answer."""
        servers = self._all()
        heard = sum(server.connection.bytes_in for server in servers if server.connection is not None)
        return self._figures.bytes_in + heard, sum(server.counts()[0] for server in servers)

    async def measure(self) -> None:
        """Asks the servers for their condition, which `statistics` tells from then on."""
        servers = self._all()
        self._condition = await condition(
            [server.connection for server in servers if server.connection is not None]
        )

    @property
    def answers(self) -> AnswerTimes:
        """How long the store takes."""
        return self._figures.answers

    def statistics(self) -> Mapping[str, int]:
        """Plain figures for the metrics: what was counted, and what is waiting now."""
        servers = self._all()
        connections = [server.connection for server in servers if server.connection is not None]
        counts = [server.counts() for server in servers]
        return {
            "servers": len(servers),
            "connected": len(connections),
            "calls": self._sequence,
            "repeated": self._figures.repeated,
            "moved": self._figures.moved,
            "reconnects": self._figures.reconnects,
            "waiting": sum(count for count, _ in counts),
            "waiting_bytes": sum(size for _, size in counts),
            "bytes_out": self._figures.bytes_out + sum(connection.bytes_out for connection in connections),
            "bytes_in": self._figures.bytes_in + sum(connection.bytes_in for connection in connections),
            **self._condition,
        }


def _reader() -> Reader:
    return Reader(replyError=read_error)


def _digits(word: Reply) -> str:
    return word.decode("ascii", "replace") if isinstance(word, bytes) else ""


def _wrong(setting: str, reason: str) -> SettingsError:
    return SettingsError(f"store.{setting}: {reason}", details=[(f"store.{setting}", reason)])
