from hypothesis import given, settings
from hypothesis import strategies as st

from longline.mqtt.topics import matches, valid_filter
from longline.room.pubsub.subscriptions import CACHE, Subscriptions
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
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "add", "remove"]), FILTERS, SESSIONS, st.integers(0, 1)),
    max_size=25,
)


def some_sessions(count: int = 4) -> list[Session]:
    room = RoomFixture()
    tenant = room.sessions.enter(7, "news", True)
    return [Session(tenant, f"d{n}", n, 16) for n in range(count)]


@settings(max_examples=300)
@given(steps=STEPS, topics=st.lists(TOPICS, min_size=1, max_size=6))
def test_the_index_agrees_with_comparing_every_filter(
    steps: list[tuple[str, str, int, int]], topics: list[str]
) -> None:
    """After any adding and removing, whom `topics.matches` says, once each, at the best QoS."""
    index: Subscriptions[Session] = Subscriptions()
    sessions = some_sessions()
    held: dict[tuple[str, int], int] = {}
    for step, filter, who, qos in steps:
        if step == "add":
            assert index.add(filter, sessions[who], qos, False) == ((filter, who) not in held)
            held[filter, who] = qos
        else:
            assert index.remove(filter, sessions[who]) == ((filter, who) in held)
            held.pop((filter, who), None)
        for topic in topics:  # asked at every step, so that what is remembered has to be forgotten in time
            wanted: dict[Session, int] = {}
            for (known, number), granted in held.items():
                if matches(known, topic):
                    session = sessions[number]
                    wanted[session] = max(wanted.get(session, 0), granted)
            found = index.match(topic)
            assert len(found) == len({subscriber.who for subscriber in found})
            assert {subscriber.who: subscriber.qos for subscriber in found} == wanted
        assert index.size == len(held)
        filters = {known for known, _ in held}
        assert sorted(index.filters()) == sorted(filters)
        assert index.wanted(filter) == (filter in filters)


def test_subscribers_come_in_the_order_in_which_they_subscribed() -> None:
    index: Subscriptions[Session] = Subscriptions()
    sessions = some_sessions()
    for session in sessions:
        index.add("a/b", session, 1, False)
    assert [subscriber.who for subscriber in index.match("a/b")] == sessions


def test_subscribing_again_replaces_the_options() -> None:
    index: Subscriptions[Session] = Subscriptions()
    session, *_ = some_sessions()
    assert index.add("a/+", session, 1, False)
    assert not index.add("a/+", session, 0, True)
    (subscriber,) = index.match("a/b")
    assert (subscriber.qos, subscriber.no_local) == (0, True)
    assert index.size == 1


def test_what_is_remembered_of_topics_is_bounded() -> None:
    """A publisher that never uses a topic twice does not fill our memory, however long the topics."""
    index: Subscriptions[Session] = Subscriptions()
    session, *_ = some_sessions()
    index.add("t/+", session, 0, False)
    for number in range(200):
        topic = f"t/{number:060000d}"
        assert len(index.match(topic)) == 1
        assert 0 < index.remembered <= CACHE


def test_a_topic_with_very_many_subscribers_is_still_matched() -> None:
    index: Subscriptions[Session] = Subscriptions()
    room = RoomFixture()
    tenant = room.sessions.enter(7, "news", True)
    for number in range(300_000):
        index.add("t", Session(tenant, str(number), number, 1), 0, False)
    assert len(index.match("t")) == 300_000
    assert index.remembered == 0
