"""Orders to nodes to take profiles of themselves, as they lie in the keeper.

A center writes the order under the node's name. The node carries it out, keeps the profile in the store, says
so under its name, and takes the order away.
"""

from typing import Final

import msgspec

from longline.center.operators.orders import kept_as
from longline.keeper.port import Kept
from longline.model.profiles import ProfileKind

ORDERS: Final = "profile-orders/"  # + node: what it is to do
OUTCOMES: Final = "profile-outcomes/"  # + node: what came of the latest


class ProfileOrder(msgspec.Struct, frozen=True, kw_only=True):
    """`id` is that of the profile to come. `seconds` for it; `requested_at` in ms."""

    id: str
    kind: ProfileKind
    seconds: float
    requested_at: int


class ProfileOutcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of the order `id`: a profile in the store, or else an error, by its code."""

    id: str
    code: str = ""
    message: str = ""


_order = msgspec.json.Decoder(ProfileOrder)
_outcome = msgspec.json.Decoder(ProfileOutcome)


def order_in(kept: Kept | None) -> ProfileOrder | None:
    """The order; None for none, and for one that this version cannot read."""
    return kept_as(_order, kept)


def outcome_in(kept: Kept | None) -> ProfileOutcome | None:
    """The outcome, likewise."""
    return kept_as(_outcome, kept)
