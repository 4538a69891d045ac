"""Orders to nodes to move their clients elsewhere, as they lie in the keeper.

A center writes the order under the node's name, where it stays until it is taken back. The node carries it
out, and tells how far that has come.
"""

import msgspec

from longline.center.operators.orders import kept_as
from longline.keeper.port import Kept

DRAINS = "drains/"  # + node: the order, which the node reads
PROGRESS = "drain-progress/"  # + node: how far it has come, which the node writes


class DrainOrder(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of an order to drain.

    `rate`: clients moved in the first second. `deadline`: seconds for all of it. `requested_at` in ms.
    """

    requested_at: int
    rate: float | None = None
    deadline: float | None = None
    dry_run: bool = False


_order = msgspec.json.Decoder(DrainOrder)
_progress = msgspec.json.Decoder(dict[str, object])


def order_in(kept: Kept | None) -> DrainOrder | None:
    """The order; None for none, and for one that this version cannot read."""
    return kept_as(_order, kept)


def progress_in(kept: Kept | None) -> dict[str, object] | None:
    """How far it has come, likewise."""
    return kept_as(_progress, kept)
