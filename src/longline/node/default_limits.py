"""The limits of apps that have none of their own, as the settings have them."""

from longline.model.limits import Limits
from longline.settings import Settings


def default_limits(settings: Settings) -> Limits:
    """From the section `limits`, and from `saver` what is stored for an app."""
    limits, saver = settings.limits, settings.saver
    return Limits(
        messages_per_second=limits.messages_per_second,
        deliveries_per_second=limits.deliveries_per_second,
        devices=limits.devices,
        connections=limits.connections,
        sessions=limits.sessions,
        groups=limits.groups,
        requests=limits.requests,
        inbox_messages=saver.inbox_messages,
        inbox_bytes=saver.inbox_bytes,
        retained_messages=saver.retained_messages,
        retained_bytes=saver.retained_bytes,
        waiting_messages=saver.waiting_messages,
        schedules=saver.schedules,
        ledger_retention=saver.ledger_retention,
        retire_after=settings.coordinator.retire_after,
    )
