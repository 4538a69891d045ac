"""The five dashboards: what operators look at, first all of it and then part by part."""

from typing import Final

from tools.dashboards.panels import (
    HERE,
    Dashboard,
    Panel,
    Row,
    kinds,
    level,
    levels,
    number,
    of_each,
    quantile,
    rate,
    rates,
)

FIRING: Final = 'ALERTS{alertstate="firing",alertname=~"Longline.*"}'
UNAVAILABLE: Final = rate("center_answers", only='status="503"')

OVERVIEW: Final = Dashboard(
    "longline-overview",
    "Longline / Overview",
    (
        Row(
            "Now",
            (
                number("Processes up", "short", 'sum(up{job="$job"})'),
                number("Processes away", "short", 'count(up{job="$job"}) - sum(up{job="$job"})', 1),
                number("Devices connected", "short", level("room_connections")),
                number("Accepted a second", "ops", rate("center_messages_accepted")),
                number("Acknowledged a second", "ops", rate("room_pushes_acked")),
                number(
                    "Answers 503",
                    "percentunit",
                    f"({UNAVAILABLE} or vector(0)) / {rate('center_answers')}",
                    0.001,
                ),
                number("Versions", "short", f"count(count by (version) (longline_build_info{{{HERE}}}))", 2),
                number("Alerts firing", "short", f"count({FIRING}) or vector(0)", 1),
            ),
        ),
        Row(
            "Traffic",
            (
                rates(
                    "Pushes",
                    ("center_messages_accepted", "accepted"),
                    ("room_pushes_sent", "sent"),
                    ("room_pushes_acked", "acknowledged"),
                    says="A message to many is accepted once, and acknowledged by each device.",
                ),
                rates(
                    "From devices",
                    ("room_upstream_stored", "for app servers"),
                    ("room_messages_in", "plain messages"),
                    ("room_messages_routed", "deliveries of plain messages"),
                ),
                Panel(
                    "Devices",
                    "short",
                    (
                        (level("room_connections", "instance"), "{{instance}}"),
                        (level("room_connections"), "all"),
                    ),
                ),
            ),
        ),
        Row(
            "What goes wrong",
            (
                kinds("Errors of the API, by code", "center_errors", "code"),
                kinds("Clients refused, by code", "room_refused", "kind"),
                kinds("Connections closed, by reason", "room_closed", "kind"),
            ),
        ),
        Row(
            "Processes",
            (
                of_each(
                    "Processor",
                    "percentunit",
                    f"sum by (instance) (rate(process_cpu_seconds_total{{{HERE}}}[$__rate_interval]))",
                    "1 is one core; a process uses little more.",
                ),
                of_each("Memory", "bytes", f"sum by (instance) (process_resident_memory_bytes{{{HERE}}})"),
                of_each(
                    "Event loop, 99th percentile of being late",
                    "s",
                    quantile(0.99, "loop_lag_seconds", "instance"),
                ),
                of_each(
                    "Pauses for the garbage collector, 99th percentile",
                    "s",
                    quantile(0.99, "gc_pause_seconds", "instance"),
                ),
                of_each("Tasks", "short", level("tasks", "instance")),
                of_each(
                    "Open files, share of the limit",
                    "percentunit",
                    f"process_open_fds{{{HERE}}} / on (instance, job) longline_files_limit{{{HERE}}}",
                ),
            ),
        ),
    ),
)

