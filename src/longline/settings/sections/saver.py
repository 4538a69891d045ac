"""Settings of the section `saver`."""

from pathlib import Path
from typing import Annotated

from msgspec import Struct

from longline.settings.about import GIB, KIB, MIB, about


class SaverSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The store of messages, inboxes, receipts and ledgers."""

    path: Annotated[Path, about("Database file, relative to `data_dir`.")] = Path("longline.db")
    queue: Annotated[
        int,
        about(
            "Messages, receipts and devices that may wait to be written, and as many to be read; beyond it "
            "requests are refused as overloaded.",
            unit="items",
            low=1,
            high=10_000_000,
        ),
    ] = 100_000
    queue_bytes: Annotated[
        int,
        about("What the payloads among them may add up to.", unit="bytes", low=MIB, high=64 * GIB),
    ] = 256 * MIB
    cache_bytes: Annotated[
        int,
        about(
            "Memory for what is read often: database pages (half of it), the sets of open broadcasts (a "
            "quarter), and their messages.",
            unit="bytes",
            low=MIB,
            high=64 * GIB,
        ),
    ] = 64 * MIB
    ledger_retention: Annotated[
        int,
        about(
            "How long a message's status and ledger can be asked for after its TTL ran out.",
            unit="s",
            low=60,
            high=31_536_000,
        ),
    ] = 604_800

    event_limit: Annotated[
        int,
        about(
            "Events for its app server that are kept for each app (`GET …/upstream`); beyond it the oldest "
            "go of those for which later ones of their device stand.",
            unit="events",
            low=1000,
            high=100_000_000,
        ),
    ] = 100_000
    retained_messages: Annotated[
        int,
        about(
            "Retained messages of each app; a PUBLISH that would keep one more is answered 0x97.",
            unit="messages",
            low=1,
            high=100_000_000,
        ),
    ] = 1_000_000
    retained_bytes: Annotated[
        int,
        about(
            "What the retained messages of each app may add up to: topics, properties and payloads, and 200 "
            "for each message.",
            unit="bytes",
            low=64 * KIB,
            high=64 * GIB,
        ),
    ] = 256 * MIB
