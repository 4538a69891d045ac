"""Where a routed message stands for a device, whatever engine gave it its positions."""

from longline.model.commands import Broadcast, Unicast


def log_before_of(route: Unicast | Broadcast, ordinal: int) -> int:
    """The position of the broadcast that it says was before it in the log of that device."""
    if isinstance(route, Broadcast):
        return route.parts[ordinal % len(route.parts)].before
    return next(target.log_before for target in route.targets if target.ordinal == ordinal)


def position_of(route: Unicast | Broadcast, ordinal: int) -> int:
    """The message's position for the device with this ordinal, in its inbox or its part of the log."""
    if isinstance(route, Broadcast):
        return route.parts[ordinal % len(route.parts)].position
    return next(target.position for target in route.targets if target.ordinal == ordinal)
