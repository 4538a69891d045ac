"""Settings of the section `node`."""

import re
import socket
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from longline.settings.about import about


class NodeSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """This process: its name, its event loop, its log."""

    region: Annotated[str, about("Where this node is, such as a data centre; clients are sent near.")] = ""
    networks: Annotated[
        tuple[str, ...], about("Networks, such as carriers, that this node is well connected to.")
    ] = ()
    weight: Annotated[
        float, about("Share of clients that this node gets, beside others'.", low=0, high=1000, dynamic=True)
    ] = 1.0
    pool: Annotated[
        str,
        about(
            "Pool that this room belongs to; clients of apps on the white list are sent to theirs. Empty: "
            "the common one."
        ),
    ] = ""
    name: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9._-]{1,64}$",
            description="Name of this node; the host's unless set.",
            extra={"rule": "1 to 64 letters, digits, dots, dashes and underscores, all of ASCII"},
        ),
    ] = field(default_factory=lambda: re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:64] or "node")
    loop: Annotated[
        Literal["auto", "uvloop", "asyncio"], about("Event loop. `auto` is uvloop where it is installed.")
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], about("The least severe events to log.", dynamic=True)
    ] = "info"
    log_format: Annotated[
        Literal["auto", "json", "console"], about("`auto` is console on a terminal and JSON lines elsewhere.")
    ] = "auto"
    gc_freeze: Annotated[
        bool,
        about(
            "Move what exists after start-up out of the garbage collector's sight, and let the collector's "
            "oldest generation run rarely. Idle connections make no cycles, so its scans over them are "
            "pauses without gain."
        ),
    ] = True
    status_host: Annotated[str, about("Address that `status_port` binds to.")] = "127.0.0.1"
    status_port: Annotated[
        int,
        about(
            "Probes and figures of this process (`/healthz`, `/readyz`, `/metrics`), also of one whose HTTP "
            "API shares its port with others. 0 is off.",
            low=0,
            high=65535,
        ),
    ] = 0
    drain_grace: Annotated[
        float,
        about(
            "How long a stopping room of a cluster takes to move its clients to other rooms, before it "
            "closes the rest.",
            unit="s",
            low=0,
            high=86_400,
        ),
    ] = 30.0
    shutdown_grace: Annotated[
        float,
        about("How long a stopping node waits for requests and writes under way.", unit="s", low=0, high=600),
    ] = 10.0
