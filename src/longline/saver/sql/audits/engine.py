"""Opening the audit of an embedded engine's file: all checks by name, each step in a snapshot of its own."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from longline.errors import LayoutRefused, Unavailable
from longline.saver.port.audits import STORE, AuditStep
from longline.saver.sql.audits import broadcasts, devices, events, groups, messages, sessions, store, topics
from longline.saver.sql.audits.step import Check
from longline.saver.sql.engine import SCHEMA_VERSION
from longline.saver.sql.snapshot import Snapshot

OF_APP: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "pending": messages.check_pending,
        "states": messages.check_states,
        "targets": messages.check_targets,
        "bodies": messages.check_bodies,
        "inboxes": messages.check_inboxes,
        "expiry": messages.check_expiry,
        "idempotency": messages.check_idempotency,
        "sets": broadcasts.check_sets,
        "log": broadcasts.check_log,
        "log_entries": broadcasts.check_ledgerless,
        "devices": devices.check_devices,
        "labels": devices.check_labels,
        "cursors": devices.check_cursors,
        "gaps": devices.check_gaps,
        "remains": devices.check_remains,
        "event_queue": events.check_event_queue,
        "events": events.check_fleeting_events,
        "latest": events.check_latest,
        "standings": events.check_standings,
        "standing_rows": events.check_standing_rows,
        "presence": events.check_presence,
        "session_queues": sessions.check_session_queues,
        "session_ends": sessions.check_session_ends,
        "session_rows": sessions.check_session_rows,
        "queued_messages": sessions.check_queued_messages,
        "filters": sessions.check_filters,
        "retained": topics.check_retained,
        "retained_totals": topics.check_retained_totals,
        "timers": topics.check_timers,
        "groups": groups.check_groups,
        "memberships": groups.check_memberships,
        "webhooks": groups.check_webhooks,
    }
)
OF_STORE: Final[Mapping[str, Check]] = MappingProxyType(
    {
        "apps": store.check_apps,
        "app_numbers": store.check_app_numbers,
        "messages": store.check_messages,
        "publications": store.check_publications,
        "sayings": store.check_sayings,
        "trail": store.check_trail,
    }
)


class SqlAudits:
    """Fulfils `AuditStore` for a file that a node may be writing to. Made by `open`."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._turn = asyncio.Lock()  # of the one connection that there is

    @classmethod
    async def open(cls, path: Path) -> "SqlAudits":
        """Raises `Unavailable` when it cannot be read, `LayoutRefused` when another version wrote it."""
        return cls(await asyncio.to_thread(_open, path))

    @property
    def app_checks(self) -> Sequence[str]:
        return tuple(OF_APP)

    @property
    def store_checks(self) -> Sequence[str]:
        return tuple(OF_STORE)

    async def apps(self) -> Sequence[tuple[int, str]]:
        """Those that are not being taken away."""
        return await asyncio.to_thread(self._apps)

    def _apps(self) -> list[tuple[int, str]]:
        with self._snapshot.held():
            rows = self._snapshot.rows("SELECT number, app FROM apps WHERE NOT deleted ORDER BY app")
        return [(number, name) for number, name in rows]

    async def look(self, check: str, app: int, after: str) -> AuditStep:
        """One step, in a thread."""
        async with self._turn:
            return await asyncio.to_thread(self._look, check, app, after)

    def _look(self, check: str, app: int, after: str) -> AuditStep:
        with self._snapshot.held():
            # An app that was deleted meanwhile is taken away in slices: nothing of it is as it was.
            if app != STORE and not self._snapshot.number(
                "SELECT 1 FROM apps WHERE number = ?1 AND NOT deleted", app
            ):
                return AuditStep((), 0, None)
            return (OF_STORE if app == STORE else OF_APP)[check](self._snapshot, app, after)

    async def close(self) -> None:
        await asyncio.to_thread(self._snapshot.close)


def _open(path: Path) -> Snapshot:
    if not path.exists():
        raise Unavailable(f"there is no {path}")
    snapshot = Snapshot(path)
    with snapshot.held():
        version = snapshot.number("PRAGMA user_version")
    if version != SCHEMA_VERSION:
        snapshot.close()
        raise LayoutRefused(f"{path} has schema {version}; this version reads {SCHEMA_VERSION}")
    return snapshot
