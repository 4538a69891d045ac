"""Tables by what their rows belong to, for checks of what was left behind.

A table that is new to the schema has its place in one of these; a test says so.
"""

from typing import Final

# Rows of a device, which go with it.
OF_DEVICE: Final = (
    *("cursors", "gaps", "inbox", "sessions", "wills", "shadows"),
    *("visits", "connections", "unanswered", "group_members"),
)

# Rows that go in slices after the session, or the device, that they are of: `remains` lists whose.
OF_SESSION: Final = ("filters", "waiting", "received", "flights")

# Other rows whose key begins with a device.
BY_DEVICE: Final = ("devices", "departed", "remains")

# Rows of an app, by a column `app`.
OF_APP: Final = (
    "labels",
    "messages",
    "log",
    "endings",
    "filters",
    "idempotency",
    "events",
    "past",
    "latest",
    "queues",
    "standings",
    "forgotten",
    "counts",
    "there",
    "retained",
    "retained_left",
    "retained_totals",
    "timers",
    "timer_totals",
    "timer_keys",
    "chat_groups",
    "webhooks",
    "dead_events",
)

# Rows of a message, by a column `position`.
OF_MESSAGE: Final = ("deliveries", "broadcast_sets")

# What belongs to the whole store, or is looked at by a check of its own.
OF_STORE: Final = (
    *("meta", "apps", "sources", "expiry", "publications"),
    *("sayings", "keys", "trail", "trail_totals", "profiles", "profile_contents"),
    *("figure_lives", "figure_points"),
)
