"""Topics in the order of their bytes, and which of them a filter has to look at.

Topics that begin alike stand together, so whoever walks them in order can leave out whole branches: at a
topic that does not match, `following` says where the next one that could match stands at the earliest.
`a/+/c` thus looks at two topics for each name in its second level, however many there are below it.
`kv/lua/topic_order.lua` is the same for scripts.
"""

from collections.abc import Sequence
from typing import Final

NOWHERE: Final = ""  # no topic that follows can match
AFTER_SLASH: Final = "0"  # the character behind "/": all that begins with "a/" stands before "a0"
AFTER_DOLLAR: Final = "%"


def has_wildcards(filter: str) -> bool:
    """Whether a filter can match more than the topic that is spelt like it."""
    return "+" in filter or "#" in filter


def first_topic(filter: str) -> str:
    """No topic before this one matches."""
    first, *rest = filter.split("/")
    return "" if first in ("+", "#") else _extended(first, rest)


def behind(topic: str) -> str:
    """What stands right behind a topic: none contains this character [MQTT-4.7.3-2]."""
    return topic + "\0"


def following(levels: Sequence[str], topic: str) -> str | None:
    """None when a topic matches the levels of a filter. Else no topic between it and this can: NOWHERE when
    none behind it can."""
    if levels[0] in ("+", "#") and topic.startswith("$"):  # [MQTT-4.7.2-1]
        return AFTER_DOLLAR
    names = topic.split("/")
    for index, level in enumerate(levels):
        if level == "#":  # the level above matches as well, section 4.7.1.2
            return None
        if index == len(names):  # the topic ends before the filter does
            # "a-" stands between "a" and what is below "a", and a `+` stands for both.
            return behind(topic) if levels[index - 1] == "+" else _extended(topic, levels[index:])
        if level in ("+", names[index]):
            continue
        before = "".join(f"{name}/" for name in names[:index])
        rest = "/".join(names[index:])
        below = levels[index + 1 :]
        if rest < level:
            return _extended(before + level, below)
        if below and rest < f"{level}/":  # "c-x" stands between "c" and what is below "c"
            return f"{before}{level}/" if below[0] == "#" else _extended(before + level, below)
        return _sibling(levels[:index], names)
    return None if len(levels) == len(names) else _sibling(levels, names)


def _extended(topic: str, levels: Sequence[str]) -> str:
    """The first topic that begins with one and matches these levels behind it, or what stands before that."""
    for level in levels:
        if level == "#":
            break
        if level == "+":
            return f"{topic}/"
        topic = f"{topic}/{level}"
    return topic


def _sibling(levels: Sequence[str], names: Sequence[str]) -> str:
    """Behind everything below the name that the last `+` of these levels stands for."""
    for index in range(len(levels) - 1, -1, -1):
        if levels[index] == "+":
            return "/".join(names[: index + 1]) + AFTER_SLASH
    return NOWHERE
