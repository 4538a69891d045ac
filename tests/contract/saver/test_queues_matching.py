"""Which sessions a publication is for, and what each of them is to get: MQTT 5.0, sections 3.3.1 and 4.7."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longline.saver.port.queues import Declined, Published, QueueEntry, QueuePublication
from tests.contract.engines import MATCH_LIMIT, PARTITIONS
from tests.contract.saver.kept import Kept
from tests.contract.saver.topics import matches
from tests.contract.store_fixture import an_app

TOPICS = (
    "a",
    "a/b",
    "a/b/c",
    "/",
    "/a",
    "a/",
    "//",
    "a//b",
    "$s",
    "$s/a",
    "b",
    "A",
    "a/$s",
    "é/€",
    "ab",
    "a0",
)
FILTERS = (
    *("#", "+", "a", "a/#", "a/b", "a/b/#", "+/b", "a/+", "+/+", "+/#", "/#", "/+", "+/", "/", "//", "a//b"),
    *("a//#", "a/+/b", "a/b/c/#", "a/+/+", "+/b/#", "$s", "$s/#", "$s/+", "+/a", "a/$s", "é/+", "ab/#", "a0"),
)


async def test_each_topic_is_for_the_filters_that_match_it(kept: Kept) -> None:
    for n, filter in enumerate(FILTERS):
        await kept.subscribed(
            f"{n:03} {filter.replace('/', ',').replace('#', '_').replace('+', '*')}", filter
        )
    for topic in TOPICS:
        expected = [n for n, filter in enumerate(FILTERS) if matches(filter, topic)]
        assert [int(name[:3]) for name in await kept.reached(topic)] == expected, topic


@pytest.mark.parametrize(
    ("filter", "topic", "expected"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/monitor/Clients", False),
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("$SYS/#", "$SYS/monitor/Clients", True),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
    ],
)
async def test_the_examples_of_the_specification(kept: Kept, filter: str, topic: str, expected: bool) -> None:
    await kept.subscribed("a", filter)
    assert await kept.reached(topic) == (["a"] if expected else [])


async def test_filters_of_other_apps_are_not_asked(kept: Kept) -> None:
    await kept.subscribed("a", "#")
    other = (await kept.store.saver.apps.create(an_app("weather"))).number
    publication = kept.publication("b")
    (published,) = await kept.queues.publish([QueuePublication(other, publication, kept.store.now)])
    assert published == Published(publication.id)


async def test_what_nobody_wants_is_published_all_the_same(kept: Kept) -> None:
    publication = kept.publication("b")
    assert await kept.send(publication) == Published(publication.id)
    assert await kept.queues.publish([]) == []


# --- what a session gets --------------------------------------------------------------------------------


async def test_a_session_gets_a_message_once_with_the_highest_qos_of_its_filters(kept: Kept) -> None:
    """[MQTT-3.3.4-2], and no more than the message was published with."""
    session = await kept.open("a")
    for filter, qos in (("x/#", 0), ("x/+", 2), ("x/y", 1), ("+/y", 0)):
        await kept.subscribe(session, filter, qos)
    for qos in (1, 2):
        await kept.publish("x/y", qos=qos)
    await kept.publish("x/y/z", qos=2)
    assert [entry.qos for entry in await kept.entries(session)] == [1, 2]


async def test_a_message_or_a_filter_with_qos_0_is_not_queued(kept: Kept) -> None:
    session = await kept.open("a")
    await kept.subscribe(session, "b", 0)
    await kept.subscribe(session, "c", 2)
    assert await kept.reached("b", qos=2) == []
    assert await kept.reached("c", qos=0) == []
    assert await kept.entries(session) == []


async def test_a_session_is_told_the_identifiers_of_all_filters_that_match(kept: Kept) -> None:
    session = await kept.open("a")
    for filter, qos, identifier in (
        ("x/#", 0, 300),
        ("x/+", 2, 7),
        ("x/y", 1, 0),
        ("+/y", 1, 268_435_455),
        ("#", 1, 7),
        ("z", 1, 5),
    ):
        await kept.subscribe(session, filter, qos, identifier=identifier)
    await kept.publish("x/y", qos=2)
    await kept.publish("y", qos=2)
    first, second = await kept.entries(session)
    assert (first.qos, first.identifiers) == (2, (7, 7, 300, 268_435_455))
    assert second.identifiers == (7,)


async def test_a_filter_with_no_local_does_not_count_for_its_own_device(kept: Kept) -> None:
    session = await kept.open("a")
    await kept.subscribe(session, "x/#", 2, no_local=True, identifier=1)
    assert [queued.device for queued in (await kept.publish("x/y", sender="b")).queued] == ["a"]
    assert (await kept.publish("x/y", sender="a")).queued == ()
    assert [queued.device for queued in (await kept.publish("x/y")).queued] == ["a"]
    await kept.subscribe(session, "x/+", 1, identifier=2)
    await kept.publish("x/y", "own", qos=2, sender="a")
    *_, entry = await kept.entries(session)
    assert (entry.publication.payload, entry.qos, entry.identifiers) == (b"own", 1, (2,))


async def test_a_message_is_retained_for_who_asked_for_it_as_published(kept: Kept) -> None:
    plain, wants = await kept.subscribed("plain", "#"), await kept.open("wants")
    await kept.subscribe(wants, "x", as_published=True)
    await kept.subscribe(wants, "#")
    for retain in (True, False):
        await kept.send(kept.publication("x", retain=retain))
    await kept.send(kept.publication("y", retain=True))
    assert [entry.retain for entry in await kept.entries(wants)] == [True, False, False]
    assert [entry.retain for entry in await kept.entries(plain)] == [False, False, False]


async def test_a_filter_that_was_replaced_counts_as_it_is_now(kept: Kept) -> None:
    session = await kept.open("a")
    await kept.subscribe(session, "b", 2, no_local=True, identifier=3)
    await kept.subscribe(session, "b", 1, as_published=True)
    publication = kept.publication("b", qos=2, retain=True)
    await kept.send(publication, sender="a")
    assert await kept.entries(session) == [QueueEntry(1, publication, 1, True)]


async def test_filters_of_sessions_that_are_over_do_not_count(kept: Kept) -> None:
    for name in ("closed", "clean", "late"):
        await kept.subscribed(name, "b")
    await kept.close(await kept.open("closed", expires_in=0))
    await kept.open("clean", clean=True)
    await kept.close(await kept.open("late", expires_in=1))
    kept.store.now += 1000
    assert await kept.reached("b") == []


# --- what is too much -----------------------------------------------------------------------------------


def branching(levels: int) -> list[str]:
    """Filters that all match a topic of so many levels "a", and begin in all ways that match it."""
    filters = [""]
    for _ in range(levels):
        filters = [f"{begin}/{name}" for begin in filters for name in "a+"]
    return [filter[1:] for filter in filters]


async def test_a_topic_that_takes_too_much_to_match_is_declined(kept: Kept) -> None:
    session = await kept.subscribed("a", "plain")
    for filter in branching(8):
        await kept.sessions.subscribe([kept.subscription(session, filter + "/end")])
    topic = "/".join("a" * 8)
    batch = [
        QueuePublication(kept.store.app, kept.publication(name), kept.store.now)
        for name in ("plain", f"{topic}/end", f"{topic}/other", "a/a/end", "plain")
    ]
    answers = await kept.queues.publish(batch)
    assert [isinstance(answer, Published) for answer in answers] == [True, False, False, True, True]
    assert answers[1] == answers[2] == Declined("topic_too_costly")
    assert [entry.place for entry in await kept.entries(session)] == [1, 2]


async def test_a_topic_that_too_many_filters_match_is_declined(kept: Kept) -> None:
    names = [f"d{n:03}" for n in range(2 * MATCH_LIMIT * PARTITIONS)]
    ordinals = await kept.store.register(*names)
    asked = []
    for name, ordinal in zip(names, ordinals, strict=True):
        epoch = (await kept.store.bind(name, "n1")).epoch
        asked.append(kept.asks(name, ordinal, epoch))
    opened = await kept.sessions.open(asked)
    assert None not in opened
    few = await kept.subscribed("few", "few")
    await kept.sessions.subscribe(
        [
            kept.subscription(type(few)(open.device, open.ordinal, open.epoch, "n1", session), "many/+")
            for open, session in zip(asked, opened, strict=True)
            if session is not None
        ]
    )
    assert await kept.send(kept.publication("many/x")) == Declined("topic_too_costly")
    assert await kept.reached("few") == ["few"]


# --- the oracle -----------------------------------------------------------------------------------------

levels = st.sampled_from(["", "a", "b", "$s"])
filter_levels = st.sampled_from(["", "a", "b", "$s", "+"])


@given(st.lists(levels, min_size=1, max_size=4), st.lists(filter_levels, max_size=4), st.booleans())
def test_the_suites_own_matching_goes_by_the_specification(
    topic: list[str], filter: list[str], rest: bool
) -> None:
    if not filter and not rest:
        return
    names = [*filter, "#"] if rest else filter
    expected = (
        (len(topic) >= len(filter) if rest else len(topic) == len(filter))
        and all(wanted in ("+", name) for wanted, name in zip(filter, topic, strict=False))
        and not (topic[0].startswith("$") and names[0] in ("+", "#"))
    )
    assert matches("/".join(names), "/".join(topic)) == expected
