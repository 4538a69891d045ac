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
    HANDED = "handed over"  # to who deals with this kind of topic: `room/platform/`
    SHARED = "shared"  # with its group: one of them gets each message
    ATTACHED = "attached"  # as its rest says, in the app that is attached; refused where none is


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

    @property
    def exact(self) -> bool:
        """Whether nothing in it varies."""
        return "{" not in self.form and not self.form.endswith("…")


def prefix_of(app: str) -> str:
    """How the topics of an app begin that is attached to another one's connection."""
    return f"@{app}/"


PUSH_PREFIX: Final = "push/"  # + the message's id
REPLY_PREFIX: Final = "reply/"  # + the message's id
SHADOW_DESIRED: Final = "shadow/desired"
SHADOW_REPORTED: Final = "shadow/reported"
UP_PREFIX: Final = "up/"  # + what a device calls it
EVENT_PREFIX: Final = "event/"  # + the message's id, and what became of it
GROUP_PREFIX: Final = "group/"  # + the group's name
LINK_PREFIX: Final = "$link/"  # what server and SDK have to say to each other, not to the application
GAP_TOPIC: Final = LINK_PREFIX + "gap"  # what the device has missed
ATTACH_TOPIC: Final = LINK_PREFIX + "attach"  # another app is to share the connection
DETACH_TOPIC: Final = LINK_PREFIX + "detach"  # and not any more
ANSWER_TOPIC: Final = LINK_PREFIX + "reply"  # what became of either, and what ended without being asked for
ATTACHED_MARK: Final = "@"  # how the topics of attached apps begin, before the app

TOPICS: Final = (
    Topic("push/{message_id}", Direction.TO_DEVICE, Use.REFUSED, Use.GRANTED),
    Topic("up/…", Direction.FROM_DEVICE, Use.HANDED, Use.REFUSED),
    Topic(f"{GROUP_PREFIX}{{group}}", Direction.BOTH, Use.HANDED, Use.GRANTED),
    Topic("reply/{message_id}", Direction.FROM_DEVICE, Use.HANDED, Use.REFUSED),
    Topic(SHADOW_DESIRED, Direction.TO_DEVICE, Use.REFUSED, Use.GRANTED),
    Topic(SHADOW_REPORTED, Direction.FROM_DEVICE, Use.HANDED, Use.GRANTED),
    Topic("event/{message_id}/{name}", Direction.FROM_DEVICE, Use.HANDED, Use.REFUSED),
    Topic("$link/gap", Direction.TO_DEVICE, Use.REFUSED, Use.REFUSED),
    Topic("$link/moved", Direction.TO_DEVICE, Use.REFUSED, Use.REFUSED),
    Topic(ATTACH_TOPIC, Direction.FROM_DEVICE, Use.HANDED, Use.REFUSED),
    Topic(DETACH_TOPIC, Direction.FROM_DEVICE, Use.HANDED, Use.REFUSED),
    Topic(ANSWER_TOPIC, Direction.TO_DEVICE, Use.REFUSED, Use.REFUSED),
    Topic("$share/{name}/…", Direction.TO_DEVICE, Use.REFUSED, Use.SHARED),
    Topic("@{app}/…", Direction.BOTH, Use.ATTACHED, Use.ATTACHED),
)

# First levels that are the platform's and do not say so by a `$` or `@`: all of them, and those of no use to
# who subscribes.
RESERVED: Final = frozenset(
    topic.root
    for topic in TOPICS
    if topic.publish in (Use.REFUSED, Use.HANDED) and not topic.root.startswith("$")
)
UNSUBSCRIBABLE: Final = frozenset(
    topic.root for topic in TOPICS if topic.subscribe is Use.REFUSED and not topic.root.startswith("$")
)
