"""What agents tell, and orders to them, as they lie in the keeper.

A center writes an order under the agent's name. The agent takes it away by its version, so that nobody else
can, and only then carries it out: once, or not at all. What it says to it stands in its status.
"""

from typing import Final

import msgspec

from longline.center.operators.orders import kept_as
from longline.keeper.port import Kept
from longline.model.agents import AgentOrder, AgentStatus

STATUSES: Final = "agents/"  # + agent: what it tells
ORDERS: Final = "agent-orders/"  # + agent: what it is to do

_status = msgspec.json.Decoder(AgentStatus)
_order = msgspec.json.Decoder(AgentOrder)


def status_in(kept: Kept | None) -> AgentStatus | None:
    """The status; None for none, and for one that this version cannot read."""
    return kept_as(_status, kept)


def order_in(kept: Kept | None) -> AgentOrder | None:
    """The order, likewise."""
    return kept_as(_order, kept)
