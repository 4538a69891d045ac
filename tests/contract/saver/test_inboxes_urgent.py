"""What has high priority is read before what waits with it, and in its turn too."""

from longline.model.ledger import State
from longline.saver.port.inboxes import Page
from tests.contract.store_fixture import MINUTE, StoreFixture


def texts(page: Page) -> tuple[list[str], list[str]]:
    """What comes before the others, and the others."""
    return (
        [push.message.payload.decode() for push in page.urgent],
        [push.message.payload.decode() for push in page.pushes],
    )


async def fill(store: StoreFixture) -> None:
    """Every fifth has high priority, every tenth is for everyone."""
    await store.register("a", "b")
    for n in range(40):
        audience = [] if n % 10 == 5 else ["a"]
        await store.push(str(n), *audience, priority="high" if n % 5 == 0 else "normal")


async def test_those_of_high_priority_come_first_wherever_they_wait(store: StoreFixture) -> None:
    await fill(store)
    page = await store.page("a", limit=4, urgent=6)
    assert texts(page) == (["0", "5", "10", "15", "20", "25"], ["0", "1", "2", "3"])
    assert not page.complete
    assert [push.broadcast for push in page.urgent] == [False, True] * 3
    assert {push.message.priority for push in page.urgent} == {"high"}
    assert texts(await store.page("a", urgent=100)) == (
        [str(n) for n in range(0, 40, 5)],
        [str(n) for n in range(40)],
    )
    assert texts(await store.page("a", limit=2)) == ([], ["0", "1"])
    assert texts(await store.page("b", urgent=9)) == (["5", "15", "25", "35"], ["5", "15", "25", "35"])


async def test_only_those_behind_the_positions_come(store: StoreFixture) -> None:
    await fill(store)
    pushes = (await store.page("a")).pushes
    inbox_after, log_after = pushes[20].position, pushes[15].position
    page = await store.page("a", inbox_after=inbox_after, log_after=log_after, limit=3, urgent=3)
    assert texts(page) == (["25", "30", "35"], ["21", "22", "23"])


async def test_what_a_device_has_does_not_come_first_again(store: StoreFixture) -> None:
    await fill(store)
    page = await store.page("a", urgent=4)
    for push in page.urgent:
        await store.settle("a", push, State.ACKED)
    assert texts(await store.page("a", limit=1, urgent=3)) == (["20", "25", "30"], ["1"])
    written = (await store.page("a", urgent=1)).urgent[0]
    await store.settle("a", written, State.PENDING)
    assert (await store.page("a", urgent=1)).urgent[0].sent_before


async def test_what_is_over_does_not_come_first(store: StoreFixture) -> None:
    await store.register("a")
    await store.push("short", "a", priority="high")
    await store.push("short all", priority="high")
    await store.push("old", "a", priority="high", collapse="k", ttl=9 * MINUTE)
    await store.push("old all", priority="high", collapse="k", ttl=9 * MINUTE)
    await store.push("new", "a", priority="high", collapse="k", ttl=9 * MINUTE)
    gone = await store.push("cancelled", "a", priority="high", ttl=9 * MINUTE)
    assert await store.saver.messages.cancel(store.app, gone, store.now)
    store.now += 2 * MINUTE
    assert texts(await store.page("a", urgent=9)) == (["new"], ["new"])
    await store.pass_time(0)
    assert texts(await store.page("a", urgent=9)) == (["new"], ["new"])


async def test_large_ones_come_one_by_one(store: StoreFixture) -> None:
    await store.register("a")
    for n in range(3):
        await store.push(str(n) * 3000, "a", priority="high")
    await store.push("normal", "a")
    page = await store.page("a", limit=1, urgent=3)
    assert [push.message.payload[:1] for push in page.urgent] == [b"0", b"1", b"2"]
