"""Audiences: sets of devices by what they have, the same when they are counted and when something is sent."""

import operator
import random
from collections.abc import Callable, Mapping

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from longline.model.audience import (
    AllOf,
    AnyOf,
    Equal,
    Everyone,
    Expression,
    Having,
    NoneOf,
    OnPlatform,
    Order,
    Ordered,
    Tagged,
    Value,
)
from longline.model.commands import Broadcast
from longline.model.devices import Profile
from longline.model.ledger import State
from longline.model.messages import Envelope
from longline.saver.port.devices import Registration
from longline.saver.port.messages import Accepted, Refused
from tests.contract.saver.described import describes
from tests.contract.store_fixture import StoreFixture, an_app

ADULT = Ordered("age", "gte", 18)
ORDERS: dict[Order, Callable[[float, float], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


async def put(store: StoreFixture, profiles: Mapping[str, Profile]) -> None:
    batch = [Registration(name, profile) for name, profile in profiles.items()]
    await store.saver.devices.put(store.app, batch, store.now)


async def described(store: StoreFixture, expression: Expression) -> list[str]:
    """Their names, in alphabetical order."""
    found = await store.saver.audiences.describe(store.app, expression, 10_000)
    assert found.devices == len(found.some)
    return sorted(found.some)


async def send(store: StoreFixture, text: str, expression: Expression, collapse: str | None = None) -> str:
    result, _ = await store.send(store.message(text, collapse=collapse), expression)
    assert isinstance(result, Accepted)
    return result.message_id


# --- what describes whom ----------------------------------------------------------------------------------


PEOPLE = {
    "ann": Profile(tags=("red", "new"), platform="ios", attributes={"age": 17, "plan": "pro"}),
    "bob": Profile(tags=("red",), platform="android", attributes={"age": 18.0, "plan": "free"}),
    "cyd": Profile(tags=("blue",), attributes={"age": 70, "muted": True}),
    "dan": Profile(attributes={"age": "18", "plan": ["pro"], "muted": "t"}),
    "eve": Profile(),
}


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        (Tagged(("red",)), "ann bob"),
        (Tagged(("new", "blue", "green")), "ann cyd"),
        (Tagged(("green",)), ""),
        (OnPlatform(("ios", "web")), "ann"),
        (NoneOf((Tagged(("red",)),)), "cyd dan eve"),
        (NoneOf((Tagged(("red",)), OnPlatform(("ios",)), Having("muted"))), "eve"),
        (AllOf((Tagged(("red",)), Tagged(("new",)))), "ann"),
        (AnyOf((OnPlatform(("ios",)), Tagged(("blue",)))), "ann cyd"),
        (Everyone(), "ann bob cyd dan eve"),
        (AllOf((Everyone(), Having("age"))), "ann bob cyd dan"),
        (Equal("plan", ("pro",)), "ann"),
        (Equal("plan", ("pro", "free", 18)), "ann bob"),
        (Equal("age", (18,)), "bob"),
        (Equal("age", ("18",)), "dan"),
        (Equal("age", ("18", 17, 70.0)), "ann cyd dan"),
        (Equal("muted", (True,)), "cyd"),
        (Equal("muted", (1,)), ""),
        (Ordered("age", "gt", 17), "bob cyd"),
        (Ordered("age", "gte", 17), "ann bob cyd"),
        (Ordered("age", "lt", 18), "ann"),
        (Ordered("age", "lte", 18), "ann bob"),
        (Ordered("age", "gt", 17.5), "bob cyd"),
        (Ordered("age", "lt", -3), ""),
        (Ordered("age", "gt", -1e300), "ann bob cyd"),
        (Ordered("nothing", "gt", 0), ""),
        (AllOf((ADULT, NoneOf((AnyOf((Tagged(("blue",)), OnPlatform(("web",)))),)))), "bob"),
    ],
)
async def test_an_expression_describes_who_has_what_it_asks(
    store: StoreFixture, expression: Expression, names: str
) -> None:
    await put(store, PEOPLE)
    assert await described(store, expression) == names.split()
    assert sorted(name for name, who in PEOPLE.items() if describes(expression, who)) == names.split()


