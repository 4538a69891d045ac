"""Changes of shadows: merged in their order, tried again where others were faster, told to the room."""

from collections.abc import Sequence
from typing import cast

import pytest

from longline.bus.port import Bus
from longline.delivery.shadows import ATTEMPTS, ShadowBounds, ShadowPatch, Shadows
from longline.errors import Conflict, DeviceNotFound, ShadowTooLarge, Unavailable, ValidationFailed
from longline.model.commands import Command, Desired
from longline.model.devices import Binding, JsonObject
from longline.register.port import Register
from longline.saver.port.shadows import Changed, Shadow, ShadowChange, ShadowSeen

APP, LAMP = 7, 3


class OneShadow:
    """A store with the shadow of one device, which somebody else changes first, `faster` times."""

    def __init__(self, faster: int = 0) -> None:
        self.shadow: Shadow | None = Shadow()
        self.faster = faster
        self.batches: list[int] = []

    async def find(self, app: int, ordinals: Sequence[int]) -> list[Shadow | None]:
        return [self.shadow if (app, ordinal) == (APP, LAMP) else None for ordinal in ordinals]

    async def change(self, batch: Sequence[ShadowChange]) -> list[Changed]:
        self.batches.append(len(batch))
        (item,) = batch
        assert self.shadow is not None
        if self.faster:
            self.faster -= 1
            version = self.shadow.version + 1
            self.shadow = Shadow(self.shadow.desired, b'{"n":%d}' % version, version, self.shadow.wanted)
        if item.before != self.shadow.version:
            return [Changed.CONFLICT]
        self.shadow = item.shadow
        return [Changed.DONE]

    async def seen(self, batch: Sequence[ShadowSeen]) -> None:
        raise AssertionError


class Told:
    """A register and a bus of one node: what rooms are told."""

    def __init__(self) -> None:
        self.commands: list[tuple[str, Command]] = []
        self.broken = False

    async def locate(self, app: int, devices: Sequence[str]) -> list[Binding | None]:
        return [Binding(node="room-1", epoch=1, since=0) for _ in devices]

    async def send(self, node: str, commands: Sequence[Command]) -> None:
        if self.broken:
            raise Unavailable
        self.commands += [(node, command) for command in commands]


def a_patch(patch: JsonObject, version: int | None = None, ordinal: int = LAMP) -> ShadowPatch:
    return ShadowPatch(APP, "lamp", ordinal, patch, version)


def changing(store: OneShadow, told: Told | None = None, **bounds: int) -> Shadows:
    told = told or Told()
    return Shadows(store, cast(Register, told), cast(Bus, told), ShadowBounds(**bounds))


async def test_changes_that_come_together_are_one_write_in_their_order() -> None:
    """Each has a version of its own, also when one in between is refused."""
    store, told = OneShadow(), Told()
    results = await changing(store, told).change(
        [
            a_patch({"reported": {"a": 1, "b": 1}}),
            a_patch({"reported": {"a": 2}}, version=9),
            a_patch({"desired": {"on": True}}),
            a_patch({"reported": {"b": None}}),
            a_patch({"reported": {"c": 1}}, ordinal=4),
        ]
    )
    assert isinstance(results[1], Conflict)
    assert isinstance(results[4], DeviceNotFound)
    assert store.batches == [1]
    assert store.shadow == results[3] == Shadow(b'{"on":true}', b'{"a":1}', 3, 2)
    assert told.commands == [("room-1", Desired(APP, "lamp"))]


async def test_what_others_have_changed_meanwhile_is_kept() -> None:
    store = OneShadow(faster=3)
    (result,) = await changing(store).change([a_patch({"reported": {"mine": 1}})])
    assert result == store.shadow == Shadow(b"{}", b'{"mine":1,"n":3}', 4)


async def test_who_loses_again_and_again_is_told_so() -> None:
    store = OneShadow(faster=ATTEMPTS)
    (result,) = await changing(store).change([a_patch({"reported": {"mine": 1}})])
    assert isinstance(result, Conflict)
    assert result.retry_after


async def test_a_change_that_changes_nothing_is_none() -> None:
    """No write, no version, and nothing to tell."""
    store, told = OneShadow(), Told()
    store.shadow = Shadow(b'{"on":true}', b"{}", 4, 4)
    (result,) = await changing(store, told).change([a_patch({"desired": {"on": True, "off": None}})])
    assert result == store.shadow
    assert (store.batches, told.commands) == ([], [])


async def test_a_room_that_cannot_be_told_costs_no_change() -> None:
    store, told = OneShadow(), Told()
    told.broken = True
    (result,) = await changing(store, told).change([a_patch({"desired": {"on": True}})])
    assert result == store.shadow == Shadow(b'{"on":true}', b"{}", 1, 1)


@pytest.mark.parametrize(
    ("patch", "error"),
    [
        ({"desired": {"x": "x" * 40}}, ShadowTooLarge),
        ({"desired": {"a": {"b": {"c": 1}}}}, ValidationFailed),
    ],
)
async def test_what_is_too_much_is_refused(patch: JsonObject, error: type[Exception]) -> None:
    store = OneShadow()
    (result,) = await changing(store, bytes=40, depth=2).change([a_patch(patch)])
    assert isinstance(result, error)
    assert store.shadow == Shadow()
