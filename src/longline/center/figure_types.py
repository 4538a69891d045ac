"""Figures as the API takes and tells them."""

from typing import Annotated

from msgspec import Meta, Struct

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


class FiguresView(Struct, frozen=True):
    """What all processes have told last, by node."""

    at: Annotated[Time, Meta(description="Now, by the store's clock.")]
    nodes: list[NodeFigures]
