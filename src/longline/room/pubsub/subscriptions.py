"""Who wants a topic of one app: the sessions of this room, and, in an index of their own, other rooms.

Filters without wildcards, nearly all in practice, are a dict from topic to subscribers. Filters with
wildcards are a trie by level; a topic walks at most two branches a level (`+` and its own name). So it may
look at twice as many with each level, where somebody has entered all of those filters: `visited` tells what a
search has cost to who shares the time out, and one that looks at more than it may is given up. What a topic
matched is remembered until a subscription that could change it comes or goes, so a busy topic is matched
once; and so is that a search was given up, since who is refused comes again. The memory is bounded: it is
emptied when it takes `CACHE` words.

Who has several filters that match a topic is found once, as an `Overlap` of them all: it is to get one copy,
which has to do justice to each. A few are what clients have; those of one client from its fifth on are looks
like those at levels.
"""

from typing import Final, Generic, TypeVar, final

Who = TypeVar("Who")

CACHE: Final = 262_144  # words of 8 bytes, about: a topic's text, and a word for each subscriber
ENTRY: Final = 16  # words that a remembered topic takes besides
OVERLAP: Final = 20  # and one who has several filters for it
FEW: Final = 4  # filters of one client for a topic that are not counted as looks
UNBOUNDED: Final = 1 << 40  # looks


class Subscriber(Generic[Who]):
    """One's interest in a topic, as one filter states it.

    `identifiers` are the subscription identifiers that go with a message, encoded as its properties;
    `particular`: whether a message may have a form of its own for it: with these, with the retain flag
    `as_published`, or (`kept`) none at all, since it comes from the session's queue. With `no_local`, one's
    own messages are only wanted as `own` says.
    """

    __slots__ = ("as_published", "identifiers", "kept", "no_local", "particular", "qos", "who")

    def __init__(
        self,
        who: Who,
        qos: int,
        no_local: bool = False,
        as_published: bool = False,
        identifiers: bytes = b"",
        kept: bool = False,
    ) -> None:
        self.who = who
        self.qos = qos
        self.no_local = no_local
        self.as_published = as_published
        self.kept = kept
        self.particular = as_published or kept or bool(identifiers)
        self.identifiers = identifiers

    def own(self) -> "Subscriber[Who] | None":
        """The interest in messages of one's own: with `no_local`, none [MQTT-3.8.3-3]."""
        return None if self.no_local else self


