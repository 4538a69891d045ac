"""Names of topics, and filters, that can be said at all: who uses one that cannot hears so at once."""

from longline.mqtt.topics import valid_filter, valid_topic


def checked_topic(topic: str) -> str:
    """A topic that a message may be published to; ValueError for what is none, section 4.7 of MQTT.

    What was taken would be said again on each connection, and end it.
    """
    if not (valid_topic(topic) and _is_text(topic)):
        raise ValueError(f"{topic[:100]!r} is no topic to publish to")
    return topic


def checked_filter(filter: str) -> str:
    """A filter that may be subscribed to; ValueError for what is none."""
    if not (valid_filter(filter) and _is_text(filter)):
        raise ValueError(f"{filter[:100]!r} is no filter of topics")
    return filter


def _is_text(text: str) -> bool:
    """Whether it is UTF-8 on the wire: a half of a surrogate pair is not."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
