"""One item's fault, kept from the others of its batch."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from longline.errors import LonglineError
from longline.telemetry.faults import Faults

T = TypeVar("T")


async def contained(
    place: str, work: Callable[[Sequence[T]], Awaitable[object]], items: Sequence[T], faults: Faults
) -> None:
    """Works on all items at once; if that raises what nobody foresaw, on each by itself, in order.

    The item that raises it then is given up and noted, as a fault of `place`. A `LonglineError` goes to the
    caller, whoever's it is: it is not the items' fault. So `work` must bear an item that it has done before.
    """
    try:
        await work(items)
    except LonglineError:
        raise
    except Exception as error:
        if len(items) == 1:
            faults.note(place, error)
            return
        for item in items:
            await contained(place, work, [item], faults)
