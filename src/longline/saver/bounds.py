"""What an engine keeps, subject by subject, and how much of it there may be."""

import msgspec

from longline.model.devices import ConnectionBounds
from longline.model.events import EventBounds
from longline.model.figures import FigureBounds
from longline.model.groups import GroupBounds
from longline.model.profiles import ProfileBounds
from longline.model.statistics import KeepCounts
from longline.model.trail import TrailBounds
from longline.model.webhooks import DeadBounds
from longline.saver.port.inboxes import InboxBounds
from longline.saver.port.queues import QueueBounds
from longline.saver.port.schedules import TimerBounds


class SaverBounds(msgspec.Struct, frozen=True, kw_only=True):
    """The same for every engine.

    `ledger_retention_ms`: how long a ledger is kept after its message's end. `events`, `retained_messages`
    and `retained_bytes`: what is kept of each app. `queue`: what the queue of a session may hold, and a topic
    may cost. `timers`: what an app may have that is to be sent later. `inbox`: what may wait for a device.
    `dead`: what is kept of events that no webhook's target took. `trail`: what the audit log keeps. `counts`:
    for how long statistics are kept. `groups`: what there may be of these. `figures`: what is kept of what
    processes tell. `profiles`: what is kept of these. `connections`: what is kept of those that devices had.
    """

    ledger_retention_ms: int = 7 * 86_400_000
    events: EventBounds = EventBounds()
    queue: QueueBounds = QueueBounds()
    retained_messages: int = 1_000_000
    retained_bytes: int = 256 * 1024 * 1024
    timers: TimerBounds = TimerBounds()
    inbox: InboxBounds = InboxBounds()
    dead: DeadBounds = DeadBounds()
    trail: TrailBounds = TrailBounds()
    counts: KeepCounts = KeepCounts()
    groups: GroupBounds = GroupBounds()
    figures: FigureBounds = FigureBounds()
    profiles: ProfileBounds = ProfileBounds()
    connections: ConnectionBounds = ConnectionBounds()


BOUNDS = SaverBounds()
