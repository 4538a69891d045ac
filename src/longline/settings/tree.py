"""The tree itself: what stands above the sections, and the sections."""

from pathlib import Path
from typing import Annotated

from msgspec import Struct

from longline.settings.about import about
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


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """All settings of a node. Frozen: a change makes a new tree."""

    admin_key: Annotated[
        Secret | None,
        about(
            "The admin key of the HTTP API, 8 to 512 visible ASCII characters, and none that examples have. "
            "Unset: the first start makes one and writes it to a file in `data_dir`."
        ),
    ] = None
    secrets_key: Annotated[
        Secret | None,
        about(
            "What seals apps' device secrets and webhooks' secrets in the store: 32 visible ASCII characters "
            "or more, by chance (`openssl rand -hex 32`). Several, separated by commas, while one replaces "
            "another: the newest first, which seals, and those before it, which open. All processes have the "
            "same. Unset: they lie in clear."
        ),
    ] = None
    data_dir: Annotated[Path, about("Folder for everything the node keeps; made when missing.")] = Path(
        "longline-data"
    )
    node: NodeSettings = NodeSettings()
    room: RoomSettings = RoomSettings()
    authority: AuthoritySettings = AuthoritySettings()
    center: CenterSettings = CenterSettings()
    limits: LimitSettings = LimitSettings()
    saver: SaverSettings = SaverSettings()
    sessions: SessionSettings = SessionSettings()
    shadows: ShadowSettings = ShadowSettings()
    webhooks: WebhookSettings = WebhookSettings()
    parking: ParkingSettings = ParkingSettings()
    groups: GroupSettings = GroupSettings()
    store: StoreSettings = StoreSettings()
    keeper: KeeperSettings = KeeperSettings()
    bus: BusSettings = BusSettings()
    dispatcher: DispatcherSettings = DispatcherSettings()
    coordinator: CoordinatorSettings = CoordinatorSettings()
    agent: AgentSettings = AgentSettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @property
    def secrets_keys(self) -> tuple[str, ...]:
        """The keys of `secrets_key`, the newest first."""
        return () if self.secrets_key is None else tuple(self.secrets_key.reveal().split(","))

    @property
    def database(self) -> Path:
        """Where the saver's file is: `saver.path` below `data_dir`, unless it is absolute."""
        return self.data_dir / self.saver.path
