"""Sessions as the writer finds them: what a connection's word about one is judged by."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from typing import Protocol, TypeVar

import msgspec

from longline.saver.sql.database import Database, device_key


class Addressed(Protocol):
    """What speaks of a device's session."""

    @property
    def app(self) -> int: ...

    @property
    def ordinal(self) -> int: ...


A = TypeVar("A", bound=Addressed)
R = TypeVar("R")


class SessionRow(msgspec.Struct, array_like=True):
    """A session's row. `node`: where its connection is; `given_up`: that was on a node that died."""

    number: int
    epoch: int
    node: str | None
    given_up: int
    expires_in: int
    ends_at: int | None
    latest: int
    sent: int

    @property
    def connected(self) -> bool:
        """Whether it has a connection, as far as anybody has told."""
        return self.node is not None

    def over(self, now: int) -> bool:
        """Whether its time is."""
        return self.ends_at is not None and self.ends_at <= now


_states = msgspec.json.Decoder(list[tuple[int, SessionRow | None]])

STATES = """
SELECT json_group_array(json_array(d.device IS NOT NULL, iif(s.device IS NULL, NULL, json_array(
         s.number, s.epoch, s.node, s.given_up, s.expires_in, s.ends_at, s.latest, s.sent))))
  FROM carray(?1) AS asked
  LEFT JOIN devices AS d ON d.device = asked.value
  LEFT JOIN sessions AS s ON s.device = asked.value"""


def states(database: Database, devices: Iterable[int]) -> dict[int, tuple[bool, SessionRow | None]]:
    """Of each device whether it is there, and its session."""
    keys = tuple(set(devices))
    if not keys:
        return {}
    found = _states.decode(database.text(STATES, keys))
    return {key: (bool(there), state) for key, (there, state) in zip(keys, found, strict=True)}


def by_turns(calls: Sequence[Sequence[A]], serve: Callable[[dict[int, A]], dict[int, R]]) -> list[list[R]]:
    """Serves the items of calls, those of one device one after the other, all others together."""
    rest = list(enumerate(chain.from_iterable(calls)))
    answers: dict[int, R] = {}
    while rest:
        turn: dict[int, tuple[int, A]] = {}
        later = []
        for index, item in rest:
            if turn.setdefault(device_key(item.app, item.ordinal), (index, item))[0] != index:
                later.append((index, item))
        served = serve({key: item for key, (_, item) in turn.items()})
        for key, (index, _) in turn.items():
            answers[index] = served[key]
        rest = later
    return divided(calls, [answers[index] for index in range(len(answers))])


def divided(calls: Sequence[Sequence[object]], answers: Sequence[R]) -> list[list[R]]:
    """The answers to the items of calls, call by call."""
    rest = iter(answers)
    return [list(islice(rest, len(call))) for call in calls]
