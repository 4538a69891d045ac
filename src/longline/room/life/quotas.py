"""How often clients may come, and how many of an app: what is asked of a CONNECT besides whom it is from.

A client that comes again and again keeps a room busy, and everybody who is told when it comes and goes. Most
do so because two have one name and take over from each other, for ever. So who has come too often within a
while is banned for another. It is counted of who has shown a good token, and of nobody else: else anybody
could have another's device banned.
"""

from collections.abc import Callable, Mapping
from typing import Final, final

from longline.errors import Banned, Overloaded, RateLimited
from longline.flow.bucket import Bucket
from longline.flow.lru import LruCache
from longline.mqtt.reasons import ReasonCode
from longline.room.session.session import Tenant
from longline.settings import RoomSettings

REMEMBERED: Final = 65_536  # clients of which it is known how often they came


class ConnectRateExceeded(RateLimited):
    """More CONNECTs come in a second than are looked at."""

    code = "connect_packet_rate"


class TooManyConnectionsOfApp(Overloaded):
    """The app has as many connections here as it may."""

    code = "too_many_connections_of_app"
    reason = ReasonCode.QUOTA_EXCEEDED


class Flapping(Banned):
    """The device has come too often in a short time, and is banned for a while."""

    code = "flapping"


@final
class Comings:
    """How often a client has come since when, in seconds; and until when it is banned."""

    __slots__ = ("banned_until", "count", "since")

    def __init__(self, now: float) -> None:
        self.since = now
        self.count = 0
        self.banned_until = now


class Quotas:
    """Owned by admission. `tenants`: the apps with sessions here, by number. `clock` in seconds, rising."""

    def __init__(
        self, settings: RoomSettings, tenants: Mapping[int, Tenant], clock: Callable[[], float]
    ) -> None:
        self.settings = settings
        self._tenants = tenants
        self._clock = clock
        self._bucket: Bucket | None = None
        self._comings: LruCache[tuple[int, str], Comings] = LruCache(REMEMBERED)

    def refusal(self) -> ConnectRateExceeded | None:
        """Why a CONNECT is not looked at; None when it is."""
        rate = self.settings.connect_packet_rate
        if not rate:
            return None
        now = self._clock()
        if self._bucket is None:
            self._bucket = Bucket(rate, now)
        return None if self._bucket.take(rate, now) else ConnectRateExceeded()

    def enter(self, app: int, device: str, coming: int) -> None:
        """A client has a good token, and `coming` others of its app are about to be let in.

        Raises what it is refused with. Who takes over from itself is no further connection.
        """
        self._not_flapping(app, device)
        most = self.settings.max_connections_per_app
        if most:
            tenant = self._tenants.get(app)
            here = 0 if tenant is None else len(tenant.sessions)
            if here + coming >= most and (tenant is None or device not in tenant.sessions):
                raise TooManyConnectionsOfApp

    def _not_flapping(self, app: int, device: str) -> None:
        most = self.settings.flapping_connects
        if not most:
            return
        now = self._clock()
        comings = self._comings.get((app, device))
        if comings is None:
            comings = Comings(now)
            self._comings.put((app, device), comings)
        if now < comings.banned_until:
            raise Flapping
        if now - comings.since >= self.settings.flapping_window:
            comings.since = now
            comings.count = 0
        comings.count += 1
        if comings.count > most:
            comings.banned_until = comings.since = now + self.settings.flapping_ban
            comings.count = 0
            raise Flapping
