import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from longline.mqtt.properties import pack_subscription_identifier
from longline.mqtt.topics import matches, valid_filter
from longline.room.pubsub.subscriptions import CACHE, ENTRY, Subscriber, Subscriptions
from longline.room.session.session import Session
from tests.unit.room.fixture import RoomFixture

LEVELS = st.sampled_from(["", "a", "b", "c", "$x"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join).filter(bool)
FILTERS = (
    st.lists(st.one_of(LEVELS, st.just("+")), min_size=1, max_size=4)
    .flatmap(lambda levels: st.sampled_from(["/".join(levels), "/".join([*levels, "#"]), "#"]))
    .filter(lambda filter: bool(filter) and valid_filter(filter))
)
SESSIONS = st.integers(0, 3)
OPTIONS = st.tuples(st.integers(0, 2), st.booleans(), st.booleans(), st.integers(0, 3))
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "add", "remove"]), FILTERS, SESSIONS, OPTIONS), max_size=25
)
Options = tuple[int, bool, bool, int]  # QoS, no local, retain as published, identifier


def some_sessions(count: int = 4) -> list[Session]:
    room = RoomFixture()
    tenant = room.sessions.enter(7, "news", True)
    return [Session(tenant, f"d{n}", n, 16) for n in range(count)]


def a_subscriber(session: Session, options: Options) -> Subscriber[Session]:
    qos, no_local, as_published, identifier = options
    packed = pack_subscription_identifier(identifier) if identifier else b""
    return Subscriber(session, qos, no_local, as_published, packed)


def matched(index: Subscriptions[Session], topic: str) -> list[Subscriber[Session]]:
    """Who wants a topic, however many looks it takes."""
    found = index.match(topic)
    assert found is not None
    return found


def stated(subscriber: Subscriber[Session]) -> tuple[int, bool, list[int]]:
    """What one copy is to be like: its QoS, whether it keeps its retain flag, and its identifiers."""
    return subscriber.qos, subscriber.as_published, sorted(subscriber.identifiers[1::2])


def together(parts: list[Options]) -> tuple[int, bool, list[int]]:
    return (
        max(qos for qos, _, _, _ in parts),
        any(as_published for _, _, as_published, _ in parts),
        sorted(identifier for _, _, _, identifier in parts if identifier),
    )


@settings(max_examples=300)
@given(steps=STEPS, topics=st.lists(TOPICS, min_size=1, max_size=6))
def test_the_index_agrees_with_comparing_every_filter(
    steps: list[tuple[str, str, int, Options]], topics: list[str]
) -> None:
    """After any adding and removing, whom `topics.matches` says, once each, as all its filters say.

    [MQTT-3.3.4-2], [MQTT-3.3.4-4], and [MQTT-3.8.3-3] for each filter by itself.
    """
    index: Subscriptions[Session] = Subscriptions()
    sessions = some_sessions()
    held: dict[tuple[str, int], Options] = {}
    for step, filter, who, options in steps:
        if step == "add":
            assert index.add(filter, a_subscriber(sessions[who], options)) == ((filter, who) not in held)
            held[filter, who] = options
        else:
            assert index.remove(filter, sessions[who]) == ((filter, who) in held)
            held.pop((filter, who), None)
        for topic in topics:  # asked at every step, so that what is remembered has to be forgotten in time
            wanted: dict[Session, list[Options]] = {}
            for (known, number), granted in held.items():
                if matches(known, topic):
                    wanted.setdefault(sessions[number], []).append(granted)
            found = matched(index, topic)
            assert {subscriber.who for subscriber in found} == set(wanted)
            for subscriber in found:
                parts = wanted[subscriber.who]
                assert stated(subscriber) == together(parts)
                assert subscriber.no_local == any(no_local for _, no_local, _, _ in parts)
                own = [part for part in parts if not part[1]]
                left = subscriber.own()
                assert (None if left is None else stated(left)) == (together(own) if own else None)
            assert len(found) == len(wanted)
        assert index.size == len(held)
        filters = {known for known, _ in held}
        assert sorted(index.filters()) == sorted(filters)
        assert index.wanted(filter) == (filter in filters)


def test_subscribers_come_in_the_order_in_which_they_subscribed() -> None:
    index: Subscriptions[Session] = Subscriptions()
    sessions = some_sessions()
    for session in sessions:
        index.add("a/b", Subscriber(session, 1))
    assert [subscriber.who for subscriber in matched(index, "a/b")] == sessions


def test_subscribing_again_replaces_the_options() -> None:
    index: Subscriptions[Session] = Subscriptions()
    session, *_ = some_sessions()
    assert index.add("a/+", Subscriber(session, 1))
    assert not index.add("a/+", Subscriber(session, 0, True))
    (subscriber,) = matched(index, "a/b")
    assert (subscriber.qos, subscriber.no_local) == (0, True)
    assert index.size == 1


