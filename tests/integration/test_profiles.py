"""Profiles of a running node: what is planted in it is found, by its line, and nothing secret is in them."""

import asyncio
import gzip
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from longline import Center, Device
from longline.errors import LonglineError, NodeNotFound, ProfileNotFound, ProfilesDiffer
from longline.profiling.content import (
    AtLock,
    Content,
    CpuContent,
    GrowingPlace,
    HeapContent,
    LoopContent,
    QueuesContent,
    TaskContent,
)
from longline.sdk.profiles import TakenProfile
from tests.integration import planted_code
from tests.integration.server_process import ServerProcess
from tests.integration.shapes import Server
from tests.waiting import CLOCK, until

PLANTED = Path(planted_code.__file__)


def line_of(function: str) -> str:
    """The line in it that is to be found, as frames have it."""
    lines = PLANTED.read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.split("(")[0].endswith(f"def {function}"))
    found = next(n for n in range(start, len(lines)) if lines[n].endswith("# found"))
    return f"{PLANTED.name}:{found + 1}"


class PlantedProcess(ServerProcess):
    module = "tests.integration.planted_code"


@pytest.fixture
async def planted(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[ServerProcess]:
    """A node with what is to be planted in it as its parameter."""
    async with PlantedProcess(tmp_path / "data", PLANTED=request.param) as node:
        yield node


async def only_node(center: Center) -> str:
    (node,) = await center.nodes()
    return node.node


def content_of(taken: TakenProfile) -> Content:
    content: Content = msgspec.convert(taken.content, Content)
    return content


ENOUGH = 20  # samples of which the larger part says something
# Innermost, where the loop waits, which a thread of Python cannot tell from its working.
WAITING = ("Runner.run (", "run_until_complete", "BaseEventLoop.", "EpollSelector.select (")


async def sampled(center: Center, node: str) -> tuple[CpuContent, Counter[tuple[str, ...]]]:
    """A profile, and the stacks at work of as many as it takes, however little of its processor the machine
    leaves the node."""
    working: Counter[tuple[str, ...]] = Counter()

    async def take() -> CpuContent | None:
        content = content_of(await center.take_profile(node, kind="cpu", seconds=3))
        assert isinstance(content, CpuContent)
        for stack in content.stacks:
            if not stack.frames[-1].startswith(WAITING):
                working[tuple(stack.frames)] += stack.samples
        return content if working.total() >= ENOUGH else None

    found = await until(take, tell=lambda: working)
    assert found is not None
    return found, working


def share_of(working: Counter[tuple[str, ...]], line: str) -> float:
    """The part of the samples in which that line is somewhere in the stack."""
    found = sum(samples for frames, samples in working.items() if any(f"{line})" in at for at in frames))
    return found / working.total()


@pytest.mark.adversity
@pytest.mark.parametrize("planted", ["locked filling"], indirect=True)
async def test_a_held_lock_and_a_growing_queue_are_named(planted: ServerProcess) -> None:
    async with planted.center() as center:
        node = await only_node(center)
        first = await center.take_profile(node, kind="queues", seconds=2)
        found = content_of(first)
        assert isinstance(found, QueuesContent)
        (lock,) = [lock for lock in found.locks if lock.name == "__main__.Desk.turn"]
        looks = len(found.at)
        assert (lock.waiting, lock.held) == ([3] * looks, [1] * looks)
        assert lock.holders == [AtLock("planted.holder", f"Desk.hold ({line_of('hold')})", looks)]
        assert lock.waiters == [AtLock("planted.waiter-*", f"Desk.want ({line_of('want')})", 3 * looks)]
        assert lock.longest_hold > 1
        queues = {queue.name: queue.depth for queue in found.queues}
        parts = {"saver_write_queue", "room_receipts_waiting", "room_shadows_waiting", "webhooks_waiting"}
        assert parts | {"center_calls_waiting", "authority_waiting", "bus_waiting"} <= queues.keys()
        depth = queues["planted_waiting"]
        assert depth == sorted(depth)
        assert depth[-1] > depth[0]
        later = await center.take_profile(node, kind="queues", seconds=1)
        compared = await center.compare_profiles(later.profile, first.profile)
        assert compared.frames[0].frame == "planted_waiting"


@pytest.mark.adversity
@pytest.mark.parametrize("planted", ["stuck slow stalling growing"], indirect=True)
async def test_every_kind_names_the_line_that_is_to_blame(planted: ServerProcess) -> None:
    async with planted.center() as center:
        node = await only_node(center)

        cpu, working = await sampled(center, node)
        assert (cpu.native, cpu.by, cpu.limitation) == (True, "py-spy", None)
        assert share_of(working, line_of("burn_processor")) > 0.5

        tasks = content_of(await center.take_profile(node, kind="tasks"))
        assert isinstance(tasks, TaskContent)
        (stuck,) = [kind for kind in tasks.kinds if kind.name == "planted.stuck"]
        assert (stuck.count, stuck.where) == (1, f"stuck ({line_of('stuck')})")
        assert stuck.oldest_seconds > 1

        frame = f"hold_loop_up ({line_of('hold_loop_up')})"

        async def held_up() -> LoopContent | None:
            loop = content_of(await center.take_profile(node, kind="loop", seconds=3))
            assert isinstance(loop, LoopContent)
            longest = max((stall.seconds for stall in loop.stalls if stall.stack[-1] == frame), default=0.0)
            return loop if longest > 0.2 and loop.lag.highest > 0.2 else None

        loop = await until(held_up)
        assert loop is not None

        places: list[GrowingPlace] = []  # those that grew most, of each time

        async def grew() -> HeapContent | None:
            heap = content_of(await center.take_profile(node, kind="heap", seconds=3))
            assert isinstance(heap, HeapContent)
            places.append(heap.places[0])
            named = places[-1].place == line_of("grow") and places[-1].grown >= 10_000
            return heap if named else None

        heap = await until(grew, tell=lambda: places)
        assert heap is not None
        assert heap.process_bytes > heap.bytes


@pytest.mark.parametrize("planted", ["alone slow"], indirect=True)
async def test_without_py_spy_a_thread_looks_and_says_what_is_missing(planted: ServerProcess) -> None:
    async with planted.center() as center:
        cpu, working = await sampled(center, await only_node(center))
    assert (cpu.native, cpu.by) == (False, "thread")
    assert cpu.limitation is not None
    assert cpu.limitation.code == "no_py_spy"
    assert share_of(working, line_of("burn_processor")) > 0.5


@pytest.mark.parametrize("planted", ["stalling"], indirect=True)
async def test_stalls_are_remembered_from_before_anybody_looked(planted: ServerProcess) -> None:
    async with planted.center() as center:
        node = await only_node(center)

        async def seen() -> bool:
            taken = await center.take_profile(node, kind="loop", seconds=1)
            loop, begun = content_of(taken), f"{taken.at:%Y-%m-%dT%H:%M:%S}"
            assert isinstance(loop, LoopContent)
            frame = f"hold_loop_up ({line_of('hold_loop_up')})"
            return any(stall.at < begun and stall.stack[-1] == frame for stall in loop.stalls)

        await until(seen)


async def test_a_comparison_of_two_releases_shows_a_planted_regression_first(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with PlantedProcess(data, PLANTED="busy") as node, node.center() as center:
        before = await center.take_profile(await only_node(center), kind="cpu", seconds=3)
        await node.terminate()
    async with PlantedProcess(data, PLANTED="busy slow") as node, node.center() as center:
        after = await center.take_profile(await only_node(center), kind="cpu", seconds=3)
        found = await center.compare_profiles(after.profile, before.profile)
        back = await center.compare_profiles(before.profile, after.profile)
    assert found.frames[0].frame.startswith(("burn_processor ", "burn_processor.<locals>"))
    assert line_of("burn_processor") in found.frames[0].place
    assert found.frames[0].change > 0.2
    assert back.frames[-1].frame == found.frames[0].frame


@pytest.mark.parametrize("planted", ["slow"], indirect=True)
async def test_no_key_or_token_is_in_any_profile(planted: ServerProcess) -> None:
    async with planted.center() as center:
        node = await only_node(center)
        keys = await center.create_app("news")
        named = await center.create_key("for the test", ["operate"])
        token = (await center.token("news", "d1")).password
        secrets = [planted.admin_key, keys.server_key or "?", keys.device_secret, named.key, token]
        async with Device("127.0.0.1", planted.mqtt_port, app="news", device="d1", token=token):
            files = []
            for kind in ("cpu", "heap", "tasks", "loop", "queues"):
                taken = await center.take_profile(node, kind=kind, seconds=1)
                files.append(json.dumps(taken.content).encode())
                for form in ("json", "speedscope", "pprof"):
                    written = await center.profile_file(taken.profile, form)
                    files.append(gzip.decompress(written) if form == "pprof" else written)
        for secret in secrets:
            assert not any(secret.encode() in file for file in files)
        assert not any(str(Path.cwd()).encode() in file for file in files), "where it is installed"


async def test_profiles_of_all_nodes_are_kept_and_found_again(server: Server) -> None:
    async with server.center() as center:
        names = sorted(node.node for node in await center.nodes())
        taken = [await center.take_profile(name, kind="tasks") for name in names]
        assert [each.node for each in taken] == names
        listed = [each async for each in center.profiles(kind="tasks")]
        assert sorted(each.profile for each in listed) == sorted(each.profile for each in taken)
        assert await center.profile(taken[0].profile) == taken[0]
        assert [each.profile async for each in center.profiles(node=names[0])] == [taken[0].profile]
        loop = await center.take_profile(names[-1], kind="loop", seconds=1)
        with pytest.raises(ProfilesDiffer):
            await center.compare_profiles(loop.profile, taken[0].profile)
        await center.delete_profile(loop.profile)
        with pytest.raises(ProfileNotFound):
            await center.profile(loop.profile)
        with pytest.raises(NodeNotFound):
            await center.take_profile("nobody")


async def test_of_heaps_one_is_taken_in_the_whole_cluster(server: Server) -> None:
    """The others are told so, and whoever comes afterwards is served."""
    async with server.center() as center:
        names = [node.node for node in await center.nodes()]
        first = names[0]

        async def take(name: str) -> str:
            try:
                await center.take_profile(name, kind="heap", seconds=3)
            except LonglineError as error:
                return error.code
            return "taken"

        async def at_once() -> bool:
            """Whether somebody was told so. On a slow machine one may begin when another has ended."""
            begun = time.monotonic()
            outcomes = await asyncio.gather(*(take(name) for name in [*names, first]))
            took = time.monotonic() - begun
            assert {"taken"} <= set(outcomes) <= {"profile_under_way", "taken"}
            assert took > 3 * outcomes.count("taken") - CLOCK, "one after the other"
            return "profile_under_way" in outcomes

        await until(at_once)
        assert (await center.take_profile(names[-1], kind="heap", seconds=1)).kind == "heap"
