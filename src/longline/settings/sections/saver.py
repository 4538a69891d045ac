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

    inbox_messages: Annotated[
        int,
        about(
            "Messages that wait for a device: in its inbox at any time, and together with broadcasts when it "
            "comes. Beyond it the oldest one without high priority is dropped (`inbox_full`).",
            unit="messages",
            low=1,
            high=1_000_000,
        ),
    ] = 5000
    inbox_bytes: Annotated[
        int,
        about(
            "What the payloads in the inbox of a device may add up to, about; one message is always kept.",
            unit="bytes",
            low=64 * KIB,
            high=64 * GIB,
        ),
    ] = 64 * MIB
    event_limit: Annotated[
        int,
        about(
            "Events for its app server that are kept for each app (`GET …/upstream`); beyond it the oldest "
            "go of those for which later ones of their device stand. Where an app has lanes "
            "(`store.event_lanes`), each is for a part of its devices and keeps its part of this.",
            unit="events",
            low=1000,
            high=100_000_000,
        ),
    ] = 100_000
    event_bytes: Annotated[
        int,
        about(
            "What the events of each app may add up to, what devices have sent included; beyond it likewise.",
            unit="bytes",
            low=8 * MIB,
            high=64 * GIB,
        ),
    ] = 256 * MIB
    device_events: Annotated[
        int,
        about(
            "Events of each device, the latest, that are the last to go: so that a device which sends all "
            "the time pushes out no other's.",
            unit="events",
            low=1,
            high=100,
        ),
    ] = 16
    statistics_hours: Annotated[
        int,
        about("Days for which what was counted in each hour is kept.", unit="days", low=1, high=90),
    ] = 14
    statistics_days: Annotated[
        int,
        about("Days for which what was counted in each day is kept.", unit="days", low=1, high=3650),
    ] = 400
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
    waiting_messages: Annotated[
        int,
        about(
            "Messages with a `send_at` that may wait for their time in each app; one more is answered 429.",
            unit="messages",
            low=1,
            high=10_000_000,
        ),
    ] = 100_000
    schedules: Annotated[
        int,
        about("Schedules of each app; one more is answered 429.", unit="schedules", low=1, high=1_000_000),
    ] = 1000
    schedule_bytes: Annotated[
        int,
        about(
            "What both may add up to in each app, with 200 for each of them.",
            unit="bytes",
            low=MIB,
            high=64 * GIB,
        ),
    ] = 256 * MIB
    connections_kept: Annotated[
        int,
        about(
            "Connections of each device, the latest, of which is kept when they began and ended, why, where "
            "and how (`GET …/connections`); 0 for none. Each takes some 150 bytes of the store.",
            unit="connections",
            low=0,
            high=100,
        ),
    ] = 10
    connections_retention: Annotated[
        int,
        about(
            "How long after its end that is kept.",
            unit="s",
            low=3600,
            high=31_536_000,
        ),
    ] = 604_800
    audit_entries: Annotated[
        int,
        about(
            "Changes through the API that are kept in the audit log, at most a tenth of them about one app; "
            "beyond it the oldest go.",
            unit="entries",
            low=100,
            high=100_000_000,
        ),
    ] = 100_000
    audit_retention: Annotated[
        int,
        about(
            "How long a change through the API is kept in the audit log.",
            unit="s",
            low=3600,
            high=315_360_000,
        ),
    ] = 7_776_000
