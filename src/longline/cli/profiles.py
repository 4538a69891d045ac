"""`longline profile` and `profiles`: where a running process spends its time, what grows, what waits."""

from asyncio import to_thread
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from cyclopts import App, Parameter

from longline.cli.access import LOCAL, Access
from longline.cli.output import print_json, print_pairs, print_table, remark, show_done
from longline.cli.pages import show_pages
from longline.cli.times import moment, shown
from longline.cli.usage import Json, UsageError, check_count
from longline.model.profiles import LONGEST
from longline.profiling.comparing import function_of
from longline.profiling.content import (
    AtLock,
    Content,
    CpuContent,
    HeapContent,
    LoopContent,
    QueuesContent,
    TaskContent,
)
from longline.sdk.center import Center
from longline.sdk.profiles import ChangedFrame, ProfileSummary, TakenProfile

SHOWN = 30  # rows that a person sees of a profile
COLUMNS = ("profile", "at", "node", "version", "kind", "seconds", "size")

Kind = Literal["cpu", "heap", "tasks", "loop", "queues"]
Format = Annotated[
    Literal["json", "speedscope", "pprof"],
    Parameter(help="Of the file: what the API has, or a file for speedscope.app or for pprof."),
]
Output = Annotated[Path | None, Parameter(help="Write the profile to this file.")]

profiles = App(name="profiles", help="Profiles that were taken: list, show, compare and delete them.")


def profile(
    node: Annotated[str, Parameter(help="Its name, of `longline node list`.")],
    /,
    *,
    kind: Annotated[
        Kind,
        Parameter(
            help="cpu: where it uses its processor; heap: what grows; tasks: what waits, and where; loop: "
            "what held up the event loop; queues: how full queues are, and who waits for locks."
        ),
    ] = "cpu",
    seconds: Annotated[int, Parameter(help=f"How long to watch, up to {LONGEST}.")] = 10,
    output: Output = None,
    format: Format = "json",
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Take a profile of a node while it runs, and show what stands out; it is kept as well."""
    if not 1 <= seconds <= LONGEST:
        raise UsageError(f"--seconds is 1 to {LONGEST}")

    async def taking(center: Center) -> int:
        taken = await center.take_profile(node, kind=kind, seconds=seconds)
        remark(f"kept as {taken.profile}")
        return await _shown(center, taken, output, format, json=json)

    return access.ask(taking)


@profiles.command(name="list")
def profiles_list(
    *,
    node: Annotated[str | None, Parameter(help="Those of this node.")] = None,
    kind: Annotated[Kind | None, Parameter(help="Those of this kind.")] = None,
    since: Annotated[
        str | None, Parameter(help="How far back: 7d, 12h, 30m; or a date, or a time with an offset.")
    ] = None,
    count: Annotated[int, Parameter(help="So many, at most.")] = 100,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Print the profiles that are kept, the latest first."""
    check_count(count)
    after = None if since is None else moment(since)
    return access.ask(
        lambda center: show_pages(
            "profiles",
            center.profiles(node=node, kind=kind, since=after),
            COLUMNS,
            _row,
            json=json,
            count=count,
        )
    )


@profiles.command(name="show")
def profiles_show(
    profile: str,
    /,
    *,
    output: Output = None,
    format: Format = "json",
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Show what stands out in a profile that is kept, or write it to a file."""

    async def showing(center: Center) -> int:
        return await _shown(center, await center.profile(profile), output, format, json=json)

    return access.ask(showing)


@profiles.command(name="compare")
def profiles_compare(
    base: str,
    profile: str,
    /,
    *,
    count: Annotated[int, Parameter(help="So many rows, at most.")] = SHOWN,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Print what takes more in a profile than in the one before it: the largest growth first."""
    check_count(count)
    found = access.ask(lambda center: center.compare_profiles(profile, base))
    if json:
        print_json(found)
        return 0
    columns = ("before", "after", "change", "where")
    print_table(columns, [_changed(each) for each in found.frames[:count]])
    return 0


@profiles.command(name="delete")
def profiles_delete(profile: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Delete a profile."""
    access.ask(lambda center: center.delete_profile(profile))
    return show_done("deleted", profile, json=json)


async def _shown(
    center: Center,
    taken: TakenProfile,
    output: Path | None,
    form: Literal["json", "speedscope", "pprof"],
    *,
    json: bool,
) -> int:
    if output is not None:
        written = await center.profile_file(taken.profile, form)
        try:
            await to_thread(output.write_bytes, written)
        except OSError as error:
            raise UsageError(f"{output} cannot be written: {error.strerror or error}") from None
        return show_done("written", str(output), json=json)
    if form != "json":
        raise UsageError("--format is of a file: give --output too")
    if json:
        print_json(taken)
        return 0
    _show(msgspec.convert(taken.content, Content))
    return 0


def _show(content: Content) -> None:
    """What stands out, for a person."""
    match content:
        case CpuContent():
            if content.limitation is not None:
                print_pairs([("note", content.limitation.message), ("", content.limitation.hint)])
            if not content.samples:
                remark("(no samples: the process had nothing to do)")
            total = content.samples or 1
            counted: dict[str, int] = {}
            for stack in content.stacks:
                place = function_of(stack.frames)
                counted[place] = counted.get(place, 0) + stack.samples
            ranked = sorted(counted.items(), key=lambda item: -item[1])[:SHOWN]
            rows = [(f"{count / total:.1%}", str(count), place) for place, count in ranked]
            print_table(("share", "samples", "where"), rows)
        case HeapContent():
            print_table(
                ("grown", "bytes", "blocks", "where"),
                [
                    (str(place.grown), str(place.bytes), str(place.blocks), place.place)
                    for place in content.places[:SHOWN]
                ],
            )
        case TaskContent():
            print_table(
                ("tasks", "oldest s", "name", "where"),
                [
                    (str(kind.count), f"{kind.oldest_seconds:.0f}", kind.name, kind.where)
                    for kind in content.kinds
                ],
            )
        case LoopContent():
            print_table(
                ("at", "seconds", "gc", "where"),
                [
                    (stall.at, f"{stall.seconds:.3f}", f"{stall.gc_seconds:.3f}", function_of(stall.stack))
                    for stall in content.stalls[:SHOWN]
                ],
            )
        case QueuesContent():
            found = [_series(queue.name, queue.depth, "") for queue in content.queues if any(queue.depth)]
            for lock in content.locks:
                found.append(_series(f"{lock.name}: wait", lock.waiting, _first(lock.waiters)))
                found.append(_series(f"{lock.name}: hold", lock.held, _first(lock.holders)))
            print_table(("queue, or tasks at a lock", "least", "most", "last", "where"), found)


def _series(name: str, series: Sequence[float], where: str) -> tuple[str, ...]:
    return (name, f"{min(series):g}", f"{max(series):g}", f"{series[-1]:g}", where)


def _first(found: Sequence[AtLock]) -> str:
    """Who is at a lock most often."""
    return f"{found[0].task} at {found[0].where}" if found else ""


def _row(found: ProfileSummary) -> tuple[str, ...]:
    return (
        found.profile,
        shown(found.at),
        found.node,
        found.version,
        found.kind,
        f"{found.seconds:.1f}",
        str(found.size),
    )


def _changed(found: ChangedFrame) -> tuple[str, ...]:
    return (
        f"{found.base_share:.1%}",
        f"{found.share:.1%}",
        f"{found.change:+.1%}",
        found.place or found.frame,
    )
