"""Aliases that we give: the receiver can always tell the topic, and they are not more than it takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from longline.mqtt.aliases import LONGEST, MOST, SHORTEST, TELLING, TopicAliases
from longline.mqtt.codec import PublishFrame
from longline.mqtt.properties import Properties, PropertyId, pack_topic_alias

TOPICS = st.lists(st.integers(0, 25).map(lambda n: f"topic/{n}"), max_size=200)


@given(topics=TOPICS, maximum=st.integers(1, 30), tell=st.lists(st.booleans(), min_size=200, max_size=200))
def test_a_receiver_knows_what_each_alias_stands_for(
    topics: list[str], maximum: int, tell: list[bool]
) -> None:
    """[MQTT-3.1.2-26], [MQTT-3.3.2-11]"""
    ours, theirs = TopicAliases(maximum), dict[int, str]()
    for topic, may in zip(topics, tell, strict=False):
        alias = ours.of(topic, may)
        assert abs(alias) <= min(maximum, MOST)
        if alias < 0:
            assert may
            theirs[-alias] = topic
        elif alias > 0:
            assert theirs[alias] == topic


def test_a_topic_gets_an_alias_when_it_comes_again() -> None:
    aliases = TopicAliases(2)
    assert [aliases.of("topic/a", True) for _ in range(4)] == [0, -1, 1, 1]
    assert [aliases.of("topic/b", True) for _ in range(3)] == [0, -2, 2]
    assert [aliases.of("topic/c", True) for _ in range(3)] == [0, -1, 1]  # in place of the oldest
    assert aliases.of("topic/b", True) == 2


def test_topics_that_come_once_take_no_alias_away() -> None:
    aliases = TopicAliases(2)
    for _ in range(2):
        aliases.of("topic/a", True)
    assert all(aliases.of(f"push/{number:036}", True) == 0 for number in range(100))
    assert aliases.of("topic/a", True) == 1


@pytest.mark.parametrize(
    ("topic", "worth"),
    [("a" * (SHORTEST - 1), 0), ("a" * SHORTEST, -1), ("a" * LONGEST, -1), ("a" * (LONGEST + 1), 0)],
)
def test_what_is_not_worth_while_or_too_much_to_remember_gets_none(topic: str, worth: int) -> None:
    aliases = TopicAliases(2)
    assert [aliases.of(topic, True) for _ in range(2)] == [0, worth]


@pytest.mark.parametrize("payload", [*range(90, 130), *range(16_350, 16_390)])
@pytest.mark.parametrize("held", [None, {PropertyId.CONTENT_TYPE: "x" * 122}])
def test_telling_an_alias_takes_a_bounded_number_of_bytes(held: Properties | None, payload: int) -> None:
    frame = PublishFrame("topic/a", bytes(payload), 1, False, held, 5)
    assert frame.size < frame.extended(pack_topic_alias(1)).size <= frame.size + TELLING
