"""How much work messages are, and a large request cut into pieces of it that take turns with others'.

The work is that of this process, of the store and of the rooms behind it, as far as it can be told: a
delivery is one unit, whosever it is. The sizes are compromises that were measured: larger pieces are less
work together, and whoever has a single push waits longer.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from longline.delivery.draft import Draft
from longline.errors import LonglineError
from longline.flow.turns import Lanes, Turns
from longline.model.audience import Aliases, Devices, Wanted

# Units in one piece, unless a single message is more; so many of large pieces are in the store.
SLICE: Final = 4500
LARGE: Final = 250  # units of a piece that is large: a message to everyone or to a hundred devices is not
SMALL_AT_ONCE: Final = 1000  # units of small ones that are in the store beside a large one: 125 single pushes
MESSAGE: Final = 7  # units of a message, besides its deliveries
ALIAS: Final = 10  # units of an alias: most are one device's, and some that of many
EXPRESSION: Final = 100  # units of a message whose audience the store finds: sets are read and written for it
BYTES: Final = 4096  # of payload that are worth one unit


def cost(draft: Draft | LonglineError) -> int:
    """The units of a draft; nothing for one that is wrong."""
    if isinstance(draft, LonglineError):
        return 0
    return MESSAGE + _deliveries(draft.audience) + len(draft.payload) // BYTES


def copies(drafts: Sequence[Draft | LonglineError]) -> int:
    """As how many messages these count: one to devices or aliases for each of them."""
    return sum(0 if isinstance(draft, LonglineError) else _names(draft.audience) for draft in drafts)


def _names(wanted: Wanted) -> int:
    if isinstance(wanted, Devices):
        return len(wanted.devices)
    return len(wanted.aliases) if isinstance(wanted, Aliases) else 1


def _deliveries(wanted: Wanted) -> int:
    if isinstance(wanted, Devices):
        return len(wanted.devices)
    return ALIAS * len(wanted.aliases) if isinstance(wanted, Aliases) else EXPRESSION


def lanes() -> Lanes[int]:
    """The turns of apps, by number, at the store."""
    return Lanes(Turns(SMALL_AT_ONCE, LARGE), Turns(SLICE, SLICE), LARGE)


def sliced(drafts: Sequence[Draft | LonglineError]) -> Iterator[tuple[int, int, int]]:
    """Where each piece begins and ends, and its units. The same drafts are always cut in the same places."""
    begin, units = 0, 0
    for place, draft in enumerate(drafts):
        more = cost(draft)
        if units and units + more > SLICE:
            yield begin, place, units
            begin, units = place, 0
        units += more
    if begin < len(drafts):
        yield begin, len(drafts), units
