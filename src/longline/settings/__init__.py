"""One typed tree of settings.

`tree` says what can be set, `catalogue` lists it for programs, `sources` reads it from the file, the
environment and the flags, and `reference` writes it down for people.
"""

from longline.settings.catalogue import CATALOGUE, Entry
from longline.settings.reference import reference_page
from longline.settings.sources import Loaded, load
from longline.settings.tree import (
    AgentSettings,
    BusSettings,
    CenterSettings,
    CoordinatorSettings,
    DispatcherSettings,
    KeeperSettings,
    NodeSettings,
    RoomSettings,
    SaverSettings,
    Secret,
    Settings,
    StoreSettings,
    TelemetrySettings,
)

__all__ = [
    "CATALOGUE",
    "AgentSettings",
    "BusSettings",
    "CenterSettings",
    "CoordinatorSettings",
    "DispatcherSettings",
    "Entry",
    "KeeperSettings",
    "Loaded",
    "NodeSettings",
    "RoomSettings",
    "SaverSettings",
    "Secret",
    "Settings",
    "StoreSettings",
    "TelemetrySettings",
    "load",
    "reference_page",
]
