"""QoS 2 messages that come from sessions: their packet identifiers are kept together with what is to be done.

The identifier is in the sender's partition, and the queues are in others. So first the sender's partition
takes the identifier, and with it a *plan*: the message, and in which partitions which filters match it. From
then on the message is taken, and anybody can carry the plan out: who began it, who asks with the same
identifier once more, or a coordinator that finds it unfinished. It has a name, by which partitions know how
far it was done there, until it is finished everywhere and for a while after that.

What goes to the app's events in the place of queues (`QueuePublication.event`) likewise has a plan; there its
name is that of its source.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from longline.errors import Unavailable
from longline.model.events import FLEETING, Event
from longline.saver.kv import layout
from longline.saver.kv.entering import Entering, Errand
from longline.saver.kv.events import KvEvents
from longline.saver.kv.partitions import Partitions, script
from longline.saver.port.queues import QueuePublication
from longline.store.redis import Reply, Word
from longline.store.scatter import is_of_an_item
from longline.telemetry.faults import Faults

RECEIVE = script("receive.lua")
FINISH = script("finish_received.lua")
LEFT = script("received_left.lua")
FORGET = script("forget_names.lua")

NAME: Final = 8  # bytes
CARRIED_WITHIN: Final = 60.0  # s from when a plan was known to be unfinished, after which it is not begun
FORGOTTEN_AFTER: Final = 300_000  # ms from the end of a plan; longer than that and a call of the store

FENCED: Final = -2
GONE: Final = -1


class _Plan(msgspec.Struct, frozen=True):
    """What is to be done of a message."""

    item: QueuePublication
    places: dict[int, list[bytes]]


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Plan).decode


class Known(NamedTuple):
    """A packet identifier that is known: whose message has it, and what is still to be done of that."""

    id: str
    unfinished: Errand | None


Heard = int | Known  # 0 for one that is new, FENCED, GONE


class ReceivedMessages:
    """Begins plans, carries them out, finishes them."""

    def __init__(
        self,
        partitions: Partitions,
        entering: Entering,
        events: KvEvents,
        faults: Faults,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._partitions = partitions
        self._entering = entering
        self._events = events
        self._faults = faults
        self._clock = clock

    def name(self) -> bytes:
        """A name for a message."""
        return os.urandom(NAME)

    async def receive(self, errands: Sequence[Errand]) -> list[Heard]:
        """Keeps packet identifiers, and plans with them."""
        return await self._partitions.each(
            RECEIVE, errands, self._home, self._words, self._heard, size=64, durable=True
        )

    def _home(self, errand: Errand) -> int:
        assert errand.item.received is not None
        return errand.item.received.ordinal % self._partitions.count

    def _words(self, errand: Errand) -> Iterable[Word]:
        item, received = errand.item, errand.item.received
        assert received is not None
        plan = _pack(_Plan(item, {at: [*filters] for at, filters in errand.places.items()}))
        return (
            *(item.app, received.ordinal // self._partitions.count, received.number, received.epoch),
            *(received.packet_id, item.now, layout.id_bytes(item.publication.id), errand.name),
            plan if _is_to_do(errand) else b"",
        )

    def _heard(self, errand: Errand, reply: Reply) -> Heard:
        if isinstance(reply, int):
            return reply
        packed, name, plan = msgspec.convert(reply, tuple[bytes, bytes, bytes | None])
        return Known(layout.id_text(packed), None if plan is None else _errand(name, plan))

    async def carry_out(self, errands: Sequence[Errand], known_at: float) -> None:
        """Has messages enter the queues, those of plans among them in their order, and finishes the plans.

        `known_at`: when each plan was known to be unfinished. Later than `CARRIED_WITHIN` after that,
        partitions may have forgotten that it was carried out by somebody else: then it is left to whoever
        looks again.
        """
        if self._clock() - known_at > CARRIED_WITHIN:
            raise Unavailable("it took too long to publish")
        await self._entering.enter(errands)
        await self._events.append([event for errand in errands if (event := _event(errand)) is not None])
        named = [errand for errand in errands if errand.name and _is_to_do(errand)]
        await self._partitions.each(
            FINISH,
            named,
            self._home,
            lambda errand: [errand.name],
            lambda errand, reply: None,
            durable=True,
        )
        count = self._partitions.count
        await self._partitions.each(
            FORGET,
            [(partition, errand.name) for errand in named for partition in errand.partitions(count)],
            lambda known: known[0],
            lambda known: [known[1]],
            lambda known, reply: None,
            head=lambda: [FORGOTTEN_AFTER],
        )

    async def complete(self, before: int, limit: int) -> None:
        """Carries out plans that were begun before `before` (ms), at most `limit`. One that the store refuses
        holds up no other."""
        known_at = self._clock()
        found: list[Errand] = []
        for reply in await self._partitions.run_all(LEFT, [before, limit]):
            words = msgspec.convert(reply, list[bytes])
            for name, plan in zip(words[::2], words[1::2], strict=True):
                try:
                    found.append(_errand(name, plan))
                except Exception as error:
                    self._faults.note("saver.received", error)
        for errand in found[:limit]:
            try:
                await self.carry_out([errand], known_at)
            except Exception as error:
                if not is_of_an_item(error):
                    raise
                self._faults.note("saver.received", error)

    @property
    def now(self) -> float:
        """What `carry_out` wants to know."""
        return self._clock()


def _is_to_do(errand: Errand) -> bool:
    item = errand.item
    return bool(errand.places or item.given) or item.event is not None


def _event(errand: Errand) -> Event | None:
    """What goes to the events of the app, under the name of the plan."""
    event = errand.item.event
    if event is None or not errand.name:
        return event
    return msgspec.structs.replace(event, source=FLEETING + errand.name.hex(), sequence=1)


def _errand(name: bytes, packed: bytes) -> Errand:
    plan = _unpack(packed)
    return Errand(plan.item, plan.places, name)
