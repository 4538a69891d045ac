"""Topic names and topic filters, section 4.7, and shared subscriptions, section 4.8.2."""

from typing import Final

MAX_TOPIC_BYTES: Final = 65_535  # [MQTT-4.7.3-3]
SHARE_PREFIX: Final = "$share/"


def valid_topic(topic: str, max_levels: int = 0) -> bool:
    """Whether a message may be published to this name. `max_levels` 0 is no limit."""
    if "+" in topic or "#" in topic:  # [MQTT-4.7.0-1]
        return False
    return _well_formed(topic, max_levels)


def valid_filter(filter: str, max_levels: int = 0, shares: bool = True) -> bool:
    """Whether this may be subscribed to, shared or not. `max_levels` 0 is no limit.

    `shares`: whether there are shared subscriptions, as in MQTT 5.
    """
    if not _well_formed(filter, max_levels):
        return False
    if shares and is_shared(filter):
        group, slash, filter = filter[len(SHARE_PREFIX) :].partition("/")
        # [MQTT-4.8.2-1], [MQTT-4.8.2-2]
        if not group or not slash or not filter or "+" in group or "#" in group:
            return False
    if "#" not in filter and "+" not in filter:
        return True
    levels = filter.split("/")
    last = len(levels) - 1
    for index, level in enumerate(levels):
        if "#" in level and (level != "#" or index != last):  # [MQTT-4.7.1-1]
            return False
        if "+" in level and level != "+":  # [MQTT-4.7.1-2]
            return False
    return True


def _well_formed(text: str, max_levels: int) -> bool:
    if not text or "\0" in text:  # [MQTT-4.7.3-1], [MQTT-4.7.3-2]
        return False
    if max_levels and text.count("/") >= max_levels:
        return False
    # A character is four bytes of UTF-8 at most, so short texts need no encoding to be measured.
    if len(text) * 4 <= MAX_TOPIC_BYTES:
        return True
    try:
        return len(text.encode("utf-8")) <= MAX_TOPIC_BYTES
    except UnicodeEncodeError:
        return False


def byte_length(text: str) -> int:
    """How many bytes a topic or filter has on the wire."""
    return len(text) if text.isascii() else len(text.encode())


def is_shared(filter: str) -> bool:
    """Whether the filter is that of a shared subscription."""
    return filter.startswith(SHARE_PREFIX)


def split_shared(filter: str) -> tuple[str | None, str]:
    """The share name and the filter behind it: `$share/g/a/+` is `("g", "a/+")`, `a/+` is `(None, "a/+")`.

    The filter is taken to be valid.
    """
    if not is_shared(filter):
        return None, filter
    group, _, rest = filter[len(SHARE_PREFIX) :].partition("/")
    return group, rest


def matches(filter: str, topic: str) -> bool:
    """Whether a message on `topic` is for a subscription to `filter`.

    Both are taken to be valid, and the filter to be without a share name. They are compared character
    by character, without any normalization [MQTT-4.7.3-4].
    """
    if filter == topic:
        return True
    # [MQTT-4.7.2-1] topics of the server's own are not for those who ask for everything.
    if topic.startswith("$") and filter.startswith(("#", "+")):
        return False
    wanted = filter.split("/")
    levels = topic.split("/")
    count = len(levels)
    for index, level in enumerate(wanted):
        if level == "#":  # also matches the parent level, section 4.7.1.2: nothing more is needed
            return True
        if index >= count or level not in ("+", levels[index]):
            return False
    return len(wanted) == count
