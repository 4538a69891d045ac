"""What only the register in Redis promises."""

import asyncio
from asyncio import Future
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager

import pytest

from longline.errors import Fenced, Unavailable
from longline.model.devices import Binding
from longline.register.binding import Binder
from longline.register.port import Bind, Rebind, Transition, Unbind
from longline.register.redis import RedisRegister
from longline.settings import StoreSettings
from longline.store.calls import SOME
from longline.store.redis import Reply, Script, Store, Word
from longline.telemetry.faults import Faults
from tests.contract.twice import TwiceStore
from tests.servers.shared import shared
from tests.waiting import eventually

NOW = 1_800_000_000_000


class DeafStore(Store):
    """Does what it is asked, and then pretends that no answer came to the scripts named."""

    deaf_to: frozenset[str] = frozenset()

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
        answer = super().run(tag, script, keys, args, durable=durable, work=work)
        if script.name not in self.deaf_to:
            return answer
        lost: Future[Reply] = asyncio.get_running_loop().create_future()
        assert isinstance(answer, Future)
        answer.add_done_callback(lambda _: lost.set_exception(Unavailable("no answer")))
        return lost


@asynccontextmanager
async def a_store(kind: type[Store] = Store, partitions: int = 64) -> AsyncIterator[Store]:
    with shared("redis") as server:
        store = await kind.open(StoreSettings(url=server.url, partitions=partitions))
        yield store
        await store.close()


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    async with a_store() as store:
        yield store


@pytest.fixture
def register(store: Store) -> RedisRegister:
    return RedisRegister(store)


async def bind(register: RedisRegister, device: str, node: str, now: int = NOW) -> Binding:
    (bound,) = await register.bind([Bind(1, device, node, now)])
    return bound.binding


def states(transitions: Sequence[Transition]) -> list[tuple[str, str]]:
    return [(item.state, item.node) for item in transitions]


async def test_a_bind_that_is_carried_out_twice_answers_the_same_and_tells_once() -> None:
    async with a_store(TwiceStore) as store:
        register = RedisRegister(store)
        first = await bind(register, "phone", "a")
        (bound,) = await register.bind([Bind(1, "phone", "b", NOW)])
        assert bound.previous == first, "not the binding that it made itself"
        assert await register.locate(1, ["phone"]) == [bound.binding]
        assert states(await register.transitions(10)) == [("online", "a"), ("moved", "b")]


async def test_whatever_else_is_carried_out_twice_changes_things_once() -> None:
    async with a_store(TwiceStore) as store:
        register = RedisRegister(store)
        for device in ("x", "y", "z"):
            await bind(register, device, "a")
        x, y, _ = await register.locate(1, ["x", "y", "z"])
        assert x is not None
        assert y is not None
        await register.unbind([Unbind(1, "x", x.epoch, NOW), Unbind(1, "y", y.epoch, NOW, 1000)])
        assert await register.locate(1, ["x", "y"]) == [None, y]
        await register.declare_dead("a")
        while await register.release("a", NOW, 1000, 10):
            pass
        await register.end_lingering(NOW + 1000, 10)
        assert await register.count(1) == 0
        transitions = await register.transitions(10)
        assert sorted(states(transitions)) == [("offline", "a")] * 3 + [("online", "a")] * 3
        await register.forget(transitions)
        assert await register.transitions(10) == []


async def test_a_bind_whose_caller_has_given_up_is_not_carried_out(store: Store) -> None:
    """The device may be connected elsewhere by then: the late bind must not take it away from there."""
    register, late = RedisRegister(store), RedisRegister(store, give_up=-0.5)
    await bind(late, "phone", "a")  # from which it knows the store's clock
    binding = await bind(register, "phone", "b")
    with pytest.raises(Unavailable):
        await bind(late, "phone", "a")
    assert await register.locate(1, ["phone"]) == [binding]
    await late.close()


async def test_a_server_with_another_clock_may_take_over(store: Store) -> None:
    register = RedisRegister(store)
    for wrong in (-3_600_000, 3_600_000):
        await bind(register, "phone", "a")
        known = register._binder._ahead
        register._binder._ahead = [ahead + wrong if ahead is not None else None for ahead in known]
        await bind(register, "phone", "b")
    (transition,) = (await register.transitions(10))[-1:]
    assert (transition.state, transition.node) == ("moved", "b")


