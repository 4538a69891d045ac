"""Devices that live in virtual time and draw the longest wait each time."""

from longline import Device
from longline.testing.clock import VirtualClock


def in_virtual_time(clock: VirtualClock | None = None) -> type[Device]:
    """The class of devices that go by this clock, or by one of their own that nobody advances."""

    class InVirtualTime(Device):
        _clock = clock or VirtualClock()
        _random = staticmethod(lambda: 1.0)

    return InVirtualTime
