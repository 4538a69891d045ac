"""Longline: a self-hosted message-push platform.

Phones, browsers and hardware hold one long-lived connection each; app servers push to them over
HTTP. `longline.Device` and `longline.Center` are the client side; the server starts with
`longline serve`.
"""

from typing import TYPE_CHECKING

from longline.version import VERSION

if TYPE_CHECKING:
    from longline.sdk.center import Center
    from longline.sdk.device import Device

__version__ = VERSION
__all__ = ["Center", "Device", "__version__"]


def __getattr__(name: str) -> object:
    # The SDK is loaded when asked for: a server process never pays for the HTTP client.
    if name == "Device":
        from longline.sdk.device import Device

        return Device
    if name == "Center":
        from longline.sdk.center import Center

        return Center
    raise AttributeError(f"module 'longline' has no attribute {name!r}")
