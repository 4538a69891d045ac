"""Rules: whatever they are, whoever asks and by whichever way, nothing goes where no rule allows it.

What is right is said by a model of its own: a filter is a regular expression over whole topics.
"""

import re
from collections.abc import Iterator
from functools import cache
from itertools import product

import msgspec
import pytest

from longline.delivery.acl import Acl, Acls
from longline.model.access import AclRule, AppAccess, wrong_with_filter
from tests.unit.room.running import an_app

# Names that devices may have, and others that would be filters if anybody let them in.
DEVICES = ("a", "b", "a-x", "{device}", "+", "#", "a/#", "a/b", "$a", "")
LEVELS = ("a", "b", "+", "{device}", "{device}-x", "$a")
DEEPEST = 3
FRESH = "z"  # a level that no rule, filter or device names: it stands for all the others


@cache
def topics() -> list[str]:
    """All of a small world, one level deeper than its rules and filters."""
    levels = ("a", "b", "a-x", "b-x", "$a", FRESH)
    deep = [
        "/".join(names)
        for depth in range(1, DEEPEST + 1)
        for names in product(levels, repeat=depth)
        if "$a" not in names[1:]
    ]
    return deep + [f"{topic}/{FRESH}" for topic in deep if topic.count("/") == DEEPEST - 1]


def filters(levels: tuple[str, ...]) -> Iterator[str]:
    for depth in range(DEEPEST + 1):
        for names in product(levels, repeat=depth):
            if "$a" in names[1:]:
                continue
            if depth < DEEPEST:
                yield "/".join((*names, "#"))
            if names:
                yield "/".join(names)


@cache
def expression(filter: str) -> re.Pattern[str]:
    """Section 4.7: `+` is a level, `#` is all below and the level above; neither has a `$` in front."""
    if filter in ("#", "+/#"):
        return re.compile(r"[^$].*")
    tail = filter.endswith("/#")
    names = filter.removesuffix("/#").split("/")
    parts = [
        (r"(?!\$)[^/]+" if number == 0 else "[^/]+") if name == "+" else re.escape(name)
        for number, name in enumerate(names)
    ]
    return re.compile("/".join(parts) + ("(/.*)?" if tail else ""))


@cache
def matched(filter: str) -> frozenset[str]:
    return frozenset(topic for topic in topics() if expression(filter).fullmatch(topic))


def allowed(rule: str, device: str) -> frozenset[str]:
    """The topics that a rule is for. A device that is no level by itself has none of a rule about itself."""
    if "{device}" not in rule:
        return matched(rule)
    if not device or re.search(r"[/+#]", device):
        return frozenset()
    return matched(rule.replace("{device}", device))


RULES = [rule for rule in filters(LEVELS) if not wrong_with_filter(rule)]


def test_the_world_has_what_it_should() -> None:
    assert len(RULES) > 100
    assert {"#", "+/#", "a", "{device}/#", "a/{device}-x/+"} <= set(RULES)
    assert "$a/#" not in RULES  # nobody may make one


@pytest.mark.parametrize("device", DEVICES)
def test_what_is_published_as_a_message_or_a_will_and_what_is_received_is_allowed_by_a_rule(
    device: str,
) -> None:
    """All rules, all topics: PUBLISH, will, retained, and from a queue. Leaks 0, and denials 0 too many."""
    for rule in RULES:
        may = allowed(rule, device)
        publish, receive = Acl([AclRule("publish", rule)]), Acl([AclRule("subscribe", rule)])
        for topic in topics():
            assert publish.may_publish(device, topic) == (topic in may), (rule, topic)
            assert receive.may_receive(device, topic) == (topic in may), (rule, topic)
            assert not publish.may_receive(device, topic)
            assert not receive.may_publish(device, topic)


@pytest.mark.parametrize("shared", ["", "$share/g/"])
@pytest.mark.parametrize("device", DEVICES)
def test_a_subscription_is_allowed_when_a_rule_has_all_of_its_topics(device: str, shared: str) -> None:
    """All rules, all filters, shared or not. Leaks 0, and denials 0 too many."""
    for rule in RULES:
        may = allowed(rule, device)
        acl = Acl([AclRule("subscribe", rule)])
        neither = Acl([AclRule("publish", rule)])
        for filter in filters(("a", "b", "+", "$a", FRESH)):
            wanted = matched(filter)
            granted = acl.may_subscribe(device, shared + filter)
            assert not (granted and not wanted <= may), f"leak: {rule} lets {device} have {filter}"
            assert granted or not wanted <= may, f"{rule} keeps {filter} from {device}"
            assert not neither.may_subscribe(device, shared + filter)


def test_rules_add_up() -> None:
    acl = Acl([AclRule("publish", "up/{device}"), AclRule("subscribe", "news/#"), AclRule("both", "chat/+")])
    assert acl.may_publish("d1", "up/d1")
    assert not acl.may_publish("d1", "up/d2")
    assert not acl.may_publish("d1", "news/a")
    assert acl.may_subscribe("d1", "news/a/#")
    assert acl.may_publish("d1", "chat/a")
    assert acl.may_subscribe("d1", "chat/+")
    assert not acl.may_subscribe("d1", "chat/#")
    assert not acl.may_subscribe("d1", "#")


def test_an_app_without_rules_has_none_and_one_with_rules_is_compiled_once() -> None:
    acls = Acls()
    app = an_app()
    assert acls.of(app) is None
    ruled = msgspec.structs.replace(app, access=AppAccess(rules=(AclRule("both", "a/#"),)))
    assert acls.of(ruled) is acls.of(msgspec.structs.replace(ruled, name="another"))
    other = msgspec.structs.replace(app, access=AppAccess(rules=(AclRule("both", "b/#"),)))
    acl = acls.of(other)
    assert acl is not None
    assert acl.may_publish("d1", "b/x")
    assert not acl.may_publish("d1", "a/x")


@pytest.mark.parametrize(
    ("filter", "said"),
    [
        ("", "1 to"),
        ("a\0", "whole levels"),
        ("é" * 1025, "characters"),
        ("/" * 128, "levels"),
        ("$SYS/#", "$"),
        ("$share/g/a", "$"),
        ("a/#/b", "#"),
        ("a#", "#"),
        ("#a", "#"),
        ("a+/b", "+"),
        ("a/+b", "+"),
        ("a/{client}", "{device}"),
        ("{Device}/#", "{device}"),
        ("{}", "{device}"),
        ("a{", "{device}"),
    ],
)
def test_a_filter_that_is_none_is_said_to_be_so(filter: str, said: str) -> None:
    assert said in wrong_with_filter(filter)


@pytest.mark.parametrize(
    "filter", ["#", "+", "a/+/#", "{device}", "home/{device}/x-{device}/#", "a//b", "/", "é" * 1024, "a\n"]
)
def test_a_filter_that_is_one_is_taken(filter: str) -> None:
    assert wrong_with_filter(filter) == ""
