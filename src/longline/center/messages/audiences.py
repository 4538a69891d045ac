"""Operations on audiences: counting one beforehand."""

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from longline.center.messages.audience_shapes import AudienceBody
from longline.center.messages.drafts import addressed
from longline.center.requests.answers import answer
from longline.center.requests.operations import Operation, for_app
from longline.center.requests.reading import Body
from longline.center.service import CenterService
from longline.center.shapes import Strict
from longline.delivery.audience import size
from longline.delivery.checking import AudienceBounds
from longline.errors import AudienceTooComplex, AudienceTooLarge, NotSupported, ReplyInvalid
from longline.model.apps import App
from longline.register.port import Register
from longline.saver.port.audiences import AudienceStore
from longline.saver.port.devices import DeviceStore


class Estimate(Struct, frozen=True):
    """How many devices an audience has, and how many of them are connected."""

    devices: int
    online: int


class EstimateRequest(Strict, frozen=True):
    """An audience to count."""

    audience: AudienceBody


def operations(center: CenterService) -> list[Operation]:
    """The row of audiences."""
    handlers = _Handlers(
        center.saver.audiences, center.saver.devices, center.register, center.audience_bounds
    )
    return [
        Operation(
            "POST",
            "/v1/apps/{app}/audiences:estimate",
            for_app(center.keys, handlers.estimate),
            "messages",
            {200: Estimate},
            body=EstimateRequest,
            errors=(NotSupported, ReplyInvalid, AudienceTooComplex, AudienceTooLarge),
        )
    ]


class _Handlers:
    def __init__(
        self, audiences: AudienceStore, devices: DeviceStore, register: Register, bounds: AudienceBounds
    ) -> None:
        self._audiences = audiences
        self._devices = devices
        self._register = register
        self._bounds = bounds
        self._estimate = Body(EstimateRequest)

    async def estimate(self, request: Request, app: App) -> Response:
        """Count the devices of an audience, and how many of them are connected now.

        Of more than 1,000 that have certain tags or attributes, who is connected is estimated from so many,
        or from some hundreds while the store reads them from the disk.
        """
        audience, reply = addressed((await self._estimate.read(request)).audience)
        if reply is not None and reply.app != app.number:
            raise ReplyInvalid
        counted = await size(
            audience,
            app,
            audiences=self._audiences,
            devices=self._devices,
            register=self._register,
            bounds=self._bounds,
        )
        return answer(Estimate(*counted))
