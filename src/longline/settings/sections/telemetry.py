"""Settings of the section `telemetry`."""

from typing import Annotated

from msgspec import Struct

from longline.settings.about import about
from longline.settings.secret import Secret


class TelemetrySettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What the node measures about itself."""

    loop_lag_interval: Annotated[
        float, about("How often the event loop's lag is sampled.", unit="s", low=0.01, high=60)
    ] = 0.25
    otlp_endpoint: Annotated[
        str | None,
        about(
            "Address of an OpenTelemetry collector that takes OTLP over HTTP, without `/v1/traces`, such as "
            "`http://127.0.0.1:4318`. One in `trace_one_in` messages is traced there. Unset: none is."
        ),
    ] = None
    otlp_headers: Annotated[
        Secret | None,
        about("What the collector wants in each request: `NAME=VALUE`, several separated by commas."),
    ] = None
    trace_one_in: Annotated[
        int,
        about(
            "How many messages there are to each that is traced, the same for all processes. A traced "
            "message costs three spans, and two more for each device, of up to 32 in a room.",
            unit="messages",
            low=1,
            high=1_000_000_000,
        ),
    ] = 1000
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
    profiles_kept: Annotated[
        int, about("Profiles kept of all nodes; the oldest go.", unit="profiles", low=1, high=10_000)
    ] = 200
    profiles_bytes: Annotated[
        int,
        about(
            "What they may take up in all; the oldest go. The latest is kept, whatever it takes up.",
            unit="bytes",
            low=1_048_576,
            high=10_737_418_240,
        ),
    ] = 64 * 1024 * 1024
    profile_every: Annotated[
        float,
        about(
            "How often each node takes a profile of its processor and one of its tasks, by itself, "
            "at moments of its own. 0: never.",
            unit="s",
            low=0,
            high=604_800,
            dynamic=True,
        ),
    ] = 0.0
