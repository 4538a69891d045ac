"""What settings say of how much is kept, as the stores take it."""

from longline.model.devices import ConnectionBounds
from longline.model.events import EventBounds
from longline.model.groups import GroupBounds
from longline.model.profiles import ProfileBounds
from longline.model.statistics import KeepCounts
from longline.model.trail import TrailBounds
from longline.model.webhooks import DeadBounds
from longline.saver.bounds import SaverBounds
from longline.saver.port.inboxes import InboxBounds
from longline.saver.port.queues import QueueBounds
from longline.saver.port.schedules import TimerBounds
from longline.settings import Settings


def saver_bounds(settings: Settings) -> SaverBounds:
    """The bounds of either engine."""
    saver, sessions, groups = settings.saver, settings.sessions, settings.groups
    webhooks, telemetry = settings.webhooks, settings.telemetry
    return SaverBounds(
        ledger_retention_ms=saver.ledger_retention * 1000,
        events=EventBounds(saver.event_limit, saver.event_bytes, saver.device_events),
        queue=QueueBounds(sessions.queue_messages, sessions.queue_bytes, sessions.match_limit),
        retained_messages=saver.retained_messages,
        retained_bytes=saver.retained_bytes,
        timers=TimerBounds(saver.waiting_messages, saver.schedules, saver.schedule_bytes),
        inbox=InboxBounds(saver.inbox_messages, saver.inbox_bytes),
        dead=DeadBounds(webhooks.dead_events, webhooks.dead_bytes),
        trail=TrailBounds(saver.audit_entries, saver.audit_retention * 1000),
        counts=KeepCounts(saver.statistics_hours, saver.statistics_days),
        groups=GroupBounds(
            groups.max_members,
            groups.max_device_groups,
            groups.history_messages,
            groups.history_bytes,
            groups.history_age * 1000,
        ),
        profiles=ProfileBounds(telemetry.profiles_kept, telemetry.profiles_bytes),
        connections=ConnectionBounds(saver.connections_kept, saver.connections_retention * 1000),
    )