ROOMS: Final = Dashboard(
    "longline-rooms",
    "Longline / Rooms",
    (
        Row(
            "Connections",
            (
                of_each("Connections", "short", level("room_connections", "instance")),
                Panel(
                    "Coming",
                    "ops",
                    (
                        (rate("room_accepted"), "accepted"),
                        (rate("room_sessions_opened"), "sessions opened"),
                        (rate("room_sessions_resumed"), "sessions gone on with"),
                    ),
                ),
                Panel(
                    "Seconds until a CONNECT is answered",
                    "s",
                    (
                        (quantile(0.5, "room_connect_wait"), "median"),
                        (quantile(0.99, "room_connect_wait"), "99th percentile"),
                    ),
                ),
                kinds("Refused, by code", "room_refused", "kind"),
                kinds("Closed, by reason", "room_closed", "kind"),
                rates(
                    "Moved and cut off",
                    ("room_rebound", "bound anew"),
                    ("room_shed", "let go without the store"),
                    ("coordinator_dead_rooms", "dead rooms"),
                ),
            ),
        ),
        Row(
            "Pushes",
            (
                Panel(
                    "Sent and acknowledged",
                    "ops",
                    ((rate("room_pushes_sent"), "sent"), (rate("room_pushes_acked"), "acknowledged")),
                ),
                rates(
                    "Not straight away",
                    ("room_pushes_left", "left: the window was full"),
                    ("room_pushes_late", "late: read again"),
                    ("room_resyncs", "inboxes read again"),
                    ("room_gaps_told", "gaps told"),
                ),
                levels(
                    "Waiting for the store",
                    ("room_connects_waiting", "CONNECTs"),
                    ("room_receipts_waiting", "receipts"),
                    ("room_refills_waiting", "inboxes"),
                    ("room_upstream_waiting", "from devices"),
                    ("room_departures_waiting", "departures"),
                ),
                levels(
                    "Broadcasts, pauses and lateness of the store",
                    ("room_bulk_rest", "pause between slices"),
                    ("room_store_late_seconds", "the store is late"),
                    unit="s",
                ),
                levels(
                    "Clients that acknowledge nothing",
                    ("room_clients_slowed", "slowed"),
                    ("room_clients_parked", "parked"),
                ),
                rates(
                    "Lost for want of room",
                    ("room_receipts_lost", "receipts"),
                    ("room_takeovers_lost", "takeovers"),
                    ("room_upstream_lost", "from devices, QoS 0"),
                    ("room_queues_full", "queues of sessions"),
                ),
            ),
        ),
        Row(
            "Publish and subscribe",
            (
                rates(
                    "Plain messages",
                    ("room_messages_in", "published"),
                    ("room_messages_routed", "delivered"),
                    ("routes_messages_relayed", "to other rooms"),
                    ("routes_messages_received", "from other rooms"),
                ),
                rates(
                    "Dropped",
                    ("room_messages_dropped_slow", "slow subscriber"),
                    ("room_messages_dropped_expired", "expired"),
                    ("room_messages_dropped_size", "too large for the client"),
                    ("room_messages_dropped_denied", "not allowed"),
                    ("routes_messages_dropped", "between rooms"),
                ),
                levels(
                    "Sessions and filters",
                    ("room_sessions", "sessions"),
                    ("room_attachments", "attached"),
                    ("room_shared_members", "members of groups"),
                    ("routes_filters", "filters of other rooms"),
                ),
                Panel(
                    "Bytes",
                    "Bps",
                    (
                        (rate("room_bytes_in"), "from devices"),
                        (rate("room_bytes_out"), "to devices"),
                    ),
                ),
                rates(
                    "Publishers held back",
                    ("room_pressed", "the store does not keep up"),
                    ("room_publishers_slowed", "fast ones, for a second"),
                ),
                rates(
                    "Retained",
                    ("room_retained_kept", "kept"),
                    ("room_retained_sent", "sent"),
                    ("room_retained_refused", "refused"),
                ),
            ),
        ),
    ),
)

STORE: Final = Dashboard(
    "longline-store",
    "Longline / Store",
    (
        Row(
            "Redis or Valkey (workers and clusters)",
            (
                Panel(
                    "Calls",
                    "ops",
                    ((rate("store_calls"), "bulk"), (rate("store_urgent_calls"), "urgent")),
                    "Without lines where the store is SQLite.",
                ),
                of_each("Calls that wait", "short", level("store_waiting", "instance")),
                Panel(
                    "Servers",
                    "short",
                    (
                        (f"min(longline_store_connected{{{HERE}}})", "connected, least"),
                        (f"max(longline_store_servers{{{HERE}}})", "known"),
                    ),
                ),
                rates(
                    "Unsteady",
                    ("store_repeated", "repeated"),
                    ("store_moved", "moved"),
                    ("store_reconnects", "connected anew"),
                ),
                Panel(
                    "Bytes",
                    "Bps",
                    ((rate("store_bytes_out"), "to the store"), (rate("store_bytes_in"), "from the store")),
                ),
                of_each(
                    "Late, as rooms see it",
                    "s",
                    level("room_store_late_seconds", "instance"),
                ),
            ),
        ),
        Row(
            "SQLite (serve)",
            (
                rates(
                    "Work",
                    ("saver_writes", "items written"),
                    ("saver_reads", "items read"),
                    ("saver_commits", "transactions"),
                ),
                levels("Waiting", ("saver_write_queue", "to be written"), ("saver_read_queue", "to be read")),
                Panel(
                    "Transactions that fail, checkpoints",
                    "ops",
                    (
                        (rate("saver_failed_transactions"), "failed"),
                        (rate("saver_checkpoints"), "checkpoints"),
                    ),
                ),
                levels("Write-ahead log", ("saver_wal_pages", "pages")),
                levels(
                    "Memory of payloads and broadcasts",
                    ("saver_write_queue_bytes", "payloads that wait"),
                    ("saver_broadcast_cache_bytes", "broadcasts"),
                    unit="bytes",
                ),
                rates("Dropped", ("saver_inbox_dropped", "from full inboxes")),
            ),
        ),
        Row(
            "Between processes",
            (
                of_each("Commands that wait", "short", level("bus_waiting", "instance")),
                rates("Commands dropped", ("bus_dropped", "dropped")),
                levels(
                    "Presence",
                    ("register_lingering", "away, within their grace"),
                    ("register_transitions", "transitions to be read"),
                ),
                rates(
                    "Duties",
                    ("coordinator_rounds", "rounds"),
                    ("coordinator_failures", "failed"),
                    ("coordinator_rerouted", "messages routed again"),
                    ("coordinator_told_again", "sessions told again"),
                ),
                levels("Silent nodes not declared dead", ("coordinator_deaths_withheld", "nodes")),
                of_each(
                    "Rooms that clients can be sent to",
                    "short",
                    level("dispatcher_rooms", "instance"),
                    "Dispatchers see the same, or the keeper is not in touch with one.",
                ),
            ),
        ),
    ),
)

