"""Figures that say by themselves that something is wrong: those that are too high, and those that rise."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

Severity = Literal["warning", "critical"]


class High(NamedTuple):
    """From when on a figure is a problem, and a critical one; what is wrong, with a place for it; what to
    do.
    """

    warning: float
    critical: float
    message: str
    hint: str


class Rising(NamedTuple):
    """What a figure says that should not rise: how bad it is, its code, what is wrong, what to do."""

    severity: Severity
    code: str
    message: str
    hint: str


HIGH: Final[Mapping[str, High]] = {
    "loop_lag_seconds_p99": High(
        0.05,
        0.5,
        "The event loop wakes up {} late (1 % of the time, or more).",
        "Something keeps the loop busy: take a CPU profile of this node, or spread its load over more.",
    ),
    "gc_pause_seconds_p99": High(
        0.05,
        0.5,
        "The garbage collector stops the process for {} (1 % of its runs, or more).",
        "Take a heap profile of this node: something makes many objects that stay.",
    ),
    "store_call_seconds_p99": High(
        0.1,
        1.0,
        "The store takes {} to answer (1 % of calls, or more).",
        "Look at the load, the disk and the network of the store's servers.",
    ),
    "store_urgent_call_seconds_p99": High(
        0.1,
        1.0,
        "The store takes {} to answer what must not wait (1 % of calls, or more).",
        "Look at the load, the disk and the network of the store's servers.",
    ),
    "saver_write_seconds_p99": High(
        0.1,
        1.0,
        "The database takes {} to write (1 % of transactions, or more).",
        "Look at the disk that it is on: each transaction waits for a sync.",
    ),
    "saver_read_seconds_p99": High(
        0.1,
        1.0,
        "The database takes {} to read (1 % of reads, or more).",
        "Look at the disk that it is on, and at the node's processor; raise `saver.cache_bytes`.",
    ),
    "center_request_seconds_p99": High(
        1.0,
        5.0,
        "The API takes {} to answer (1 % of requests, or more).",
        "Look at the store's latency and at this node's load; start more centers.",
    ),
}
RISING: Final[Mapping[str, Rising]] = {
    "saver_failed_transactions": Rising(
        "critical",
        "store_refuses",
        "The database refused {} transactions in the last quarter of an hour.",
        "Look at the disk that it is on: it is full, or broken.",
    ),
    "center_circuit_opened": Rising(
        "critical",
        "circuit_open",
        "The store failed so often that it was left alone, {} times in the last quarter of an hour.",
        "Look at the store's servers; requests were refused meanwhile with 503.",
    ),
    "webhooks_circuits_opened": Rising(
        "warning",
        "webhook_circuit_open",
        "Targets of webhooks failed so often that they were left alone, {} times in a quarter of an hour.",
        "See `longline webhook show APP` for each app with a webhook.",
    ),
    "bus_dropped": Rising(
        "warning",
        "commands_dropped",
        "{} commands to nodes were dropped because their queue was full.",
        "A room does not keep up: look at its loop and its load. Its devices read their inboxes again.",
    ),
    "files_exhausted": Rising(
        "critical",
        "files_exhausted",
        "There was no file to be had, {} times in the last quarter of an hour.",
        "Raise the limit of open files (`LimitNOFILE`, `ulimit -n`); see `longline doctor`.",
    ),
    "saver_inbox_dropped": Rising(
        "warning",
        "inbox_full",
        "{} messages were dropped because as much waited for their device as may.",
        "Devices stay away for too long, or `saver.inbox_messages` is too low.",
    ),
    "coordinator_failures": Rising(
        "warning",
        "duty_fails",
        "Duties of the coordinator failed {} times in the last quarter of an hour.",
        "Look for `duty_failed` in this node's log.",
    ),
    "limits_messages": Rising(
        "warning",
        "limit_reached",
        "{} requests were refused: an app sends more messages in a second than it may.",
        "Raise its limit (`longline app limits`), or have it send more slowly.",
    ),
    "limits_connections": Rising(
        "warning",
        "limit_reached",
        "{} devices were not let in: their app has as many connected as it may.",
        "Raise its limit (`longline app limits`).",
    ),
    "limits_devices": Rising(
        "warning",
        "limit_reached",
        "{} devices were not registered: their app has as many as it may.",
        "Raise its limit (`longline app limits`).",
    ),
    "center_answers{503}": Rising(
        "warning",
        "overloaded",
        "{} requests were refused with 503 in the last quarter of an hour.",
        "The center had more requests than it takes, or its store did not answer; start more centers.",
    ),
}