@pytest.mark.parametrize(
    "numbers",
    [
        [0, -0.0, 1, -1, 0.5, -0.5],
        [2**53, 2**53 + 1, 2**64, -(2**64), 1e308, -1e308, 5e-324, -5e-324],
        [10**400, -(10**400), 1, 1.0000000000000002],
        list(range(-300, 300, 7)),
    ],
)
async def test_numbers_have_the_order_that_they_have_as_doubles(
    store: StoreFixture, numbers: list[int | float]
) -> None:
    def double(number: float) -> float:
        try:
            return float(number)
        except OverflowError:
            return float("inf") if number > 0 else float("-inf")

    people = {f"d{n}": Profile(attributes={"x": number}) for n, number in enumerate(numbers)}
    await put(store, people)
    for number in numbers[:8]:
        limit = double(number)
        for order, holds in ORDERS.items():
            names = [f"d{n}" for n, other in enumerate(numbers) if holds(double(other), limit)]
            assert await described(store, Ordered("x", order, limit)) == sorted(names)
        same = [f"d{n}" for n, other in enumerate(numbers) if double(other) == limit]
        assert await described(store, Equal("x", (number,))) == sorted(same)


async def test_labels_may_be_any_text(store: StoreFixture) -> None:
    texts = ["é", "日本", "a:b", "{p1}", "a\0b", "'", '"', "%", "x" * 128, "#", ":", "0:=", "1:a=b"]
    people = {
        f"d{n}": Profile(tags=(text,), platform=text, attributes={text: text, "same": text * 3})
        for n, text in enumerate(texts)
    }
    await put(store, people)
    for n, text in enumerate(texts):
        for expression in (
            Tagged((text,)),
            OnPlatform((text,)),
            Having(text),
            Equal(text, (text,)),
            Equal("same", (text * 3,)),
        ):
            assert await described(store, expression) == [f"d{n}"], expression


async def test_what_a_device_is_described_by_follows_its_profile(store: StoreFixture) -> None:
    await put(store, PEOPLE)
    await put(store, {"ann": Profile(tags=("blue",), attributes={"age": 40})})
    (before,) = await store.saver.devices.find(store.app, ["bob"])
    assert before is not None
    await store.saver.devices.update(store.app, before, Profile(tags=("green",), attributes={"plan": "pro"}))
    await store.saver.devices.delete(store.app, "cyd", store.now)
    await store.reopen()
    assert await described(store, Tagged(("red", "new"))) == []
    assert await described(store, Tagged(("blue",))) == ["ann"]
    assert await described(store, OnPlatform(("ios", "android"))) == []
    assert await described(store, ADULT) == ["ann"]
    assert await described(store, Equal("plan", ("pro", "free"))) == ["bob"]
    assert await described(store, Having("muted")) == ["dan"]
    assert await described(store, NoneOf((Having("age"),))) == ["bob", "eve"]


async def test_a_device_of_the_same_name_inherits_no_label(store: StoreFixture) -> None:
    await put(store, PEOPLE)
    await store.saver.devices.delete(store.app, "ann", store.now)
    await put(store, {"ann": Profile()})
    assert await described(store, Tagged(("red",))) == ["bob"]
    assert await described(store, NoneOf((Tagged(("red",)),))) == ["ann", "cyd", "dan", "eve"]


async def test_apps_do_not_see_each_others_labels(store: StoreFixture) -> None:
    await put(store, PEOPLE)
    other = (await store.saver.apps.create(an_app("weather"))).number
    for expression in (Tagged(("red",)), NoneOf((Tagged(("green",)),)), ADULT):
        assert (await store.saver.audiences.describe(other, expression, 10)).devices == 0
    assert await store.saver.audiences.holders(other, ["ann"], 10) == [[]]