API: Final = Dashboard(
    "longline-api",
    "Longline / API",
    (
        Row(
            "Requests",
            (
                kinds("Answers, by status", "center_answers", "status"),
                kinds("Errors, by code", "center_errors", "code"),
                levels(
                    "Under way",
                    ("center_requests_running", "requests"),
                    ("center_sends_running", "sends"),
                    ("center_turns_waiting", "pieces that wait for the store"),
                    ("center_calls_waiting", "wait for a device's answer"),
                    ("center_events_waiting", "wait for events"),
                    ("center_event_streams", "streams"),
                ),
                rates(
                    "Messages",
                    ("center_messages_accepted", "accepted"),
                    ("center_messages_refused", "refused"),
                    ("center_replayed", "answered from an idempotency key"),
                ),
                rates(
                    "The store",
                    ("center_circuit_opened", "circuit opened"),
                    ("center_refused_early", "refused without asking it"),
                    ("center_routes_failed", "not handed to a room"),
                ),
                levels("Bodies of requests", ("center_bodies_bytes", "bytes"), unit="bytes"),
            ),
        ),
        Row(
            "Connections",
            (
                of_each("HTTP connections", "short", level("http_connections", "instance")),
                Panel(
                    "Refused and displaced",
                    "ops",
                    (
                        (rate("http_refused", "code"), "{{code}}"),
                        (rate("http_displaced"), "displaced"),
                    ),
                ),
                rates(
                    "Where to connect",
                    ("dispatcher_lookups", "asked"),
                    ("dispatcher_without_room", "no room"),
                ),
            ),
        ),
        Row(
            "Limits and the audit log",
            (
                rates(
                    "Refused or held by apps' limits",
                    ("limits_messages", "messages"),
                    ("limits_devices", "devices"),
                    ("limits_connections", "connections"),
                    ("limits_sessions", "sessions"),
                    ("limits_requests", "requests"),
                    ("limits_deliveries", "deliveries held"),
                ),
                rates(
                    "Changes",
                    ("center_changes_begun", "in the audit log"),
                    ("center_changes_unended", "without an outcome"),
                    ("saver_audit_forgotten", "forgotten early"),
                ),
                rates(
                    "Tokens by others",
                    ("authority_key_sets_read", "key sets read"),
                    ("authority_key_sets_failed", "key sets failed"),
                    ("authority_breaker_opened", "callback left alone"),
                ),
            ),
        ),
    ),
)

APPS: Final = Dashboard(
    "longline-apps",
    "Longline / Apps and webhooks",
    (
        Row(
            "Webhooks",
            (
                kinds("Calls, by what came of them", "webhooks_calls", "result"),
                Panel(
                    "Seconds that a call takes",
                    "s",
                    (
                        (quantile(0.5, "webhooks_call_seconds"), "median"),
                        (quantile(0.99, "webhooks_call_seconds"), "99th percentile"),
                    ),
                ),
                levels(
                    "Targets",
                    ("webhooks_targets", "all"),
                    ("webhooks_failing", "failing"),
                    ("webhooks_under_way", "called now"),
                ),
                levels("How long the oldest event waits", ("webhooks_lag_seconds", "oldest"), unit="s"),
                rates("Events", ("webhooks_events_taken", "taken"), ("webhooks_gaps", "gaps")),
                kinds("Events given up, by reason", "webhooks_given_up", "reason"),
            ),
        ),
        Row(
            "Schedules",
            (
                rates(
                    "Sent at their time",
                    ("coordinator_schedules_fired", "sent"),
                    ("coordinator_schedules_delayed", "held by a limit"),
                ),
                levels("Late, the latest", ("coordinator_schedules_late_ms", "ms"), unit="ms"),
                levels("Waiting for their time", ("coordinator_schedules_waiting", "messages and schedules")),
            ),
        ),
        Row(
            "From devices",
            (
                rates(
                    "Upstream",
                    ("room_upstream_stored", "stored"),
                    ("room_upstream_refused", "refused"),
                    ("room_upstream_lost", "lost, QoS 0"),
                ),
                rates(
                    "Groups",
                    ("room_talk_stored", "stored"),
                    ("room_talk_refused", "refused"),
                    ("room_talk_lost", "lost, QoS 0"),
                ),
                rates(
                    "Shadows and calls",
                    ("room_reports_taken", "reports"),
                    ("room_shadows_sent", "desired sent"),
                    ("room_replies_taken", "answers to calls"),
                    ("room_replies_unwanted", "answers too late"),
                ),
                rates("Devices retired", ("coordinator_devices_retired", "retired")),
                rates("Wills", ("coordinator_wills", "published"), ("saver_wills_forgotten", "forgotten")),
                levels("Retained messages", ("saver_retained_messages", "messages")),
            ),
        ),
    ),
)

ALL: Final = {"overview": OVERVIEW, "rooms": ROOMS, "store": STORE, "api": API, "apps": APPS}
