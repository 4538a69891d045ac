"""Topic aliases that we give a receiver, section 3.3.2.3.4.

A number of two bytes stands for a topic from when it has come with it once. That pays for topics that come
again, and a server that is not told which do must guess: a topic gets an alias when it comes the second time
among the latest, in place of the oldest alias when all are taken. Topics that never come twice, such as those
of pushes and answers, so take none away, and cost nothing on the wire.
"""

from typing import Final, final

MOST: Final = 16  # aliases for one receiver, however many it takes
SHORTEST: Final = 6  # bytes of a topic that an alias, which takes three, is worth while for
TELLING: Final = 5  # bytes at most that a packet grows by with an alias, lengths and all
LONGEST: Final = 256  # what is remembered of one receiver is at most twice `MOST` such topics


@final
class TopicAliases:
    """Those of one connection, `maximum` at most (the receiver's Topic Alias Maximum) [MQTT-3.1.2-26]."""

    __slots__ = ("_known", "_maximum", "_seen")

    def __init__(self, maximum: int) -> None:
        self._maximum = min(maximum, MOST)
        self._known: dict[str, int] = {}  # in the order in which they were given
        self._seen: dict[str, None] = {}  # topics that came once

    def of(self, topic: str, tell: bool) -> int:
        """The alias of a topic that is written now: above 0 it is known; 0 is none.

        Below 0, it has to be told together with the topic, and is known from now on; only with `tell`.
        """
        known = self._known
        alias = known.get(topic, 0)
        if alias:
            return alias
        if not tell or not SHORTEST <= len(topic) <= LONGEST:
            return 0
        seen = self._seen
        if topic not in seen:
            seen[topic] = None
            if len(seen) > self._maximum:
                del seen[next(iter(seen))]
            return 0
        del seen[topic]
        if len(known) < self._maximum:
            alias = len(known) + 1
        else:
            oldest = next(iter(known))
            alias = known.pop(oldest)
        known[topic] = alias
        return -alias
