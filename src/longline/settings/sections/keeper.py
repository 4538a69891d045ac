"""Settings of the section `keeper`."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from longline.settings.about import about


class KeeperSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Membership, leadership and settings that change at run time."""

    engine: Annotated[
        Literal["zookeeper", "redis"],
        about(
            "Who keeps them: a ZooKeeper ensemble, or the store itself, which is enough for the processes of "
            "one host."
        ),
    ] = "zookeeper"
    hosts: Annotated[str, about("The ZooKeeper ensemble: `HOST:PORT`, several separated by commas.")] = (
        "127.0.0.1:2181"
    )
    root: Annotated[
        str,
        Meta(
            pattern="^(/[A-Za-z0-9._-]+)+$",
            description="The ZooKeeper node below which everything is.",
            extra={"rule": "a path such as /longline, of letters, digits, dots, dashes and underscores"},
        ),
    ] = "/longline"
    session_timeout: Annotated[
        float,
        about(
            "How long a node may be out of touch before the others take it for dead.",
            unit="s",
            low=1,
            high=300,
        ),
    ] = 10.0
    report_interval: Annotated[
        float,
        about("How often a node tells the others its load.", unit="s", low=0.1, high=60),
    ] = 2.0
