"""The audit of a store that processes share: all walks by name, each step one script in one partition."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from longline.saver.findings import Findings
from longline.saver.kv.apps import KvApps
from longline.saver.kv.audits import devices, events, groups, inboxes, keys, ledgers, sessions
from longline.saver.kv.audits.slices import Slice, Walk, Walked
from longline.saver.kv.partitions import Partitions
from longline.saver.port.audits import STORE, AuditStep
from longline.saver.sealing import UNOPENED
from longline.store.redis import Store

OF_APP: Final[Mapping[str, Walk]] = MappingProxyType(
    {
        "ledgers": ledgers.walk_ledgers,
        "logs": ledgers.walk_logs,
        "inboxes": inboxes.walk_inboxes,
        "devices": devices.walk_devices,
        "bindings": devices.walk_bindings,
        "events": events.walk_events,
        "latest": events.walk_latest,
        "timers": events.walk_timers,
        "sessions": sessions.walk_sessions,
        "filters": sessions.walk_filters,
        "retained": sessions.walk_retained,
        "groups": groups.walk_groups,
        "webhooks": groups.walk_webhooks,
    }
)
KEYS: Final = "keys"


class KvAudits:
    """Fulfils `AuditStore` on a store that stays its owner's to close."""

    def __init__(self, store: Store) -> None:
        self._partitions = Partitions(store)
        self._apps = KvApps(self._partitions, UNOPENED)

    @property
    def app_checks(self) -> Sequence[str]:
        return tuple(OF_APP)

    @property
    def store_checks(self) -> Sequence[str]:
        return (KEYS,)

    async def apps(self) -> Sequence[tuple[int, str]]:
        """By name."""
        return [(app.number, app.app) async for app in keys.every(self._apps)]

    async def look(self, check: str, app: int, after: str) -> AuditStep:
        """`after`: a partition, and where it goes on in it, in hexadecimal digits."""
        number, _, rest = after.partition("/")
        partition = int(number or 0)
        findings = Findings(check, app)
        at = Slice(self._partitions, app, partition, bytes.fromhex(rest), findings)
        walked = await self._walk(check, at)
        if walked.next is not None:
            return findings.step(walked.looked, f"{partition}/{walked.next.hex()}")
        last = partition + 1 == self._partitions.count
        return findings.step(walked.looked, None if last else f"{partition + 1}/")

    async def _walk(self, check: str, at: Slice) -> Walked:
        if at.app == STORE:
            return await keys.walk_keys(at, self._apps)
        return await OF_APP[check](at)
