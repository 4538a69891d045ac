"""Queues of which nobody was told: whoever published may have died before, and rooms may not have heard."""

from longline.saver.port.queues import Step
from tests.contract.saver.kept import Kept
from tests.contract.store_fixture import MINUTE

AFTER = 5_000  # ms


async def untold(kept: Kept, limit: int = 100) -> list[str]:
    """The devices of what is older than a while; where nobody outlives the others, there are none."""
    found = await kept.queues.untold(kept.store.now - AFTER, limit)
    for app, queued in found:
        assert app == kept.store.app
        assert queued.ordinal == await kept.store.ordinal(queued.device)
        (binding,) = await kept.store.sessions.locate(app, [queued.device])
        assert queued.binding == binding
    return sorted(queued.device for _, queued in found)


def shared(kept: Kept, *devices: str) -> list[str]:
    return [*devices] if kept.store.engine.shared else []


async def test_a_session_that_was_sent_nothing_is_told_of_once_in_a_while(kept: Kept) -> None:
    session = await kept.subscribed("a", "x")
    await kept.subscribed("other", "y")
    await kept.publish("x")
    assert await untold(kept) == [], "it may be on its way"
    kept.store.now += AFTER
    assert await untold(kept) == shared(kept, "a")
    assert await untold(kept) == []
    kept.store.now += MINUTE
    await kept.publish("x")
    assert await untold(kept) == shared(kept, "a")
    kept.store.now += MINUTE
    await kept.settle(session, 1, Step.SENT)
    assert await untold(kept) == shared(kept, "a"), "there is one behind it"
    kept.store.now += MINUTE
    await kept.settle(session, 2, Step.SENT)
    assert await untold(kept) == []
    await kept.publish("x")
    kept.store.now += AFTER
    assert await untold(kept) == shared(kept, "a")


async def test_of_what_is_settled_nobody_is_told(kept: Kept) -> None:
    session = await kept.subscribed("a", "x")
    await kept.publish("x", qos=1)
    await kept.publish("x", qos=2)
    await kept.settle(session, 1)
    await kept.settle(session, 2, Step.RELEASED)
    kept.store.now += AFTER
    assert await untold(kept) == []


async def test_of_a_session_without_a_connection_nobody_is_told(kept: Kept) -> None:
    session = await kept.subscribed("a", "x")
    await kept.publish("x")
    await kept.close(session)
    await kept.publish("x")
    kept.store.now += MINUTE
    assert await untold(kept) == []
    again = await kept.open("a")
    assert again.opened.queued == 1, "which its room has heard by this"
    assert await untold(kept) == []
    await kept.publish("x")
    kept.store.now += AFTER
    assert await untold(kept) == shared(kept, "a")


async def test_sessions_are_told_of_in_slices(kept: Kept) -> None:
    names = [f"d{n}" for n in range(7)]
    for name in names:
        await kept.subscribed(name, "x")
    await kept.publish("x")
    kept.store.now += AFTER
    slices = [await untold(kept, 3) for _ in range(4)]
    assert [len(part) for part in slices] == ([3, 3, 1, 0] if kept.store.engine.shared else [0] * 4)
    assert sorted(name for part in slices for name in part) == shared(kept, *names)


async def test_nobody_is_told_of_what_is_deleted(kept: Kept) -> None:
    await kept.subscribed("a", "x")
    await kept.subscribed("b", "x")
    await kept.publish("x")
    await kept.store.saver.devices.delete(kept.store.app, "a", kept.store.now)
    kept.store.now += AFTER
    assert await untold(kept) == shared(kept, "b")
    await kept.store.saver.apps.delete(kept.store.app)
    kept.store.now += MINUTE
    assert await kept.queues.untold(kept.store.now, 10) == []
