"""Which topics a filter matches, level by level (MQTT 5.0, section 4.7)."""


def matches(filter: str, topic: str) -> bool:
    if topic.startswith("$") and filter[:1] in ("+", "#"):  # [MQTT-4.7.2-1]
        return False
    return _match(filter.split("/"), topic.split("/"))


def _match(filter: list[str], topic: list[str]) -> bool:
    if filter == ["#"]:
        return True
    if not filter or not topic:
        return not filter and not topic
    return filter[0] in ("+", topic[0]) and _match(filter[1:], topic[1:])
