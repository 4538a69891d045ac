"""What an experienced operator would find on a running cluster: a part of `longline doctor`.

The server knows what is wrong (`GET /v1/problems`); here it is put beside what is well, check by check.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from longline.cli.finding import Finding
from longline.sdk.figures import BoundInfo, ClusterFigures, NodeSample, ProblemInfo

CHECKS: Final = {
    "versions": ("versions_differ",),
    "clocks": ("clocks_apart",),
    "processes": ("node_silent", "node_untold", "settings_behind", "fault", "duty_fails"),
    "load": (
        *("loop_lag_high", "gc_pause_high", "center_request_high", "overloaded", "commands_dropped"),
        *("tasks_growing", "task_stuck"),
    ),
    "limits": ("bound_near", "limit_reached", "files_exhausted"),
    "store": (
        *("store_evicts", "store_forgets", "store_refuses", "circuit_open"),
        *("store_call_high", "store_urgent_call_high", "saver_write_high", "saver_read_high"),
    ),
    "certificates": ("certificate_running_out",),
    "rooms": ("rooms_uneven", "drain_stuck"),
    "inboxes": ("inboxes_grow", "inbox_full"),
    "webhooks": ("webhook_failing", "webhook_circuit_open"),
}
"""Codes of problems by what is looked at; others are `other`."""


def of_cluster(
    now: ClusterFigures, problems: Sequence[ProblemInfo], bounds: Sequence[BoundInfo]
) -> Iterator[Finding]:
    """All findings: of each check what is wrong, or that nothing is."""
    well = _well(now, bounds)
    for check, codes in CHECKS.items():
        found = [each for each in problems if each.code in codes]
        if found:
            yield from (_finding(check, each) for each in found)
        else:
            yield Finding(check, "ok", well[check])
    known = {code for codes in CHECKS.values() for code in codes}
    yield from (_finding("other", each) for each in problems if each.code not in known)


def _finding(check: str, of: ProblemInfo) -> Finding:
    where = of.node or of.app
    said = of.message if where is None else f"{where}: {of.message}"
    return Finding(check, "bad" if of.severity == "critical" else "warn", said, of.hint)


def _well(now: ClusterFigures, bounds: Sequence[BoundInfo]) -> dict[str, str]:
    rooms = [each.figures.get("room_connections", 0) for each in now.nodes if "room" in each.roles]
    left = [
        value
        for each in now.nodes
        for name, value in each.figures.items()
        if name.endswith("_tls_certificate_seconds")
    ]
    fullest = max(bounds, key=lambda each: each.share, default=None)
    processes = len(now.nodes)
    return {
        "versions": f"{_versions(now.nodes)} on {processes} processes",
        "clocks": "all agree with the store's",
        "processes": f"{processes}, all of which tell how they are",
        "load": "no process is late",
        "limits": "none is told"
        if fullest is None
        else f"the fullest is {fullest.name} at {fullest.share:.0%}",
        "store": "keeps what it is given, and answers in time",
        "certificates": f"good for {min(left) / 86_400:,.0f} days or more" if left else "none is in use",
        "rooms": f"{len(rooms)}, with {min(rooms):,.0f} to {max(rooms):,.0f} connections"
        if rooms
        else "none",
        "inboxes": "devices take what is sent",
        "webhooks": "targets take what they are sent",
    }


def _versions(nodes: Sequence[NodeSample]) -> str:
    return ", ".join(sorted({each.version for each in nodes})) or "none"
