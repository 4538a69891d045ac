"""What all processes tell about themselves, what is wrong, and how an app fares."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from longline.sdk.calls.http import Http
from longline.sdk.figures import AppFigures, BoundInfo, ClusterFigures, FigureHistory, ProblemInfo
from longline.sdk.paths import app_path, given, told


class _ProblemList(msgspec.Struct):
    problems: list[ProblemInfo]


class _BoundList(msgspec.Struct):
    bounds: list[BoundInfo]


class FigureCalls:
    """A part of `Center`."""

    _http: Http

    async def figures(self) -> ClusterFigures:
        """What all processes have told last; they tell every second while somebody asks again and again."""
        return await self._http.call("GET", "/v1/figures", ClusterFigures, safe=True)

    async def figure_history(
        self,
        names: Sequence[str] | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        node: str | None = None,
    ) -> FigureHistory:
        """What these figures were, or those of an overview, of a node or of all; in the last hour unless it
        is said.
        """
        params: dict[str, str | int] = given(
            names=None if names is None else ",".join(names),
            to=None if until is None else told(until),
            node=node,
        )
        if since is not None:
            params["from"] = told(since)
        return await self._http.call("GET", "/v1/figures/history", FigureHistory, params=params, safe=True)

    async def problems(self) -> list[ProblemInfo]:
        """What is wrong now, the critical first."""
        return (await self._http.call("GET", "/v1/problems", _ProblemList, safe=True)).problems

    async def capacity(self) -> list[BoundInfo]:
        """How full each bound is, the fullest first."""
        return (await self._http.call("GET", "/v1/capacity", _BoundList, safe=True)).bounds

    async def app_figures(self, app: str) -> AppFigures:
        """How an app fares now."""
        return await self._http.call("GET", f"{app_path(app)}/figures", AppFigures, safe=True)
