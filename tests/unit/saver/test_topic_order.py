"""Whoever walks topics by what a filter has to look at finds those that match, and looks at few others."""

from bisect import bisect_left

from hypothesis import given, settings
from hypothesis import strategies as st

from longline.mqtt.topics import matches, valid_filter
from longline.saver.topic_order import NOWHERE, behind, first_topic, following

# Characters on both sides of "/", names that begin alike, and empty ones.
names = st.sampled_from(["", "a", "b", "a-", "a0", "ab", "é", "\U0001f600", "$", "$a"])
topics = st.lists(names, min_size=1, max_size=4).map("/".join).filter(bool)
filters = (
    st.lists(names | st.sampled_from(["+", "#"]), min_size=1, max_size=4).map("/".join).filter(valid_filter)
)


def walk(stored: list[str], filter: str) -> tuple[list[str], int]:
    """What is found, and how many topics were looked at."""
    levels = filter.split("/")
    found: list[str] = []
    looked = 0
    start = first_topic(filter)
    while (at := bisect_left(stored, start)) < len(stored):
        topic = stored[at]
        looked += 1
        seek = following(levels, topic)
        if seek is None:
            found.append(topic)
            seek = behind(topic)
        elif seek == NOWHERE:
            break
        assert seek > topic, "it would go round in circles"
        start = seek
    return found, looked


@settings(max_examples=1000)
@given(st.sets(topics, max_size=30), filters)
def test_a_walk_finds_what_matches(stored: set[str], filter: str) -> None:
    found, _ = walk(sorted(stored), filter)
    assert found == sorted(topic for topic in stored if matches(filter, topic))


def test_the_order_of_texts_is_that_of_their_bytes() -> None:
    stored = sorted(["a", "a/b", "a0", "é", "\uffff", "\U00010000", "z"])
    assert stored == sorted(stored, key=str.encode)


def test_what_is_below_a_topic_that_does_not_match_is_left_out() -> None:
    stored = sorted(f"home/{n}/{room}/{kind}" for n in range(9) for room in range(9) for kind in "abcdefghi")
    _, looked = walk(stored, "home/+/3/d")
    assert looked <= 3 * 9
    _, looked = walk(stored, "home/4/#")
    assert looked <= 81 + 1
    _, looked = walk(stored, "other/#")
    assert looked == 0
    _, looked = walk(stored, "home")
    assert looked <= 1


def test_topics_of_the_server_are_left_out_together() -> None:
    stored = sorted([f"$SYS/{n}" for n in range(100)] + ["a", "b"])
    assert walk(stored, "#") == (["a", "b"], 3)
    assert walk(stored, "$SYS/+") == (stored[:100], 100 + 1)
