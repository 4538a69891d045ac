"""What `unicast` and `broadcast` share: pushes through the HTTP API to devices that acknowledge them."""

from dataclasses import dataclass

from longline.bench.figures import LoadFigures
from longline.bench.fleet import positive
from longline.bench.ledgers import ServerVerdict
from longline.bench.targets import BenchFailed

KEEP_ALIVE = 1800
"""Seconds: longer than any run."""


@dataclass(frozen=True, kw_only=True)
class PushPlan:
    """What to push, and to how many devices."""

    key: str
    """The app's server key."""
    url: str = "http://127.0.0.1:8080"
    """Where the HTTP API is."""
    devices: int = 1000
    """Connected devices."""
    size: int = 128
    """Bytes of payload."""
    stall: float = 10.0
    """Seconds without progress until what is missing is lost."""

    def check(self) -> None:
        """Raises ValueError for what makes no sense."""
        positive(devices=self.devices)


class PushFigures(LoadFigures, frozen=True, kw_only=True):
    """What both find."""

    duplicates: int
    foreign: int
    """Messages that an earlier run had left to these devices."""
    verdict: ServerVerdict


def payload_holds(size: int, stamp: int) -> None:
    """Raises BenchFailed for payloads that are too small for what recognises them."""
    if size < stamp:
        raise BenchFailed(f"a payload needs {stamp} bytes for what recognises it")


def device_name(number: int) -> str:
    """The name of a device, of equal length for all, so that all requests have one length."""
    return f"bench-{number:07}"
