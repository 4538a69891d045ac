"""The messages for one device: what waits for it, and what became of the latest."""

from longline.model.audience import Audience, Devices, Everyone, Tagged
from longline.model.devices import Profile
from longline.model.ledger import State
from longline.saver.port.ledgers import DeviceRecord
from tests.contract.saver.test_ledgers_latest import STEP, sent
from tests.contract.store_fixture import MINUTE, START, StoreFixture


async def of_device(
    store: StoreFixture, name: str, *, waiting: bool = False, limit: int = 100
) -> list[DeviceRecord]:
    """All pages."""
    ordinal, before = await store.ordinal(name), None
    found: list[DeviceRecord] = []
    while True:
        page = await store.saver.ledgers.of_device(store.app, ordinal, before, limit, waiting=waiting)
        assert len(page.messages) <= limit
        found += page.messages
        if page.rest is None:
            return found
        assert before is None or page.rest < before, "it does not come to an end"
        before = page.rest


def ids_of(found: list[DeviceRecord]) -> list[str]:
    return [each.message_id for each in found]


async def test_a_device_has_its_messages_of_every_kind_the_latest_first(store: StoreFixture) -> None:
    """And none of another's, however far they are apart."""
    await store.register("a", "b", "c")
    await store.register("red", profile=Profile(tags=("red",)))
    audiences: list[Audience] = [Devices(("a",)), Devices(("b", "a", "gone")), Everyone(), Devices(("c",))]
    audiences.append(Tagged(("red",)))
    ids = [await sent(store, START + n * STEP, audiences[n % 5], ttl=60 * MINUTE) for n in range(25)]
    ids += [await sent(store, store.now, audiences[(n - 1) % 5], n=n, ttl=60 * MINUTE) for n in range(1, 6)]
    of_a = [each for n, each in enumerate(ids) if n % 5 < 3][::-1]
    await store.register("late")
    for waiting in (False, True):
        for limit in (1, 4, 100):
            assert ids_of(await of_device(store, "a", waiting=waiting, limit=limit)) == of_a
        assert (
            ids_of(await of_device(store, "red", waiting=waiting))
            == [each for n, each in enumerate(ids) if n % 5 in (2, 4)][::-1]
        )
        assert ids_of(await of_device(store, "late", waiting=waiting)) == []


async def test_what_became_of_each_is_told_with_its_times(store: StoreFixture) -> None:
    """For messages to names; of those to everyone, only the state and the reason."""
    await store.register("a", "b")
    acked = await sent(store, START, Devices(("a",)), "goals")
    cancelled = await sent(store, START + 1, Devices(("a", "b")))
    waits = await sent(store, START + 2, Devices(("a",)))
    to_all = await sent(store, START + 3, Everyone())
    taken_back = await sent(store, START + 4, Everyone())
    store.now = START + 100
    push = {each.message.id: each for each in (await store.page("a")).pushes}
    receipts = [await store.receipt("a", push[each], State.ACKED) for each in (acked, to_all)]
    await store.saver.inboxes.settle(receipts)
    for each in (cancelled, taken_back):
        assert await store.saver.messages.cancel(store.app, each, store.now)
    rows = {each.message_id: each for each in await of_device(store, "a")}
    assert list(rows) == [taken_back, to_all, waits, cancelled, acked]
    assert rows[acked].label == "goals"
    assert (rows[acked].state, rows[acked].accepted_at) == (State.ACKED, START)
    assert rows[acked].settled_at == store.now
    told = (rows[cancelled].state, rows[cancelled].reason, rows[cancelled].settled_at)
    assert told == (State.DROPPED, "cancelled", store.now)
    assert (rows[waits].state, rows[waits].sent_at, rows[waits].settled_at) == (State.PENDING, None, None)
    assert (rows[to_all].state, rows[to_all].reason) == (State.ACKED, None)
    assert (rows[taken_back].state, rows[taken_back].reason) == (State.DROPPED, "cancelled")
    assert ids_of(await of_device(store, "a", waiting=True)) == [waits]


async def test_what_has_ended_waits_no_more_and_is_told_as_that(store: StoreFixture) -> None:
    await store.register("a")
    ids = [await sent(store, START, Devices(("a",))), await sent(store, START + 1, Everyone())]
    await store.pass_time(2 * MINUTE)
    assert await of_device(store, "a", waiting=True) == []
    rows = await of_device(store, "a")
    assert [(each.message_id, each.state) for each in rows] == [(each, State.EXPIRED) for each in ids[::-1]]


async def test_what_is_for_others_makes_no_page_look_for_ever(store: StoreFixture) -> None:
    """A page that finds nothing leads on, and what waits is found at once."""
    others = tuple(f"b{n}" for n in range(12))  # in every partition
    await store.register("a", *others)
    first = await sent(store, START, Devices(("a",)), ttl=600 * MINUTE)
    for n in range(1, 301):
        await sent(store, START + n * STEP, Devices(others))
    assert ids_of(await of_device(store, "a")) == [first]
    page = await store.saver.ledgers.of_device(store.app, await store.ordinal("a"), None, 100, waiting=True)
    assert (ids_of([*page.messages]), page.rest) == ([first], None)


async def test_a_device_registered_anew_has_none_of_what_was_before(store: StoreFixture) -> None:
    await store.register("a")
    await sent(store, START, Devices(("a",)))
    await sent(store, START + 1, Everyone())
    assert await store.saver.devices.delete(store.app, "a", store.now)
    await store.register("a")
    assert await of_device(store, "a") == []
    assert await of_device(store, "a", waiting=True) == []


async def test_one_message_says_of_a_device_what_its_list_says(store: StoreFixture) -> None:
    """Of each kind, while it waits and after that; nothing of what was never for the device."""
    await store.register("a", "b")
    await store.register("red", profile=Profile(tags=("red",)))
    audiences: list[Audience] = [Devices(("a",)), Devices(("b", "a")), Everyone(), Tagged(("red",))]
    ids = [await sent(store, START + n, audience, "goals") for n, audience in enumerate(audiences)]
    await store.register("late")

    async def compare() -> list[int]:
        counts = []
        for name in ("a", "b", "red", "late"):
            ordinal = await store.ordinal(name)
            listed = await of_device(store, name)
            found = [await store.saver.ledgers.delivery(store.app, each, ordinal) for each in ids[::-1]]
            assert [each for each in found if each is not None] == listed
            counts.append(len(listed))
        return counts

    assert await compare() == [3, 2, 2, 0]
    await store.ack_all("a")
    await store.saver.messages.cancel(store.app, ids[1], store.now)
    await store.pass_time(2 * MINUTE)
    assert await compare() == [3, 2, 2, 0]
    ordinal = await store.ordinal("a")
    for app, unknown in ((store.app, ids[0][:-1] + "f"), (store.app, "nothing"), (store.app + 1, ids[0])):
        assert await store.saver.ledgers.delivery(app, unknown, ordinal) is None
    await store.saver.apps.delete(store.app)
    assert await store.saver.ledgers.delivery(store.app, ids[0], ordinal) is None
