"""What the engine on Redis does beyond its contract: what it survives, and what it leaves behind."""

import asyncio
import random
from asyncio import Future
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from longline.errors import Unavailable
from longline.model.audience import Devices, Everyone
from longline.model.commands import Broadcast, Unicast
from longline.model.devices import Profile
from longline.model.groups import GroupBounds
from longline.model.ledger import State
from longline.model.messages import Envelope, Message
from longline.model.pubsub import Publication
from longline.register.port import Bind
from longline.register.redis import RedisRegister
from longline.saver.bounds import SaverBounds
from longline.saver.kv import groups as kv_groups
from longline.saver.kv.engine import RedisSaver
from longline.saver.port.devices import Registration
from longline.saver.port.inboxes import Cursor, Fetch, Page, Receipt
from longline.saver.port.messages import Accepted, IdempotencyConflict, Outcome, Refused, Submission
from longline.saver.port.retained import Retain
from longline.settings import StoreSettings
from longline.store.calls import SOME
from longline.store.redis import Reply, Script, Store, Word
from tests.contract.store_fixture import START, an_app
from tests.servers.shared import shared

RETENTION = 3_600_000
MINUTE = 60_000
PARTITIONS = 8
ID = "01890a5d-ac96-774b-bcce-b302099a8057"
NAMES = [f"d{number}" for number in range(12)]


class DyingStore(Store):
    """Carries out `left` more calls; then the process is dead, as far as anybody can tell."""

    left = 1_000_000

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
        return self._dead() or super().run(tag, script, keys, args, durable=durable, work=work)

    def call(self, tag: bytes, *command: Word, durable: bool = False) -> Awaitable[Reply]:
        return self._dead() or super().call(tag, *command, durable=durable)

    def _dead(self) -> "Future[Reply] | None":
        self.left -= 1
        if self.left >= 0:
            return None
        dead: Future[Reply] = asyncio.get_running_loop().create_future()
        dead.set_exception(Unavailable("dead"))
        return dead


@dataclass
class World:
    """An engine with an app and devices."""

    url: str
    store: DyingStore
    saver: RedisSaver
    app: int
    ordinals: dict[str, int]
    now: int = START
    count: int = 0

    async def another(self) -> RedisSaver:
        """Another process on the same store."""
        return await RedisSaver.open(self.store, bounds=SaverBounds(ledger_retention_ms=RETENTION))

    def message(self, text: str = "hello", *, collapse: str | None = None, ttl: int = MINUTE) -> Message:
        self.count += 1
        return Message(
            id=f"{START >> 16:08x}-{START & 0xFFFF:04x}-7000-8000-{self.count:012x}",
            app="news",
            payload=text.encode(),
            content_type="text/plain",
            created_at=self.now,
            expires_at=self.now + ttl,
            collapse_key=collapse,
        )

    async def send(self, message: Message, *names: str) -> Unicast | Broadcast:
        envelope = Envelope(message, Devices(names) if names else Everyone())
        (outcome,) = await self.saver.messages.enqueue([Submission(self.app, (envelope,), self.now)])
        assert isinstance(outcome, Outcome)
        (route,) = outcome.routes
        return route

    async def page(self, name: str, after: int = 0, limit: int = 1000) -> Page:
        (page,) = await self.saver.inboxes.fetch(
            [Fetch(self.app, self.ordinals[name], after, 0, limit, self.now)]
        )
        return page

    async def settle(
        self, name: str, *positions: int, state: State = State.ACKED, broadcast: bool = False
    ) -> None:
        await self.saver.inboxes.settle(
            [
                Receipt(self.app, self.ordinals[name], position, broadcast, state, self.now)
                for position in positions
            ]
        )

    async def keys(self) -> set[str]:
        """The kinds of keys that there are: what stands between the partition and the app."""
        reply = await self.store.call(b"meta", b"KEYS", b"*")
        found = msgspec.convert(reply, list[bytes])
        return {key.partition(b"}")[2].partition(b":")[0].decode() for key in found if key.startswith(b"{p")}


