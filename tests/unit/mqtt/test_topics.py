"""Topic names, filters, and which matches which."""

import pytest

from longline.mqtt.topics import is_shared, matches, split_shared, valid_filter, valid_topic


@pytest.mark.parametrize(
    "topic", ["a", "/", "a/b", "//", "a b", "$SYS/x", "é/日", "x" * 65_535, "é" * 32_767]
)
def test_a_topic_may_be(topic: str) -> None:
    assert valid_topic(topic)
    assert valid_filter(topic)


@pytest.mark.parametrize(
    "topic", ["", "a/+", "#", "a#", "a\0", "x" * 65_536, "é" * 32_768, "x" * 20_000 + "\ud800"]
)
def test_a_topic_may_not_be(topic: str) -> None:
    assert not valid_topic(topic)


@pytest.mark.parametrize(
    "filter", ["#", "+", "a/#", "+/b/#", "/+", "+/+", "a/+/c", "$share/g/#", "$share/g//"]
)
def test_a_filter_may_be(filter: str) -> None:
    assert valid_filter(filter)


@pytest.mark.parametrize(
    "filter",
    [
        "",
        "a#",
        "#/a",
        "a/#/b",
        "a+",
        "+a/b",
        "a/b+",
        "##",
        "+#",
        "a\0",
        "x" * 65_536,
        "$share/",
        "$share/g",
        "$share/g/",
        "$share//a",
        "$share/+/a",
        "$share/g#/a",
        "$share/g/a#",
    ],
)
def test_a_filter_may_not_be(filter: str) -> None:
    assert not valid_filter(filter)


def test_levels_can_be_limited() -> None:
    assert valid_topic("a/b/c", 3)
    assert not valid_topic("a/b/c", 2)
    assert valid_filter("a/+/#", 3)
    assert not valid_filter("a/+/#", 2)
    assert valid_topic("/" * 1000, 0)


@pytest.mark.parametrize("filter", ["$share/", "$share/g", "$share//a", "$share/+/a", "$share/g/#"])
def test_where_nothing_is_shared_such_a_filter_is_one_like_any_other(filter: str) -> None:
    """3.1.1 knows no shared subscriptions, but wildcards are what they are."""
    assert valid_filter(filter, shares=False)
    assert not valid_filter("$share/g/a#", shares=False)


def test_a_shared_filter_has_a_group() -> None:
    assert split_shared("$share/g/a/+") == ("g", "a/+")
    assert split_shared("a/+") == (None, "a/+")
    assert is_shared("$share/g/a")
    assert not is_shared("$shared/g/a")


@pytest.mark.parametrize(
    ("filter", "topic"),
    [
        ("a", "a"),
        ("#", "a"),
        ("#", "a/b"),
        ("#", "/"),
        ("a/#", "a"),  # the parent level too, section 4.7.1.2
        ("a/#", "a/b/c"),
        ("+", "a"),
        ("+/+", "/a"),
        ("/+", "/a"),
        ("a/+/c", "a/b/c"),
        ("a/+/c", "a//c"),
        ("a/+", "a/"),
        ("+/b/#", "a/b"),
        ("$SYS/#", "$SYS/a"),
        ("$SYS/+", "$SYS/a"),
    ],
)
def test_a_filter_matches(filter: str, topic: str) -> None:
    assert matches(filter, topic)


@pytest.mark.parametrize(
    ("filter", "topic"),
    [
        ("a", "A"),
        ("a", "a/"),
        ("a/", "a"),
        ("a/+", "a"),
        ("+", "a/b"),
        ("+", "/a"),
        ("a/#", "ab"),
        ("a/b/c", "a/b"),
        ("a/b", "a/b/c"),
        ("#", "$SYS/a"),  # [MQTT-4.7.2-1]
        ("+/a", "$SYS/a"),
        ("+", "$SYS"),
        ("é", "e\u0301"),  # no normalization [MQTT-4.7.3-4]
    ],
)
def test_a_filter_does_not_match(filter: str, topic: str) -> None:
    assert not matches(filter, topic)
