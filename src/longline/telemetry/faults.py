"""Errors that nobody foresaw, in one item of many: counted, logged once, and kept from the others.

Whatever goes through many items in turn (the callbacks of a turn, the commands of a node, the rows of a
batch) hands what an item raises to `Faults` and goes on with the next.
"""

from typing import Final, final

import structlog

from longline.telemetry.counters import LABELS, Tally

KINDS: Final = LABELS  # kinds of faults that are told apart; further ones are counted, not logged

log = structlog.get_logger("longline.faults")


@final
class Faults:
    """The faults of one process, counted by the place that met them."""

    def __init__(self) -> None:
        self.counts = Tally()
        self._seen: set[tuple[str, str, str, int]] = set()

    def note(self, place: str, error: BaseException) -> None:
        """Counts what an item raised, and logs it with its traceback the first time that it comes from there.

        Never raises. `place` is what went through the items, such as `room.commands`.
        """
        self.counts.add(place)
        at = error.__traceback__
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        kind = (
            place,
            type(error).__qualname__,
            at.tb_frame.f_code.co_filename if at is not None else "",
            at.tb_lineno if at is not None else 0,
        )
        if kind in self._seen or len(self._seen) >= KINDS:
            return
        self._seen.add(kind)
        try:
            log.error("fault", place=place, exc_info=error)
        except Exception:  # a log that cannot be written ends nothing
            self.counts.add("telemetry.log")
