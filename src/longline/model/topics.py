"""The platform's topics, in one table: which way their messages go, and what a device may do with them today.

Whatever is not in the table is plain publish/subscribe, in apps that have it, unless it begins with `$`: then
it is refused.
"""

from enum import Enum
from typing import Final, NamedTuple


class Direction(Enum):
    """Which way the messages of a topic go."""

    TO_DEVICE = "to the device"
    FROM_DEVICE = "from the device"
    BOTH = "both"


class Use(Enum):
    """What becomes of a device's PUBLISH or SUBSCRIBE."""

    REFUSED = "refused"
    GRANTED = "granted"  # and nothing comes of it: a device gets what is its own there without asking
    PLAIN = "plain"  # as for any topic of an app with publish/subscribe: not the platform's yet


class Topic(NamedTuple):
    """A kind of topic, as a device sees it. `form`: what varies is in braces, or `…` for any levels."""

    form: str
    direction: Direction
    publish: Use
    subscribe: Use

    @property
    def root(self) -> str:
        """Its first level."""
        return self.form.partition("/")[0]


PUSH_PREFIX: Final = "push/"  # + the message's id
LINK_PREFIX: Final = "$link/"  # what server and SDK have to say to each other, not to the application

TOPICS: Final = (
    Topic("push/{message_id}", Direction.TO_DEVICE, Use.REFUSED, Use.GRANTED),
    Topic("up/…", Direction.FROM_DEVICE, Use.REFUSED, Use.REFUSED),
    Topic("group/{group}", Direction.BOTH, Use.REFUSED, Use.REFUSED),
    Topic("reply/{message_id}", Direction.FROM_DEVICE, Use.PLAIN, Use.PLAIN),
    Topic("shadow/desired", Direction.TO_DEVICE, Use.PLAIN, Use.PLAIN),
    Topic("shadow/reported", Direction.FROM_DEVICE, Use.PLAIN, Use.PLAIN),
    Topic("event/{message_id}/{name}", Direction.FROM_DEVICE, Use.REFUSED, Use.REFUSED),
    Topic("$link/gap", Direction.TO_DEVICE, Use.REFUSED, Use.REFUSED),
    Topic("$link/moved", Direction.TO_DEVICE, Use.REFUSED, Use.REFUSED),
    Topic("$link/attach", Direction.FROM_DEVICE, Use.REFUSED, Use.REFUSED),
    Topic("$link/detach", Direction.FROM_DEVICE, Use.REFUSED, Use.REFUSED),
    Topic("$link/reply", Direction.TO_DEVICE, Use.REFUSED, Use.REFUSED),
    Topic("$share/{name}/…", Direction.BOTH, Use.REFUSED, Use.REFUSED),
    Topic("@{app}/…", Direction.BOTH, Use.PLAIN, Use.PLAIN),
)

# First levels that are the platform's and do not say so by a `$`: all of them, and those of no use to who
# subscribes.
RESERVED: Final = frozenset(
    topic.root for topic in TOPICS if topic.publish is Use.REFUSED and not topic.root.startswith("$")
)
UNSUBSCRIBABLE: Final = frozenset(
    topic.root for topic in TOPICS if topic.subscribe is Use.REFUSED and not topic.root.startswith("$")
)