async def test_of_a_deleted_app_nobody_is_described(store: StoreFixture) -> None:
    await put(store, {"ann": Profile(tags=("red",), aliases=("a",), attributes={"age": 3})})
    await store.saver.apps.delete(store.app)
    assert (await store.saver.audiences.describe(store.app, Tagged(("red",)), 10)).devices == 0
    assert await store.saver.audiences.holders(store.app, ["a"], 10) == [[]]
    while await store.saver.expiry.end(store.now, 10):
        pass
    assert (await store.saver.audiences.describe(store.app, Tagged(("red",)), 10)).devices == 0


async def test_of_many_as_many_are_named_as_was_asked_for(store: StoreFixture) -> None:
    names = [f"d{n}" for n in range(3000)]
    await store.register(*names, profile=Profile(tags=("red",), attributes={"n": 5}))
    for limit in (0, 1, 7, 100, 2999, 3000, 5000):
        for expression in (Tagged(("red",)), Ordered("n", "lt", 6)):
            found = await store.saver.audiences.describe(store.app, expression, limit)
            assert found.devices == 3000
            assert set(found.some) <= set(names)
            assert len(set(found.some)) == len(found.some)
            assert min(limit, 3000) * 0.9 - 4 <= len(found.some) <= min(limit, 3000) + 4


async def test_many_that_come_and_go_leave_nobody_behind(store: StoreFixture) -> None:
    """Sets are kept in one form while they are small and in another when they are large."""
    names = [f"d{n}" for n in range(4000)]
    red = Profile(tags=("red",), attributes={"n": 1})
    await store.register(*names, profile=red)
    assert await described(store, AllOf((Tagged(("red",)), Equal("n", (1,))))) == sorted(names)
    await store.register(*names[:-3], profile=Profile(attributes={"n": 2}))
    assert await described(store, Tagged(("red",))) == sorted(names[-3:])
    assert await described(store, Ordered("n", "lt", 2)) == sorted(names[-3:])
    page = await store.saver.devices.list(store.app, tag="red", alias=None, after=-1, limit=10)
    assert sorted(device.device for device in page) == sorted(names[-3:])
    await store.register(*names[-3:])
    assert await described(store, Tagged(("red",))) == []
    await store.register(*names[5:9], profile=red)
    assert await described(store, Tagged(("red",))) == sorted(names[5:9])


async def test_many_numbers_are_compared_as_few_are(store: StoreFixture) -> None:
    """Of more devices than are compared one by one; some of them change, lose theirs, or go."""
    pick = random.Random(7)
    numbers: list[float] = [0, 1, -1, 2.5, -2.5, 1e9, 1_700_000_000, 5e-324, 1e308, -1e308]

    def who() -> Profile:
        number = pick.choice([pick.choice(numbers), pick.randrange(-50, 50), pick.gauss(0, 1e6)])
        return Profile(attributes={"x": number, "y": pick.randrange(3)} if pick.random() < 0.9 else {})

    known = {f"d{n}": who() for n in range(4000)}
    await put(store, known)
    changed = {name: who() for name in pick.sample(sorted(known), 400)}
    await put(store, changed)
    known |= changed
    for name in pick.sample(sorted(known), 40):
        await store.saver.devices.delete(store.app, name, store.now)
        del known[name]
    asked: list[Expression] = [Ordered("x", order, number) for number in numbers for order in ORDERS]
    asked += [Equal("x", (number,)) for number in (*numbers, 7, -50)]
    asked.append(AllOf((Equal("y", (1, 2)), NoneOf((Ordered("x", "lt", 0),)))))
    for expression in asked:
        expected = sorted(name for name, profile in known.items() if describes(expression, profile))
        assert await described(store, expression) == expected, expression


# --- aliases ----------------------------------------------------------------------------------------------


async def test_an_alias_may_have_many_devices_and_a_device_many_aliases(store: StoreFixture) -> None:
    await store.register("phone", profile=Profile(aliases=("ann", "home")))
    await store.register("tablet", profile=Profile(aliases=("ann",)))
    await store.register("other", profile=Profile(tags=("ann",)))
    found = await store.saver.audiences.holders(store.app, ["home", "nobody", "ann"], 10)
    assert [sorted(names) for names in found] == [["phone"], [], ["phone", "tablet"]]
    await store.saver.devices.delete(store.app, "phone", store.now)
    assert await store.saver.audiences.holders(store.app, ["home", "ann"], 10) == [[], ["tablet"]]


