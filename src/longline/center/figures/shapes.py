"""Figures as the API takes and tells them."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from longline.center.shapes import AppName, MomentText, Strict
from longline.delivery.event_views import Time

Host = Annotated[str, Meta(description="Its machine, which stays the same when it starts again.")]
Figures = Annotated[
    dict[str, float],
    Meta(
        description="By their names in `/metrics`, without `longline_` and `_total`; one that has a label as "
        "`room_closed{kicked}`. A histogram by `name_count` and `name_sum`, and by `name_p50` and `name_p99` "
        "of what came since the sample before, in seconds, which are absent when nothing did.",
        examples=[{"room_connections": 5000, "loop_lag_seconds_p99": 0.0011, "room_closed{kicked}": 3}],
    ),
]


class TaskKindView(Struct, frozen=True):
    """The tasks of a process that have one name."""

    name: Annotated[str, Meta(examples=["node.membership"])]
    count: int
    oldest_seconds: Annotated[
        float, Meta(description="How long the oldest of them has been there, as far as it was seen.")
    ]


class AppLoadView(Struct, frozen=True):
    """What an app does in one process, as of its last sample: all but `connections` in a second."""

    app: Annotated[AppName | None, Meta(description="null: all other apps together.")]
    apps: Annotated[int, Meta(description="How many apps that is.", examples=[1])]
    connections: Annotated[int, Meta(description="Devices that are connected to it.", examples=[5000])]
    connects: Annotated[float, Meta(description="Devices let in.")]
    accepted: Annotated[float, Meta(description="Messages that were answered 202.")]
    sent: Annotated[float, Meta(description="Pushes written to devices.")]
    acked: Annotated[float, Meta(description="Pushes that devices acknowledged.")]
    upstream: Annotated[float, Meta(description="Messages and receipts of devices that were stored.")]
    requests: Annotated[float, Meta(description="Requests answered, but for those that wait for events.")]
    refused: Annotated[float, Meta(description="Answers from 400 to 499.")]
    errors: Annotated[float, Meta(description="Answers from 500 on.")]
    request_seconds: Annotated[
        float | None, Meta(description="What a request took on the average; null without any.")
    ]


class NodeFigures(Struct, frozen=True):
    """What one process told of itself last. `at`: when, by its own clock."""

    node: str
    host: Host
    roles: tuple[str, ...]
    version: str
    since: Time
    at: Time
    figures: Figures
    tasks: list[TaskKindView]
    apps: Annotated[
        list[AppLoadView], Meta(description="The 20 busiest, the busiest first, and all others as one.")
    ]


class FiguresView(Struct, frozen=True):
    """What all processes have told last, by node."""

    at: Annotated[Time, Meta(description="Now, by the store's clock.")]
    nodes: list[NodeFigures]


class FigureHistoryQuery(Strict, frozen=True, rename={"from_": "from"}):
    """Which figures, of whom and of when."""

    from_: Annotated[MomentText | UnsetType, Meta(description="From then on; an hour ago unless given.")] = (
        UNSET
    )
    to: Annotated[MomentText | UnsetType, Meta(description="Before then; now unless given.")] = UNSET
    node: Annotated[
        Annotated[str, Meta(max_length=128)] | UnsetType, Meta(description="Of this node alone.")
    ] = UNSET
    names: Annotated[
        Annotated[str, Meta(max_length=2000)] | UnsetType,
        Meta(
            description="Names of figures, with commas between them; at most 100. Those of the overview "
            "unless given.",
            examples=["room_connections,loop_lag_seconds_p99"],
        ),
    ] = UNSET


class NodeHistory(Struct, frozen=True):
    """What some figures of one process were, each as long as `at`; one that starts again begins another."""

    node: str
    host: Host
    at: Annotated[list[Time], Meta(description="When each was told, by the store's clock.")]
    figures: Annotated[
        dict[str, list[float | None]],
        Meta(
            description="By name; null where a histogram had seen nothing. A figure that was always 0 is "
            "absent.",
            examples=[{"room_connections": [5000]}],
        ),
    ]


class HistoryView(Struct, frozen=True):
    """What some figures of processes were."""

    step: Annotated[float, Meta(description="Seconds between two points.", examples=[10])]
    nodes: list[NodeHistory]


Severity = Literal["warning", "critical"]


class ProblemView(Struct, frozen=True, omit_defaults=True):
    """Something that is wrong now."""

    code: Annotated[str, Meta(description="What it is, for programs.", examples=["store_slow"])]
    severity: Severity
    message: Annotated[
        str,
        Meta(examples=["The store takes 0.31 s to answer (99 % of calls are faster)."]),
    ]
    hint: Annotated[
        str, Meta(description="What to do about it.", examples=["Look at the load of the store's servers."])
    ]
    since: Annotated[Time | None, Meta(description="Since when, as far as that is known.")]
    node: str | UnsetType = UNSET
    app: AppName | UnsetType = UNSET


class ProblemList(Struct, frozen=True):
    """What is wrong now, the critical first."""

    problems: list[ProblemView]


class BoundView(Struct, frozen=True):
    """How full something is that has a bound."""

    name: Annotated[str, Meta(description="The figure that is bounded.", examples=["room_connections"])]
    node: str
    host: Host
    used: float
    limit: float
    share: Annotated[float, Meta(description="Of the limit, 0 to 1.", examples=[0.42])]
    growth_per_day: Annotated[
        float | None,
        Meta(description="How it grew in the last days; null: it has not been told for long enough."),
    ]
    full_at: Annotated[
        Time | None,
        Meta(description="When it is full if it goes on like that; null: it is not, within ten years."),
    ]


class BoundList(Struct, frozen=True):
    """How full each bound is, the fullest first."""

    bounds: list[BoundView]


class WaitingView(Struct, frozen=True):
    """What waits of an app's latest messages."""

    deliveries: int
    messages: Annotated[int, Meta(description="How many messages these are: the latest 100, or all.")]


class AppFiguresView(Struct, frozen=True):
    """How an app fares now."""

    at: Time
    connected: Annotated[int, Meta(description="Devices that are connected, or have just been.")]
    messages_per_second: float | None
    deliveries_per_second: Annotated[float | None, Meta(description="That devices acknowledged.")]
    messages: Annotated[int, Meta(description="In this hour, of UTC.")]
    deliveries: Annotated[int, Meta(description="That devices acknowledged in this hour.")]
    waiting: WaitingView
