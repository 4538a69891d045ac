"""What the API tells operators of agents: the processes that they keep running, and rolling restarts."""

from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    AgentState = Literal["present", "away"]
    ProcessState = Literal["starting", "ready", "ending", "pausing"]
    RestartState = Literal["starting", "replacing", "done", "given_up", "cancelled", "interrupted"]
else:
    AgentState = ProcessState = RestartState = str  # whatever a later version says


class LastExit(msgspec.Struct, frozen=True, kw_only=True):
    """How a process ended: by a signal, such as `SIGKILL`, or with a status."""

    at: datetime
    reason: str


class AgentProcess(msgspec.Struct, frozen=True, kw_only=True):
    """A process that an agent keeps running.

    `kind`: its roles joined by `+`, or `store`; `node`: its name in the cluster; `restarts`: how often it
    ended without being told to; `last_exit`: of the one before it in its place. `version` and
    `settings_version` are there while it is a member of the cluster.
    """

    kind: str
    node: str | None = None
    pid: int | None = None
    state: ProcessState
    since: datetime | None = None
    restarts: int = 0
    last_exit: LastExit | None = None
    version: str | None = None
    settings_version: int | None = None


class RollingRestart(msgspec.Struct, frozen=True, kw_only=True):
    """A rolling restart, under way or the latest.

    Of `total` processes, `ready` new ones take traffic, and `replaced` old ones have ended. `id` and `by`:
    the order, and the key that gave it; None for one by a signal on the host. `reason`: why it came to
    nothing.
    """

    id: str | None = None
    by: str | None = None
    state: RestartState
    total: int
    ready: int = 0
    replaced: int = 0
    started_at: datetime
    ended_at: datetime | None = None
    reason: str | None = None


class AgentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The agent of a host. `state` `away`: it was killed or is cut off, and the rest is what it told last."""

    agent: str
    state: AgentState
    version: str
    since: datetime
    told_at: datetime
    processes: list[AgentProcess]
    restart: RollingRestart | None = None
