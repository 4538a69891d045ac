"""What the figures at `/metrics` mean, by name: the texts that Prometheus shows beside them.

Parts count in plain slots, and engines tell what they have at the moment of a scrape; here is what each of
them is, and which of the engines' only ever rise. `_total` is added where they are shown. A figure without a
row here is shown with its name for a text, and a test fails.
"""

from collections.abc import Mapping
from typing import Final

_STORE: Final = {
    "servers": "Servers of the store that are known: masters of a Cluster, or the one.",
    "connected": "Servers of the store that there is a connection to.",
    "calls": "Calls to the store.",
    "repeated": "Calls made again because a connection broke or a slot moved.",
    "moved": "Calls that a server sent to another one: the map of the Cluster was out of date.",
    "reconnects": "Connections to the store that were made anew.",
    "waiting": "Calls that wait for their answer.",
    "waiting_bytes": "Bytes of the calls that wait for their answer.",
    "bytes_out": "Bytes sent to the store.",
    "bytes_in": "Bytes received from the store.",
}
_STORE_NOW: Final = frozenset({"servers", "connected", "waiting", "waiting_bytes"})
_HTTP: Final = {
    "connections": "HTTP connections at present.",
    "displaced": "Idle HTTP connections closed to make room for others.",
    "refused": "HTTP connections ended before a request of theirs was looked at, by code.",
}
_TLS: Final = {
    "failed": "TLS handshakes that failed, and connections broken off later, by kind.",
    "handshakes": "TLS handshakes that succeeded.",
    "handshaking": "Connections whose TLS handshake is not over.",
    "reload_failures": "Changed certificates that could not be used: the one before stays in use.",
    "reloads": "Changed certificates that were put to use.",
    "resumed": "TLS handshakes that a ticket made short.",
}
_PARTS: Final[Mapping[str, Mapping[str, str]]] = {
    "files": {
        "limit": "Files that this process may have open.",
        "exhausted": "Times that there was none to spare.",
    },
    "saver": {
        "write_queue": "Items that wait for the thread that writes.",
        "write_queue_bytes": "Bytes of the payloads among them.",
        "read_queue": "Items that wait for the thread that reads.",
        "commits": "Transactions, each with one sync for all that had gathered.",
        "writes": "Items written.",
        "read_groups": "Groups of reads served together.",
        "reads": "Items read.",
        "failed_transactions": "Transactions that failed: a full or a broken disk, or a bad request.",
        "checkpoints": "Times that the write-ahead log was moved into the database.",
        "wal_pages": "Pages in the write-ahead log at present.",
        "broadcast_cache_bytes": "Memory of the sets or bodies of open broadcasts.",
        "wills_forgotten": "Wills that were due and made room for later ones of their device.",
        "retained_messages": "Retained messages of all apps; in a cluster told by who ends what is over.",
    },
    "register": {
        "lingering": "Sessions of devices that are away, within their grace.",
        "transitions": "Presence transitions that wait to be read.",
        "transitions_left_out": "Presence transitions left out for later ones of the same device.",
        "transitions_late": "Devices whose latest transition waits beyond the queue.",
        "unsure": "Binds whose answer was lost, and that may have to be withdrawn.",
    },
    "bus": {
        "waiting": "Commands that wait in this process to be handed over.",
        "dropped": "Commands dropped because their node's queue was full.",
    },
    "store": _STORE,
    "store_urgent": _STORE,
    "coordinator": {
        "rounds": "Rounds of duties that this process led.",
        "failures": "Rounds that failed, and are tried again.",
        "rerouted": "Messages handed over again because whoever accepted them had not.",
        "dead_rooms": "Dead rooms whose devices this process took care of.",
        "deaths_withheld": "Silent nodes not declared dead, because they are too many at once.",
    },
    "dispatcher": {
        "lookups": "Questions where to connect.",
        "without_room": "Answers that there is no room.",
        "history": "Clients whose last endpoint is remembered.",
        "rooms": "Rooms that clients can be sent to.",
    },
    "room": {
        "accepted": "Connections accepted.",
        "broadcasts_left": "Broadcasts left in the log, because too many waited or were under way.",
        "bytes_in": "Bytes received from devices.",
        "bytes_out": "Bytes sent to devices.",
        "closed": "Connections ended by this room, by reason.",
        "connect_wait": "Seconds from a CONNECT until it is looked at, or given up.",
        "connections": "Connections of devices at present.",
        "headers_awaited": "Connections from proxies whose PROXY header has not come yet.",
        "messages_dropped_expired": "Plain messages dropped because they waited until their expiry.",
        "messages_dropped_size": "Plain messages over the subscriber's Maximum Packet Size.",
        "messages_dropped_slow": "Plain messages dropped for subscribers that do not keep up.",
        "messages_in": "Plain messages that devices published.",
        "messages_routed": "Deliveries of plain messages to subscribers.",
        "pressed": "Times that the store did not keep up, and publishers were read from less.",
        "publishers_paused": "Connections not read from for that reason.",
        "pushes_acked": "Pushes acknowledged by devices.",
        "pushes_late": "Pushes that came behind what was stored after them: the store was read again.",
        "pushes_left": "Pushes left in the store because the device's window was full.",
        "pushes_sent": "Pushes written to devices.",
        "rebound": "Sessions bound anew, because the node or the session table had lost them.",
        "receipts_lost": "Receipts forgotten for want of room: these pushes are sent again.",
        "refused": "Peers' faults and refusals, by code.",
        "resyncs": "Times that commands to this room were lost, and inboxes were read again.",
        "retained_kept": "Retained messages kept or ended for devices.",
        "retained_lost": "Retained messages with QoS 0 not kept, because too many waited for the store.",
        "retained_refused": "Retained messages refused: the app has as many as it may.",
        "retained_sent": "Deliveries of retained messages to new subscriptions.",
        "sessions": "Sessions of devices at present.",
        "sessions_forgotten": "Sessions that the session table had lost.",
        "shed": "Clients let go because the store was out of reach.",
        "takeovers_lost": "Rooms not told that a device has come here, for want of room.",
        "writes_too_late": "Writes to connections that had just gone.",
    },
    "routes": {
        "arrivals_dropped": "Plain messages from other rooms dropped: more came than could be distributed.",
        "doubts": "Times that another room's table of filters could not be trusted.",
        "filters": "Filters of other rooms at present.",
        "messages_dropped": "Plain messages not handed to another room, for want of room or of a bus.",
        "messages_received": "Plain messages from other rooms.",
        "messages_relayed": "Plain messages handed to other rooms, once for each.",
        "neighbours": "Other rooms at present.",
        "publishers_paused": "Connections not read from because another room does not keep up.",
    },
    "center": {
        "answers": "Answers, by HTTP status.",
        "circuit_opened": "Times that the store was left alone because it failed again and again.",
        "errors": "Errors answered, by code.",
        "events_waiting": "Requests that wait for events.",
        "messages_accepted": "Messages answered 202.",
        "messages_refused": "Messages refused.",
        "refused_early": "Requests refused without asking the store, which had failed again and again.",
        "replayed": "Requests answered from an idempotency key.",
        "requests_running": "Requests under way.",
        "routes_failed": "Commands to nodes that could not be handed over; what they spoke of is stored.",
        "sends_running": "Sends under way.",
    },
    "http": _HTTP,
    "http_tls": _TLS,
    "room_tls": _TLS,
    "status": _HTTP,
    "gc": {
        "collected": "Objects that the garbage collector freed.",
        "pause_seconds": "Pauses of the event loop for the garbage collector.",
    },
    "loop": {
        "lag_seconds": "How much too late the event loop woke up.",
        "recent": "Seconds that the event loop wakes up too late, of late.",
    },
    "log": {"suppressed": "Log lines held back because a peer's fault was told before, by kind."},
}

HELP: Final = {
    f"longline_{part}_{name}": text for part, texts in _PARTS.items() for name, text in texts.items()
}
"""What each figure is."""

RISING: Final = frozenset(
    {
        *(
            f"longline_{part}_{name}"
            for part in ("store", "store_urgent")
            for name in _STORE.keys() - _STORE_NOW
        ),
        "longline_files_exhausted",
        "longline_saver_commits",
        "longline_saver_writes",
        "longline_saver_read_groups",
        "longline_saver_reads",
        "longline_saver_failed_transactions",
        "longline_saver_checkpoints",
        "longline_saver_wills_forgotten",
        "longline_register_transitions_left_out",
        "longline_bus_dropped",
        "longline_coordinator_rounds",
        "longline_coordinator_failures",
        "longline_coordinator_rerouted",
        "longline_coordinator_dead_rooms",
        "longline_dispatcher_lookups",
        "longline_dispatcher_without_room",
    }
)
"""Figures of engines and roles that are read at a scrape and only ever rise, as Prometheus wants to know."""
