"""Groups (section 4.8.2) of whose members rooms know none: a session that is kept has the message."""

import pytest

from longline.model.pubsub import Publication
from longline.saver.port.queues import (
    Declined,
    Given,
    GroupChoice,
    HandedOver,
    LeftForGroup,
    Published,
    Queued,
    QueuePublication,
    Received,
    Step,
)
from tests.contract.engines import QUEUE_BYTES, QUEUE_MESSAGES
from tests.contract.saver.kept import Kept, Session

G = "$share/g/home/+"
ALL = GroupChoice()


async def send(
    kept: Kept,
    text: str = "x",
    *,
    topic: str = "home/a",
    qos: int = 2,
    shares: GroupChoice | None = ALL,
    matching: bool = True,
    ttl: int = 0,
    received: Received | None = None,
    given: tuple[Given, ...] = (),
) -> Published:
    publication = kept.publication(topic, text, qos, ttl=ttl)
    (answer,) = await kept.queues.publish(
        [
            QueuePublication(
                kept.store.app,
                publication,
                kept.store.now,
                received=received,
                given=given,
                matching=matching,
                shares=shares,
            )
        ]
    )
    assert isinstance(answer, Published)
    return answer


async def waiting(kept: Kept, *sessions: Session) -> list[str]:
    """What all of these have, of each in order."""
    return [text for session in sessions for text in await kept.texts(session)]


async def hand_over(kept: Kept, limit: int = 100) -> HandedOver:
    """All of it, in steps of some."""
    queued: list[tuple[int, Queued]] = []
    left: list[LeftForGroup] = []
    for _ in range(1000):
        found = await kept.queues.hand_over(kept.store.now, limit)
        queued += found.queued
        left += found.left
        if not found.queued and not found.left and not found.more:
            return HandedOver(tuple(queued), tuple(left))
    raise AssertionError("there is no end of it")


# --- while nobody is connected ----------------------------------------------------------------------------


async def test_one_session_of_each_group_has_a_message_of_which_rooms_have_served_none(kept: Kept) -> None:
    members = [await kept.member(name, G) for name in ("a", "b", "c")]
    other = await kept.member("d", "$share/h/home/+", "$share/h/#", "$share/h/home/b")
    plain = await kept.subscribed("e", "home/#")
    answer = await send(kept)
    assert sorted(answer.groups) == [G, "$share/h/#", "$share/h/home/+"]
    assert await waiting(kept, *members) == ["x"]
    assert await waiting(kept, other) == ["x", "x"]
    assert await waiting(kept, plain) == ["x"]
    assert len(answer.queued) == 4


async def test_groups_that_rooms_have_served_get_it_from_nobody_else(kept: Kept) -> None:
    a, b = await kept.member("a", G), await kept.member("b", "$share/h/home/a")
    answer = await send(kept, shares=GroupChoice(served=(G,)))
    assert answer.groups == ("$share/h/home/a",)
    assert await waiting(kept, a) == []
    assert await waiting(kept, b) == ["x"]
    assert (await send(kept, shares=None)).groups == ()
    assert await waiting(kept, a, b) == ["x"]


async def test_a_message_may_be_for_some_groups_only(kept: Kept) -> None:
    a, b = await kept.member("a", G), await kept.member("b", "$share/h/home/a")
    plain = await kept.subscribed("c", "#")
    answer = await send(kept, shares=GroupChoice(only=(G, "$share/none/home/a")), matching=False)
    assert answer.groups == (G,)
    assert await waiting(kept, a) == ["x"]
    assert await waiting(kept, b, plain) == []


async def test_members_have_it_who_have_least(kept: Kept) -> None:
    members = [await kept.member(f"d{n}", G) for n in range(5)]
    for n in range(20):
        await send(kept, str(n))
    assert [len(await kept.texts(member)) for member in members] == [4] * 5
    items = [
        QueuePublication(kept.store.app, kept.publication("home/a"), kept.store.now, shares=GroupChoice())
        for _ in range(10)
    ]
    await kept.queues.publish(items)
    assert [len(await kept.texts(member)) for member in members] == [6] * 5


async def test_it_comes_as_the_subscription_asks(kept: Kept) -> None:
    session = await kept.member("a", "$share/g/home/a", qos=1)
    await send(kept, qos=2)
    (entry,) = await kept.entries(session)
    assert (entry.qos, entry.retain, entry.identifiers) == (1, False, ())


