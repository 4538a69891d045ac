"""A rolling restart and how far it has come."""

from collections.abc import Callable

import msgspec

from longline.model.agents import RestartState, RestartStatus
from longline.model.times import wall_clock


class AgentRestart:
    """One from its beginning to its end, of `total` processes. `changed` is called when its status has."""

    def __init__(self, total: int, id: str, by: str, changed: Callable[[], None]) -> None:
        self.cancelled = False
        self.status = RestartStatus(state="starting", started_at=wall_clock(), total=total, id=id, by=by)
        self._changed = changed

    @property
    def under_way(self) -> bool:
        return self.status.under_way

    def readied(self, ready: int) -> None:
        """So many of the new processes take traffic."""
        self._is(msgspec.structs.replace(self.status, ready=ready))

    def replaces(self, replaced: int) -> None:
        """So many of the old processes have ended; from the first call on they are about to."""
        self._is(msgspec.structs.replace(self.status, state="replacing", replaced=replaced))

    def end(self, state: RestartState, reason: str = "") -> None:
        """It is over, unless it was before."""
        if self.under_way:
            self._is(msgspec.structs.replace(self.status, state=state, ended_at=wall_clock(), reason=reason))

    def _is(self, status: RestartStatus) -> None:
        if status != self.status:
            self.status = status
            self._changed()
