"""What a message would reach: everything is checked as for one that is sent, and nothing is stored."""

from longline.delivery.audience import Size, called, size
from longline.delivery.checking import AudienceBounds
from longline.delivery.draft import Draft
from longline.delivery.pipeline import Pipeline
from longline.delivery.timetable import Timetable
from longline.errors import LonglineError, NoTarget
from longline.model.apps import App
from longline.model.audience import Devices
from longline.register.port import Register
from longline.saver.port.audiences import AudienceStore
from longline.saver.port.devices import DeviceStore


class DryRun:
    """`pipeline` and `timetable` are those that a message would take."""

    def __init__(
        self,
        pipeline: Pipeline,
        timetable: Timetable,
        *,
        audiences: AudienceStore,
        devices: DeviceStore,
        register: Register,
        bounds: AudienceBounds,
    ) -> None:
        self._pipeline = pipeline
        self._timetable = timetable
        self._audiences = audiences
        self._devices = devices
        self._register = register
        self._bounds = bounds

    async def run(self, app: App, draft: Draft, now: int) -> Size:
        """How many devices it would be for at this moment, and how many of them are connected.

        Names that no device has count as they do when it is sent, which drops them. Raises what sending it
        raises, at `now` in ms; one that is for later may be for nobody yet.
        """
        if draft.send_at is None:
            self._pipeline.check(app, draft, now)
        else:
            await self._timetable.check(app, draft, now)
        found = await called([draft], app, self._audiences, self._devices, self._bounds)
        named = found.get(0)
        if isinstance(named, LonglineError):
            raise named
        counted = await size(
            draft.audience,
            app,
            audiences=self._audiences,
            devices=self._devices,
            register=self._register,
            bounds=self._bounds,
        )
        if not counted.devices and draft.send_at is None:
            raise NoTarget
        names = draft.audience if named is None else named
        return counted._replace(devices=len(set(names.devices))) if isinstance(names, Devices) else counted