@pytest.fixture
async def world() -> AsyncIterator[World]:
    with shared("redis") as server:
        store = await DyingStore.open(StoreSettings(url=server.url, partitions=PARTITIONS))
        saver = await RedisSaver.open(store, bounds=SaverBounds(ledger_retention_ms=RETENTION))
        app = (await saver.apps.create(an_app("news"))).number
        devices = await saver.devices.put(app, [Registration(name, Profile()) for name in NAMES], START)
        yield World(server.url, store, saver, app, {device.device: device.ordinal for device in devices})
        await store.close()


# --- changes of groups that were interrupted ---


async def test_a_change_of_members_that_dies_leaves_its_places_to_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at once, but when it has had them for as long as no change takes."""
    monkeypatch.setattr(kv_groups, "KEPT", 30)
    first, others = list(world.ordinals.values())[:6], list(world.ordinals.values())[6:]
    groups = (await RedisSaver.open(world.store, bounds=SaverBounds(groups=GroupBounds(members=6)))).groups
    died = 0
    for left in range(1, 8 * PARTITIONS, 3):
        name = f"g{left}"
        await groups.put(world.app, name, world.now)
        world.store.left = left
        try:
            await groups.change(world.app, name, first, (), world.now)
        except Unavailable:
            died += 1
        world.store.left = 1_000_000
        await groups.change(world.app, name, (), first, world.now)
        assert (await groups.change(world.app, name, others, (), world.now)).members == 6
    assert died > PARTITIONS


# --- submissions that were interrupted ---


def both(world: World, key: str | None) -> Submission:
    """To everyone, to many partitions, and to nobody."""
    audiences = (Everyone(), Devices((*NAMES[:6], "nobody")), Devices(("nobody",)))
    envelopes = tuple(Envelope(world.message(), audience) for audience in audiences)
    return Submission(world.app, envelopes, world.now, key, b"digest")


async def stored(world: World, submission: Submission) -> bool:
    """Whether the submission is there; it is there as a whole or not at all."""
    everyone, named, refused = (envelope.message.id for envelope in submission.envelopes)
    found = [await world.saver.ledgers.status(world.app, message_id) for message_id in (everyone, named)]
    assert await world.saver.ledgers.status(world.app, refused) is None
    waiting = [len((await world.page(name)).pushes) for name in NAMES]
    if found == [None, None]:
        assert waiting == [0] * 12
        return False
    to_all, to_some = found
    assert to_all is not None
    assert to_some is not None
    assert (to_all.ledger.targeted, to_all.ledger.pending) == (12, 12)
    assert (to_some.ledger.targeted, to_some.ledger.pending) == (7, 6)
    assert waiting == [2] * 6 + [1] * 6
    return True


@pytest.mark.parametrize("key", ["key", None])
async def test_a_submission_that_was_interrupted_anywhere_is_completed_or_never_happened(
    world: World, key: str | None
) -> None:
    seen = set()
    for left in range(200):
        submission = both(world, key and f"{key}{left}")
        world.store.left = left
        try:
            await world.saver.messages.enqueue([submission])
        except Unavailable:
            finished = False
        else:
            finished = True
        world.store.left = 1_000_000
        routes = await world.saver.routing.complete(world.now, 10)
        there = await stored(world, submission)
        assert bool(routes) == (there and not finished), "who carries it out routes it"
        if routes:
            assert {route.message.id for route in routes} == {
                envelope.message.id for envelope in submission.envelopes[:2]
            }
        assert await world.saver.routing.complete(world.now, 10) == []
        for envelope in submission.envelopes:
            await world.saver.messages.cancel(world.app, envelope.message.id, world.now)
        seen.add((there, finished))
        if finished:
            break
    assert seen == {(False, False), (True, False), (True, True)}


async def test_a_key_that_is_used_again_after_its_time_keeps_what_it_began_from_the_sweep(
    world: World,
) -> None:
    """What its first use left in the indexes speaks of its first use."""
    seen = set()
    for left in range(200):
        first = both(world, f"key{left}")
        await world.saver.messages.enqueue([first])
        world.now += first.idempotency_ttl
        again = both(world, f"key{left}")
        world.store.left = left
        try:
            await world.saver.messages.enqueue([again])
        except Unavailable:
            finished = False
        else:
            finished = True
        world.store.left = 1_000_000
        await world.saver.expiry.end(world.now, 1000)
        await world.saver.routing.complete(world.now, 10)
        seen.add((await stored(world, again), finished))
        for envelope in again.envelopes:
            await world.saver.messages.cancel(world.app, envelope.message.id, world.now)
        if finished:
            break
    assert seen == {(False, False), (True, False), (True, True)}


async def test_a_broadcast_collapses_what_waits_for_many_in_slices_wherever_it_is_interrupted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One script that went through all inboxes of a key would hold up the store for as long."""
    names = [f"many{n}" for n in range(6000)]  # so many that no partition has them in one piece
    parts = [names[start : start + 1000] for start in range(0, 6000, 1000)]
    for part in parts:
        await world.saver.devices.put(world.app, [Registration(name, Profile()) for name in part], START)
    older = [world.message("older", collapse="k") for _ in parts]
    for message, part in zip(older, parts, strict=True):
        await world.send(message, *part)
    slices: list[int] = []
    run = world.store.run

    def noted(tag: bytes, script: Script, *args: Any, **options: Any) -> Awaitable[Reply]:
        if script.name == "collapse_waiting.lua":
            slices.append(0)
        return run(tag, script, *args, **options)

    monkeypatch.setattr(world.store, "run", noted)
    everyone = Envelope(world.message("newer", collapse="k"), Everyone())
    world.store.left = 5 * PARTITIONS
    with pytest.raises(Unavailable):
        await world.saver.messages.enqueue([Submission(world.app, (everyone,), world.now)])
    world.store.left = 1_000_000
    newest = world.message("newest", collapse="k")
    await world.send(newest, "many7")
    assert len(await world.saver.routing.complete(world.now, 10)) == 1
    assert len(slices) > 3 * PARTITIONS
    for message in older:
        status = await world.saver.ledgers.status(world.app, message.id)
        assert status is not None
        assert (status.ledger.targeted, status.ledger.collapsed) == (1000, 1000)
    assert [push.message for push in (await world.page("d1")).pushes] == [everyone.message]
    status = await world.saver.ledgers.status(world.app, newest.id)
    assert status is not None
    assert status.ledger.pending == 1, "what came after the broadcast stays"


