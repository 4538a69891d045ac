"""The event loop that the settings ask for."""

import asyncio
from collections.abc import Callable

from longline.errors import SettingsError


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """`auto`, `uvloop` or `asyncio`, as in the setting `node.loop`."""
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
