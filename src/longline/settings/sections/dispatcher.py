"""Settings of the section `dispatcher`."""

from typing import Annotated

from msgspec import Struct

from longline.settings.about import about


class DispatcherSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Who tells clients where to connect."""

    endpoints: Annotated[
        int, about("Rooms named in one answer, best first.", unit="rooms", low=1, high=64, dynamic=True)
    ] = 3
    expires_in: Annotated[
        int, about("How long a client may go by an answer.", unit="s", low=1, high=86_400, dynamic=True)
    ] = 300
    pools: Annotated[
        tuple[str, ...],
        about(
            "White list for gray release, as `APP=POOL`: clients of these apps are sent to the rooms of that "
            "pool, clients of all others to the common one.",
            dynamic=True,
        ),
    ] = ()
    reconnect_rate: Annotated[
        float,
        about(
            "New connections that one room takes in good order; when many clients ask at once, they are told "
            "to spread their attempts over as long as this needs.",
            unit="connections/s",
            low=1,
            high=1_000_000,
            dynamic=True,
        ),
    ] = 1000.0
    heartbeat: Annotated[
        int, about("Keep alive recommended to clients.", unit="s", low=5, high=65535, dynamic=True)
    ] = 240