async def test_a_request_whose_first_try_was_interrupted_gets_the_answer_of_the_first(world: World) -> None:
    for left in range(200):
        submission = both(world, f"key{left}")
        world.store.left = left
        try:
            await world.saver.messages.enqueue([submission])
        except Unavailable:
            finished = False
        else:
            finished = True
        world.store.left = 1_000_000
        again = both(world, f"key{left}")  # a client that repeats makes new messages
        (outcome,) = await (await world.another()).messages.enqueue([again])
        assert isinstance(outcome, Outcome)
        first = again if not outcome.replayed else submission
        assert outcome.results == (
            Accepted(first.envelopes[0].message.id, 12),
            Accepted(first.envelopes[1].message.id, 7),
            Refused("no_target"),
        )
        assert await stored(world, first)
        for envelope in first.envelopes:
            await world.saver.messages.cancel(world.app, envelope.message.id, world.now)
        if finished:
            assert outcome.replayed
            return
    pytest.fail("it never came to its end")


async def test_another_request_of_a_key_in_use_is_a_conflict_also_while_the_first_is_unfinished(
    world: World,
) -> None:
    world.store.left = 2 * PARTITIONS - 1
    with pytest.raises(Unavailable):
        await world.saver.messages.enqueue([both(world, "key")])
    world.store.left = 1_000_000
    other = msgspec.structs.replace(both(world, "key"), digest=b"other")
    (outcome,) = await world.saver.messages.enqueue([other])
    assert isinstance(outcome, IdempotencyConflict)


def without_before(route: Unicast | Broadcast) -> Unicast | Broadcast:
    """A route but for what was in the inboxes before, which is known only the first time."""
    if isinstance(route, Broadcast):
        return route
    same = msgspec.structs.replace
    return same(route, targets=tuple(same(target, before=0) for target in route.targets))


async def test_what_is_sent_again_is_stored_once_and_answered_as_before(world: World) -> None:
    for names in (NAMES[:1], NAMES, ()):
        message = world.message()
        first = await world.send(message, *names)
        again = await world.send(message, *names)
        assert without_before(again) == without_before(first)
        status = await world.saver.ledgers.status(world.app, message.id)
        assert status is not None
        assert status.ledger.targeted == (len(names) or len(NAMES))
    assert len((await world.page("d0")).pushes) == 3