async def test_a_bind_of_which_nobody_heard_is_withdrawn() -> None:
    """Else a device that does not come back would count as connected for as long as the node lives."""
    async with a_store(DeafStore) as store:
        assert isinstance(store, DeafStore)
        register = RedisRegister(store, give_up=1.0)
        kept = await bind(register, "kept", "a")
        store.deaf_to = frozenset({"bind.lua", "withdraw.lua"})
        with pytest.raises(Unavailable):
            await register.bind([Bind(1, f"d{n}", "a", NOW) for n in range(20)])
        assert register.statistics()["unsure"] == 20
        store.deaf_to = frozenset()
        back = await bind(register, "d7", "b", NOW + 5)
        names = ["kept", "d7", *(f"d{n}" for n in range(20) if n != 7)]
        await eventually(lambda: register.locate(1, names), [kept, back, *[None] * 19])
        await eventually(lambda: asyncio.sleep(0, register.statistics()["unsure"]), 0)
        await register.close()


async def test_a_bind_that_is_tried_again_is_not_withdrawn() -> None:
    async with a_store(DeafStore) as store:
        assert isinstance(store, DeafStore)
        register = RedisRegister(store, give_up=1.0)
        store.deaf_to = frozenset({"bind.lua"})
        with pytest.raises(Unavailable):
            await bind(register, "phone", "a")
        store.deaf_to = frozenset()
        binding = await bind(register, "phone", "a")
        await eventually(lambda: asyncio.sleep(0, register.statistics()["unsure"]), 0)
        assert await register.locate(1, ["phone"]) == [binding]
        await register.close()


async def test_of_a_batch_that_is_refused_nothing_stays_bound(store: Store, register: RedisRegister) -> None:
    """A node is declared dead in one partition after the other."""
    await store.call(b"p17", "SET", "{p17}dead:a", 1)
    names = [f"d{n}" for n in range(500)]
    assert 17 in {store.partition_of(1, name) for name in names}
    with pytest.raises(Fenced):
        await register.bind([Bind(1, name, "a", NOW) for name in names])
    assert await register.locate(1, names) == [None] * 500
    assert await register.release("a", NOW, 1000, 1000) == 0


async def test_numbers_rise_also_when_the_store_lost_its_latest_writes(
    store: Store, register: RedisRegister
) -> None:
    old = await bind(register, "phone", "a")
    (told,) = await register.transitions(10)
    for partition in range(store.partitions):
        tag = b"{p%d}" % partition
        await store.call(tag[1:-1], "DEL", tag + b"epoch", tag + b"w:1", tag + b"moves", tag + b"at:a")
    new = await bind(register, "phone", "a")
    (again,) = await register.transitions(10)
    assert new.epoch > old.epoch
    assert again.sequence > told.sequence


OUTBOX = 32_768  # transitions that a partition's stream has, see `lua/sessions.lua`


async def all_told(register: RedisRegister) -> list[Transition]:
    told: list[Transition] = []
    while part := await register.transitions(5_000):
        told += part
        await register.forget(part)
    return told


