"""Has this process take profiles of itself: when it is ordered to, and by itself every so often.

An order is a value in the keeper under the node's name, as one to drain is; what comes of it goes into the
store, and word of that into the keeper. Of heaps only one is taken in the whole cluster: who takes it has a
claim, a value that nobody else may write while its holder is a member. Whose claim was taken away, because
the others took it for dead, ends at once.
"""

import asyncio
import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
import structlog

from longline.center.operators.profile_orders import ORDERS, OUTCOMES, ProfileOrder, ProfileOutcome, order_in
from longline.delivery.ids import MessageIds
from longline.errors import Conflict, LonglineError, ProfileFailed, ProfileUnderWay
from longline.keeper.port import Keeper
from longline.model.profiles import ProcessProfile, ProfileHead, ProfileKind
from longline.model.times import wall_clock
from longline.profiling.captures import Captures
from longline.profiling.content import pack
from longline.saver.port.profiles import ProfileStore
from longline.telemetry.faults import Faults
from longline.version import VERSION

CLAIM: Final = "profile-heap"
RETRY_AFTER: Final = 1.0  # s
LOOK_EVERY: Final = 30.0  # s, at whether it is to take profiles by itself
BY_ITSELF: Final[tuple[ProfileKind, ...]] = ("cpu", "tasks")
SECONDS_BY_ITSELF: Final = 10.0
JITTER: Final = 0.1  # of the time between two

log = structlog.get_logger("longline.node")


class _Claim(msgspec.Struct, frozen=True):
    node: str


class Profiles:
    """Owned by the process, which runs `run` and `run_by_itself` as tasks.

    `every` says how often it is to take profiles by itself, in seconds, 0 for never. Orders from before
    `since` (ms) were given to a former life of this process.
    """

    def __init__(
        self,
        captures: Captures,
        store: ProfileStore,
        keeper: Keeper,
        node: Callable[[], str],
        *,
        host: str,
        since: int,
        every: Callable[[], float],
        faults: Faults,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._captures = captures
        self._store = store
        self._keeper = keeper
        self._node = node
        self._host = host
        self._since = since
        self._every = every
        self._faults = faults
        self._chance = chance
        self._ids = MessageIds()
        self._done = ""  # the order that was carried out last

    async def run(self) -> None:
        """Carries out orders, one after the other, for as long as the process lives."""
        seen = 0
        while True:
            try:
                await self._take_order()
                seen = await self._keeper.changed(seen)
            except LonglineError as error:
                log.warning("profile_order_not_read", code=error.code, error=error.message)
                await asyncio.sleep(RETRY_AFTER)
            except Exception as error:
                self._faults.note("node.profiles", error)
                await asyncio.sleep(RETRY_AFTER)

    async def run_by_itself(self) -> None:
        """Takes profiles every so often, at another moment than other nodes: the first somewhere in the first
        such time, and then not quite as often."""
        last, part = time.monotonic(), self._chance()
        while True:
            every = self._every()
            left = last + every * part - time.monotonic()
            if every and left <= 0:
                for kind in BY_ITSELF:
                    await self._take_by_itself(kind)
                last, part = time.monotonic(), 1 + JITTER * (2 * self._chance() - 1)
            else:
                await asyncio.sleep(min(left, LOOK_EVERY) if every else LOOK_EVERY)

    async def _take_by_itself(self, kind: ProfileKind) -> None:
        try:
            await self._take(self._ids.make(wall_clock()), kind, SECONDS_BY_ITSELF)
        except LonglineError as error:
            log.warning("profile_not_taken", kind=kind, code=error.code, error=error.message)
        except Exception as error:
            self._faults.note("node.profiles", error)

    async def _take_order(self) -> None:
        node = self._node()
        kept = await self._keeper.read(ORDERS + node)
        order = order_in(kept)
        if kept is None or order is None or order.id == self._done:
            return
        self._done = order.id
        if order.requested_at >= self._since:
            outcome = await self._carry_out(order)
            await self._keeper.write(OUTCOMES + node, msgspec.json.encode(outcome))
        with suppress(Conflict):  # another order has taken its place
            await self._keeper.write(ORDERS + node, None, kept.version)

    async def _carry_out(self, order: ProfileOrder) -> ProfileOutcome:
        try:
            await self._take(order.id, order.kind, order.seconds)
        except LonglineError as error:
            return ProfileOutcome(id=order.id, code=error.code, message=error.message)
        except Exception as error:
            self._faults.note("node.profiles", error)
            return ProfileOutcome(id=order.id, code=ProfileFailed.code, message=ProfileFailed().message)
        return ProfileOutcome(id=order.id)

    async def _take(self, id: str, kind: ProfileKind, seconds: float) -> None:
        at, begun = wall_clock(), time.monotonic()
        if kind == "heap":
            version = await self._claim()

            async def claimed() -> bool:
                kept = await self._keeper.read(CLAIM)
                return kept is not None and kept.version == version

            try:
                content = await self._captures.take(kind, seconds, claimed)
            finally:
                await self._release(version)
        else:
            content = await self._captures.take(kind, seconds)
        took = round(time.monotonic() - begun, 3)
        packed = await asyncio.to_thread(pack, content)
        head = ProfileHead(
            id=id,
            node=self._node(),
            host=self._host,
            version=VERSION,
            kind=kind,
            at=at,
            seconds=took,
            size=len(packed),
        )
        await self._store.put(ProcessProfile(head, packed))
        log.info("profile_taken", profile=id, kind=kind, seconds=took)

    # --- one heap at a time -------------------------------------------------------------------------

    async def _claim(self) -> int:
        """The version of our claim. Raises `ProfileUnderWay` while another member has one."""
        node = self._node()
        kept = await self._keeper.read(CLAIM)
        if kept is not None:
            holder = msgspec.json.decode(kept.value, type=_Claim).node
            members = {member.node for member in await self._keeper.members()}
            if holder != node and holder in members:
                raise ProfileUnderWay(f"the heap of {holder} is being looked at: one in a cluster at a time")
        try:
            claim = msgspec.json.encode(_Claim(node))
            return await self._keeper.write(CLAIM, claim, 0 if kept is None else kept.version)
        except Conflict:
            raise ProfileUnderWay("another node was faster: of heaps one in a cluster at a time") from None

    async def _release(self, version: int) -> None:
        """Takes our claim away, however long that takes: while we are a member nobody else can."""
        while True:
            try:
                await self._keeper.write(CLAIM, None, version)
            except Conflict:
                return  # it is another's by now
            except LonglineError as error:
                log.warning("profile_claim_kept", code=error.code, error=error.message)
                await asyncio.sleep(RETRY_AFTER)
            else:
                return
