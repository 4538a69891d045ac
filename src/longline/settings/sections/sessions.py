"""Settings of the section `sessions`."""

from typing import Annotated

from msgspec import Struct

from longline.settings.about import GIB, KIB, MIB, about


class SessionSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """MQTT sessions that outlive their connections, and the messages that wait for them."""

    # A week, as long as a message's ledger: a client that has not come back by then has been replaced.
    max_expiry: Annotated[
        int,
        about(
            "How long a session is kept at most after its connection ended; MQTT 5 clients that ask for more "
            "are told, and those of 3.1.1 that want one kept get this. 4294967295 is for ever.",
            unit="s",
            low=0,
            high=4_294_967_295,
            dynamic=True,
        ),
    ] = 604_800
    # As many as most brokers keep. Who is away for long and cannot do without more should be sent pushes.
    queue_messages: Annotated[
        int,
        about(
            "QoS 1 and 2 messages that wait for one session, sent or not; one beyond it is dropped for this "
            "session and counted.",
            unit="messages",
            low=1,
            high=1_000_000,
        ),
    ] = 1000
    # Above a dozen of the largest packets, and thousands of the usual ones.
    queue_bytes: Annotated[
        int,
        about(
            "Bytes of their topics, properties and payloads; one that would be more is dropped and counted, "
            "unless it is the only one.",
            unit="bytes",
            low=KIB,
            high=GIB,
        ),
    ] = 4 * MIB
    match_limit: Annotated[
        int,
        about(
            "What it may cost to find the sessions that a publication is for: filters that match, and "
            "beginnings of filters that were looked for. One that needs more is refused (0x97) and reaches "
            "no session: a message to so many should be a broadcast.",
            unit="looks",
            low=100,
            high=1_000_000,
        ),
    ] = 10_000
