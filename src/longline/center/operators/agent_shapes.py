"""Agents of hosts as the API tells them, and what it takes of orders to them."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from longline.center.shapes import Strict
from longline.delivery.event_views import Time
from longline.model.agents import ProcessState, RestartState

MOST_NAMED = 1000  # processes in one order

NodeName = Annotated[str, Meta(min_length=1, max_length=256)]


class RestartRequest(Strict, frozen=True):
    """Which processes to replace."""

    processes: (
        Annotated[
            tuple[NodeName, ...],
            Meta(
                min_length=1,
                max_length=MOST_NAMED,
                description="Names of nodes that are processes of this agent. Left out: all of them.",
                examples=[["host-1-6f2a90c1"]],
            ),
        ]
        | UnsetType
    ) = UNSET


class ExitView(Struct, frozen=True):
    """How a process ended."""

    at: Time
    reason: Annotated[
        str,
        Meta(description="The signal that it died of, or the status that it gave.", examples=["SIGKILL"]),
    ]


class ProcessView(Struct, frozen=True):
    """A process that an agent keeps running."""

    kind: Annotated[
        str,
        Meta(
            description="Its roles, joined by `+`; `store` for that of `serve --workers`.",
            examples=["center+dispatcher"],
        ),
    ]
    node: Annotated[str | None, Meta(description="Its name in the cluster, once it takes traffic.")]
    pid: Annotated[int | None, Meta(examples=[4711])]
    state: Annotated[
        ProcessState,
        Meta(
            description="`pausing`: it ended early, and is started again after a pause; `ending`: it moves "
            "its clients elsewhere and ends.",
            examples=["ready"],
        ),
    ]
    since: Time | None
    restarts: Annotated[
        int,
        Meta(description="How often it ended without being told to, and was started again.", examples=[0]),
    ]
    last_exit: Annotated[ExitView | None, Meta(description="Of the one before it in its place.")]
    version: Annotated[
        str | None, Meta(description="Of Longline there; null while it is no member.", examples=["0.1.0"])
    ]
    settings_version: Annotated[
        int | None, Meta(description="Of the dynamic settings in force there; null while it is no member.")
    ]


class RestartView(Struct, frozen=True):
    """A rolling restart, under way or the latest."""

    id: Annotated[
        str | None,
        Meta(
            description="Of the order; null for one by a signal on the host.",
            examples=["019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e26"],
        ),
    ]
    by: Annotated[
        str | None,
        Meta(
            description="The id of the key that ordered it; the audit log has the rest.", examples=["admin"]
        ),
    ]
    state: Annotated[
        RestartState,
        Meta(
            description="`starting`: new processes start beside the old ones; `replacing`: the old ones move "
            "their clients and end, one after the other; `given_up`: the new ones did not get ready, and the "
            "old ones stay; `interrupted`: the agent died meanwhile.",
            examples=["replacing"],
        ),
    ]
    total: Annotated[int, Meta(description="Processes that it replaces.", examples=[4])]
    ready: Annotated[int, Meta(description="New ones that take traffic.", examples=[4])]
    replaced: Annotated[int, Meta(description="Old ones that have ended.", examples=[1])]
    started_at: Time
    ended_at: Time | None
    reason: Annotated[str | None, Meta(description="Why it came to nothing.", examples=[None])]


class AgentView(Struct, frozen=True):
    """The agent of a host, and the processes that it keeps running."""

    agent: Annotated[str, Meta(description="Its name: that of its host.", examples=["host-1"])]
    state: Annotated[
        Literal["present", "away"],
        Meta(
            description="`away`: it was killed, its host is down, or it is cut off; the rest is what it told "
            "last.",
            examples=["present"],
        ),
    ]
    version: Annotated[
        str,
        Meta(description="Of the agent itself, which may be older than its processes'.", examples=["0.1.0"]),
    ]
    since: Time
    told_at: Annotated[Time, Meta(description="When it told this; it does so when something has changed.")]
    processes: list[ProcessView]
    restart: RestartView | None


class AgentList(Struct, frozen=True):
    """The agents of all hosts, by name."""

    agents: list[AgentView]