async def test_who_asks_for_qos_0_is_no_member_of_whom_is_away(kept: Kept) -> None:
    nobody = await kept.member("a", G, qos=0)
    assert (await send(kept)).groups == ()
    assert await waiting(kept, nobody) == []


async def test_what_only_looks_like_a_group_is_none(kept: Kept) -> None:
    """In MQTT 3.1.1 `$share/…` is a filter like any other."""
    plain = [
        await kept.subscribed("a", G, "$share/g", "$share/home/a", "$share/x/home/a"),
        await kept.subscribed("b", "$share/"),
    ]
    member = await kept.member("c", "$share/z/home/a")
    assert (await send(kept)).groups == ("$share/z/home/a",)
    assert await waiting(kept, *plain) == []
    assert await waiting(kept, member) == ["x"]


@pytest.mark.parametrize(
    ("filter", "topic", "found"),
    [
        ("#", "home", True),
        ("home/#", "home", True),
        ("home/#", "home/a/b", True),
        ("+/+", "home/a", True),
        ("+", "home/a", False),
        ("home/a", "home/b", False),
        ("/+", "/a", True),
        ("home/é/+", "home/é/", True),
    ],
)
async def test_its_filter_matches_as_others_do(kept: Kept, filter: str, topic: str, found: bool) -> None:
    await kept.member("a", f"$share/g-x/{filter}")
    await kept.member("b", f"$share/g/{filter}")
    assert len((await send(kept, topic=topic)).groups) == (2 if found else 0)


async def test_sessions_that_are_over_or_have_left_the_group_are_no_members(kept: Kept) -> None:
    over = await kept.member("a", G, expires_in=10)
    await kept.close(over)
    gone = await kept.member("b", G)
    await kept.unsubscribe(gone, G)
    again = await kept.open("c")
    await kept.member("d", G)
    anew = await kept.open("d", clean=True)
    kept.store.now += 10_000
    assert (await send(kept)).groups == ()
    assert await waiting(kept, gone, again, anew) == []


async def test_one_that_is_full_is_passed_over_and_where_all_are_that_is_told(kept: Kept) -> None:
    a = await kept.member("a", G)
    for _ in range(QUEUE_MESSAGES):
        assert (await send(kept)).full == 0
    full = await send(kept)
    assert (full.queued, full.groups, full.full) == ((), (), 1)
    b = await kept.member("b", G)
    assert (await send(kept, "y" * (QUEUE_BYTES - 100))).groups == (G,)
    assert (await send(kept, "z" * 200)).groups == ()
    assert len(await kept.texts(a)) == QUEUE_MESSAGES
    assert len(await kept.texts(b)) == 1


async def test_what_comes_once_is_given_once(kept: Kept) -> None:
    sender = await kept.open("sender")
    members = [await kept.member(name, G) for name in ("a", "b", "c")]
    received = kept.received(sender, 5)
    assert not (await send(kept, received=received)).again
    assert (await send(kept, received=received)).again
    assert await waiting(kept, *members) == ["x"]


async def test_where_it_is_connected_is_told(kept: Kept) -> None:
    session = await kept.member("a", G, node="n7")
    (queued,) = (await send(kept)).queued
    assert queued.device == "a"
    assert queued.binding is not None
    assert (queued.binding.node, queued.binding.epoch) == ("n7", session.epoch)


# --- when a session is over -------------------------------------------------------------------------------


async def leave(kept: Kept, session: Session) -> None:
    """The session is over."""
    await kept.close(session, expires_in=0)


async def test_what_waits_for_a_session_that_is_over_goes_to_others_of_its_group(kept: Kept) -> None:
    a = await kept.member("a", G)
    for n in range(7):
        await send(kept, str(n), qos=1 + n % 2)
    await kept.subscribe(a, "#")
    await send(kept, "plain", topic="other")
    others = [await kept.member(name, G) for name in ("b", "c")]
    await leave(kept, a)
    found = await hand_over(kept, 3)
    assert sorted(await waiting(kept, *others)) == list("0123456")
    assert {len(await kept.texts(other)) for other in others} == {3, 4}
    assert sorted({queued.device for _, queued in found.queued}) == ["b", "c"]
    assert found.left == ()
    await kept.clear()
    assert await hand_over(kept) == HandedOver()
    assert sorted(await waiting(kept, *others)) == list("0123456")


