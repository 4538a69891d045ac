"""Many courses side by side on one server, and what is open when they are over."""

import asyncio
import gc
import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from longline import Center, Device
from tests.integration.fire.course import Course, Rooms
from tests.integration.fire.schedule import Schedule
from tests.integration.sdk_js.programs import Sdk

SIDE_BY_SIDE: Final = 20


async def campaign(
    numbers: Iterable[int], rooms: Rooms, center: Center, sdk: Sdk, folder: Path, counted: Counter[str]
) -> None:
    """Adds to `counted` what all of them do; AssertionError where one has lost something."""
    coming = iter(numbers)

    async def one_after_the_other() -> None:
        for number in coming:
            state = folder / f"{number}.state"
            await Course(Schedule.drawn(number), rooms, center, sdk, state, counted).run()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(SIDE_BY_SIDE):
            tasks.create_task(one_after_the_other(), name="schedules")


def open_files(pid: int | str = "self") -> Counter[str]:
    """What a process has open: files by name, sockets and the like by their kind."""
    found: Counter[str] = Counter()
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # by which the folder itself was read
            found[str(each.readlink()).partition(":[")[0]] += 1
    del found["/dev/null"]  # of which libuv keeps one when it begins to listen
    return found


def resident(pid: int | str = "self") -> int:
    """Bytes of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def tasks_of_devices() -> list[str]:
    """The tasks that devices of this process have."""
    return [task.get_name() for task in asyncio.all_tasks() if "longline-device" in task.get_name()]


def devices_left() -> int:
    """How many devices this process still holds, by whatever refers to them: a timer, a task, a list."""
    gc.collect()
    return sum(type(each) is Device for each in gc.get_objects())
