"""Settings of the section `bus`."""

from typing import Annotated

from msgspec import Struct

from longline.settings.about import GIB, MIB, about


class BusSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The queues of commands between the parts."""

    queue: Annotated[
        int,
        about(
            "Commands that may wait for one node; beyond it their senders wait.",
            unit="commands",
            low=1,
            high=100_000_000,
        ),
    ] = 100_000
    queue_bytes: Annotated[
        int,
        about("What the payloads among them may add up to.", unit="bytes", low=MIB, high=64 * GIB),
    ] = 256 * MIB
    patience: Annotated[
        float,
        about(
            "In a cluster, how long senders wait for a node whose queue is full before its oldest commands "
            "are dropped; the node is told, and reads its devices' inboxes again.",
            unit="s",
            low=0,
            high=60,
        ),
    ] = 1.0
