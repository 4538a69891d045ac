"""`longline serve`: a whole node in this process."""

import asyncio
from collections.abc import Callable
from typing import Annotated

from cyclopts import Parameter

from longline.cli.flags import Config, Data, Overrides, load_settings
from longline.errors import SettingsError
from longline.node.embedded import EmbeddedNode, run
from longline.telemetry import logs


def serve(
    *overrides: Overrides,
    config: Config = None,
    data: Data = None,
    quiet: Annotated[
        bool, Parameter(negative=(), help="Do not print the addresses and what to try next.")
    ] = False,
) -> int:
    """Run one node with every role and its own storage, until SIGINT or SIGTERM.

    Every setting is also a flag: `longline serve --room.port 1884`.
    """
    settings = load_settings(config, data, overrides).settings
    logs.configure(settings.node.log_level, settings.node.log_format)
    with asyncio.Runner(loop_factory=loop_factory(settings.node.loop)) as runner:
        return runner.run(run(settings, silent if quiet else greet))


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """The event loop that the settings ask for."""
    if name != "asyncio":
        try:
            import uvloop
        except ImportError:
            if name == "uvloop":
                raise SettingsError(
                    "uvloop is not installed", details=[("node.loop", "uvloop is not installed")]
                ) from None
        else:
            return uvloop.new_event_loop
    return asyncio.new_event_loop


def silent(_: EmbeddedNode) -> None:
    """Says nothing."""


def greet(node: EmbeddedNode) -> None:
    """Tells a person where the node listens and what to do next."""
    for protocol, address in node.addresses().items():
        print(f"{protocol:5} {address}")
    if node.key_file is not None:
        print(f"admin key in {node.key_file}")
    print("try:  longline app create news && longline listen news phone1", flush=True)
