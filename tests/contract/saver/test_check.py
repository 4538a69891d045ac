"""A store says whether it takes what is written."""

from tests.contract.store_fixture import StoreFixture


async def test_a_store_that_is_well_takes_what_is_written_and_nothing_is_seen_of_it(
    store: StoreFixture,
) -> None:
    await store.register("a")
    for _ in range(3):
        await store.saver.check()
    assert await store.pending("a") == 0
    await store.reopen()
    await store.saver.check()
