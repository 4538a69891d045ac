"""Longline: a self-hosted message-push platform.

Phones, browsers and hardware hold one long-lived connection each; app servers push to them over
HTTP. `longline.Device` and `longline.Center` are the client side, `longline.errors` is what both raise; the
server starts with `longline serve`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from longline.version import VERSION

if TYPE_CHECKING:
    from longline.sdk.answers import Push
    from longline.sdk.center import Center
    from longline.sdk.device import Device
    from longline.sdk.message import Message

__version__ = VERSION
__all__ = ["Center", "Device", "Message", "Push", "__version__"]

_WHERE = {
    "Center": "longline.sdk.center",
    "Device": "longline.sdk.device",
    "Message": "longline.sdk.message",
    "Push": "longline.sdk.answers",
}


def __getattr__(name: str) -> object:
    # The SDK is loaded when asked for: a server process never pays for the HTTP client.
    if name not in _WHERE:
        raise AttributeError(f"module 'longline' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)
