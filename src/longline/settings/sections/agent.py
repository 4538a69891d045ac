"""Settings of the section `agent`."""

from typing import Annotated

from msgspec import Struct

from longline.settings.about import about


class AgentSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which processes an agent keeps running on its host."""

    processes: Annotated[
        tuple[str, ...],
        about(
            "`ROLES=COUNT`, roles joined by `+`: `room=4`, `center+dispatcher=2`, `coordinator=1`. Processes "
            "of a kind share their ports (`room.reuse_port`, `center.reuse_port`)."
        ),
    ] = ("room=1", "center+dispatcher=1", "coordinator=1")
    status_ports: Annotated[
        int,
        about(
            "First of the ports that the processes get, one each, for probes and figures "
            "(`node.status_port`). 0: none.",
            low=0,
            high=65000,
        ),
    ] = 0
