"""What the API tells operators: the members of the cluster, and the settings that it shares."""

from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec

from longline.sdk.answers import Json

if TYPE_CHECKING:
    Role = Literal["room", "center", "dispatcher", "coordinator"]
else:
    Role = str  # whatever a later version says


class NodeLoad(msgspec.Struct, frozen=True, kw_only=True):
    """What a member has measured of itself lately: connections and how many it takes, the share of a core in
    use, and how late its event loop is, in seconds.
    """

    connections: int = 0
    capacity: int = 0
    cpu: float = 0.0
    lag: float = 0.0


class DrainStatus(msgspec.Struct, frozen=True, kw_only=True):
    """An order to move a node's clients elsewhere. `deadline` in seconds; `progress` as the node tells it."""

    requested_at: datetime
    rate: float | None = None
    deadline: float | None = None
    dry_run: bool = False
    progress: dict[str, Json] | None = None


class NodeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A member of the cluster. `draining`: it takes no new clients."""

    node: str
    host: str
    roles: tuple[Role, ...]
    addresses: dict[str, str]
    since: datetime
    version: str
    region: str = ""
    networks: tuple[str, ...] = ()
    pool: str = ""
    weight: float = 1.0
    load: NodeLoad = NodeLoad()
    draining: bool = False
    drain: DrainStatus | None = None
    settings_version: int = 0


class SettingsOnTrial(msgspec.Struct, frozen=True, kw_only=True):
    """Settings that only these members have, until they are promoted or rolled back."""

    nodes: tuple[str, ...]
    settings: dict[str, Json]


class FormerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a former version of the shared settings said."""

    version: int
    settings: dict[str, Json]
    at: datetime | None = None
    gray: SettingsOnTrial | None = None


class SettingsInForce(msgspec.Struct, frozen=True, kw_only=True):
    """Which version of the shared settings a member has."""

    node: str
    settings_version: int


class SharedSettings(FormerSettings, frozen=True, kw_only=True):
    """The settings that are changed at run time, for all members. `history`: the latest former versions."""

    history: tuple[FormerSettings, ...] = ()
    nodes: tuple[SettingsInForce, ...] = ()


class SettingInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One of them: its `value` for all members (None: each has its own), `gray` for those on trial."""

    name: str
    value: Json = None
    gray: Json = None
    default: Json = None
    type: str = ""
    meaning: str = ""
    version: int = 0
