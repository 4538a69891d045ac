"""What is remembered of devices that acknowledge nothing, in memory."""

from collections.abc import Sequence

from longline.saver.port.parking import Release, Standing, Strike


class FakeParking:
    """Fulfils `ParkingStore`."""

    def __init__(self) -> None:
        self.there: dict[tuple[int, int], Standing] = {}  # by app and ordinal
        self.calls: list[str] = []

    async def strike(self, batch: Sequence[Strike]) -> None:
        self.calls.append("strike")
        for item in batch:
            known = self.there.get((item.app, item.ordinal), Standing(0, 0))
            if known.at >= item.at:
                continue
            strikes, since = known.strikes + 1, known.parked_since
            if not since and strikes >= item.parks_at:
                since = item.at
            self.there[item.app, item.ordinal] = Standing(strikes, item.at, since)

    async def release(self, batch: Sequence[Release]) -> None:
        self.calls.append("release")
        for item in batch:
            self.there.pop((item.app, item.ordinal), None)

    async def standings(self, app: int, ordinals: Sequence[int]) -> list[Standing | None]:
        return [self.there.get((app, ordinal)) for ordinal in ordinals]
