"""`longline agents`: what the agents of all hosts keep running, and rolling restarts."""

from asyncio import sleep
from typing import Annotated

from cyclopts import App, Parameter

from longline.cli.access import LOCAL, Access
from longline.cli.output import print_json, print_pairs, print_table, progress, show_list
from longline.cli.usage import Json
from longline.sdk.agents import AgentInfo, AgentProcess, RollingRestart
from longline.sdk.center import Center

COLUMNS = ("agent", "state", "processes", "ready", "version", "restart")
PROCESS_COLUMNS = ("process", "node", "pid", "state", "since", "restarts", "last exit", "version", "settings")
UNDER_WAY = frozenset({"starting", "replacing"})
LOOK_EVERY = 0.5  # s

agents = App(name="agents", help="The agents of hosts: the processes that they keep, and rolling restarts.")


@agents.command(name="list")
def agents_list(*, access: Access = LOCAL, json: Json = False) -> int:
    """Print the agents of all hosts."""
    found = access.ask(lambda center: center.agents())
    return show_list("agents", found, COLUMNS, _row, json=json)


@agents.command(name="show")
def agents_show(agent: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Print an agent, the processes that it keeps running, and its latest rolling restart."""
    return _show(access.ask(lambda center: center.agent(agent)), json=json)


@agents.command(name="restart")
def agents_restart(
    agent: str,
    /,
    *,
    process: Annotated[
        list[str] | None,
        Parameter(help="Only this process, by the name of its node; may be repeated."),
    ] = None,
    wait: Annotated[
        bool, Parameter(negative=(), help="Return when it has ended; exit status 1 when it came to nothing.")
    ] = False,
    access: Access = LOCAL,
    json: Json = False,
) -> int:
    """Have an agent replace its processes, one after the other; `agents show` says how far that has come."""

    async def restarting(center: Center) -> AgentInfo:
        begun = await center.restart_agent(agent, processes=process)
        return await _ended(center, begun) if wait else begun

    found = access.ask(restarting)
    _show(found, json=json)
    return 1 if wait and (found.restart is None or found.restart.state != "done") else 0


@agents.command(name="cancel")
def agents_cancel(agent: str, /, *, access: Access = LOCAL, json: Json = False) -> int:
    """Take a rolling restart back, as long as its new processes are not ready."""
    return _show(access.ask(lambda center: center.cancel_restart(agent)), json=json)


async def _ended(center: Center, found: AgentInfo) -> AgentInfo:
    """The agent when this restart has ended, or another has begun."""
    begun = found.restart
    with progress("processes replaced") as told:
        while begun is not None and found.restart is not None and found.restart.id == begun.id:
            told(found.restart.replaced, found.restart.total)
            if found.restart.state not in UNDER_WAY:
                break
            await sleep(LOOK_EVERY)
            found = await center.agent(found.agent)
    return found


def _show(found: AgentInfo, *, json: bool) -> int:
    if json:
        print_json(found)
        return 0
    print_pairs(
        [
            ("agent", found.agent),
            ("state", found.state),
            ("version", found.version),
            ("restart", _restart(found.restart)),
        ]
    )
    print_table(PROCESS_COLUMNS, [_process(process) for process in found.processes])
    return 0


def _row(found: AgentInfo) -> tuple[str, ...]:
    ready = sum(process.state == "ready" for process in found.processes)
    restart = _restart(found.restart)
    return (found.agent, found.state, str(len(found.processes)), str(ready), found.version, restart)


def _process(found: AgentProcess) -> tuple[str, ...]:
    return (
        found.kind,
        found.node or "",
        "" if found.pid is None else str(found.pid),
        found.state,
        "" if found.since is None else f"{found.since:%Y-%m-%dT%H:%M:%SZ}",
        str(found.restarts),
        "" if found.last_exit is None else found.last_exit.reason,
        found.version or "",
        "" if found.settings_version is None else str(found.settings_version),
    )


def _restart(found: RollingRestart | None) -> str:
    if found is None:
        return "none"
    told = f"{found.state}: {found.replaced} of {found.total} replaced, {found.ready} new ones ready"
    return f"{told} ({found.reason})" if found.reason else told
