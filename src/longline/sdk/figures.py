"""What processes tell about themselves, as the API answers it."""

from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    Severity = Literal["warning", "critical"]
    Role = Literal["room", "center", "dispatcher", "coordinator"]
else:
    Severity = Role = str  # whatever a later version says


class TaskCount(msgspec.Struct, frozen=True, kw_only=True):
    """The tasks of a process that have one name, and how long the oldest of them has been seen, in
    seconds.
    """

    name: str
    count: int
    oldest_seconds: float = 0.0


class AppLoad(msgspec.Struct, frozen=True, kw_only=True):
    """What an app does: all but `connections` in a second. `app` is None for `apps` others together.

    `request_seconds`: what a request took on the average; None without any.
    """

    app: str | None
    apps: int = 1
    connections: int = 0
    connects: float = 0.0
    accepted: float = 0.0
    sent: float = 0.0
    acked: float = 0.0
    upstream: float = 0.0
    requests: float = 0.0
    refused: float = 0.0
    errors: float = 0.0
    request_seconds: float | None = None


class NodeSample(msgspec.Struct, frozen=True, kw_only=True):
    """What one process told of itself last, `at` by its own clock. `figures` by name, as in `/metrics`
    without `longline_` and `_total`; `apps`: the busiest there, and all others as one.
    """

    node: str
    host: str
    roles: tuple[Role, ...]
    version: str
    since: datetime
    at: datetime
    figures: dict[str, float]
    tasks: tuple[TaskCount, ...] = ()
    apps: tuple[AppLoad, ...] = ()


class ClusterFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What all processes have told last; `at` is now, by the store's clock."""

    at: datetime
    nodes: tuple[NodeSample, ...]

    def by_app(self) -> list[AppLoad]:
        """What apps do in all processes, those with the most connections first, and last what has no name.

        An app that is not among the busiest of every process has a part of its load among the others'.
        """
        loads: dict[str | None, AppLoad] = {}
        for node in self.nodes:
            for load in node.apps:
                before = loads.get(load.app)
                loads[load.app] = load if before is None else _sum(before, load)
        return sorted(loads.values(), key=lambda load: (load.app is None, -load.connections, load.app or ""))


class NodeSeries(msgspec.Struct, frozen=True, kw_only=True):
    """What some figures of one process were, each as long as `at`; None for what was not measured."""

    node: str
    host: str
    at: tuple[datetime, ...]
    figures: dict[str, tuple[float | None, ...]]


class FigureHistory(msgspec.Struct, frozen=True, kw_only=True):
    """What some figures of processes were, every `step` seconds."""

    step: float
    nodes: tuple[NodeSeries, ...]


class ProblemInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong now: what, and what to do about it."""

    code: str
    severity: Severity
    message: str
    hint: str
    since: datetime | None = None
    node: str | None = None
    app: str | None = None


class BoundInfo(msgspec.Struct, frozen=True, kw_only=True):
    """How full something is that has a bound, how it grows a day, and when it is full if it goes on so."""

    name: str
    node: str
    host: str
    used: float
    limit: float
    share: float
    growth_per_day: float | None = None
    full_at: datetime | None = None


class WaitingDeliveries(msgspec.Struct, frozen=True, kw_only=True):
    """The deliveries that wait of an app's latest messages, which are so many."""

    deliveries: int
    messages: int


class AppFigures(msgspec.Struct, frozen=True, kw_only=True):
    """How an app fares now: devices that are connected; rates a second, None until somebody has looked twice;
    what was counted in this hour; and what waits.
    """

    at: datetime
    connected: int
    messages_per_second: float | None = None
    deliveries_per_second: float | None = None
    messages: int
    deliveries: int
    waiting: WaitingDeliveries


def _sum(one: AppLoad, other: AppLoad) -> AppLoad:
    requests = one.requests + other.requests
    seconds = sum((load.request_seconds or 0.0) * load.requests for load in (one, other))
    return AppLoad(
        app=one.app,
        apps=max(one.apps, other.apps),
        connections=one.connections + other.connections,
        connects=one.connects + other.connects,
        accepted=one.accepted + other.accepted,
        sent=one.sent + other.sent,
        acked=one.acked + other.acked,
        upstream=one.upstream + other.upstream,
        requests=requests,
        refused=one.refused + other.refused,
        errors=one.errors + other.errors,
        request_seconds=seconds / requests if requests else None,
    )