@final
class Overlap(Subscriber[Who]):
    """One's interest in a topic that several of one's filters match.

    One copy is delivered, with the highest QoS [MQTT-3.3.4-2], all identifiers ([MQTT-3.3.4-3],
    [MQTT-3.3.4-4]), and its retain flag kept where a single filter wants that. No Local takes away the filter
    that says so, and not the others: a message of one's own comes as these say.
    """

    __slots__ = ("_parts",)

    def __init__(self, first: Subscriber[Who]) -> None:
        super().__init__(
            first.who, first.qos, first.no_local, first.as_published, first.identifiers, first.kept
        )
        self._parts = [first]

    @property
    def many(self) -> bool:
        """Whether there are more filters than clients have in good faith."""
        return len(self._parts) > FEW

    def add(self, other: Subscriber[Who]) -> None:
        self._parts.append(other)
        if other.qos > self.qos:
            self.qos = other.qos
        self.no_local = self.no_local or other.no_local
        self.as_published = self.as_published or other.as_published
        self.particular = self.particular or other.particular
        self.identifiers += other.identifiers

    def own(self) -> Subscriber[Who] | None:
        found: Overlap[Who] | None = None
        for part in self._parts:
            if not part.no_local:
                if found is None:
                    found = Overlap(part)
                else:
                    found.add(part)
        return found


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

    __slots__ = (
        "_cache",
        "_costly",
        "_exact",
        "_overlaps",
        "_root",
        "_surplus",
        "levels",
        "remembered",
        "size",
        "visited",
    )

    def __init__(self) -> None:
        self._exact: dict[str, dict[Who, Subscriber[Who]]] = {}
        self._root: Level[Who] = Level()
        self._cache: dict[str, list[Subscriber[Who]]] = {}
        self._costly: dict[str, int] = {}  # topics whose search was given up, and for how many looks it was
        self._overlaps = 0  # filters that were joined to others by the latest search
        self._surplus = 0  # of these, those of a client from its fifth on
        self.levels = 0  # of the trie, and topics without wildcards: each takes about half a kilobyte
        self.remembered = 0  # words in the cache, at most
        self.size = 0  # subscriptions, all filters of everybody
        self.visited = 0  # what the latest match has cost: levels looked at, and filters joined to others

    def add(self, filter: str, subscriber: Subscriber[Who]) -> bool:
        """Enters or replaces somebody's subscription; True when it is new."""
        entries = self._entries(filter)
        who = subscriber.who
        new = who not in entries
        entries[who] = subscriber
        self.size += new
        return new

    def remove(self, filter: str, who: Who) -> bool:
        """Takes somebody's subscription away; False when there was none."""
        if not wild(filter):
            self._forget_topic(filter)
            entries = self._exact.get(filter)
            if entries is None or entries.pop(who, None) is None:
                return False
            if not entries:
                del self._exact[filter]
                self.levels -= 1
        else:
            self._forget()
            if not self._prune(self._root, filter.split("/"), 0, who):
                return False
        self.size -= 1
        return True

    def most_levels(self, filter: str) -> int:
        """How many levels a filter may add, if it has none in common with others."""
        return filter.count("/") + 1 if wild(filter) else 1

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

    def match(self, topic: str, looks: int = UNBOUNDED) -> list[Subscriber[Who]] | None:
        """Who wants the topic, each once; None when it takes more than so many looks to know.

        Section 3.3.4 leaves it to the server whether overlapping filters bring one copy or several: one is
        what users expect. The list belongs to the index: it must not be changed.
        """
        self.visited = 0
        found = self._cache.get(topic)
        if found is None:
            if self._costly.get(topic, -1) >= looks:
                return None
            self._overlaps = self._surplus = 0
            found = self._search(topic, looks)
            words = ENTRY + len(topic) // 4
            if found is None:
                self._remember(words)
                self._costly[topic] = looks
                return None
            words += len(found) + OVERLAP * self._overlaps
            if words <= CACHE:
                self._remember(words)
                self._cache[topic] = found
        return found

    def _remember(self, words: int) -> None:
        """Something that takes so many is about to be."""
        if self.remembered + words > CACHE:
            self._forget()
        self.remembered += words

    def _forget(self) -> None:
        self._cache.clear()
        self._costly.clear()
        self.remembered = 0

    def _forget_topic(self, topic: str) -> None:
        self._cache.pop(topic, None)
        self._costly.pop(topic, None)

    def _search(self, topic: str, looks: int) -> list[Subscriber[Who]] | None:
        exact = self._exact.get(topic)
        if self._root.below is None and self._root.tails is None:
            return list(exact.values()) if exact is not None else []
        all: dict[Who, Subscriber[Who]] = {}
        if exact is not None:
            all.update(exact)
        front: list[Level[Who]] = [self._root]
        looked = 0  # at levels
        hidden = topic.startswith("$")  # [MQTT-4.7.2-1] from a wildcard at the first level
        for name in topic.split("/"):
            looked += len(front)
            front = self._below(front, name, hidden, all, looks - looked)
            if not front:
                break
            hidden = False
        looked += len(front)
        self._ends(front, all, looks - looked)
        self.visited = looked + self._overlaps
        if looked + self._surplus > looks:
            self.visited += len(all)
            return None
        return list(all.values())

    def _below(
        self,
        front: list[Level[Who]],
        name: str,
        hidden: bool,
        all: dict[Who, Subscriber[Who]],
        looks: int,
    ) -> list[Level[Who]]:
        """Those a level further down that match; nothing, when so many more looks are not enough."""
        reached: list[Level[Who]] = []
        if looks < 0:
            return reached
        for level in front:
            if level.tails is not None and not hidden:
                self._join(all, level.tails)
                if self._surplus > looks:
                    return []
            if level.below is not None:
                own = level.below.get(name)
                if own is not None:
                    reached.append(own)
                if not hidden:
                    plus = level.below.get("+")
                    if plus is not None:
                        reached.append(plus)
        return reached

    def _ends(self, front: list[Level[Who]], all: dict[Who, Subscriber[Who]], looks: int) -> None:
        """Adds those whose filters end here, as far as so many more looks are enough."""
        for level in front:
            if self._surplus > looks:
                return
            if level.ends is not None:
                self._join(all, level.ends)
            if level.tails is not None:  # "a/#" matches "a" itself, section 4.7.1.2
                self._join(all, level.tails)

    def _join(self, all: dict[Who, Subscriber[Who]], found: dict[Who, Subscriber[Who]]) -> None:
        """Adds what was found to what is known, which is an overlap where somebody is there already."""
        if not all:
            all.update(found)
            return
        for who, subscriber in found.items():
            known = all.get(who)
            if known is None:
                all[who] = subscriber
            elif isinstance(known, Overlap):
                known.add(subscriber)
                self._overlaps += 1
                self._surplus += known.many
            else:
                overlap = all[who] = Overlap(known)
                overlap.add(subscriber)
                self._overlaps += 1

    def _entries(self, filter: str) -> dict[Who, Subscriber[Who]]:
        if not wild(filter):
            self._forget_topic(filter)
            entries = self._exact.get(filter)
            if entries is None:
                entries = self._exact[filter] = {}
                self.levels += 1
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
                self.levels += 1
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
            self.levels -= 1
            if not level.below:
                level.below = None
        return True


def wild(filter: str) -> bool:
    """Whether a filter has wildcards."""
    return "+" in filter or "#" in filter
