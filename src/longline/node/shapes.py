"""The two shapes of the same program: a whole cluster in one process, and one process of a cluster."""

from collections.abc import Sequence

from longline.node import engines
from longline.node.process import ROLES, Process
from longline.settings import Settings


def embedded(settings: Settings) -> Process:
    """Every role, on engines of its own: no other service is needed."""
    return Process(settings, ROLES, engines.embedded, alone=True)


def member(settings: Settings, roles: Sequence[str]) -> Process:
    """Some roles, on the engines that a cluster shares."""
    return Process(settings, roles, engines.cluster, alone=False)
