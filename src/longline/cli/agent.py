"""`longline agent`: this host's role processes, kept running."""

import asyncio
from typing import Annotated

from cyclopts import Parameter

from longline.cli.flags import Config, Data, Overrides, given_flags, load_settings, unit_flags


def agent(
    *overrides: Overrides,
    config: Config = None,
    data: Data = None,
    systemd: Annotated[
        bool,
        Parameter(negative=(), help="Print the systemd unit that runs this command, and do nothing else."),
    ] = False,
) -> int:
    """Keep the processes of `agent.processes` running, until SIGINT or SIGTERM.

    SIGHUP replaces them all, one after the other, by new ones: for an upgrade, or settings that changed.
    """
    from longline.agent.systemd import agent_unit
    from longline.node.host import run_agent
    from longline.telemetry import logs

    settings = load_settings(config, data, overrides).settings
    if systemd:
        print(agent_unit(settings, config, unit_flags(data, overrides)), end="")
        return 0
    logs.configure(settings.node.log_level, settings.node.log_format)
    return asyncio.run(run_agent(settings, config, given_flags(data, overrides)))
