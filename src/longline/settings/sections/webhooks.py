"""Settings of the section `webhooks`."""

from typing import Annotated

from msgspec import Struct

from longline.settings.about import GIB, MIB, about


class WebhookSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Events that are sent to app servers: to whom, how often they are tried, what is kept of the rest."""

    private_addresses: Annotated[
        bool,
        about(
            "Whether a webhook's target may be in this host or in a private network; there it may also be "
            "`http`. Off: an app's people could have the server call what only the server reaches."
        ),
    ] = False
    timeout: Annotated[
        float,
        about(
            "Time for a target to answer, from looking its name up; without an answer the batch is tried "
            "again.",
            unit="s",
            low=0.1,
            high=60,
        ),
    ] = 10.0
    batch: Annotated[int, about("Events in one call, at most.", unit="events", low=1, high=500)] = 500
    first_retry: Annotated[
        float,
        about(
            "Pause after a try that failed; twice as long each time that the next fails, too. Of each pause "
            "a random part, up to a half, is left out.",
            unit="s",
            low=0.05,
            high=3600,
        ),
    ] = 1.0
    longest_retry: Annotated[
        float,
        about(
            "The longest of these pauses, also where a target asks for a longer one in Retry-After.",
            unit="s",
            low=0.05,
            high=86_400,
        ),
    ] = 300.0
    give_up_after: Annotated[
        float,
        about(
            "When a target has taken nothing for so long, events that are older are given up: they are dead.",
            unit="s",
            low=0.1,
            high=2_592_000,
        ),
    ] = 86_400.0
    failures: Annotated[
        int,
        about(
            "Tries that fail one after the other, until a target's circuit is open. Then half as much is "
            "sent in a try each time that it answers with an error, down to one event, until it takes some.",
            unit="tries",
            low=1,
            high=1000,
        ),
    ] = 5
    concurrency: Annotated[
        int,
        about(
            "Targets that are called at once by the one process that does. Those that failed last, or took "
            "longer than a second, share a quarter as many places besides.",
            unit="calls",
            low=4,
            high=10_000,
        ),
    ] = 32
    dead_events: Annotated[
        int,
        about(
            "Dead events that are kept of an app; of more, the latest.", unit="events", low=1, high=1_000_000
        ),
    ] = 10_000
    dead_bytes: Annotated[int, about("What they may add up to.", unit="bytes", low=MIB, high=64 * GIB)] = (
        64 * MIB
    )
