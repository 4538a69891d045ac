"""Operations on audiences: counting one beforehand."""

from starlette.requests import Request
from starlette.responses import Response

from longline.center.answers import Estimate, answer
from longline.center.drafts import audience_of
from longline.center.operations import Operation, for_app
from longline.center.reading import Body
from longline.center.schemas import EstimateRequest
from longline.center.service import CenterService
from longline.delivery.audience import size
from longline.errors import NotSupported
from longline.model.apps import App
from longline.register.port import Register
from longline.saver.port.devices import DeviceStore


def operations(center: CenterService) -> list[Operation]:
    """The row of audiences."""
    handlers = _Handlers(center.saver.devices, center.register)
    return [
        Operation(
            "POST",
            "/v1/apps/{app}/audiences:estimate",
            for_app(center.keys, handlers.estimate),
            "messages",
            {200: Estimate},
            body=EstimateRequest,
            errors=(NotSupported,),
        )
    ]


class _Handlers:
    def __init__(self, devices: DeviceStore, register: Register) -> None:
        self._devices = devices
        self._register = register
        self._estimate = Body(EstimateRequest)

    async def estimate(self, request: Request, app: App) -> Response:
        """Count the devices of an audience, and how many of them are connected now."""
        audience = audience_of((await self._estimate.read(request)).audience)
        return answer(Estimate(*await size(audience, app, self._devices, self._register)))
