"""What was refused, or held, because of apps' limits: figures that several roles count."""

from longline.center.service import CenterService
from longline.delivery.headcounts import Headcounts
from longline.delivery.rates import MessageRates
from longline.room.room import Room


def refused_by_limits(
    rates: MessageRates, devices: Headcounts, room: Room | None, center: CenterService | None
) -> dict[str, int]:
    """By what is limited; the roles that a process does not have count nothing."""
    figures = dict.fromkeys(("devices", "connections", "sessions", "requests", "deliveries"), 0)
    figures["messages"] = rates.refused
    figures["devices"] = devices.refused
    if room is not None:
        figures["connections"] += room.allowances.connections.refused
        figures["sessions"] += room.allowances.sessions.refused
        figures["deliveries"] += room.delivery_rates.held
    if center is not None:
        figures["requests"] += center.sharing.refused
    return figures
