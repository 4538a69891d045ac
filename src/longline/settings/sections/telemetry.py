"""Settings of the section `telemetry`."""

from typing import Annotated

from msgspec import Struct

from longline.settings.about import about


class TelemetrySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What the node measures about itself."""

    loop_lag_interval: Annotated[
        float, about("How often the event loop's lag is sampled.", unit="s", low=0.01, high=60)
    ] = 0.25
    log_peers: Annotated[
        int,
        about(
            "Bad input is logged once per kind and peer. This many such pairs are remembered; beyond it "
            "peers are counted but not logged.",
            unit="pairs",
            low=16,
            high=10_000_000,
        ),
    ] = 10_000
    log_repeat: Annotated[
        float,
        about(
            "When the pairs of `log_peers` are forgotten, so that each may be logged once more.",
            unit="s",
            low=1,
            high=31_536_000,
        ),
    ] = 86_400.0
