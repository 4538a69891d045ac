"""An app's rules: what a device may publish and subscribe to on topics that are not the platform's.

With rules, what none of them allows is denied. A topic is allowed when it matches the filter of a rule; a
subscription when one rule's filter covers its own, that is, matches every topic that it does: so nothing is
ever delivered that a rule would not allow.

`{device}` in a filter stands for the name of whoever asks, within a level. A name with a wildcard or a level
separator in it would make a filter of another shape: no rule with a placeholder is for such a device.
"""

from collections.abc import Sequence
from typing import Final, final

from longline.flow.lru import LruCache
from longline.model.access import DEVICE, AclRule
from longline.model.apps import App

REMEMBERED: Final = 1000  # apps whose rules are compiled

_SHARED: Final = "$share"
_PLACEHOLDER: Final = DEVICE  # bound once, as in `rules.py`


@final
class Ruled:
    """A rule's filter by level. `own`: whether a placeholder is in it."""

    __slots__ = ("levels", "own")

    def __init__(self, filter: str) -> None:
        self.levels = filter.split("/")
        self.own = _PLACEHOLDER in filter

    def matches(self, topic: list[str], device: str) -> bool:
        """Whether a topic is one of the filter's, section 4.7."""
        levels = self.levels
        count = len(topic)
        index = 0
        for level in levels:
            if level == "#":  # also the parent level, section 4.7.1.2; not the server's topics [MQTT-4.7.2-1]
                return index > 0 or not topic[0].startswith("$")
            if index >= count:
                return False
            name = topic[index]
            if level == "+":
                if index == 0 and name.startswith("$"):
                    return False
            elif level != name and not (self.own and level.replace(_PLACEHOLDER, device) == name):
                return False
            index += 1
        return index == count

    def covers(self, filter: list[str], device: str) -> bool:
        """Whether every topic of another filter is one of this one's."""
        levels = self.levels
        if filter[0] == "#":
            filter = ["+", "#"]  # every topic has a level
        count = len(filter)
        index = 0
        for level in levels:
            if level == "#":
                return index > 0 or not filter[0].startswith("$")
            if index >= count:
                return False
            name = filter[index]
            if name == "#":  # which has the parent level, too, and this one does not
                return False
            if level == "+":
                if index == 0 and name.startswith("$"):
                    return False
            elif level != name and not (self.own and level.replace(_PLACEHOLDER, device) == name):
                return False
            index += 1
        return index == count


@final
class Ruleset:
    """Filters for one direction, those that begin with a name by that name."""

    __slots__ = ("_named", "_others")

    def __init__(self) -> None:
        self._named: dict[str, list[Ruled]] = {}
        self._others: list[Ruled] = []

    def add(self, filter: str) -> None:
        ruled = Ruled(filter)
        first = ruled.levels[0]
        if first == "+" or first == "#" or _PLACEHOLDER in first:
            self._others.append(ruled)
        else:
            self._named.setdefault(first, []).append(ruled)

    def candidates(self, first: str) -> list[Ruled]:
        """Those that may be for what begins with this level."""
        named = self._named.get(first)
        return self._others if named is None else named + self._others


@final
class Acl:
    """The rules of an app, compiled."""

    __slots__ = ("_publish", "_subscribe", "rules")

    def __init__(self, rules: Sequence[AclRule]) -> None:
        self.rules = tuple(rules)
        self._publish = Ruleset()
        self._subscribe = Ruleset()
        for rule in rules:
            if rule.allow != "subscribe":
                self._publish.add(rule.filter)
            if rule.allow != "publish":
                self._subscribe.add(rule.filter)

    def may_publish(self, device: str, topic: str) -> bool:
        """Whether a device may publish there, or have its will published."""
        return _allowed(self._publish, device, topic)

    def may_receive(self, device: str, topic: str) -> bool:
        """Whether a device may get a message of this topic, whatever it is subscribed to."""
        return _allowed(self._subscribe, device, topic)

    def may_subscribe(self, device: str, filter: str) -> bool:
        """Whether a device may have this subscription, shared or not."""
        levels = filter.split("/")
        if levels[0] == _SHARED:  # section 4.8.2: a share name, and then the filter
            levels = levels[2:]
            if not levels:
                return False
        usable = placeable(device)
        for ruled in self._subscribe.candidates(levels[0]):
            if (usable or not ruled.own) and ruled.covers(levels, device):
                return True
        return False


def _allowed(ruleset: Ruleset, device: str, topic: str) -> bool:
    levels = topic.split("/")
    usable = placeable(device)
    for ruled in ruleset.candidates(levels[0]):
        if (usable or not ruled.own) and ruled.matches(levels, device):
            return True
    return False


def placeable(device: str) -> bool:
    """Whether a name may stand for `{device}`: it is no more than a part of one level then."""
    return bool(device) and not ("/" in device or "+" in device or "#" in device or "\0" in device)


@final
class Acls:
    """Compiles the rules of each app once, as long as it is among those that were asked for lately."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: LruCache[int, Acl] = LruCache(REMEMBERED)

    def of(self, app: App) -> Acl | None:
        """None for an app without rules: everything is allowed."""
        rules = app.access.rules
        if not rules:
            return None
        known = self._known.get(app.number)
        if known is None or known.rules != rules:
            known = Acl(rules)
            self._known.put(app.number, known)
        return known
