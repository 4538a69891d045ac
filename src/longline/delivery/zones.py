"""Those of an audience for whom it is time: whose clocks show the time of some of the world's zones.

A device that says nothing of its time zone, or names one that nobody knows, has that of UTC.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from longline.delivery.audience import called
from longline.delivery.calendar import UTC_NAME, zone_names
from longline.delivery.checking import AudienceBounds
from longline.delivery.draft import Draft
from longline.errors import LonglineError
from longline.model.apps import App
from longline.model.audience import (
    MAX_NAMES,
    Aliases,
    AllOf,
    Devices,
    Everyone,
    Expression,
    InZone,
    NoneOf,
    Wanted,
)
from longline.saver.port.audiences import AudienceStore
from longline.saver.port.devices import DeviceStore


def in_zones(bounds: AudienceBounds) -> AudienceBounds:
    """The bounds of such audiences, which ask for the zone besides."""
    return AudienceBounds(bounds.tests + 3, bounds.depth + 2, bounds.alias_devices)


class Zones(NamedTuple):
    """Finds them. `bounds` are those of the audiences that were asked for."""

    devices: DeviceStore
    audiences: AudienceStore
    bounds: AudienceBounds

    async def within(self, draft: Draft, app: App, zones: frozenset[str]) -> Sequence[Wanted]:
        """The audiences that those make up together; none where nobody by name is there.

        Names that no device has are where it is UTC, and aliases that no device has are nowhere. Raises what
        is wrong with the draft's aliases by now.
        """
        match draft.audience:
            case Devices(names):
                found = await self._there(app, names, zones, unknown=True)
                return [Devices(tuple(found))] if found else []
            case Aliases():
                holders = (await called([draft], app, self.audiences, self.devices, self.bounds))[0]
                if isinstance(holders, LonglineError):
                    raise holders
                return list(_pages(await self._there(app, holders.devices, zones, unknown=False)))
            case _:
                return [AllOf((draft.audience, _in_zones(zones)))]

    async def _there(
        self, app: App, names: Sequence[str], zones: frozenset[str], *, unknown: bool
    ) -> list[str]:
        found = await self.devices.find(app.number, names)
        where = [
            unknown and UTC_NAME if device is None else _zone_of(device.profile.timezone) for device in found
        ]
        return [name for name, zone in zip(names, where, strict=True) if zone in zones]


def _pages(names: Sequence[str]) -> Iterator[Devices]:
    for start in range(0, len(names), MAX_NAMES):
        yield Devices(tuple(names[start : start + MAX_NAMES]))


def _in_zones(zones: frozenset[str]) -> Expression:
    if UTC_NAME not in zones:
        return InZone(tuple(sorted(zones)))
    others = tuple(sorted(zone_names() - zones))
    return NoneOf((InZone(others),)) if others else Everyone()  # also who is in none


def _zone_of(timezone: str | None) -> str:
    return timezone if timezone in zone_names() else UTC_NAME
