"""Options of filters in the form in which both engines keep them: one small number beside each filter."""

from typing import Final

from longline.model.pubsub import Filter

NO_LOCAL: Final = 4  # beside the QoS
AS_PUBLISHED: Final = 8
SHARED: Final = 16


def options_of(filter: Filter) -> int:
    """A filter's QoS and flags as one integer."""
    return (
        filter.qos
        | (NO_LOCAL if filter.no_local else 0)
        | (AS_PUBLISHED if filter.as_published else 0)
        | (SHARED if filter.shared else 0)
    )


def filter_of(text: str, options: int, identifier: int) -> Filter:
    """A filter as it was stored."""
    return Filter(
        text,
        options & 3,
        bool(options & NO_LOCAL),
        bool(options & AS_PUBLISHED),
        identifier,
        bool(options & SHARED),
    )