# --- long inboxes ---


async def test_a_long_inbox_is_what_was_not_settled_of_it(world: World) -> None:
    chance = random.Random(7)
    sent: dict[int, str] = {}
    for start in range(0, 1500, 250):
        routes = await asyncio.gather(
            *(world.send(world.message(f"{n:050}"), "d0") for n in range(start, start + 250))
        )
        for n, route in enumerate(routes, start):
            assert isinstance(route, Unicast)
            sent[route.targets[0].position] = f"{n:050}"

    async def check() -> None:
        texts: dict[int, str] = {}
        after, complete = 0, False
        while not complete:
            page = await world.page("d0", after, 100)
            texts.update((push.position, push.message.payload.decode()) for push in page.pushes)
            after, complete = max([after, *texts]), page.complete
        assert texts == sent
        assert await world.saver.inboxes.count(world.app, [world.ordinals["d0"]], world.now) == [len(sent)]

    picks: tuple[Callable[[list[int]], list[int]], ...] = (
        lambda positions: positions[:60],
        lambda positions: chance.sample(positions, min(40, len(positions))),
        lambda positions: positions[1:200:2],
        lambda positions: positions[-30:],
    )
    await check()
    while sent:
        gone = chance.choice(picks)(sorted(sent)) or sorted(sent)
        chance.shuffle(gone)
        await world.settle("d0", *gone)
        for position in gone:
            del sent[position]
        if chance.random() < 0.3 and len(sent) > 100:
            route = await world.send(world.message("one more"), "d0")
            assert isinstance(route, Unicast)
            sent[route.targets[0].position] = "one more"
        await check()
    assert "i" not in await world.keys()


async def test_what_was_written_of_a_long_inbox_is_marked(world: World) -> None:
    positions = []
    for n in range(400):
        route = await world.send(world.message(f"{n:050}"), "d0")
        assert isinstance(route, Unicast)
        positions.append(route.targets[0].position)
    await world.settle("d0", *positions[::3], state=State.PENDING)
    await world.settle("d0", *positions[:50])
    page = await world.page("d0")
    assert [push.position for push in page.pushes if push.sent_before] == [
        position for position in positions[50:] if position in positions[::3]
    ]


async def test_the_newest_of_a_key_collapses_what_is_deep_in_a_long_inbox(world: World) -> None:
    routes = [
        await world.send(world.message(f"{n:060}", collapse="k" if n == 350 else None), "d0")
        for n in range(400)
    ]
    await world.send(world.message("new", collapse="k"), "d0")
    status = await world.saver.ledgers.status(world.app, routes[350].message.id)
    assert status is not None
    assert status.ledger.collapsed == 1
    texts = [push.message.payload.decode() for push in (await world.page("d0")).pushes]
    assert texts == [f"{n:060}" for n in range(400) if n != 350] + ["new"]


# --- what is left behind ---

# Devices, counters, apps with retained messages.
FOR_GOOD = {"n", "ns", "d", "next", "given", "pos", "last", "ra"}
CARRIED = {"dc", "ac", "an"}  # what became of devices, and counts, until other duties carry them on
NUMBERS = {"dn"}  # of what became of devices: they never begin again
REGISTER = {"w", "at", "epoch", "linger", "moves", "bound"}  # of sessions


async def use_everything(world: World) -> None:
    """Messages of every kind, some settled in every way, some not."""
    register = RedisRegister(world.store)
    await register.bind([Bind(world.app, name, "room", world.now) for name in NAMES[:4]])
    for online_only in (False, True):
        for names in ((NAMES[0],), tuple(NAMES), ("nobody", NAMES[1]), ()):
            for text in ("short", "long" * 500):
                message = world.message(text, collapse=None if online_only else text[:5])
                message = msgspec.structs.replace(message, online_only=online_only)
                route = await world.send(message, *names)
                if isinstance(route, Broadcast):
                    await world.saver.routing.assign(world.app, message.id, ["room", "other"])
                    await world.saver.routing.finish(world.app, message.id, "room", world.now)
                    ordinal = world.ordinals[NAMES[2]]
                    position = route.parts[ordinal % PARTITIONS].position
                    await world.settle(NAMES[2], position, state=State.DROPPED, broadcast=True)
                    await world.saver.inboxes.advance([Cursor(world.app, ordinal, position)])
                else:
                    target = route.targets[-1]
                    await world.settle(target.device, target.position, state=State.PENDING)
                    await world.settle(target.device, target.position)
    await world.saver.messages.enqueue([both(world, "key")])
    publication = Publication(ID, "t", b"x", 1, True, expires_at=world.now + MINUTE)
    topics = [msgspec.structs.replace(publication, topic=f"t/{n}") for n in range(20)]
    codes = await world.saver.retained.keep([Retain(world.app, each, world.now) for each in topics])
    assert codes == [None] * 20
    await register.close()


