"""The messages of an app, the latest first: all of them, those of a time, and those of a sender's word."""

from uuid import UUID

import msgspec

from longline.model.audience import Audience, Devices, Everyone
from longline.model.ledger import Ledger
from longline.model.messages import Envelope
from longline.saver.port.ledgers import MessagesAsked
from longline.saver.port.messages import Accepted, Outcome, Submission
from tests.contract.engines import RETENTION
from tests.contract.saver.pushes import outcome_of
from tests.contract.store_fixture import MINUTE, START, StoreFixture

STEP = 40_000  # ms between messages: each lies in a bucket of its own


def id_at(at: int, n: int = 0) -> str:
    """The id of the nth message of a millisecond, which is below all ids of later ones."""
    return str(UUID(int=(at << 80) | (7 << 76) | (2 << 62) | n))


async def sent(
    store: StoreFixture,
    at: int,
    audience: Audience | None = None,
    label: str | None = None,
    *,
    n: int = 0,
    ttl: int = MINUTE,
) -> str:
    """Stores a message that is handed in at a time."""
    store.now = at
    message = msgspec.structs.replace(store.message(ttl=ttl), id=id_at(at, n))
    envelope = Envelope(message, audience or Devices(("a",)), label)
    (outcome,) = await store.submit(store.submission(envelope))
    assert isinstance(outcome, Outcome)
    assert isinstance(outcome.results[0], Accepted), outcome
    return message.id


async def listed(store: StoreFixture, asked: MessagesAsked, app: int | None = None) -> list[str]:
    """The ids of all pages, from the first to the last."""
    found: list[str] = []
    while True:
        page = await store.saver.ledgers.latest(store.app if app is None else app, asked)
        assert len(page.messages) <= asked.limit
        found += [each.message_id for each in page.messages]
        if page.rest is None:
            return found
        assert asked.before is None or page.rest < asked.before, "it does not come to an end"
        asked = msgspec.structs.replace(asked, before=page.rest)


async def test_messages_are_listed_the_latest_first_whoever_they_are_for(store: StoreFixture) -> None:
    """Page by page, whatever a page holds: none is left out, and none is shown twice."""
    await store.register("a", "b", "c", "d", "e")
    audiences: list[Audience] = [
        Devices(("a",)),
        Devices(("a", "b", "c", "gone")),
        Everyone(),
        Devices(("e",)),
    ]
    ids = [await sent(store, START + n * STEP, audiences[n % 4]) for n in range(12)]
    ids += [await sent(store, store.now, audiences[n % 4], n=n) for n in range(1, 8)]
    for limit in (1, 3, 19, 100):
        assert await listed(store, MessagesAsked(limit=limit)) == ids[::-1], limit


async def test_a_listed_message_says_what_its_ledger_says(store: StoreFixture) -> None:
    """Of each kind, while something is pending and after that, also when its content is gone."""
    await store.register("a", "b")
    ids = [
        await sent(store, START, Devices(("a",)), "goal"),
        await sent(store, START + 1, Devices(("a", "b", "gone")), "card"),
        await sent(store, START + 2, Everyone()),
    ]

    async def compare() -> list[Ledger]:
        page = await store.saver.ledgers.latest(store.app, MessagesAsked())
        assert [each.message_id for each in page.messages] == ids[::-1]
        assert [each.label for each in page.messages] == [None, "card", "goal"]
        for each in page.messages:
            status = await store.saver.ledgers.status(store.app, each.message_id)
            assert status is not None
            assert (each.ledger, each.created_at) == (status.ledger, status.message.created_at)
            assert each.label == status.label
        return [each.ledger for each in page.messages]

    assert [outcome_of(ledger)[0] for ledger in await compare()] == [2, 2, 1]
    for message_id in ids:
        assert await store.saver.messages.cancel(store.app, message_id, store.now)
    assert [outcome_of(ledger) for ledger in await compare()] == [
        (0, 0, 0, 0, {"cancelled": 2}),
        (0, 0, 0, 0, {"cancelled": 2, "device_not_found": 1}),
        (0, 0, 0, 0, {"cancelled": 1}),
    ]


