"""Settings of the section `shadows`."""

from typing import Annotated

from msgspec import Struct

from longline.settings.about import KIB, about


class ShadowSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What is desired of devices, and what they report."""

    # Some hundred values with their names; more is better sent as a push.
    max_bytes: Annotated[
        int,
        about(
            "Bytes of JSON that the two documents of a device's shadow may have together; a change that "
            "would make it more is answered 422, and a device's 0x97.",
            unit="bytes",
            low=KIB,
            high=256 * KIB,
        ),
    ] = 32 * KIB
    max_depth: Annotated[
        int,
        about(
            "Levels to which objects and lists in them may be nested; beyond it likewise.",
            unit="levels",
            low=1,
            high=64,
        ),
    ] = 16
