"""How much work messages are, and a large request cut into pieces of it that take turns with others'.

The work is that of this process, of the store and of the rooms behind it, as far as it can be told: a
delivery is one unit, whosever it is. The sizes are compromises that were measured: larger pieces are less
work together, and whoever has a single push waits longer.
"""

from collections.abc import Iterator, Sequence

from longline.delivery.draft import Draft
from longline.errors import LonglineError
from longline.model.audience import way_of

SLICE = 4500  # units in one piece, unless a single message is more
AT_ONCE = 5000  # units in the store at once: a large piece, and single pushes beside it
MESSAGE = 7  # units of a message, besides its deliveries
EXPRESSION = 100  # units of a message whose audience the store finds: sets are read and written for it
BYTES = 4096  # of payload that are worth one unit


def cost(draft: Draft | LonglineError) -> int:
    """The units of a draft; nothing for one that is wrong."""
    if isinstance(draft, LonglineError):
        return 0
    names, expression = way_of(draft.audience)
    deliveries = len(names) if expression is None else EXPRESSION
    return MESSAGE + deliveries + len(draft.payload) // BYTES


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
