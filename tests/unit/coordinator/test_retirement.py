"""Devices that have not come for long are retired in small steps, app after app, with rests."""

from collections.abc import Sequence

from longline.coordinator.retirement import LOOK, Retirement
from longline.model.apps import App
from longline.model.times import wall_clock
from longline.saver.port.retirement import DONE, Retired


class Store:
    """Apps with so many pages of devices, each of which has one that is to go."""

    def __init__(self, pages: dict[str, int]) -> None:
        self.pages = pages
        self.asked: list[tuple[int, int, int]] = []

    async def list(self, after: str, limit: int) -> Sequence[App]:
        return [an_app(name, number) for number, name in enumerate(sorted(self.pages), 1) if name > after]

    async def retire(self, app: int, after: int, before: int, now: int, limit: int) -> Retired:
        assert abs(now - wall_clock()) < 60_000
        self.asked.append((app, after, now - before))
        name = sorted(self.pages)[app - 1]
        return Retired(1, after + 1 if after + 1 < self.pages[name] else DONE)


def an_app(name: str, number: int) -> App:
    return App(
        app=name,
        number=number,
        name=name,
        server_key_hash=b"",
        device_secret="",
        pubsub=False,
        created_at=0,
    )


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def rounds(duty: Retirement, count: int) -> None:
    for _ in range(count):
        assert not await duty.round()


async def test_a_round_is_one_page_of_one_app_and_those_that_keep_devices_are_left_out() -> None:
    store, clock = Store({"a": 2, "keeps": 9, "z": 1}), Clock()
    after = {"a": 48, "keeps": 0, "z": 240}
    duty = Retirement(store, store, lambda app: after[app.app], clock)  # type: ignore[arg-type]
    await rounds(duty, 10)
    assert store.asked == [(1, 0, 48_000), (1, 1, 48_000), (3, 0, 240_000)]
    assert duty.retired == 3
    clock.now += 1.9  # a 24th of the shortest time is 2 s
    await rounds(duty, 3)
    assert len(store.asked) == 3
    clock.now += 0.2
    await rounds(duty, 10)
    assert len(store.asked) == 6


async def test_an_app_that_begins_to_retire_is_found_soon() -> None:
    store, clock = Store({"a": 1}), Clock()
    after = {"a": 0}
    duty = Retirement(store, store, lambda app: after[app.app], clock)  # type: ignore[arg-type]
    await rounds(duty, 5)
    assert store.asked == []
    after["a"] = 3600
    clock.now += LOOK
    await rounds(duty, 1)
    assert store.asked == [(1, 0, 3_600_000)]
