"""What of Longline runs here: the compiled hot path, or the same source interpreted."""

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from typing import Final

HOT_MODULE: Final = "longline.mqtt.codec"


def hot_path_compiled() -> bool:
    """Whether the modules that handle each packet are the extension that mypyc made, or plain Python."""
    spec = find_spec(HOT_MODULE)
    return spec is not None and spec.origin is not None and spec.origin.endswith(tuple(EXTENSION_SUFFIXES))
