"""`longline run`: some roles of a cluster in this process."""

import asyncio
from typing import Annotated

from cyclopts import Parameter

from longline.cli.flags import Config, Data, load_settings, split_overrides, unit_flags
from longline.cli.usage import UsageError


def run(
    *roles: Annotated[
        str,
        Parameter(
            allow_leading_hyphen=True, help="room, center, dispatcher, coordinator; then settings as flags."
        ),
    ],
    config: Config = None,
    data: Data = None,
    systemd: Annotated[
        bool,
        Parameter(negative=(), help="Print the systemd unit that runs this command, and do nothing else."),
    ] = False,
) -> int:
    """Run one or several roles on the cluster's stores, until SIGINT or SIGTERM.

    Every setting is also a flag: `longline run room --room.port 1884`.
    """
    from longline.agent.systemd import role_unit
    from longline.node.cluster import member
    from longline.node.loop import loop_factory
    from longline.node.process import ROLES
    from longline.node.running import run as run_process
    from longline.telemetry import logs

    named, overrides = split_overrides(roles)
    if not named or not set(named) <= set(ROLES):
        raise UsageError(f"name one or several roles: {', '.join(ROLES)}")
    settings = load_settings(config, data, overrides).settings
    if systemd:
        print(role_unit(settings, named, config, unit_flags(data, overrides)), end="")
        return 0
    logs.configure(settings.node.log_level, settings.node.log_format)
    with asyncio.Runner(loop_factory=loop_factory(settings.node.loop)) as runner:
        return runner.run(run_process(member(settings, named), lambda _: None))
