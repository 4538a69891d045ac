"""Groups of shared subscriptions (section 4.8.2), as far as sessions that are kept are their members.

Their filters stand among the others, and begin with `$share/` and the name of the group. So those that match
a topic are found as others are (`matching.py`), from the beginning that each name makes: a seek finds the
next name. An app without such filters costs one seek.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from longline.saver.sql.database import Database, integer
from longline.saver.sql.matching import TOPIC
from longline.saver.subscriptions import SHARED

NAMES: Final = 1000  # of groups that a topic is looked up for
LOOKED_AT: Final = 64  # members of a group from among whom one is chosen: the first that are there

_flags = msgspec.json.Decoder(list[int])
_groups = msgspec.json.Decoder(list[list[str]])
_members = msgspec.json.Decoder(list[tuple[int, int, int, int]])

FIRST = "filter >= '$share/' AND filter < '$share0'"
HAVE_ANY = f"""
SELECT json_group_array(EXISTS (SELECT 1 FROM filters WHERE app = value AND {FIRST})) FROM carray(?1)"""

# `names`: the first filter of each name, and of none where there is no `/` behind it, which is no group's.
SLASH = "instr(substr(first, 8), '/')"
BEGIN = "begin || iif(wild, '+', iif(slash, substr(rest, 1, slash - 1), rest))"
GROUPS = f"""
SELECT json_group_array(json((
  WITH RECURSIVE names (first) AS (
    SELECT (SELECT filter FROM filters WHERE app = asked.app AND {FIRST} ORDER BY filter LIMIT 1)
     UNION ALL
    SELECT (SELECT filter FROM filters
             WHERE app = asked.app AND filter < '$share0'
               AND filter >= iif({SLASH}, substr(first, 1, 6 + {SLASH}) || '0', first || char(1))
             ORDER BY filter LIMIT 1)
      FROM names WHERE first IS NOT NULL LIMIT ?3),
  walk (begin, rest, slash) AS (
    SELECT substr(first, 1, 7 + {SLASH}), asked.topic, instr(asked.topic, '/') FROM names WHERE {SLASH}
     UNION ALL
    SELECT {BEGIN} || iif(slash, '/', ''), iif(slash, substr(rest, slash + 1), NULL),
           instr(substr(rest, slash + 1), '/')
      FROM walk CROSS JOIN (SELECT 0 AS wild UNION ALL SELECT 1)
     WHERE rest IS NOT NULL
       AND (slash = 0 OR EXISTS (SELECT 1 FROM filters
             WHERE app = asked.app AND filter >= {BEGIN} || '/' AND filter < {BEGIN} || '0'))
     LIMIT ?2)
  SELECT json_group_array(text)
    FROM (SELECT iif(rest IS NULL, begin, NULL) AS text FROM walk
           UNION SELECT begin || iif(rest IS NULL, '/#', '#') FROM walk)
   WHERE EXISTS (SELECT 1 FROM filters WHERE app = asked.app AND filter = text))))
  FROM (SELECT {integer(1, 10)} AS app, CAST(substr(value, 11) AS TEXT) AS topic FROM carray(?1)) AS asked"""

MEMBERS = f"""
SELECT json_group_array(json_array(device, number, options, identifier)) FROM
 (SELECT device, number, options, identifier FROM filters
   WHERE app = ?1 AND filter = ?2 AND options & {SHARED} LIMIT ?3)"""


class SharedFilter(NamedTuple):
    """A session's filter of a group."""

    device: int
    number: int
    options: int
    identifier: int


class GroupFilters:
    """For the writer's thread. `limit`: beginnings that a topic may cost, for all names."""

    def __init__(self, database: Database, limit: int) -> None:
        self._database = database
        self._limit = limit

    def having(self, apps: Iterable[int]) -> set[int]:
        """Those of these apps in which sessions have filters of groups."""
        asked = tuple(set(apps))
        if not asked:
            return set()
        flags = _flags.decode(self._database.text(HAVE_ANY, asked))
        return {app for app, flag in zip(asked, flags, strict=True) if flag}

    def groups(self, topics: Sequence[tuple[int, str]]) -> list[list[str]]:
        """Of each topic (app, topic) the groups whose filters match, as they are subscribed to; of very many,
        some."""
        if not topics:
            return []
        rows = tuple([TOPIC % (app, topic.encode()) for app, topic in topics])
        return _groups.decode(self._database.text(GROUPS, rows, self._limit, NAMES))

    def members(self, app: int, group: str) -> list[SharedFilter]:
        """The first sessions with a filter of this group."""
        found = _members.decode(self._database.text(MEMBERS, app, group, LOOKED_AT))
        return [SharedFilter(*row) for row in found]
