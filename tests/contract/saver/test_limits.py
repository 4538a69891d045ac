"""What an app may have of its own is more, or less, than what the engine was opened with."""

import msgspec
import pytest

from longline.errors import QuotaExceeded
from longline.model.audience import Devices, Everyone
from longline.model.limits import AppLimits
from longline.model.messages import Envelope
from longline.saver.port.inboxes import INBOX_FULL, Arrive, InboxBounds
from longline.saver.port.messages import Refused, Submission
from longline.saver.port.rates import Spending
from longline.saver.port.retained import Retain
from longline.saver.port.schedules import Added
from tests.contract.engines import INBOX_BYTES, INBOX_MESSAGES, RETAINED, RETENTION, TIMERS_OF_A_KIND
from tests.contract.saver.kept import Kept
from tests.contract.saver.pushes import outcome_of
from tests.contract.saver.test_retained import Retained
from tests.contract.saver.test_schedules import Timers
from tests.contract.store_fixture import MINUTE, StoreFixture, an_app
from tests.waiting import until

RATE = 1000


async def limit(store: StoreFixture, **limits: int | None) -> None:
    """Gives the app limits of its own."""
    app = await store.saver.apps.find("news")
    assert app is not None
    assert await store.saver.apps.update(msgspec.structs.replace(app, limits=AppLimits(**limits)), app)


# --- what is kept of the limits ---


async def test_an_app_has_the_limits_that_it_was_given(store: StoreFixture) -> None:
    await limit(store, devices=7, inbox_messages=3)
    app = await store.saver.apps.find("news")
    assert app is not None
    assert app.limits == AppLimits(devices=7, inbox_messages=3)
    await store.reopen()
    assert await store.saver.apps.find("news") == app
    assert await store.saver.apps.numbered([app.number]) == [app]
    await limit(store)
    assert (await store.saver.apps.list("", 10))[0].limits == AppLimits()


async def test_of_changes_that_race_one_is_done(store: StoreFixture) -> None:
    """Also where they change nothing but limits."""
    app = await store.saver.apps.find("news")
    assert app is not None
    first, second = (msgspec.structs.replace(app, limits=AppLimits(devices=count)) for count in (1, 2))
    assert await store.saver.apps.update(first, app)
    assert not await store.saver.apps.update(second, app)


# --- inboxes ---


def bounded(store: StoreFixture, text: str, device: str, bounds: InboxBounds | None) -> Submission:
    envelope = Envelope(store.message(text), Devices((device,)))
    return msgspec.structs.replace(store.submission(envelope), inbox=bounds)


async def test_an_inbox_holds_what_its_app_may_have(store: StoreFixture) -> None:
    await store.register("a")
    few, many = InboxBounds(2, INBOX_BYTES), InboxBounds(INBOX_MESSAGES + 5, INBOX_BYTES)
    for n in range(4):
        await store.submit(bounded(store, str(n), "a", few))
    assert await store.waiting("a") == ["2", "3"]
    for n in range(4, INBOX_MESSAGES + 9):
        await store.submit(bounded(store, str(n), "a", many))
    assert await store.waiting("a") == [str(n) for n in range(4, INBOX_MESSAGES + 9)]
    await store.submit(bounded(store, "last", "a", None))
    waiting = await store.waiting("a")
    assert (len(waiting), waiting[-1]) == (INBOX_MESSAGES, "last")


async def test_apps_whose_messages_come_together_have_each_its_own(store: StoreFixture) -> None:
    other = await store.saver.apps.create(an_app("other"))
    await store.register("a")
    await store.saver.inboxes.arrive([Arrive(other.number, "a", store.now)])
    few = InboxBounds(1, INBOX_BYTES)
    batch = [bounded(store, str(n), "a", few if n % 2 else None) for n in range(6)]
    mixed = [
        msgspec.structs.replace(item, app=other.number) if item.inbox is None else item for item in batch
    ]
    await store.submit(*mixed)
    assert await store.waiting("a") == ["5"]
    found = await store.saver.devices.find(other.number, ["a"])
    assert found[0] is not None
    assert await store.saver.inboxes.count(other.number, [found[0].ordinal], store.now) == [3]


async def test_what_goes_to_several_and_with_a_key_is_bounded_alike(store: StoreFixture) -> None:
    await store.register("a", "b", "c")
    few = InboxBounds(2, INBOX_BYTES)
    for n in range(4):
        envelope = Envelope(store.message(str(n)), Devices(("a", "b", "c")))
        submission = store.submission(envelope, key=f"key {n}", digest=b"d")
        await store.submit(msgspec.structs.replace(submission, inbox=few))
    for name in ("a", "b", "c"):
        assert await store.waiting(name) == ["2", "3"]


async def test_who_comes_finds_what_its_app_may_have(store: StoreFixture) -> None:
    """Broadcasts count then, too."""
    await store.register("a")
    ids = [await store.push(str(n)) for n in range(5)]
    (arrival,) = await store.saver.inboxes.arrive([Arrive(store.app, "a", store.now, True, 2)])
    assert arrival is not None
    assert await store.waiting("a") == ["3", "4"]
    assert outcome_of(await store.ledger(ids[0])) == (0, 0, 0, 0, {INBOX_FULL: 1})
    assert arrival.gap is not None
    assert arrival.gap.dropped == 3


# --- retained messages, timers ---


