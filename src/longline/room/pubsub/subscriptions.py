"""Who wants a topic of one app: the sessions of this room, and, in an index of their own, other rooms.

Filters without wildcards, nearly all in practice, are a dict from topic to subscribers. Filters with
wildcards are a trie by level; a topic walks at most two branches a level (`+` and its own name), so a search
may have to look at as many levels as there are: `visited` tells it to who shares the time out. What a topic
matched is remembered until a subscription that could change it comes or goes, so a busy topic is matched
once. The memory is bounded: it is emptied when it takes `CACHE` words.
"""

from typing import Final, Generic, TypeVar, final

Who = TypeVar("Who")

CACHE: Final = 262_144  # words of 8 bytes, about: a topic's text, and a word for each subscriber
ENTRY: Final = 16  # words that a remembered topic takes besides


@final
class Subscriber(Generic[Who]):
    """One's interest, as one filter states it."""

    __slots__ = ("no_local", "qos", "who")

    def __init__(self, who: Who, qos: int, no_local: bool) -> None:
        self.who = who
        self.qos = qos
        self.no_local = no_local


@final
class Level(Generic[Who]):
    """A level of the trie: who ends here, who takes everything below (`#`), and the levels below."""

    __slots__ = ("below", "ends", "tails")

    def __init__(self) -> None:
        self.ends: dict[Who, Subscriber[Who]] | None = None
        self.tails: dict[Who, Subscriber[Who]] | None = None
        self.below: dict[str, Level[Who]] | None = None

    def empty(self) -> bool:
        return not self.ends and not self.tails and not self.below


@final
class Subscriptions(Generic[Who]):
    """The index of one app."""

    __slots__ = ("_cache", "_exact", "_root", "remembered", "size", "visited")

    def __init__(self) -> None:
        self._exact: dict[str, dict[Who, Subscriber[Who]]] = {}
        self._root: Level[Who] = Level()
        self._cache: dict[str, list[Subscriber[Who]]] = {}
        self.remembered = 0  # words in the cache, at most
        self.size = 0  # subscriptions, all filters of everybody
        self.visited = 0  # levels that the latest match had to look at: `+` next to a name doubles them

    def add(self, filter: str, who: Who, qos: int, no_local: bool) -> bool:
        """Enters or replaces somebody's subscription; True when it is new."""
        entries = self._entries(filter)
        new = who not in entries
        entries[who] = Subscriber(who, qos, no_local)
        self.size += new
        return new

    def remove(self, filter: str, who: Who) -> bool:
        """Takes somebody's subscription away; False when there was none."""
        if not wild(filter):
            self._cache.pop(filter, None)
            entries = self._exact.get(filter)
            if entries is None or entries.pop(who, None) is None:
                return False
            if not entries:
                del self._exact[filter]
        else:
            self._forget()
            if not self._prune(self._root, filter.split("/"), 0, who):
                return False
        self.size -= 1
        return True

    def wanted(self, filter: str) -> bool:
        """Whether anybody subscribes to exactly this filter."""
        if not wild(filter):
            return filter in self._exact
        level = self._root
        for name in filter.split("/"):
            if name == "#":
                return bool(level.tails)
            following = level.below.get(name) if level.below is not None else None
            if following is None:
                return False
            level = following
        return bool(level.ends)

    def filters(self) -> list[str]:
        """Every filter that somebody subscribes to, a new list."""
        found = list(self._exact)
        self._collect(self._root, "", found)
        return found

    def _collect(self, level: Level[Who], path: str, found: list[str]) -> None:
        if level.tails:
            found.append(path + "#")
        if level.below is not None:
            for name, following in level.below.items():
                if following.ends:
                    found.append(path + name)
                self._collect(following, path + name + "/", found)

    def match(self, topic: str) -> list[Subscriber[Who]]:
        """Who wants the topic: each once, with the highest QoS of its filters.

        [MQTT-3.3.4-2] leaves one delivery for overlapping filters to the server: one is what users expect.
        The list belongs to the index: it must not be changed.
        """
        self.visited = 0
        found = self._cache.get(topic)
        if found is None:
            found = self._search(topic)
            words = ENTRY + len(topic) // 4 + len(found)
            if self.remembered + words > CACHE:
                self._forget()
            if words <= CACHE:
                self.remembered += words
                self._cache[topic] = found
        return found

    def _forget(self) -> None:
        self._cache.clear()
        self.remembered = 0

    def _search(self, topic: str) -> list[Subscriber[Who]]:
        exact = self._exact.get(topic)
        if self._root.below is None and self._root.tails is None:
            return list(exact.values()) if exact is not None else []
        best: dict[Who, Subscriber[Who]] = {}
        if exact is not None:
            best.update(exact)
        levels = topic.split("/")
        # [MQTT-4.7.2-1] a leading wildcard does not match topics that begin with $
        front: list[Level[Who]] = [self._root]
        for depth, name in enumerate(levels):
            reached: list[Level[Who]] = []
            self.visited += len(front)
            for level in front:
                hidden = depth == 0 and name.startswith("$")
                if level.tails is not None and not hidden:
                    keep_best(best, level.tails)
                if level.below is not None:
                    own = level.below.get(name)
                    if own is not None:
                        reached.append(own)
                    if not hidden:
                        plus = level.below.get("+")
                        if plus is not None:
                            reached.append(plus)
            front = reached
        self.visited += len(front)
        for level in front:
            if level.ends is not None:
                keep_best(best, level.ends)
            if level.tails is not None:  # "a/#" matches "a" itself, section 4.7.1.2
                keep_best(best, level.tails)
        return list(best.values())

    def _entries(self, filter: str) -> dict[Who, Subscriber[Who]]:
        if not wild(filter):
            self._cache.pop(filter, None)
            entries = self._exact.get(filter)
            if entries is None:
                entries = self._exact[filter] = {}
            return entries
        self._forget()
        level = self._root
        levels = filter.split("/")
        tail = levels[-1] == "#"
        for name in levels[:-1] if tail else levels:
            if level.below is None:
                level.below = {}
            following = level.below.get(name)
            if following is None:
                following = level.below[name] = Level()
            level = following
        if tail:
            if level.tails is None:
                level.tails = {}
            return level.tails
        if level.ends is None:
            level.ends = {}
        return level.ends

    def _prune(self, level: Level[Who], levels: list[str], depth: int, who: Who) -> bool:
        """Removes an entry at the end of the path, and on the way back the levels left empty."""
        if depth == len(levels):
            return level.ends is not None and level.ends.pop(who, None) is not None
        name = levels[depth]
        if name == "#":
            return level.tails is not None and level.tails.pop(who, None) is not None
        if level.below is None:
            return False
        following = level.below.get(name)
        if following is None or not self._prune(following, levels, depth + 1, who):
            return False
        if following.empty():
            del level.below[name]
            if not level.below:
                level.below = None
        return True


def wild(filter: str) -> bool:
    """Whether a filter has wildcards."""
    return "+" in filter or "#" in filter


def keep_best(best: dict[Who, Subscriber[Who]], found: dict[Who, Subscriber[Who]]) -> None:
    """Adds subscribers, keeping the higher QoS where somebody is there already."""
    for who, subscriber in found.items():
        known = best.get(who)
        if known is None or known.qos < subscriber.qos:
            best[who] = subscriber
