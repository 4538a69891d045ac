"""Commands that wait, by app."""

import msgspec

from longline.model.commands import Cancelled, Unicast
from longline.room.push.turns import AHEAD, QUANTUM, AppTurns, OfApp
from tests.unit.room.test_admission import unicast


def great(app: int, targets: int) -> Unicast:
    known = unicast("phone", 1)
    return msgspec.structs.replace(known, app=app, targets=known.targets * targets)


def through(turns: AppTurns) -> list[OfApp]:
    """Carries all of it out, as much in each turn as it may be; whose turn it was each time."""
    order: list[OfApp] = []
    while (line := turns.next()) is not None:
        command = line.commands[0]
        order.append(command)
        size = len(command.targets) if isinstance(command, Unicast) else 1
        now = min(QUANTUM, size - line.place)
        line.place += now
        turns.spend(now, over=line.place >= size)
    return order


def test_what_an_app_is_told_stays_in_order() -> None:
    turns = AppTurns()
    commands: list[OfApp] = [Cancelled(7, str(number)) for number in range(3 * QUANTUM)]
    for command in commands:
        turns.add(command)
    assert through(turns) == commands
    assert not turns


def test_what_is_for_one_device_waits_for_one_turn_of_each_other_app() -> None:
    turns = AppTurns()
    for app in range(3):
        for _ in range(20):
            turns.add(great(app, 1000))
    single = great(9, 1)
    turns.add(single)
    assert through(turns).index(single) == 3


def test_apps_that_have_much_to_do_come_equally_far() -> None:
    turns = AppTurns()
    for _ in range(10):
        turns.add(great(1, 1000))
    for _ in range(100):
        turns.add(great(2, 100))
    apps = [command.app for command in through(turns)]
    half = apps[: len(apps) // 2]
    assert abs(half.count(1) - half.count(2)) <= 1


def test_it_is_full_when_very_much_waits_and_has_room_again_when_that_was_done() -> None:
    turns = AppTurns()
    while not turns.full():
        turns.add(great(1, 1000))
    assert len(turns.next().commands) == AHEAD // 1000  # type: ignore[union-attr]
    through(turns)
    assert not turns.full()


def test_payloads_weigh_too() -> None:
    turns = AppTurns()
    known = unicast("phone", 1)
    large = msgspec.structs.replace(known.message, payload=bytes(256 << 10))
    for _ in range(AHEAD // 65 + 1):
        turns.add(msgspec.structs.replace(known, message=large))
    assert turns.full()