@pytest.mark.parametrize("kind", [Store, TwiceStore])
async def test_of_transitions_that_nobody_reads_the_latest_of_each_device_is_kept(kind: type[Store]) -> None:
    async with a_store(kind, partitions=1) as store:
        register = RedisRegister(store)
        await bind(register, "early", "a")
        for n in range(OUTBOX // 1000 + 2):  # one that comes and goes, and again
            await register.bind([Bind(1, "phone", "ab"[(n + i) % 2], NOW + n) for i in range(1000)])
        names = [f"d{n}" for n in range(3_000)]
        late = await register.bind([Bind(1, name, "a", NOW) for name in names])
        (again,) = await register.bind([Bind(1, "d7", "b", NOW)])
        told = await all_told(register)
        assert len(told) <= OUTBOX + 1000 + len(names) + 1
        sequences = [item.sequence for item in told]
        assert sequences == sorted(sequences)
        latest = {item.device: item for item in told}
        assert set(latest) == {"early", "phone", *names}
        assert [latest[name].epoch for name in names if name != "d7"] == [
            bound.binding.epoch for name, bound in zip(names, late, strict=True) if name != "d7"
        ]
        assert (latest["d7"].epoch, latest["d7"].missed) == (again.binding.epoch, True)
        assert (latest["phone"].missed, latest["d8"].missed, latest["early"].missed) == (True, False, False)
        assert register.statistics()["transitions_late"] == 0
        last = await bind(register, "early", "b")
        (moved,) = await all_told(register)
        assert (moved.state, moved.epoch, moved.missed) == ("moved", last.epoch, False)


async def test_no_partition_waits_for_ever_behind_the_others(store: Store, register: RedisRegister) -> None:
    await register.bind([Bind(1, f"d{n}", "a", NOW) for n in range(1000)])
    sources = set()
    for _ in range(store.partitions):
        transitions = await register.transitions(1)
        sources |= {transition.source for transition in transitions}
    assert len(sources) == store.partitions
    per_source = [transition.source for transition in await register.transitions(640)]
    assert {per_source.count(source) for source in sources} <= set(range(5, 20))


async def test_what_nobody_can_read_holds_up_nobody_else(store: Store) -> None:
    faults = Faults()
    register = RedisRegister(store, faults=faults)
    bindings = {name: await bind(register, name, "a") for name in ("x", "y", "z")}
    bad = store.partition_of(1, "x")
    tag, table = b"p%d" % bad, b"{p%d}w:1" % bad
    await store.call(tag, "HSET", table, "x", "nonsense")
    assert await register.locate(1, ["x", "y", "z"]) == [None, bindings["y"], bindings["z"]]
    await store.call(tag, "DEL", b"{p%d}moves" % bad)
    await store.call(tag, "XADD", b"{p%d}moves" % bad, "1-0", "x", "nonsense")
    told = [transition.device for _ in range(3) for transition in await register.transitions(10)]
    assert sorted(told) == ["y", "y", "y", "z", "z", "z"]
    assert faults.counts == {"register.locate": 1, "register.transitions": 1}


async def test_a_bind_that_cannot_be_withdrawn_holds_up_no_other() -> None:
    async with a_store(DeafStore) as store:
        assert isinstance(store, DeafStore)
        faults = Faults()
        register = RedisRegister(store, give_up=1.0, faults=faults)
        store.deaf_to = frozenset({"bind.lua"})
        with pytest.raises(Unavailable):
            await register.bind([Bind(1, name, "a", NOW) for name in ("x", "y", "z")])
        bad = store.partition_of(1, "x")
        await store.call(b"p%d" % bad, "SET", b"{p%d}w:1" % bad, "of another kind")
        store.deaf_to = frozenset()
        await eventually(lambda: asyncio.sleep(0, register.statistics()["unsure"]), 0)
        assert await register.locate(1, ["y", "z"]) == [None, None]
        assert faults.counts == {"register.withdraw": 1}
        await register.close()


async def test_a_session_that_goes_to_another_name_twice_is_told_of_once() -> None:
    async with a_store(TwiceStore) as store:
        register = RedisRegister(store)
        old = await bind(register, "phone", "a")
        (epoch,) = await register.rebind([Rebind(1, "phone", "b", old.epoch, NOW)])
        assert await register.locate(1, ["phone"]) == [Binding("b", epoch or 0, NOW)]
        assert states(await register.transitions(10)) == [("online", "a"), ("moved", "b")]


async def test_a_session_that_goes_to_another_name_too_late_does_not_go(store: Store) -> None:
    """Its client may have left by then, and nobody would ever end what is begun here."""
    register, late = RedisRegister(store), RedisRegister(store, give_up=-0.5)
    await bind(late, "phone", "a")  # from which it knows the store's clock
    old = await bind(register, "phone", "a")
    with pytest.raises(Unavailable):
        await late.rebind([Rebind(1, "phone", "b", old.epoch, NOW)])
    assert await register.locate(1, ["phone"]) == [old]
    assert await register.unbind([Unbind(1, "phone", old.epoch, NOW)]) == [True]
    await late.close()


async def test_a_session_whose_going_to_another_name_was_not_answered_goes_there_once() -> None:
    async with a_store(DeafStore) as store:
        assert isinstance(store, DeafStore)
        register = RedisRegister(store)
        old = await bind(register, "phone", "a")
        asked = Rebind(1, "phone", "b", old.epoch, NOW)
        store.deaf_to = frozenset({"bind.lua"})
        with pytest.raises(Unavailable):
            await register.rebind([asked])
        store.deaf_to = frozenset()
        (epoch,) = await register.rebind([asked])
        assert await register.locate(1, ["phone"]) == [Binding("b", epoch or 0, NOW)]
        assert states(await register.transitions(10)) == [("online", "a"), ("moved", "b")]
        assert register.statistics()["unsure"] == 0


async def test_a_withdrawal_that_fails_as_nobody_foresaw_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_store(DeafStore) as store:
        assert isinstance(store, DeafStore)
        faults = Faults()
        register = RedisRegister(store, give_up=1.0, faults=faults)
        store.deaf_to = frozenset({"bind.lua"})
        with pytest.raises(Unavailable):
            await register.bind([Bind(1, name, "a", NOW) for name in ("x", "y", "z")])
        store.deaf_to = frozenset()
        end = Binder._end

        async def once(binder: Binder, item: Bind) -> None:
            monkeypatch.setattr(Binder, "_end", end)
            raise ZeroDivisionError

        monkeypatch.setattr(Binder, "_end", once)
        await eventually(lambda: asyncio.sleep(0, register.statistics()["unsure"]), 0)
        assert sorted(map(bool, await register.locate(1, ["x", "y", "z"]))) == [False, False, True]
        assert faults.counts == {"register.withdraw": 1}
        await register.close()
