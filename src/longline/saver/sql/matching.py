"""Which filters of sessions match a topic: seeks in their index, never a look at all of them.

A filter that matches begins, level by level, with the topic's own name or with `+`. So the search walks from
beginning to beginning: of each that it has, it asks for the next level's name and for `+` whether any filter
begins so, which is one seek, for filters are sorted by their text and those that begin with `x/` stand
between `x/` and `x0` (`0` follows `/`). It ends where no filter goes on. On the way, `x/#` is looked up for
each beginning `x`, which also matches `x` itself [MQTT-4.7.1-2]; at the last level, `x` is.

Two names a level make at most 2^n beginnings for n levels, if there are filters for all of them. What a
topic may cost is bounded: beginnings that no filter ends with, and filters found.
"""

from collections.abc import Iterable, Sequence

import msgspec

from longline.saver.sql.database import Database, integer
from longline.saver.subscriptions import AS_PUBLISHED, NO_LOCAL

AT_ONCE = 64  # topics matched by one statement
COST = 4096  # filters, and beginnings, that the next statement may meet, if its topics are like the last ones

_matches = msgspec.json.Decoder(list[tuple[int, list[tuple[int, int, int, int]]]])

# A topic's record: app, topic. `walk`: a beginning with the `/` behind it, what of the topic follows, and
# where its next `/` is (0: it has none); at the last level the whole text, and NULL. No filter that begins
# with a wildcard matches a topic that begins with `$` [MQTT-4.7.2-1].
TOPIC = b"%010d%b"
BEGIN = "begin || iif(wild, '+', iif(slash, substr(rest, 1, slash - 1), rest))"
MATCH = f"""
SELECT json_group_array(json((
  WITH RECURSIVE walk (begin, rest, slash) AS (
    SELECT '', asked.topic, instr(asked.topic, '/')
     UNION ALL
    SELECT {BEGIN} || iif(slash, '/', ''), iif(slash, substr(rest, slash + 1), NULL),
           instr(substr(rest, slash + 1), '/')
      FROM walk CROSS JOIN (SELECT 0 AS wild UNION ALL SELECT 1)
     WHERE rest IS NOT NULL AND NOT (wild AND begin = '' AND rest LIKE '$%')
       AND (slash = 0 OR EXISTS (SELECT 1 FROM filters
             WHERE app = asked.app AND filter >= {BEGIN} || '/' AND filter < {BEGIN} || '0'))
     LIMIT ?2 + 1)
  SELECT json_array(count(*), json_group_array(json_array(device, number, options, identifier))
                                FILTER (WHERE device IS NOT NULL))
    FROM (SELECT device, number, options, identifier
            FROM walk LEFT JOIN filters ON app = asked.app
                  AND filter IN (iif(rest IS NULL, begin, NULL), begin || iif(rest IS NULL, '/#', '#'))
                  AND (filter <> '#' OR asked.topic NOT LIKE '$%')
           LIMIT ?2 + 1))))
  FROM (SELECT {integer(1, 10)} AS app, CAST(substr(value, 11) AS TEXT) AS topic FROM carray(?1)) AS asked"""

# Of each session that has a filter which matches: device, number, options and identifier of the filter.
Found = dict[int, list[tuple[int, int, int]]]


class Matching:
    """For the writer's thread. `limit`: beginnings, and filters, that a topic may cost."""

    def __init__(self, database: Database, limit: int) -> None:
        self._database = database
        self._limit = limit
        # Topics to be matched by one statement: fewer when they turn out to cost much.
        self.at_once = AT_ONCE

    def match(self, topics: Sequence[tuple[int, str]]) -> list[Found | None]:
        """Of each topic (app, topic) who has filters that match; None where it would cost too much.

        (number, options, identifier) of each filter, by device.
        """
        if not topics:
            return []
        rows = tuple([TOPIC % (app, topic.encode()) for app, topic in topics])
        matches = _matches.decode(self._database.text(MATCH, rows, self._limit))
        cost = sum([cost for cost, _ in matches])
        self.at_once = min(AT_ONCE, 2 * self.at_once, max(1, COST * len(topics) // cost))
        return [None if cost > self._limit else _by_device(filters) for cost, filters in matches]


def _by_device(filters: Iterable[tuple[int, int, int, int]]) -> Found:
    found: Found = {}
    for device, number, options, identifier in filters:
        found.setdefault(device, []).append((number, options, identifier))
    return found


def interest(filters: Iterable[tuple[int, int, int]], number: int, own: bool) -> tuple[int, bool, list[int]]:
    """What the filters of the session with this number ask for together: QoS, whether retain is to be as it
    was published, identifiers. `own`: the message is the device's own."""
    qos = 0
    as_published = False
    identifiers = []
    for of, options, identifier in filters:
        if of == number and not (own and options & NO_LOCAL):
            qos = max(qos, options & 3)
            as_published |= bool(options & AS_PUBLISHED)
            if identifier:
                identifiers.append(identifier)
    return qos, as_published, sorted(identifiers)
