"""One typed tree of settings.

`sections` says what can be set, `tree` puts the sections together, `catalogue` lists them for programs,
`sources` reads them from the file, the environment and the flags, `dynamic` from what operators change at run
time, and `reference` writes them down for people.
"""

from longline.settings.catalogue import CATALOGUE, Setting
from longline.settings.reference import reference_page
from longline.settings.secret import Secret
from longline.settings.sections.agent import AgentSettings
from longline.settings.sections.authority import AuthoritySettings
from longline.settings.sections.bus import BusSettings
from longline.settings.sections.center import CenterSettings
from longline.settings.sections.coordinator import CoordinatorSettings
from longline.settings.sections.dispatcher import DispatcherSettings
from longline.settings.sections.groups import GroupSettings
from longline.settings.sections.keeper import KeeperSettings
from longline.settings.sections.limits import LimitSettings
from longline.settings.sections.node import NodeSettings
from longline.settings.sections.parking import ParkingSettings
from longline.settings.sections.room import RoomSettings
from longline.settings.sections.saver import SaverSettings
from longline.settings.sections.sessions import SessionSettings
from longline.settings.sections.shadows import ShadowSettings
from longline.settings.sections.store import StoreSettings
from longline.settings.sections.telemetry import TelemetrySettings
from longline.settings.sections.webhooks import WebhookSettings
from longline.settings.sources import Loaded, load
from longline.settings.tree import Settings

__all__ = [
    "CATALOGUE",
    "AgentSettings",
    "AuthoritySettings",
    "BusSettings",
    "CenterSettings",
    "CoordinatorSettings",
    "DispatcherSettings",
    "GroupSettings",
    "KeeperSettings",
    "LimitSettings",
    "Loaded",
    "NodeSettings",
    "ParkingSettings",
    "RoomSettings",
    "SaverSettings",
    "Secret",
    "SessionSettings",
    "Setting",
    "Settings",
    "ShadowSettings",
    "StoreSettings",
    "TelemetrySettings",
    "WebhookSettings",
    "load",
    "reference_page",
]
