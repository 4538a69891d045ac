"""Calls: whoever has the device finds the call, whoever has the caller the answer."""

from longline.saver.port.calls import CallResult, DeviceCall
from tests.contract.store_fixture import StoreFixture
from tests.waiting import until

ONE, OTHER = "01890a5d-ac96-774b-bcce-b302099a8057", "01890a5d-ac96-774b-bcce-b302099a8058"


def a_call(store: StoreFixture, id: str = ONE, timeout: int = 60_000) -> DeviceCall:
    return DeviceCall(store.app, id, 3, timeout)


def said(store: StoreFixture, payload: bytes = b"\xff\x00", id: str = ONE, ordinal: int = 3) -> CallResult:
    return CallResult(store.app, id, ordinal, payload, store.now)


async def test_an_answer_is_there_for_who_waits_for_it(store: StoreFixture) -> None:
    calls = store.saver.replies
    await calls.open(a_call(store))
    await calls.open(a_call(store, OTHER))
    assert await calls.answers([a_call(store), a_call(store, OTHER)]) == [None, None]
    assert await calls.answer([said(store), said(store, b"", OTHER)]) == [True, True]
    found = await calls.answers([a_call(store, OTHER), a_call(store)])
    assert found == [said(store, b"", OTHER), said(store)]
    assert await calls.answers([]) == []
    assert await calls.answer([]) == []


async def test_nobody_waits_for_any_other_answer(store: StoreFixture) -> None:
    """Of another device or app, to no call or to one that is over, or after another one."""
    calls = store.saver.replies
    await calls.open(a_call(store))
    elsewhere = CallResult(store.app + 1, ONE, 3, b"", store.now)
    others = [said(store, ordinal=4), said(store, id=OTHER), said(store, id="nothing"), elsewhere]
    assert await calls.answer(others) == [False] * 4
    assert await calls.answers([a_call(store)]) == [None]
    assert await calls.answer([said(store)]) == [True]
    assert await calls.answer([said(store)]) == [True]
    assert await calls.answer([said(store, b"another")]) == [False]
    assert await calls.answers([a_call(store)]) == [said(store)]
    await calls.close(a_call(store))
    assert await calls.answer([said(store)]) == [False]
    assert await calls.answers([a_call(store)]) == [None]


async def test_a_call_ends_by_itself(store: StoreFixture) -> None:
    """Its caller may be gone without a word."""
    calls = store.saver.replies
    await calls.open(a_call(store, timeout=50))

    async def is_over() -> bool:
        return await calls.answer([said(store)]) == [False]

    await until(is_over)
