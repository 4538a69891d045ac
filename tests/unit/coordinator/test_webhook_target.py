"""What a webhook's target is sent, and what becomes of it by what it answers."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import msgspec
import pytest

from longline.coordinator.webhook_target import BELIEVED, CRASHES, LATER, REFUSALS
from longline.errors import Unavailable
from longline.model.access import FormerSecret
from longline.model.events import PRESENCE, EventBounds
from longline.model.webhooks import REFUSED, UNANSWERED
from longline.register.memory import MemoryRegister
from longline.saver.bounds import SaverBounds
from longline.saver.port.webhooks import WebhookChange
from longline.saver.sql.engine import SqliteSaver
from longline.settings import WebhookSettings
from tests.contract.store_fixture import an_app
from tests.unit.coordinator.hooked import HOUR, OTHER_SECRET, SECOND, SECRET, Answer, Hooked, silent, status

FAILURES = 3
LONGEST = 60.0


@pytest.fixture
async def saver(tmp_path: Path) -> AsyncIterator[SqliteSaver]:
    register = MemoryRegister()
    saver = await SqliteSaver.open(
        tmp_path / "db",
        locate=register.locate_now,
        bounds=SaverBounds(events=EventBounds(events=50, of_device=2)),
    )
    yield saver
    await saver.close()


@pytest.fixture
async def hooked(saver: SqliteSaver) -> Hooked:
    app = await saver.apps.create(an_app("news"))
    settings = WebhookSettings(batch=8, failures=FAILURES, longest_retry=LONGEST)
    return Hooked(saver, app, settings)


def refuses(*payloads: str, code: int = 422) -> Answer:
    """A target that refuses what has one of these among it."""

    def answer(request: httpx.Request) -> httpx.Response:
        told = [event["payload"] for event in json.loads(request.content)["events"]]
        return httpx.Response(code if set(payloads) & set(told) else 200)

    return answer


async def test_events_are_sent_as_they_are_read_in_batches_and_in_order(hooked: Hooked) -> None:
    await hooked.put()
    await hooked.happen(*map(str, range(20)))
    await hooked.work()
    assert [len(call["events"]) for call in hooked.calls] == [8, 8, 4]
    assert [event for call in hooked.calls for event in call["events"]] == await hooked.upstream()
    assert {(call["app"], call["gap"]) for call in hooked.calls} == {("news", False)}
    assert len(set(hooked.ids)) == 3
    progress = (await hooked.stored()).progress
    assert (progress.taken, progress.failures, progress.taken_at) == (20, 0, hooked.now)
    await hooked.work()
    assert len(hooked.calls) == 3


async def test_what_is_not_wanted_is_not_sent(hooked: Hooked) -> None:
    """And whoever goes on does not read all of it again."""
    await hooked.put("upstream")
    await hooked.happen("a", kind=PRESENCE)
    await hooked.happen("b")
    await hooked.happen(*map(str, range(10)), kind=PRESENCE)
    await hooked.work()
    assert hooked.payloads == [["b"]]
    assert hooked.target.waiting_since == 0
    await hooked.pass_time(2 * SECOND)
    await hooked.happen("c", kind=PRESENCE)
    await hooked.work()
    stored = await hooked.stored()
    assert (await hooked.saver.events.read(hooked.app.number, stored.progress.after, 9)).events == []


async def test_a_batch_that_failed_is_tried_again_as_it_was_after_a_pause_that_doubles(
    hooked: Hooked,
) -> None:
    """What came meanwhile follows it; also when another process goes on."""
    await hooked.put()
    hooked.answer = status(500)
    await hooked.happen("a", "b")
    await hooked.work()
    assert len(hooked.calls) == 1
    await hooked.happen("c")
    await hooked.pass_time(SECOND - 1)
    assert len(hooked.calls) == 1
    await hooked.pass_time(1)
    assert len(hooked.calls) == 2
    await hooked.pass_time(2 * SECOND - 1)
    assert len(hooked.calls) == 2
    hooked.lead()
    hooked.answer = status(204)
    await hooked.pass_time(1)
    assert hooked.payloads == [["a", "b"]] * 3 + [["c"]]
    assert len(set(hooked.ids[:3])) == 1
    assert hooked.ids[3] != hooked.ids[0]
    progress = (await hooked.stored()).progress
    assert (progress.failures, progress.failing_since, progress.error) == (0, 0, "")


async def test_a_pause_has_an_end_and_heeds_who_asks_for_a_longer_one(hooked: Hooked) -> None:
    await hooked.put()
    hooked.answer = status(503, retry_after="30")
    await hooked.happen("a")
    await hooked.work()
    assert (await hooked.stored()).progress.next_at == hooked.now + 30 * SECOND
    hooked.answer = status(429, retry_after="9999999")
    await hooked.pass_time(30 * SECOND)
    assert (await hooked.stored()).progress.next_at == hooked.now + LONGEST * 1000
    hooked.answer = silent
    for _ in range(40):
        await hooked.pass_time(int(LONGEST * 1000))
    assert (await hooked.stored()).progress.next_at == hooked.now + LONGEST * 1000


async def test_silence_does_not_change_the_batch_however_often(hooked: Hooked) -> None:
    """The target may have taken it, and knows it by its id."""
    await hooked.put()
    hooked.answer = silent
    await hooked.happen("a", "b", "c")
    for _ in range(2 * FAILURES):
        await hooked.pass_time(int(LONGEST * 1000))
    assert len(set(hooked.ids)) == 1
    assert (await hooked.stored()).progress.error == "no answer: ReadTimeout"


async def test_an_open_circuit_is_told_and_asks_with_less(hooked: Hooked) -> None:
    """When it takes one, it soon gets as much as before."""
    await hooked.put()
    hooked.answer = status(500)
    await hooked.happen(*map(str, range(8)))
    for _ in range(FAILURES + 4):
        await hooked.pass_time(int(LONGEST * 1000))
    assert [len(each) for each in hooked.payloads] == [8] * FAILURES + [4, 2, 1, 1]
    assert hooked.counters.circuits_opened == 1
    assert hooked.target.slow
    hooked.answer = status(200)
    await hooked.happen(*map(str, range(8, 20)))
    await hooked.pass_time(int(LONGEST * 1000))
    assert hooked.taken == [str(n) for n in range(20)]
    assert [len(each) for each in hooked.payloads[FAILURES + 4 :]] == [1, 2, 4, 8, 5]
    assert not hooked.target.slow


async def test_a_refused_batch_is_halved_until_the_poison_is_alone(hooked: Hooked) -> None:
    """It is tried a few times; then it is dead, and all others were taken, in order."""
    await hooked.put()
    hooked.answer = refuses("5", "11")
    await hooked.happen(*map(str, range(16)))
    await hooked.work()
    assert hooked.taken == [str(n) for n in range(5)]
    assert hooked.payloads[-1] == ["5"]
    for _ in range(6):
        await hooked.pass_time(int(LONGEST * 1000))
    assert await hooked.dead() == {"5": REFUSED, "11": REFUSED}
    assert hooked.taken == [str(n) for n in range(16) if n not in (5, 11)]
    assert hooked.payloads.count(["5"]) == REFUSALS
    assert hooked.counters.given_up == {REFUSED: 2}


async def alternately(hooked: Hooked, count: int) -> None:
    """So many events of two devices, in turns."""
    for n in range(count):
        await hooked.happen(str(n), device=f"d{n % 2}")


async def test_an_event_that_the_target_fails_on_is_dead_when_it_takes_another(hooked: Hooked) -> None:
    """After some tries alone. All others are taken in order; the one that was asked about comes twice."""
    await hooked.put()
    hooked.answer = refuses("5", code=500)
    await alternately(hooked, 12)
    for _ in range(20):
        await hooked.pass_time(int(LONGEST * 1000))
    assert await hooked.dead() == {"5": REFUSED}
    assert hooked.payloads.count(["5"]) == CRASHES
    assert hooked.taken == [*map(str, range(5)), "6", *map(str, range(6, 12))]
    ids = [id for id, told in zip(hooked.ids, hooked.payloads, strict=True) if told == ["6"]]
    assert len(ids) == 2
    assert len(set(ids)) == 1, "so whoever gets it twice knows"
    assert hooked.counters.given_up == {REFUSED: 1}
    assert await hooked.saver.webhooks.replay(hooked.app.number, None) == 1


async def test_while_the_target_fails_on_everything_nothing_is_dead(hooked: Hooked) -> None:
    await hooked.put()
    hooked.answer = status(500)
    await alternately(hooked, 12)
    for _ in range(3 * CRASHES):
        await hooked.pass_time(int(LONGEST * 1000))
    assert await hooked.dead() == {}
    hooked.answer = status(200)
    await hooked.pass_time(int(LONGEST * 1000))
    assert hooked.taken == [str(n) for n in range(12)]


@pytest.mark.parametrize("code", [503, *sorted(LATER)])
async def test_what_an_answer_says_of_the_moment_makes_no_event_dead(hooked: Hooked, code: int) -> None:
    await hooked.put()
    hooked.answer = refuses("0", code=code)
    await alternately(hooked, 2)
    for _ in range(3 * CRASHES):
        await hooked.pass_time(int(LONGEST * 1000))
    assert (await hooked.dead(), hooked.taken) == ({}, [])


async def test_no_event_of_the_same_device_overtakes_one_that_the_target_fails_on(hooked: Hooked) -> None:
    """It waits until there is one of another."""
    await hooked.put()
    hooked.answer = refuses("0", code=500)
    await hooked.happen("0", "1", "2")
    for _ in range(2 * CRASHES):
        await hooked.pass_time(int(LONGEST * 1000))
    assert (await hooked.dead(), hooked.taken) == ({}, [])
    await hooked.happen("other", device="d2")
    for _ in range(2):
        await hooked.pass_time(int(LONGEST * 1000))
    assert await hooked.dead() == {"0": REFUSED}
    assert hooked.taken == ["other", "1", "2", "other"]


async def test_who_refuses_everything_is_not_believed(hooked: Hooked) -> None:
    """After some events it is the target: nothing more is given up, until it has been so for long."""
    await hooked.put()
    hooked.answer = status(400)
    await hooked.happen(*map(str, range(8)))
    for _ in range(30):
        await hooked.pass_time(int(LONGEST * 1000))
    assert await hooked.dead() == {str(n): REFUSED for n in range(BELIEVED)}
    hooked.answer = status(200)
    await hooked.pass_time(int(LONGEST * 1000))
    assert hooked.taken == [str(n) for n in range(BELIEVED, 8)]
    assert (await hooked.stored()).progress.refused == 0


@pytest.mark.parametrize("code", [*sorted(LATER), 302, 308, 500, 599])
async def test_what_says_nothing_of_the_events_gives_none_up(hooked: Hooked, code: int) -> None:
    """Redirects are not followed."""
    await hooked.put()
    hooked.answer = status(code, location="https://elsewhere.example.org/")
    await hooked.happen("a")
    for _ in range(5):
        await hooked.pass_time(int(LONGEST * 1000))
    assert len(hooked.calls) == 5
    assert await hooked.dead() == {}
    assert (await hooked.stored()).progress.error == f"it answered {code}"


async def test_a_target_that_is_gone_is_not_called_again(hooked: Hooked) -> None:
    await hooked.put()
    hooked.answer = status(410)
    await hooked.happen("a")
    await hooked.work()
    hooked.answer = status(200)
    await hooked.pass_time(HOUR)
    hooked.lead()
    await hooked.work()
    assert len(hooked.calls) == 1
    assert (await hooked.stored()).progress.gone


async def test_what_nobody_takes_for_a_day_is_dead(hooked: Hooked) -> None:
    """What is younger is tried for longer, and all of it is there to be sent once more."""
    await hooked.put()
    hooked.answer = status(500)
    await hooked.happen(*map(str, range(12)))
    await hooked.work()
    await hooked.pass_time(23 * HOUR)
    await hooked.happen("young")
    await hooked.pass_time(HOUR - 1)
    assert await hooked.dead() == {}
    await hooked.pass_time(int(LONGEST * 1000))
    assert await hooked.dead() == {str(n): UNANSWERED for n in range(12)}
    await hooked.pass_time(int(LONGEST * 1000))
    hooked.answer = status(200)
    await hooked.pass_time(int(LONGEST * 1000))
    assert hooked.taken == ["young"]
    assert await hooked.saver.webhooks.replay(hooked.app.number, None) == 12
    hooked.target.again = 12
    await hooked.work()
    assert hooked.taken == ["young", *map(str, range(12))]
    assert await hooked.dead() == {}


async def test_a_replay_halves_too_and_what_is_refused_stays(hooked: Hooked) -> None:
    await hooked.put()
    hooked.answer = refuses("1", "2")
    await hooked.happen("0", "1", "2", "3")
    for _ in range(8):
        await hooked.pass_time(int(LONGEST * 1000))
    assert await hooked.dead() == {"1": REFUSED, "2": REFUSED}
    hooked.answer = refuses("2")
    await hooked.saver.webhooks.replay(hooked.app.number, None)
    hooked.target.again = 2
    await hooked.work()
    assert await hooked.dead() == {"2": REFUSED}
    assert hooked.taken == ["0", "3", "1"]
    hooked.target.again = 1
    calls = len(hooked.calls)
    await hooked.work()
    assert len(hooked.calls) == calls


async def test_a_replay_keeps_no_new_event_waiting(hooked: Hooked) -> None:
    await hooked.put()
    hooked.answer = refuses("bad")
    await hooked.happen("bad")
    for _ in range(4):
        await hooked.pass_time(int(LONGEST * 1000))
    await hooked.saver.webhooks.replay(hooked.app.number, None)
    hooked.target.again = 1
    hooked.answer = status(200)
    await hooked.happen(*map(str, range(20)))
    await hooked.work()
    assert hooked.payloads[3:6] == [["0"], ["bad"], ["1", "2"]]
    assert set(hooked.taken) == {"bad", *map(str, range(20))}


async def test_events_that_were_removed_unread_are_told(hooked: Hooked) -> None:
    await hooked.put()
    hooked.answer = status(500)
    await hooked.happen("first")
    await hooked.work()
    for n in range(80):
        await hooked.happen(str(n), device=f"d{n}")
    hooked.answer = status(200)
    await hooked.pass_time(int(LONGEST * 1000))
    assert hooked.calls[1]["gap"]
    assert hooked.taken[-1] == "79"
    assert (await hooked.stored()).progress.gaps > 0
    assert hooked.counters.gaps > 0


async def test_two_secrets_sign_while_one_takes_the_others_place(hooked: Hooked) -> None:
    webhook = await hooked.put(secret=OTHER_SECRET)
    changed = msgspec.structs.replace(
        webhook, version=2, former_secret=FormerSecret(SECRET, hooked.now + HOUR)
    )
    assert await hooked.saver.webhooks.change(WebhookChange(changed, 1))
    await hooked.happen("a")
    await hooked.work()
    assert len(hooked.signatures[0].split()) == 2
    hooked.now += HOUR
    await hooked.happen("b")
    with pytest.raises(AssertionError):  # the one that the target knows has no signature any more
        await hooked.work()


async def test_who_has_lost_the_lead_stores_nothing(hooked: Hooked) -> None:
    """It reads what the other has stored, and goes on from there."""
    await hooked.put()
    await hooked.happen("a")
    await hooked.work()
    before = hooked.target
    hooked.lead()
    await hooked.happen("b")
    await hooked.work()
    await hooked.happen("c")
    assert not await before.step()  # sends b and c, and hears that somebody else has gone on
    while await before.step():
        pass
    assert hooked.taken == ["a", "b", "b", "c", "c"]
    assert (await hooked.stored()).progress.taken == 3


async def test_a_store_that_cannot_note_it_does_not_have_the_target_take_it_again(
    hooked: Hooked, monkeypatch: pytest.MonkeyPatch
) -> None:
    await hooked.put()
    await hooked.happen("a")
    change = hooked.saver.webhooks.change
    refusals = [Unavailable(), Unavailable()]

    async def failing(wanted: WebhookChange) -> bool:
        if refusals:
            raise refusals.pop()
        return await change(wanted)

    monkeypatch.setattr(hooked.saver.webhooks, "change", failing)
    for _ in range(2):
        with pytest.raises(Unavailable):
            await hooked.work()
    await hooked.happen("b")
    await hooked.work()
    assert hooked.payloads == [["a"], ["b"]]


async def test_a_webhook_that_is_put_anew_is_tried_at_once(hooked: Hooked) -> None:
    """And where it is removed, nothing is sent."""
    await hooked.put()
    hooked.answer = status(500)
    await hooked.happen("a")
    await hooked.work()
    stored = await hooked.stored()
    progress = msgspec.structs.replace(stored.progress, next_at=0, failures=0)
    changed = msgspec.structs.replace(stored, version=stored.version + 1, progress=progress)
    assert await hooked.saver.webhooks.change(WebhookChange(changed, stored.version))
    hooked.answer = status(200)
    hooked.target.stale = True
    await hooked.work()
    assert hooked.taken == ["a"]
    assert await hooked.saver.webhooks.remove(hooked.app.number)
    await hooked.happen("b")
    hooked.target.stale = True
    await hooked.work()
    assert hooked.target.removed
    assert hooked.taken == ["a"]