async def test_nothing_is_left_of_messages_after_their_time(world: World) -> None:
    before = await world.keys()
    await use_everything(world)
    assert await world.keys() > before
    world.now += 10 * 86_400_000
    while await world.saver.expiry.end(world.now, 50):
        pass
    assert await world.saver.expiry.next_due() is None
    assert await world.keys() - REGISTER - CARRIED <= FOR_GOOD | NUMBERS


async def test_nothing_waits_where_it_came_about_once_it_is_carried_on(world: World) -> None:
    await use_everything(world)
    assert await world.keys() > CARRIED
    while await world.saver.events.carry(1000) or await world.saver.counts.gather(world.now, 100):
        pass
    assert not await world.keys() & (CARRIED | {"ab"})


async def test_nothing_is_left_of_the_messages_of_a_deleted_app(world: World) -> None:
    await use_everything(world)
    await world.saver.apps.delete(world.app)
    while await world.saver.expiry.end(world.now, 50):
        pass
    assert await world.saver.events.carry(1000) > 0
    left = await world.keys() - REGISTER - {"j", "je"}
    assert left <= {"pos", "last", "gone"} | NUMBERS
    assert await world.saver.expiry.end(world.now + 86_400_000, 50) == 1, "its idempotency key"
    assert await world.keys() & {"j", "je"} == set()


async def test_a_body_goes_when_nothing_is_pending(world: World) -> None:
    for names in (NAMES[:1], NAMES):
        route = await world.send(world.message("x" * 5000), *names)
        assert isinstance(route, Unicast)
        assert "m" in await world.keys()
        for target in route.targets:
            await world.settle(target.device, target.position)
        assert not await world.keys() & {"m", "i"}
        status = await world.saver.ledgers.status(world.app, route.message.id)
        assert status is not None
        assert status.ledger.acked == len(names)
        assert (status.message.payload, status.message.app) == (b"", "news")


async def test_the_body_of_a_broadcast_goes_with_its_end(world: World) -> None:
    route = await world.send(world.message("x" * 5000))
    assert len((await world.page("d0")).pushes) == 1
    await world.saver.messages.cancel(world.app, route.message.id, world.now)
    assert "m" not in await world.keys()
    assert (await world.page("d0")).pushes == ()


# --- the order of an inbox ---


async def test_a_route_tells_what_was_put_into_the_inbox_before(world: World) -> None:
    async def sent(*names: str) -> dict[str, tuple[int, int]]:
        route = await world.send(world.message(), *names)
        assert isinstance(route, Unicast)
        return {target.device: (target.before, target.position) for target in route.targets}

    nothing, first = (await sent("d0"))["d0"]
    assert nothing == 0
    before, second = (await sent("d0", "d1"))["d0"]
    assert before == first
    before, third = (await sent("d0"))["d0"]
    assert before == second
    assert [push.position for push in (await world.page("d0")).pushes] == [first, second, third]
    await world.settle("d0", third)
    before, fourth = (await sent("d0"))["d0"]
    assert before == second, "what is acknowledged need not be waited for"
    await world.settle("d0", first, second, fourth)
    assert (await sent("d0"))["d0"][0] == 0


