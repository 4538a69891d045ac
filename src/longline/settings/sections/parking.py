"""Settings of the section `parking`."""

from typing import Annotated

from msgspec import Struct

from longline.settings.about import about


class ParkingSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Devices that take messages and acknowledge none."""

    # A phone in a tunnel comes back twice or thrice without an answer; a client that is broken does for ever.
    slow_after: Annotated[
        int,
        about(
            "Connections in a row on which a device was sent pushes and acknowledged nothing, after which "
            "it gets one push at a time, and on each further connection later: after 1, 2, 4 s, up to 60.",
            unit="connections",
            low=1,
            high=1_000_000,
        ),
    ] = 5
    park_after: Annotated[
        int,
        about(
            "The same, after which it is parked: it is sent no pushes.",
            unit="connections",
            low=1,
            high=1_000_000,
        ),
    ] = 20
    # Of those that answer at all nearly all do within a second; an application that first does something with
    # a message needs longer.
    patience: Annotated[
        int,
        about(
            "A device that is connected and acknowledges nothing for so long, while pushes are "
            "unacknowledged, is parked, too.",
            unit="s",
            low=1,
            high=86_400,
        ),
    ] = 900
    retry_after: Annotated[
        int,
        about(
            "One that is parked is sent a single push when so much time has passed since the last; "
            "acknowledging it ends all of this.",
            unit="s",
            low=1,
            high=2_592_000,
        ),
    ] = 3600