async def test_of_an_alias_of_many_devices_no_more_are_told_than_was_asked_for(store: StoreFixture) -> None:
    names = [f"d{n}" for n in range(2500)]
    await store.register(*names, profile=Profile(aliases=("all",)))
    (some,) = await store.saver.audiences.holders(store.app, ["all"], 11)
    assert len(some) == 11
    assert set(some) <= set(names)
    assert await store.saver.audiences.holders(store.app, [], 11) == []


# --- what is sent to them ---------------------------------------------------------------------------------


async def test_a_message_is_for_whom_its_expression_described_when_it_was_sent(store: StoreFixture) -> None:
    await put(store, PEOPLE)
    adults = await send(store, "adults", ADULT)
    red = await send(store, "red", Tagged(("red",)))
    # Whatever changes afterwards, also that a device is there, changes nothing of it.
    await put(store, {"bob": Profile(), "eve": Profile(tags=("red",), attributes={"age": 99})})
    await put(store, {"fay": Profile(tags=("red",), attributes={"age": 99})})
    assert [await store.waiting(name) for name in ("ann", "bob", "cyd", "dan", "eve", "fay")] == [
        ["red"],
        ["adults", "red"],
        ["adults"],
        [],
        [],
        [],
    ]
    assert [await store.pending(name) for name in ("ann", "bob", "eve")] == [1, 2, 0]
    for message_id in (adults, red):
        ledger = await store.ledger(message_id)
        assert (ledger.targeted, ledger.pending) == (2, 2)


async def test_the_set_that_a_room_is_told_is_that_of_the_expression(store: StoreFixture) -> None:
    ordinals = dict(zip(PEOPLE, await store.register(*PEOPLE), strict=True))
    await put(store, PEOPLE)
    _, outcome = await store.send(store.message(), AnyOf((ADULT, Tagged(("new",)))))
    (route,) = outcome.routes
    assert isinstance(route, Broadcast)
    parts = route.parts
    told = {
        name
        for name, ordinal in ordinals.items()
        if ordinal // len(parts) in BitMap.deserialize(parts[ordinal % len(parts)].audience)
    }
    assert told == {"ann", "bob", "cyd"}


async def test_the_ledger_of_a_message_to_tags_balances_to_its_end(store: StoreFixture) -> None:
    await put(store, PEOPLE)
    message_id = await send(store, "all but eve", AnyOf((Having("age"), Having("plan"))))
    for name, state in (("ann", State.ACKED), ("bob", State.DROPPED)):
        (push,) = (await store.page(name)).pushes
        await store.settle(name, push, state, reason="no_room" if state is State.DROPPED else None)
    await store.saver.devices.delete(store.app, "cyd", store.now)
    ledger = await store.ledger(message_id)
    assert (ledger.targeted, ledger.acked, ledger.pending) == (4, 1, 1)
    assert ledger.dropped == {"no_room": 1, "device_deleted": 1}
    await store.pass_time(10 * 60_000)
    ledger = await store.ledger(message_id)
    assert (ledger.targeted, ledger.acked, ledger.expired, ledger.pending) == (4, 1, 1, 0)
    assert await store.waiting("dan") == []


async def test_a_message_to_nobody_is_refused(store: StoreFixture) -> None:
    await put(store, PEOPLE)
    for expression in (Tagged(("green",)), AllOf((ADULT, Tagged(("new",)))), NoneOf((Everyone(),))):
        result, _ = await store.send(store.message(), expression)
        assert result == Refused("no_target")


async def test_collapsing_is_for_the_devices_of_both_expressions(store: StoreFixture) -> None:
    await put(store, PEOPLE)
    older = await send(store, "older", Tagged(("red",)), collapse="score")
    newer = await send(store, "newer", Having("muted"), collapse="score")
    again = await send(store, "again", OnPlatform(("ios",)), collapse="score")
    assert [await store.waiting(name) for name in PEOPLE] == [["again"], ["older"], ["newer"], ["newer"], []]
    for message_id, collapsed, pending in ((older, 1, 1), (newer, 0, 2), (again, 0, 1)):
        ledger = await store.ledger(message_id)
        assert (ledger.collapsed, ledger.pending) == (collapsed, pending)


