"""What modes that need the HTTP API share: `unicast`, `broadcast`, `drain` and `upstream`."""

from dataclasses import dataclass

from longline.bench.figures import LoadFigures
from longline.bench.fleet import positive
from longline.bench.ledgers import ServerVerdict
from longline.bench.targets import BenchFailed

KEEP_ALIVE = 1800
"""Seconds: longer than any run."""


@dataclass(frozen=True, kw_only=True)
class PushPlan:
    """How many devices, and what each message weighs."""

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
    """What all that push find."""

    duplicates: int
    foreign: int
    """Messages that an earlier run had left to these devices."""
    verdict: ServerVerdict


class AcceptedFigures(PushFigures, frozen=True, kw_only=True):
    """What those find that send each device its own; lost is what was answered 202 and never came."""

    accepted: int
    refused: dict[str, int]
    """By HTTP status, or `in a batch` for single messages of a batch that was answered 202."""

    def sound(self) -> bool:
        """Whether every accepted message arrived once and the server agrees."""
        wrong = self.lost or self.duplicates or self.refused or self.lost_connections
        return not wrong and self.verdict.clean()


def payload_holds(size: int, stamp: int) -> None:
    """Raises BenchFailed for payloads that are too small for what recognises them."""
    if size < stamp:
        raise BenchFailed(f"a payload needs {stamp} bytes for what recognises it")


def device_name(number: int) -> str:
    """The name of a device, of equal length for all, so that all requests have one length."""
    return f"bench-{number:07}"
