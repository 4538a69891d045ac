"""The version, in its one place: packaging reads it from here, and so do the node's metrics and the SDK."""

from typing import Final

VERSION: Final = "0.1.0"