async def test_messages_of_a_time_are_those_between_two_ids(store: StoreFixture) -> None:
    """The lower bound belongs to it, the upper one does not."""
    await store.register("a")
    ids = [await sent(store, START + n * STEP) for n in range(6)]
    assert await listed(store, MessagesAsked(before=ids[4], least=ids[1])) == ids[3:0:-1]
    assert await listed(store, MessagesAsked(least=ids[3], limit=2)) == [ids[5], ids[4], ids[3]]
    assert await listed(store, MessagesAsked(before=ids[0])) == []
    assert await listed(store, MessagesAsked(before=ids[2], least=ids[4])) == []


async def test_messages_are_found_by_the_word_of_their_sender(store: StoreFixture) -> None:
    """Exactly that word, of any kind of audience."""
    await store.register("a", "b", "c")
    everyone, some = Everyone(), Devices(("a", "b", "c"))
    goals = [
        await sent(store, START, None, "goal"),
        await sent(store, START + STEP, everyone, "goal"),
        await sent(store, START + 2 * STEP, some, "goal"),
    ]
    for n, label in enumerate(("Goal", "goals", None, "tor \N{SOCCER BALL}")):
        await sent(store, START + n * STEP, some, label, n=1)
    assert await listed(store, MessagesAsked(label="goal", limit=1)) == goals[::-1]
    assert await listed(store, MessagesAsked(label="tor \N{SOCCER BALL}")) == [id_at(START + 3 * STEP, 1)]
    assert await listed(store, MessagesAsked(label="goal", before=goals[2], least=goals[1])) == [goals[1]]
    assert await listed(store, MessagesAsked(label="card")) == []


async def test_a_list_looks_at_a_bounded_number_of_messages(store: StoreFixture) -> None:
    """What is far back behind much else is found page by page, some of which may be empty."""
    await store.register("a")
    first = await sent(store, START, None, "goal")
    for n in range(1, 201):
        await sent(store, START + n * STEP, None, "card" if n % 2 else None)
    assert await listed(store, MessagesAsked(label="goal")) == [first]
    assert len(await listed(store, MessagesAsked(label="card", limit=30))) == 100
    assert len(await listed(store, MessagesAsked(limit=30))) == 201


async def test_a_message_is_listed_until_its_ledger_is_forgotten(store: StoreFixture) -> None:
    await store.register("a")
    first = await sent(store, START, None, "goal")
    second = await sent(store, START + 2 * MINUTE, None, "goal")
    await store.pass_time(0)
    assert await listed(store, MessagesAsked(label="goal")) == [second, first]
    await store.pass_time(RETENTION - MINUTE)
    for asked in (MessagesAsked(), MessagesAsked(label="goal")):
        assert await listed(store, asked) == [second]
    await store.pass_time(2 * MINUTE)
    assert await listed(store, MessagesAsked()) == []


async def test_an_app_lists_its_own_messages_only(store: StoreFixture) -> None:
    """A deleted one lists none, nor does a later one of its name."""
    await store.register("a")
    await sent(store, START, None, "goal")
    assert await listed(store, MessagesAsked(), app=store.app + 1) == []
    await store.saver.apps.delete(store.app)
    assert await listed(store, MessagesAsked()) == []
    assert await listed(store, MessagesAsked(label="goal")) == []


async def test_a_message_of_a_submission_with_a_key_keeps_its_word(store: StoreFixture) -> None:
    """Also one that travels by a journal."""
    await store.register("a", "b", "c")
    message = store.message()
    envelope = Envelope(message, Devices(("a", "b", "c")), "goal")
    submission = Submission(store.app, (envelope,), store.now, "key")
    await store.submit(submission)
    await store.submit(submission)
    assert await listed(store, MessagesAsked(label="goal")) == [message.id]


async def test_a_page_says_how_much_was_counted_for_it(store: StoreFixture) -> None:
    """The deliveries of its messages, and of one to everyone as much however many it is for."""
    names = [f"d{n}" for n in range(20)]
    await store.register(*names)
    page = await store.saver.ledgers.latest(store.app, MessagesAsked())
    assert page.work == 0
    await sent(store, START, Devices(tuple(names)))
    await sent(store, START + 1, Devices(("d0",)))
    page = await store.saver.ledgers.latest(store.app, MessagesAsked())
    assert page.work == 21
    await sent(store, START + 2, Everyone())
    to_few = (await store.saver.ledgers.latest(store.app, MessagesAsked())).work
    assert to_few > 21
    await store.register(*(f"e{n}" for n in range(200)))
    await sent(store, START + 3, Everyone())
    assert (await store.saver.ledgers.latest(store.app, MessagesAsked(limit=1))).work <= 2 * (to_few - 21)