async def test_an_app_keeps_as_many_retained_messages_as_it_may(store: StoreFixture) -> None:
    words = Retained(store)

    async def keep(topic: str, most: int, most_bytes: int = 0) -> str | None:
        retain = Retain(store.app, words.publication(topic), store.now, most, most_bytes)
        (code,) = await store.saver.retained.keep([retain])
        return code

    assert [await keep(f"t/{n}", 2) for n in range(4)] == [None, None, *["quota_exceeded"] * 2]
    assert await keep("t/0", 2) is None  # in the place of what was there
    assert [await keep(f"m/{n}", RETAINED + 2) for n in range(RETAINED + 1)][-2:] == [None, "quota_exceeded"]
    assert await keep("t/9", 0) == "quota_exceeded"
    assert await keep("t/9", RETAINED + 9, 1) == "quota_exceeded"


async def test_an_app_has_as_many_timers_as_it_may(store: StoreFixture) -> None:
    timers = Timers(store)

    async def add(most: int) -> object:
        adding = msgspec.structs.replace(timers.adding(timers.timer()), messages=most)
        (answer,) = await store.saver.schedules.add([adding])
        return answer

    assert isinstance(await add(1), Added)
    assert await add(1) == Refused("quota_exceeded")
    for _ in range(TIMERS_OF_A_KIND + 1):
        assert isinstance(await add(TIMERS_OF_A_KIND + 2), Added)
    assert await add(0) == Refused("quota_exceeded")


async def test_an_app_has_as_many_groups_as_it_may(store: StoreFixture) -> None:
    groups = store.saver.groups
    assert await groups.put(store.app, "one", store.now, 1)
    with pytest.raises(QuotaExceeded):
        await groups.put(store.app, "two", store.now, 1)
    assert not await groups.put(store.app, "one", store.now, 1)
    for n in range(3):
        assert await groups.put(store.app, f"more {n}", store.now, 4)
    with pytest.raises(QuotaExceeded):
        await groups.put(store.app, "one too many", store.now, 4)
    assert await groups.put(store.app, "without limit", store.now)


# --- ledgers ---


async def test_ledgers_are_kept_as_long_as_their_app_says(store: StoreFixture) -> None:
    """By name and to everyone; those of other apps beside them as long as ever."""
    other = await store.saver.apps.create(an_app("other"))
    await store.saver.inboxes.arrive([Arrive(other.number, "a", store.now)])
    await store.register("a", "b")
    await limit(store, ledger_retention=60)
    ours, theirs = [], []
    for n in range(3):
        ours.append(await store.push(str(n), "a"))
        message = store.message(str(n))
        await store.submit(Submission(other.number, (Envelope(message, Everyone()),), store.now))
        theirs.append(message.id)
    ours.append(await store.push("to both", "a", "b"))
    ours.append(await store.push("to all"))
    await store.pass_time(MINUTE)
    for message_id in ours:
        await store.ledger(message_id)
    await store.pass_time(60_000)
    for message_id in ours:
        assert await store.saver.ledgers.status(store.app, message_id) is None
    for message_id in theirs:
        assert await store.saver.ledgers.status(other.number, message_id) is not None
    await store.pass_time(RETENTION - 60_000)
    for message_id in theirs:
        assert await store.saver.ledgers.status(other.number, message_id) is None


async def test_a_ledger_may_be_kept_for_longer_than_others(store: StoreFixture) -> None:
    await store.register("a")
    long = 2 * RETENTION
    await limit(store, ledger_retention=long // 1000)
    message = store.message("hello")
    submission = store.submission(Envelope(message, Everyone()))
    await store.submit(msgspec.structs.replace(submission, retention=long))
    await store.pass_time(MINUTE)
    await store.pass_time(long - 1)
    assert (await store.ledger(message.id)).expired == 1
    await store.pass_time(1)
    assert await store.saver.ledgers.status(store.app, message.id) is None


# --- sessions ---


async def test_sessions_that_are_kept_are_counted(store: StoreFixture, kept: Kept) -> None:
    assert await kept.sessions.count(store.app) == 0
    await store.register("a", "b", "c")
    first = await kept.open("a")
    await kept.open("b")
    await kept.open("b")
    assert await kept.sessions.count(store.app) == 2
    assert await kept.sessions.count(99) == 0
    await kept.close(first, expires_in=0)
    assert await kept.sessions.count(store.app) == 1
    await store.saver.devices.delete(store.app, "b", store.now)
    assert await kept.sessions.count(store.app) == 0
    await kept.open("c")
    await store.saver.apps.delete(store.app)
    await store.pass_time(0)
    assert await kept.sessions.count(store.app) == 0


# --- rates ---


async def test_an_app_has_a_second_of_its_rate_and_owes_what_is_more(store: StoreFixture) -> None:
    async def spend(amount: int, app: int = 1, what: str = "messages", rate: int = RATE) -> float:
        (level,) = await store.saver.rates.spend([Spending(app, what, rate, amount)])
        return level

    assert await spend(0) == RATE
    assert RATE - 400 <= await spend(400) < RATE - 300
    assert await spend(RATE) < 0
    owed = await spend(RATE)
    assert -3 * RATE < owed < -RATE
    assert await spend(0, app=2) == RATE
    assert await spend(0, what="others") == RATE

    async def paid() -> bool:
        return await spend(0) > owed

    await until(paid)
    assert await spend(0, rate=10) <= 10  # another rate: no more than a second of it


async def test_what_is_told_together_is_answered_in_its_order(store: StoreFixture) -> None:
    batch = [Spending(app, "messages", RATE, app * 10) for app in range(1, 40)]
    for app, level in enumerate(await store.saver.rates.spend(batch), 1):
        assert RATE - app * 10 <= level < RATE - app * 10 + RATE / 2
    assert await store.saver.rates.spend([]) == []
