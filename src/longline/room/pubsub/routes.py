"""Publish/subscribe across rooms: each room tells the others which topic filters it has subscribers for.

What changes is gathered for `GATHER` seconds and told to all rooms at once; a filter that has lost its last
subscriber is only given up after a while, because most come right back. A room that is new asks all others
for their whole tables and tells its own; one that may have missed something asks again. A whole table begins
with a command that says `whole` and ends with an empty one. Until a room has told its table, it is sent
everything (`neighbours`).

A client hears that it is subscribed once the other rooms have heard of it (`hearing.py`), or cannot be told
at the moment.

With no other room there is nothing here to be done: the fan-out does not know that there could be one.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar

import structlog
from msgspec.structs import replace

from longline.bus.port import Bus
from longline.errors import LonglineError
from longline.flow.kept import kept
from longline.model.commands import ForGroups, Forward, Routes
from longline.model.times import wall_clock
from longline.mqtt.packets import Publish, Suback
from longline.mqtt.properties import MESSAGE_EXPIRY, get_int, pack_message_properties
from longline.room.pubsub.arrivals import Arrivals
from longline.room.pubsub.fanout import SUCCESS, Fanout
from longline.room.pubsub.groups import Allotment
from longline.room.pubsub.hearing import PATIENCE, Hearing
from longline.room.pubsub.message import FanoutMessage
from longline.room.pubsub.neighbours import Neighbour, Neighbours
from longline.room.pubsub.relay import Owed, Relay, RouteCounters
from longline.room.pubsub.retainer import Retainer
from longline.room.pubsub.rooms import LATER, NOT_YET, AwaitingSuback, Publisher
from longline.room.pubsub.share_routes import GroupsOfOthers, Share, ShareNews
from longline.room.pubsub.shared import Groups
from longline.room.push.frames import forwarded
from longline.room.session.sessions import Sessions
from longline.telemetry.faults import Faults

GATHER: Final = 0.01  # s
HOLD_BACK: Final = 1.0  # s at least that a filter without subscribers stays announced
PARTING: Final = 100_000  # filters that may wait for that; beyond it they are given up at once
REFRESH: Final = 2.0  # s between two looks at which rooms there are
ASK_AGAIN: Final = 2.0  # s to wait for another room's table, doubled each time
ASK_AGAIN_AT_MOST: Final = 60.0  # s
TOGETHER: Final = 16  # commands that are sent at once
PATIENT: Final = 10_000  # clients that may wait for that; the next is answered at once
PIECE: Final = 1000  # filters in one command
PIECE_SIZE: Final = 64 * 1024  # characters in one command, but for the last filter's
OWED_AT_MOST: Final = 64  # publications of one client that wait for the bus

Change = tuple[int, str]  # app and filter

log = structlog.get_logger()


class RouteTable:
    """Owned by the room, which runs `run` as a task. Fulfils `RemoteRooms` for the fan-out while there are
    others.

    At most `limit` filters of other rooms are known, and `queue_bytes` of messages wait to go there, and as
    many of theirs to be distributed here.
    """

    def __init__(
        self,
        node: str,
        bus: Bus,
        sessions: Sessions,
        fanout: Fanout,
        shares: Groups,
        hearing: Hearing,
        retainer: Retainer,
        faults: Faults,
        *,
        limit: int = 1_000_000,
        queue_bytes: int = 16 * 1024 * 1024,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.counters = RouteCounters()
        self._node = node
        self._names = {node}  # and former ones, whose queues may be there for a while
        self._bus = bus
        self._sessions = sessions
        self._fanout = fanout
        self._hearing = hearing
        self._retainer = retainer
        self._faults = faults
        self._now = now
        self._sleep = sleep
        self._shares = shares
        self._table = Neighbours(limit)
        self._their_shares = GroupsOfOthers(shares, self._table, self.counters, limit)
        self._share_news = ShareNews(shares)
        self.relayed = Relay(
            bus,
            self.counters,
            faults,
            limit=queue_bytes,
            known=self._table.by_name.__contains__,
            failed=self._not_there,
            sleep=sleep,
        )
        self._arrivals = Arrivals(sessions, fanout, shares, self.counters, faults, limit=queue_bytes)
        self._changes: dict[Change, bool] = {}  # True: added; not yet told
        self._parted: dict[Change, None] = {}  # without subscribers, lately
        self._parting: dict[Change, None] = {}  # the same, for longer
        self._tell: dict[str, None] = {}  # who is to be told the whole table
        self._ask: dict[str, None] = {}  # who is to be asked for theirs
        self._untold: set[str] = set()  # who could not be told
        self._telling = False
        self._news = asyncio.Event()
        self._loss = asyncio.Event()
        self._overdue = asyncio.Event()

    # --- what the bus brings ------------------------------------------------------------------------

    def changed(self, command: Routes) -> None:
        """Another room has told of its filters, or asks for ours."""
        if command.node in self._names:
            return
        table = self._table
        neighbour = table.by_name.get(command.node) or self._meet(command.node)
        neighbour.heard_at = self._now()
        if command.wanted:
            self._tell[command.node] = None
            self._news.set()
        if command.whole:
            table.begin(neighbour)
            self._their_shares.begin(neighbour)
        table.learn(neighbour, command.added)
        table.unlearn(neighbour, command.removed)
        self._their_shares.learn(neighbour, command.shared)
        if command.asks:
            self.owe(command.node, command.asks)
        elif command.heard:
            self._hearing.heard(command.node, command.heard)
        elif not (command.wanted or command.whole or command.added or command.removed or command.shared):
            if neighbour.reading:
                self._their_shares.complete(neighbour)
            table.complete(neighbour)
        self._count()

    def forward(self, command: Forward) -> None:
        """Another room's message for the subscribers here."""
        self._arrivals.add(command)

    def owe(self, node: str, number: int) -> None:
        """Another room asks to be told that what it sent up to here is carried out."""
        self._hearing.owe(node, number)
        self._news.set()

    def doubt(self) -> None:
        """Doubts what is known of the other rooms, and has them asked: what they told may be lost."""
        for neighbour in self._table.by_name.values():
            self._doubt(neighbour)
        self._overdue.set()

    async def rebuild(self) -> None:
        """The same, and returns when it is known which rooms there are."""
        self.doubt()
        await self._look()

    async def rename(self, node: str) -> None:
        """This room goes on under another name: to the others it is a new one."""
        self._node = self._shares.node = node
        self._names.add(node)
        self._tell.update(dict.fromkeys(self._table.by_name))
        await self.rebuild()

    # --- what the fan-out asks for --------------------------------------------------------------------

    def wanted(self, app: int, filter: str) -> None:
        change = (app, filter)
        if change in self._parted:
            del self._parted[change]
        elif change in self._parting:
            del self._parting[change]
        else:
            self._changes[change] = True
            self._news.set()

    def unwanted(self, app: int, filter: str) -> None:
        if len(self._parted) + len(self._parting) < PARTING:
            self._parted[app, filter] = None
            self._loss.set()
        else:
            self._changes[app, filter] = False
            self._news.set()

    def shared(self, app: int, key: str, members: int) -> None:
        if self._share_news.changed(app, key, members):
            self._news.set()
        elif self._share_news.lapsing:
            self._loss.set()

    def told_first(self, subscriber: AwaitingSuback, answer: Suback) -> bool:
        hearing = self._hearing
        news = self._changes or self._share_news or self._telling or hearing.unheard()
        if not news or len(hearing) >= PATIENT:
            return False
        hearing.wait(partial(subscriber.subscribed, answer))
        self._news.set()
        return True

    def full(self, node: str) -> bool:
        return bool(self.relayed.full((node,)))

    def hand_on(self, node: str, app: int, message: FanoutMessage, share: ForGroups) -> None:
        packet = message.packet
        at = message.ends - 1000 * (get_int(packet.properties, MESSAGE_EXPIRY) or 0) if message.ends else 0
        self.relayed.put([node], _forward(app, packet, at, message.id, message.queued), None, {node: share})

    def share(self, app: int, message: FanoutMessage, allotted: Allotment) -> None:
        for node, share in (self._their_shares.tell((), allotted) or {}).items():
            self.hand_on(node, app, message, replace(share, only=True))

    def relay(
        self,
        publisher: Publisher,
        app: int,
        packet: Publish,
        reason: int,
        id: str,
        queued: bool,
        allotted: Allotment | None = None,
    ) -> int:
        nodes = self._table.takers(app, packet.topic)
        self._fanout.turn.spent += self._table.visited
        shares = self._their_shares.tell(nodes, allotted)
        if allotted is not None:
            nodes = [*nodes, *(node for node in allotted.rooms if node not in nodes)]
        if not nodes:
            return reason
        expires = packet.properties is not None and MESSAGE_EXPIRY in packet.properties
        message = _forward(app, packet, wall_clock() if expires else 0, id, queued)
        full = self.relayed.full(nodes)
        if packet.qos == 0:
            self.counters.messages_dropped += len(full)
            self.relayed.put([node for node in nodes if node not in full], message, None, shares)
            return SUCCESS
        paused = bool(full) or publisher.owing() >= OWED_AT_MOST
        self.counters.publishers_paused += paused
        owed = Owed(publisher, publisher.owe(packet), paused)
        self.relayed.put(nodes, message, owed, shares)
        return NOT_YET if paused else LATER

    def unsure(self) -> bool:
        return self._their_shares.unsure()

    def _not_there(self, node: str, message: Forward) -> None:
        """A message for groups did not get to a room, which is gone: another serves them."""
        share = message.share
        if share is not None and share.groups:
            again = ForGroups(share.groups, (*share.tried, node), True)
            self._arrivals.add(replace(message, share=again))

    async def settled(self) -> None:
        """Returns when other rooms know of what is not here any more, and have what was handed on to them."""
        self._share_news.hurry()
        if self._share_news:
            self._news.set()
        while self._share_news or self._telling or self._shares.coming_back():
            await self._sleep(GATHER)
        await self.relayed.settled()

    # --- tasks ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Works for as long as the room lives."""
        async with asyncio.TaskGroup() as tasks:
            for name, work in (
                ("relay", self.relayed.run),
                ("announce", self._announce),
                ("hearing", self._hearing.run),
                ("give-up", self._give_up),
                ("look", self._look_often),
                ("sweep", self._sweep),
                ("sweep-shares", self._their_shares.sweep),
            ):
                place = f"room.routes.{name}"
                tasks.create_task(kept(place, work, self._faults, sleep=self._sleep), name=place)

    async def _sweep(self) -> None:
        while True:
            await self._table.sweep()
            self._count()

    async def _look_often(self) -> None:
        while True:
            self._overdue.clear()
            await self._look()
            overdue = asyncio.ensure_future(self._overdue.wait())
            try:
                await self._until(overdue, REFRESH)
            finally:
                overdue.cancel()

    async def _look(self) -> None:
        """Learns which rooms there are, and asks those again whose answer is overdue."""
        began = self._now()
        try:
            names = await self._bus.nodes()
        except LonglineError as error:
            log.warning("rooms_unknown", code=error.code, error=error.message)
            return
        except Exception as error:
            self._faults.note("room.routes", error)
            return
        table = self._table
        for name in names:
            if name not in self._names and name not in table.by_name:
                self._meet(name)
        present = set(names)
        # Who has been heard of since we asked was only too new for the answer.
        gone = [n for n in table.by_name.values() if n.name not in present and n.heard_at < began]
        for neighbour in gone:
            self._part(neighbour.name)
        for neighbour in table.by_name.values():
            if neighbour.overfull and table.half_empty:
                self._doubt(neighbour)
        for neighbour in self._their_shares.room_again():
            self._doubt(neighbour)
        for neighbour in table.doubtful:
            patience = min(ASK_AGAIN_AT_MOST, ASK_AGAIN * 2.0 ** min(neighbour.asked, 10))
            if began >= neighbour.asked_at + patience:
                self._ask_for_table(neighbour)
        self.relayed.look()
        if self._tell:  # who could not be told before
            self._news.set()
        self._count()

    async def _give_up(self) -> None:
        """Gives filters up that were without subscribers for long enough."""
        while True:
            await self._loss.wait()
            await self._sleep(HOLD_BACK)
            if self._parting:
                self._changes.update(dict.fromkeys(self._parting, False))
                self._news.set()
            self._parting, self._parted = self._parted, {}
            if self._share_news.lapse():
                self._news.set()
            if not self._parting and not self._share_news.lapsing:
                self._loss.clear()

    async def _announce(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            self._telling = True
            try:
                await asyncio.gather(self._tell_all(), self._answer())
            finally:
                self._telling = False
            await self._sleep(GATHER)

    async def _until(self, task: asyncio.Future[Any], seconds: float) -> None:
        alarm = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait({task, alarm}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            alarm.cancel()

    async def _tell_all(self) -> None:
        """Says what is to be said, to everybody at once. Who misses a part of it is told everything again."""
        rooms = self._table.by_name
        changes, self._changes = self._changes, {}
        shares = self._share_news.take()
        newcomers = [name for name in self._tell if name in rooms]
        asked = [name for name in self._ask if name in rooms]
        others = [name for name in rooms if name not in self._tell]
        self._tell, self._ask = {}, {}
        number = self._hearing.ask(rooms) if self._hearing.wanted() else 0
        inquiry = [Routes(self._node, asks=number)] if number else []
        try:
            news = [*self._news_of(changes, shares), *inquiry]
            for at in range(0, len(news), TOGETHER):
                await self._send_each(others, news[at : at + TOGETHER])
            await self._send_each(asked, [Routes(self._node, wanted=True)])
            if newcomers:
                await self._tell_newcomers(newcomers)
                await self._send_each(newcomers, inquiry)
        finally:
            if number:
                self._hearing.sent(number)

    def _news_of(self, changes: Mapping[Change, bool], shares: Iterable[Share]) -> Iterator[Routes]:
        for added in (True, False):
            for piece in pieces(change for change, kind in changes.items() if kind is added):
                yield Routes(self._node, added=piece) if added else Routes(self._node, removed=piece)
        for shared in pieces(shares):
            yield Routes(self._node, shared=shared)

    async def _tell_newcomers(self, newcomers: Sequence[str]) -> None:
        table = pieces(self._everything())
        groups = pieces(self._share_news.everything())
        await self._send_each(newcomers, [Routes(self._node, added=next(table, ()), whole=True)])
        for piece in table:
            await self._send_each(newcomers, [Routes(self._node, added=piece)])
        for shared in groups:
            await self._send_each(newcomers, [Routes(self._node, shared=shared)])
        await self._send_each(newcomers, [Routes(self._node)])

    async def _answer(self) -> None:
        answers = self._hearing.answers()
        if answers:
            # Who subscribes there reads next what is retained: what was published here before this is in it.
            await self._retainer.settled()
        await asyncio.gather(*(self._answer_to(name, numbers) for name, numbers in answers.items()))

    async def _answer_to(self, name: str, numbers: Sequence[int]) -> None:
        """Who does not hear it does not wait for it for long."""
        try:
            with suppress(LonglineError):
                await self._taken(name, [Routes(self._node, heard=tuple(numbers))])
        except Exception as error:
            self._faults.note("room.routes", error)

    async def _send_each(self, names: Iterable[str], commands: Sequence[Routes]) -> None:
        """Not to those that have missed something already."""
        await asyncio.gather(*(self._send(name, commands) for name in names if name not in self._tell))

    async def _send(self, name: str, commands: Sequence[Routes]) -> None:
        """A room that cannot be told within `PATIENCE` holds up the news for the others no longer."""
        try:
            if await self._taken(name, commands):
                self._untold.discard(name)
            else:
                self._not_told(name, "not_in_time", "its queue does not take it in time")
        except LonglineError as error:
            self._not_told(name, error.code, error.message)
        except Exception as error:
            self._faults.note("room.routes", error)
            self._tell[name] = None
            self._hearing.excuse(name)

    async def _taken(self, name: str, commands: Sequence[Routes]) -> bool:
        """Whether the bus has taken commands within `PATIENCE`. Raises what it raises."""
        sending = asyncio.ensure_future(self._bus.send(name, commands))
        try:
            await self._until(sending, PATIENCE)
            if not sending.done():
                return False
            await sending
            return True
        finally:
            sending.cancel()

    def _not_told(self, name: str, code: str, reason: str) -> None:
        """It is told everything, by the next look at the latest.

        The log has the first: of many rooms, each may have such trouble with each other.
        """
        self._tell[name] = None
        self._hearing.excuse(name)
        if not self._untold:
            log.warning("routes_not_told", to=name, code=code, error=reason)
        self._untold.add(name)

    def _everything(self) -> list[Change]:
        """All filters announced, as of this moment: to be taken in one go, or a change could slip through."""
        filters = [*self._parted, *self._parting]
        for tenant in self._sessions.tenants.values():
            app = tenant.app
            filters += [(app, filter) for filter in tenant.subscriptions.filters()]
        return filters

    # --- neighbours -----------------------------------------------------------------------------------

    def _meet(self, name: str) -> Neighbour:
        self.counters.doubts += 1
        neighbour = self._table.meet(name)
        self._tell[name] = None
        self._ask_for_table(neighbour)
        self._fanout.rooms = self
        return neighbour

    def _part(self, name: str) -> None:
        self._their_shares.part(self._table.by_name[name])
        self._table.part(name)
        self._hearing.excuse(name)
        self._untold.discard(name)
        if not self._table.by_name:  # from now on nobody keeps track of what changes here
            self._fanout.rooms = None
            for gathered in (self._changes, self._parted, self._parting):
                gathered.clear()
            self._share_news.clear()

    def _doubt(self, neighbour: Neighbour) -> None:
        self.counters.doubts += not neighbour.doubtful
        self._table.doubt(neighbour)
        if self._now() >= neighbour.asked_at + ASK_AGAIN:  # else at a later look
            self._ask_for_table(neighbour)

    def _ask_for_table(self, neighbour: Neighbour) -> None:
        neighbour.asked_at = self._now()
        neighbour.asked += 1
        self._ask[neighbour.name] = None
        self._news.set()

    def _count(self) -> None:
        self.counters.neighbours = len(self._table.by_name)
        self.counters.filters = self._table.size


def _forward(app: int, packet: Publish, at: int, id: str, queued: bool = False) -> Forward:
    """A message as it goes to other rooms. `at` in ms, for one that expires."""
    properties = pack_message_properties(forwarded(packet.properties))
    return Forward(app, packet.topic, packet.payload, packet.qos, properties, at, id, queued)


Entry = TypeVar("Entry", Change, Share)


def pieces(filters: Iterable[Entry]) -> Iterator[tuple[Entry, ...]]:
    """Filters in portions that fit into one command."""
    piece: list[Entry] = []
    size = 0
    for change in filters:
        piece.append(change)
        size += len(change[1])
        if len(piece) >= PIECE or size >= PIECE_SIZE:
            yield tuple(piece)
            piece, size = [], 0
    if piece:
        yield tuple(piece)