@pytest.mark.parametrize("how", ["clean", "expired", pytest.param("deleted", marks=pytest.mark.tampers)])
async def test_however_it_ends(kept: Kept, how: str) -> None:
    a = await kept.member("a", G, expires_in=10)
    await send(kept, qos=1)
    b = await kept.member("b", G)
    if how == "clean":
        await kept.open("a", clean=True)
    elif how == "expired":
        await kept.close(a)
        kept.store.now += 10_000
    else:
        await kept.store.saver.devices.delete(kept.store.app, "a", kept.store.now)
    await kept.clear()
    await hand_over(kept)
    assert await waiting(kept, b) == ["x"]


async def test_a_group_that_has_nobody_else_leaves_it_to_rooms(kept: Kept) -> None:
    a = await kept.member("a", G)
    await send(kept, "x", qos=1)
    await leave(kept, a)
    found = await hand_over(kept)
    assert found.queued == ()
    ((app, group, publication),) = [(one.app, one.group, one.publication) for one in found.left]
    assert (app, group) == (kept.store.app, G)
    assert isinstance(publication, Publication)
    assert (publication.topic, publication.payload, publication.qos) == ("home/a", b"x", 1)
    assert await hand_over(kept) == HandedOver()


async def test_what_was_sent_with_qos_2_goes_to_nobody_else_and_with_qos_1_it_does(kept: Kept) -> None:
    """[MQTT-4.8.2-5]; and what has its PUBREC even less."""
    a = await kept.member("a", G)
    for text, qos in (("sent", 1), ("sent twice", 2), ("released", 2), ("waits", 2)):
        await send(kept, text, qos=qos)
    places = [entry.place for entry in await kept.entries(a)]
    await kept.settle(a, places[2], Step.SENT)
    await kept.settle(a, places[2], Step.RELEASED)
    b = await kept.member("b", G)
    await leave(kept, a)
    await hand_over(kept)
    assert sorted(await waiting(kept, b)) == ["sent", "waits"]


async def test_of_a_connection_of_which_nobody_has_told_everything_counts_as_sent(kept: Kept) -> None:
    await kept.member("a", G)
    await send(kept, "one", qos=1)
    await send(kept, "two", qos=2)
    b = await kept.member("b", G)
    await kept.open("a", clean=True)
    await hand_over(kept)
    assert await waiting(kept, b) == ["one"]


async def test_what_was_acknowledged_or_is_over_goes_to_nobody(kept: Kept) -> None:
    a = await kept.member("a", G)
    await send(kept, "acknowledged", qos=1)
    await send(kept, "over", ttl=5)
    await kept.settle(a, 1)
    b = await kept.member("b", G)
    kept.store.now += 5
    await leave(kept, a)
    assert await hand_over(kept) == HandedOver()
    assert await waiting(kept, b) == []


async def test_what_a_room_has_given_to_a_member_is_handed_over_like_any_other(kept: Kept) -> None:
    a = await kept.member("a", G)
    to = Given(a.ordinal, a.number, 1, share=G)
    await send(kept, shares=GroupChoice(served=(G,)), given=(to,))
    alone = Given(a.ordinal, a.number, 1)
    await send(kept, "for no group", shares=GroupChoice(served=(G,)), given=(alone,))
    b = await kept.member("b", G)
    await leave(kept, a)
    await hand_over(kept)
    await kept.clear()
    assert await waiting(kept, b) == ["x"]


async def test_what_is_handed_over_waits_where_there_is_room(kept: Kept) -> None:
    a, b = await kept.member("a", G), await kept.member("b", "$share/h/home/+")
    for n in range(QUEUE_MESSAGES):
        await send(kept, str(n), qos=1)
    c = await kept.member("c", G)
    for _ in range(QUEUE_MESSAGES - 3):
        to = Given(c.ordinal, c.number, 1)
        await send(kept, "before", shares=None, matching=False, given=(to,))
    await leave(kept, a)
    found = await hand_over(kept, 4)
    assert len(found.queued) == 3
    assert len(found.left) == QUEUE_MESSAGES - 3
    assert len(await kept.texts(c)) == QUEUE_MESSAGES
    assert len(await kept.texts(b)) == QUEUE_MESSAGES


async def test_an_app_that_is_deleted_leaves_nothing_of_groups(kept: Kept) -> None:
    a = await kept.member("a", G)
    await send(kept)
    await leave(kept, a)
    await kept.store.saver.apps.delete(kept.store.app)
    (answer,) = await kept.queues.publish(
        [QueuePublication(kept.store.app, kept.publication("home/a"), kept.store.now, shares=GroupChoice())]
    )
    assert isinstance(answer, Declined)
    assert (await hand_over(kept)).queued == ()
    await kept.clear()
