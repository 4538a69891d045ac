"""`longline serve`: a whole node in this process."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Annotated, Final

from cyclopts import Parameter
from cyclopts.validators import Number

from longline.cli.flags import Config, Data, Overrides, given_flags, load_settings, unit_flags
from longline.cli.output import give_up_output
from longline.errors import SettingsError
from longline.settings import Loaded, Settings

# What says where a cluster's data and processes are, by shape: one process, or workers with a store.
ALONE: Final = frozenset(
    {"store.url", "store.partitions", "keeper.engine", "keeper.hosts", "agent.processes"}
)
WITH_WORKERS: Final = ALONE | {"saver.path"}


def serve(
    *overrides: Overrides,
    config: Config = None,
    data: Data = None,
    workers: Annotated[
        int | None,
        Parameter(
            validator=Number(gte=1, lte=256),
            help="Use so many cores: as many processes on the same ports, and a private Valkey below them.",
        ),
    ] = None,
    systemd: Annotated[
        bool,
        Parameter(negative=(), help="Print the systemd unit that runs this command, and do nothing else."),
    ] = False,
    quiet: Annotated[
        bool, Parameter(negative=(), help="Do not print the addresses and what to try next.")
    ] = False,
) -> int:
    """Run one node with every role and its own storage, until SIGINT or SIGTERM.

    Every setting is also a flag: `longline serve --room.port 1884`.
    """
    from longline.agent.systemd import serve_unit

    loaded = load_settings(config, data, overrides)
    refuse_unheeded(loaded, ALONE if workers is None else WITH_WORKERS)
    settings = loaded.settings
    if systemd:
        print(serve_unit(settings, workers, config, unit_flags(data, overrides)), end="")
        return 0
    from longline.telemetry import logs

    flags = given_flags(data, overrides)
    logs.configure(settings.node.log_level, settings.node.log_format)
    say = silent if quiet else greet
    if workers is not None:
        from longline.node.admin_key import admin_key, make_data_dir
        from longline.node.host import run_workers  # with a cluster's engines, which one process never needs

        if settings.admin_key is None:
            make_data_dir(settings.data_dir)
            admin_key(settings.data_dir)  # before the workers come, who share it

        def open_at(addresses: Mapping[str, str]) -> None:
            say(addresses, settings)

        return asyncio.run(run_workers(config, flags, settings, workers, open_at))
    from longline.node.embedded import embedded
    from longline.node.loop import loop_factory
    from longline.node.running import run

    with asyncio.Runner(loop_factory=loop_factory(settings.node.loop)) as runner:
        return runner.run(run(embedded(settings), lambda process: say(process.addresses, settings)))


def refuse_unheeded(loaded: Loaded, unheeded: Collection[str]) -> None:
    """Raises `SettingsError` for a setting by which this shape would not go: data would lie elsewhere."""
    given = {
        name: source for name, source in loaded.sources.items() if name in unheeded and source != "default"
    }
    if given:
        why = "`serve` has a store of its own and does not go by it; a cluster is `longline run`"
        details = [(name, f"{why} ({source})") for name, source in given.items()]
        raise SettingsError("; ".join(f"{name}: {said}" for name, said in details), details=details)


def silent(addresses: Mapping[str, str], settings: Settings) -> None:
    """Says nothing."""


def greet(addresses: Mapping[str, str], settings: Settings) -> None:
    """Tells a person where the node listens and what to do next; a node whose words nobody reads goes on."""
    from longline.node.admin_key import KEY_FILE

    try:
        for protocol, address in addresses.items():
            print(f"{protocol:5} {address}")
        if settings.admin_key is None:
            print(f"admin key in {settings.data_dir / KEY_FILE}")
        if "http" in addresses:
            print(f"console at {addresses['http']}/console/")
        print("try:  longline app create news && longline listen news phone1", flush=True)
    except BrokenPipeError:
        give_up_output()
