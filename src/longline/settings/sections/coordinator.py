"""Settings of the section `coordinator`."""

from typing import Annotated

from msgspec import Struct

from longline.settings.about import about


class CoordinatorSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Work that one process does for all: what is over, who is dead, what was left undone."""

    grace: Annotated[
        float,
        about(
            "How long the devices of a node that died count as there, so that those that come back elsewhere "
            "have not been away.",
            unit="s",
            low=0,
            high=3600,
            dynamic=True,
        ),
    ] = 15.0
    unrouted_after: Annotated[
        float,
        about(
            "Age at which a message that nobody has said to be written to its connected device is routed "
            "again.",
            unit="s",
            low=0.5,
            high=3600,
            dynamic=True,
        ),
    ] = 5.0
    retire_after: Annotated[
        int,
        about(
            "How long a device may be away before it is retired: taken away with all that there is of it, "
            "and told as an event. 0: for ever.",
            unit="s",
            low=0,
            high=10 * 365 * 86_400,
            dynamic=True,
        ),
    ] = 0