async def test_a_broadcast_tells_of_the_unicasts_that_are_on_their_way_before_it(world: World) -> None:
    """For the device that has one in another center's hands, it must not be first."""
    register = RedisRegister(world.store)
    await register.bind([Bind(world.app, name, "n1", world.now) for name in ("d0", "d1")])

    async def told(name: str) -> int:
        route = await world.send(world.message())
        assert isinstance(route, Broadcast)
        place, part = divmod(world.ordinals[name], len(route.parts))
        return route.parts[part].inbox_before.get(place, 0)

    assert await told("d0") == 0
    first = await world.send(world.message(), "d0")
    second = await world.send(world.message(), "d0", "d1")
    assert isinstance(first, Unicast)
    assert isinstance(second, Unicast)
    at = {target.device: target.position for target in second.targets}
    assert await told("d0") == at["d0"]
    assert await told("d1") == at["d1"]
    await world.settle("d0", at["d0"])
    assert await told("d0") == first.targets[0].position
    await world.settle("d0", first.targets[0].position)
    assert await told("d0") == 0
    assert await told("d1") == at["d1"]


async def test_a_message_that_is_given_again_is_not_said_to_be_the_next(world: World) -> None:
    first = world.message()
    await world.send(first, "d0")
    route = await world.send(first, "d0")
    assert isinstance(route, Unicast)
    (target,) = route.targets
    assert target.before == target.position - 1


@pytest.mark.parametrize("names", [("d0",), ()])
async def test_positions_rise_though_the_store_has_lost_its_last_writes(
    world: World, names: tuple[str, ...]
) -> None:
    """Who has read up to the lost ones, a room or a device with its cursor, would take the next for old."""
    partition = world.store.partition_of(world.app, "d0")

    async def position() -> int:
        route = await world.send(world.message(), *names)
        if isinstance(route, Unicast):
            return route.targets[0].position
        return next(part.position for number, part in enumerate(route.parts) if number == partition)

    before = await position()
    counter = b"{p%d}pos" % partition
    kept = await world.store.call(b"p%d" % partition, b"GET", counter)
    assert isinstance(kept, bytes)
    lost = [await position() for _ in range(5)]
    await world.store.call(b"p%d" % partition, b"SET", counter, kept)
    assert before < min(lost)
    world.now += 1  # the other server takes over later than that
    assert await position() > max(lost)


async def test_a_broadcast_collapses_what_is_older_only_for_those_that_it_is_for(world: World) -> None:
    """An expression that leaves a device out takes nothing away from it."""
    out, (place, partition) = NAMES[0], divmod(world.ordinals[NAMES[0]], PARTITIONS)
    await world.send(world.message("to all", collapse="k"))
    for name in NAMES[:2]:
        await world.send(world.message("one", collapse="other"), name)
    tag, left_out = b"p%d" % partition, b"{p%d}x:%d" % (partition, world.app)
    await world.store.call(tag, "SETBIT", left_out, place, 1)  # as if it were not described
    await world.send(world.message("newer", collapse="k"))
    await world.send(world.message("newer", collapse="other"))
    await world.store.call(tag, "SETBIT", left_out, place, 0)
    texts = {
        name: [push.message.payload.decode() for push in (await world.page(name)).pushes] for name in NAMES
    }
    assert texts == {name: ["newer", "newer"] if name != out else ["to all", "one"] for name in NAMES}
    await world.send(world.message("newest", collapse="k"), out)
    assert [push.message.payload for push in (await world.page(out)).pushes] == [b"one", b"newest"]
    world.now += MINUTE
    await world.saver.expiry.end(world.now, 1000)
    world.now += RETENTION
    await world.saver.expiry.end(world.now, 1000)
    assert "bk" not in await world.keys()


async def test_partitions_share_what_one_call_may_end(world: World) -> None:
    """One that has much to end keeps no other waiting, and what is left of its share goes to those."""
    few, many = (
        NAMES[0],
        next(
            name
            for name in NAMES
            if world.ordinals[name] % PARTITIONS != world.ordinals[NAMES[0]] % PARTITIONS
        ),
    )
    for _ in range(30):
        await world.send(world.message(), many)
    world.now += 1
    for _ in range(5):
        await world.send(world.message(), few)
    world.now += 2 * MINUTE
    assert await world.saver.expiry.end(world.now, 20) == 20
    left = [await world.saver.inboxes.count(world.app, [world.ordinals[name]], START) for name in (few, many)]
    assert left == [[0], [15]]
    assert await world.saver.expiry.end(world.now, 1000) == 15