def test_what_is_remembered_of_topics_is_bounded() -> None:
    """A publisher that never uses a topic twice does not fill our memory, however long the topics."""
    index: Subscriptions[Session] = Subscriptions()
    session, *_ = some_sessions()
    index.add("t/+", Subscriber(session, 0))
    for number in range(200):
        topic = f"t/{number:060000d}"
        assert len(matched(index, topic)) == 1
        assert 0 < index.remembered <= CACHE


def test_what_is_remembered_of_overlaps_is_bounded() -> None:
    index: Subscriptions[Session] = Subscriptions()
    (session, *_) = some_sessions()
    for filter in ("#", "+/#", "t/#", "t/+", "+/+", "+/+/#", "t/+/#"):
        index.add(filter, Subscriber(session, 0))
    index.match("t/1")
    assert index.remembered > 100  # the overlap, and what it is made of
    assert index.visited > 6  # and the work of joining them


def test_a_topic_with_very_many_subscribers_is_still_matched() -> None:
    index: Subscriptions[Session] = Subscriptions()
    room = RoomFixture()
    tenant = room.sessions.enter(7, "news", True)
    for number in range(300_000):
        index.add("t", Subscriber(Session(tenant, str(number), number, 1), 0))
    assert len(matched(index, "t")) == 300_000
    assert index.remembered == 0


def every_kind_of_level(depth: int) -> list[str]:
    return ["/".join(levels) for levels in itertools.product("a+", repeat=depth)]


def test_a_topic_that_takes_too_many_looks_is_given_up_and_what_it_cost_is_known() -> None:
    """Two branches a level are twice as many looks with each: 2^14 to the end of these filters."""
    index: Subscriptions[Session] = Subscriptions()
    sessions = some_sessions(82)
    for number, filter in enumerate(every_kind_of_level(13)):
        index.add(filter, Subscriber(sessions[number // 100], 0))
    for beneath in ("", "/x", "/x/y"):
        assert index.match("/".join("a" * 13) + beneath, 10_000) is None
        assert 10_000 <= index.visited <= 20_000
    found = index.match("/".join("a" * 13), 100_000)
    assert found is not None
    assert len(found) == 82
    assert index.match("/".join("a" * 5) + "/b/c/d", 10_000) == []
    assert index.remembered < 10_000_000


def test_a_search_that_was_given_up_is_not_begun_again_until_filters_change() -> None:
    index: Subscriptions[Session] = Subscriptions()
    (session,) = some_sessions(1)
    for filter in every_kind_of_level(5):
        index.add(filter, Subscriber(session, 0))
    topic = "a/a/a/a/a"
    assert index.match(topic, 50) is None
    assert index.visited >= 50
    assert index.match(topic, 50) is None
    assert index.visited == 0
    assert index.match(topic, 1000) is not None  # who may look at more does
    for filter in every_kind_of_level(5)[1:]:
        index.remove(filter, session)
    assert index.match(topic, 50) is not None


def test_what_is_remembered_of_searches_that_were_given_up_is_bounded() -> None:
    index: Subscriptions[Session] = Subscriptions()
    (session,) = some_sessions(1)
    for filter in every_kind_of_level(5):
        index.add(f"{filter}/#", Subscriber(session, 0))
    for number in range(CACHE // ENTRY):
        assert index.match(f"a/a/a/a/a/{number}", 20) is None
    assert index.remembered <= CACHE


def test_few_overlapping_filters_of_each_of_many_clients_are_no_looks_and_many_of_one_are() -> None:
    index: Subscriptions[Session] = Subscriptions()
    for session in some_sessions(300):
        for filter in ("#", "a/#", "a/+", "+/b"):
            index.add(filter, Subscriber(session, 0))
    found = index.match("a/b", 20)
    assert found is not None
    assert len(found) == 300
    assert index.visited > 900  # all of it is work of the turn
    (session,) = some_sessions(1)
    index = Subscriptions()
    for filter in every_kind_of_level(5):
        index.add(filter, Subscriber(session, 0))
    assert index.match("a/a/a/a/a", 63) is None  # 63 levels, and 28 filters beyond four
    assert index.match("a/a/a/a/a", 91) is not None


def test_levels_are_counted_as_they_come_and_go() -> None:
    index: Subscriptions[Session] = Subscriptions()
    first, second, *_ = some_sessions()
    for filter, levels in (("a/b/c", 1), ("a/b/+", 4), ("a/b/#", 4), ("a/c/+", 6), ("a/b/c", 6)):
        index.add(filter, Subscriber(first, 0))
        assert index.levels == levels
    index.add("a/c/+", Subscriber(second, 0))
    assert index.levels == 6
    for filter, levels in (("a/c/+", 6), ("a/b/+", 5), ("a/b/c", 4), ("a/b/#", 3)):
        index.remove(filter, first)
        assert index.levels == levels
    index.remove("a/c/+", second)
    assert index.levels == 0
