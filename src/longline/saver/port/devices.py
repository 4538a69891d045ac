"""The duties of a store of devices."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from longline.model.devices import Device, Profile


class Registration(msgspec.Struct, frozen=True):
    """A device to register, or whose profile to replace."""

    device: str
    profile: Profile


class DeviceStore(Protocol):
    """The port. What holds for every port of the saver stands in the folder's first paragraph.

    A device is changed in one step, and a batch in the order given. Where a batch fails, some of it may have
    been done; repeating it does the rest and changes nothing else. A registered device has its ordinal for
    ever.
    """

    async def put(self, app: int, batch: Sequence[Registration], now: int) -> list[Device]:
        """Registers devices or replaces their profiles; `AppNotFound`."""
        ...

    async def update(self, app: int, before: Device, profile: Profile) -> bool:
        """Replaces the profile of a device that was found as `before`.

        False, and nothing is changed, when it is not so any more: somebody else was faster, or it was
        deleted.
        """
        ...

    async def find(self, app: int, names: Sequence[str]) -> list[Device | None]: ...

    async def named(self, app: int, prefix: str, after: str, limit: int) -> list[Device]:
        """Devices whose names begin with `prefix`, by the bytes of their names, those after the name `after`
        ("" for the first). It looks at no others, however many there are."""
        ...

    async def list(
        self, app: int, *, tag: str | None, alias: str | None, after: int, limit: int
    ) -> list[Device]:
        """Devices by ordinal, those after `after` (-1 for the first)."""
        ...

    async def count(self, app: int) -> int: ...

    async def delete(self, app: int, device: str, now: int) -> bool:
        """Forgets a device; what is pending for it becomes dropped, `device_deleted`.

        False: no such device. Its ordinal is not used again. An `online_only` message to it by name, which
        is over within seconds, may end by itself instead.
        """
        ...

    async def ban(self, app: int, device: str, until: int) -> bool:
        """Refuses the device until `until` (ms; 0 lifts the ban). False: no such device."""
        ...
