"""Which of the receipts of applications are counted."""

from typing import Final

import msgspec

from longline.model.events import Event
from longline.model.statistics import Counted

_COUNTED: Final = {"shown": Counted.SHOWN, "opened": Counted.OPENED}


class _Named(msgspec.Struct):
    """What is looked at of an event."""

    name: str = ""


_named = msgspec.json.Decoder(_Named).decode


def counted_of(event: Event) -> Counted | None:
    """As what a receipt counts; None for none of the kinds that are counted."""
    try:
        return _COUNTED.get(_named(event.data).name)
    except msgspec.DecodeError:
        return None
