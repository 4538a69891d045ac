"""Operations on the limits of an app."""

from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from longline.center.answers import LimitsInfo, LimitsInForce, answer
from longline.center.apps.changes import AppChanges
from longline.center.requests.operations import AppOperations, Operation
from longline.center.requests.reading import Body
from longline.center.schemas import LimitsBody
from longline.center.service import CenterService
from longline.errors import Conflict
from longline.model.apps import App
from longline.model.limits import AppLimits, Limits


def operations(center: CenterService) -> list[Operation]:
    """The rows of limits."""
    handlers = _Handlers(center.app_changes, lambda: center.limits.defaults)
    path = "/v1/apps/{app}/limits"
    operation = AppOperations(center.keys, "apps")
    return [
        operation("GET", path, handlers.limits, {200: LimitsInfo}),
        operation("PUT", path, handlers.put_limits, {200: LimitsInfo}, body=LimitsBody, errors=(Conflict,)),
    ]


class _Handlers:
    def __init__(self, changes: AppChanges, defaults: Callable[[], Limits]) -> None:
        self._changes = changes
        self._defaults = defaults
        self._body = Body(LimitsBody)

    async def limits(self, request: Request, app: App) -> Response:
        """Show an app's limits: its own, and all that are in force."""
        return answer(self._view(app.limits))

    async def put_limits(self, request: Request, app: App) -> Response:
        """Replace an app's limits.

        What is null or absent is the default. They hold for what comes from now on, in rooms at once and at
        other centers within five seconds; what is there already stays, though it be more. Whom they bound
        must not lift them, so an app's own keys do not do.
        """
        asked = await self._body.read(request)
        limits = AppLimits(**{name: getattr(asked, name) for name in AppLimits.__struct_fields__})

        def change(current: App) -> App:
            return msgspec.structs.replace(current, limits=limits)

        await self._changes.make(app, change)
        return answer(self._view(limits))

    def _view(self, own: AppLimits) -> LimitsInfo:
        in_force = LimitsInForce(**msgspec.structs.asdict(self._defaults().with_own(own)))
        return LimitsInfo(**msgspec.structs.asdict(own), in_force=in_force)
