"""What is said of a setting, beside its type and default."""

from typing import Final

from msgspec import Meta

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB


def about(
    doc: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    dynamic: bool = False,
    awaited: bool = False,
) -> Meta:
    """What a setting means and may be: doc, unit, inclusive bounds, and whether it can change at run time.

    `awaited`: nothing acts on it yet, so to set it is a mistake, unless it says that there should be nothing.
    """
    return Meta(
        description=doc, ge=low, le=high, extra={"unit": unit, "dynamic": dynamic, "awaited": awaited}
    )
