"""What a host's agent tells of itself and of the processes that it keeps, and what it is ordered to do."""

from typing import Final, Literal

import msgspec

ProcessState = Literal["starting", "ready", "ending", "pausing"]
RestartState = Literal["starting", "replacing", "done", "given_up", "cancelled", "interrupted"]
OrderKind = Literal["restart", "cancel"]

UNDER_WAY: Final[frozenset[RestartState]] = frozenset({"starting", "replacing"})

ORDER_TTL: Final = 60_000
"""Milliseconds after which an order is not begun any more."""


class ProcessExit(msgspec.Struct, frozen=True):
    """How a process ended that was not told to: a signal's name, or `status 1`. `at` in ms."""

    at: int
    reason: str


class ProcessStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """A process that an agent keeps.

    `kind`: its roles joined by `+`, or `store`; `node`: its name in the cluster, once it takes traffic;
    `pid`: 0 for none; `restarts` of its place, after ends that nobody ordered; `since` in ms; `last_exit`: of
    the one before it in its place.
    """

    kind: str
    node: str | None
    pid: int
    state: ProcessState
    restarts: int
    since: int = 0
    last_exit: ProcessExit | None = None


class RestartStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A rolling restart, under way or the latest.

    `id`: of the order, "" for one by a signal; `by`: the key that ordered it; `total` processes are replaced,
    of the new ones `ready` take traffic, of the old ones `replaced` have ended. Times in ms, `ended_at` 0
    while it is under way. `reason`: why it came to nothing.
    """

    state: RestartState
    started_at: int
    total: int
    id: str = ""
    by: str = ""
    ready: int = 0
    replaced: int = 0
    ended_at: int = 0
    reason: str = ""

    @property
    def under_way(self) -> bool:
        return self.state in UNDER_WAY


class OrderAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an agent says to an order: that it carries it out, or else an error, by its code."""

    id: str
    code: str = ""
    message: str = ""


class AgentStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An agent.

    `member`: its name as a member of the cluster, which no other life of it has, "" before it is one.
    `since` and `told_at` in ms; `answers`: to the latest orders.
    """

    agent: str
    member: str
    version: str
    since: int
    told_at: int
    processes: tuple[ProcessStatus, ...]
    restart: RestartStatus | None = None
    answers: tuple[OrderAnswer, ...] = ()


class AgentOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an agent is to do, in the life in which it is this `member`.

    `processes`: names of nodes, none of them means all; `by`: the key that ordered it; `requested_at` in ms.
    """

    id: str
    kind: OrderKind
    member: str
    requested_at: int
    processes: tuple[str, ...] = ()
    by: str = ""