async def test_a_device_that_comes_back_under_its_name_gets_nothing_of_before(store: StoreFixture) -> None:
    await put(store, PEOPLE)
    message_id = await send(store, "red", Tagged(("red",)))
    await store.saver.devices.delete(store.app, "ann", store.now)
    await put(store, {"ann": PEOPLE["ann"]})
    assert await store.waiting("ann") == []
    assert (await store.ledger(message_id)).dropped == {"device_deleted": 1}


async def test_a_repeated_request_to_tags_is_one_message(store: StoreFixture) -> None:
    await put(store, PEOPLE)
    for _ in range(2):
        envelope = Envelope(store.message("red"), Tagged(("red",)))
        await store.submit(store.submission(envelope, key="once", digest=b"d"))
    assert await store.waiting("ann") == ["red"]


# --- any devices, any expressions -------------------------------------------------------------------------

NAMES = st.sampled_from(["age", "plan", "x"])
WORDS = st.sampled_from(["pro", "free", "1", ""])
NUMBERS = st.sampled_from([0, 1, -1, 2.5, 1e9, -7, 3]) | st.integers(-5, 5) | st.floats(-9, 9)
VALUES: st.SearchStrategy[Value] = st.booleans() | WORDS | NUMBERS
TAGS = st.lists(st.sampled_from("abcd"), max_size=3, unique=True).map(tuple)
PROFILES = st.builds(
    Profile,
    tags=TAGS,
    platform=st.none() | st.sampled_from(["ios", "web"]),
    attributes=st.dictionaries(NAMES, VALUES | st.just([1]), max_size=3),
)
LEAVES = (
    st.builds(Tagged, st.lists(st.sampled_from("abcde"), min_size=1, max_size=3).map(tuple))
    | st.builds(OnPlatform, st.lists(st.sampled_from(["ios", "web", "tv"]), min_size=1).map(tuple))
    | st.builds(Having, NAMES)
    | st.builds(Equal, NAMES, st.lists(VALUES, min_size=1, max_size=3).map(tuple))
    | st.builds(Ordered, NAMES, st.sampled_from(["gt", "gte", "lt", "lte"]), NUMBERS.map(float))
    | st.just(Everyone())
)


def _nested(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    of = st.lists(inner, min_size=1, max_size=3).map(tuple)
    return st.builds(AnyOf, of) | st.builds(AllOf, of) | st.builds(NoneOf, of)


EXPRESSIONS: st.SearchStrategy[Expression] = st.recursive(LEAVES, _nested, max_leaves=8)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)
@given(st.data())
async def test_sets_find_whom_a_look_at_each_device_finds(store: StoreFixture, data: st.DataObject) -> None:
    """Devices change and go between one expression and the next, and whoever is left is who is described."""
    pick = random.Random(data.draw(st.integers()))
    known: dict[str, Profile] = {}
    listed = await store.saver.devices.list(store.app, tag=None, alias=None, after=-1, limit=1000)
    known.update((device.device, device.profile) for device in listed)
    changes = data.draw(st.lists(PROFILES, min_size=1, max_size=12))
    batch = {f"d{pick.randrange(40)}": profile for profile in changes}
    await put(store, batch)
    known.update(batch)
    for name in pick.sample(sorted(known), min(2, len(known))):
        await store.saver.devices.delete(store.app, name, store.now)
        del known[name]
    for expression in data.draw(st.lists(EXPRESSIONS, min_size=1, max_size=4)):
        expected = sorted(name for name, profile in known.items() if describes(expression, profile))
        assert await described(store, expression) == expected
        result, _ = await store.send(store.message(ttl=1), expression)
        if expected:
            assert isinstance(result, Accepted)
            assert result.targeted == len(expected)
        else:
            assert result == Refused("no_target")
