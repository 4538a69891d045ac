"""Tells devices what they have missed: `$link/gap`, with QoS 1, before the first push of a connection.

The store counts it, and forgets it once the device has acknowledged that it was told; until then each
connection is told anew. A device that has missed nothing costs nothing here.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from longline.flow.batcher import Batcher, Retry
from longline.model.topics import GAP_TOPIC
from longline.mqtt.codec import PublishFrame
from longline.mqtt.packets import MQTT_5_0
from longline.mqtt.properties import Properties, PropertyId
from longline.room.counters import RoomCounters
from longline.room.push.notice import GapNotice
from longline.room.session.session import Session
from longline.saver.port.inboxes import Arrival, Gap, InboxStore, Told
from longline.telemetry.faults import Faults

TOGETHER: Final = 500  # devices that the store is told of at a time
WAITING: Final = 100_000  # devices; one more is told again on its next connection
RETRY: Final = Retry(0.2, 5.0)


class Gaps:
    """Owned by the room, which runs `run` as a task."""

    def __init__(self, store: InboxStore, counters: RoomCounters, faults: Faults) -> None:
        self._store = store
        self._counters = counters
        self._late: dict[Session, Arrival] = {}  # those for whom there was no room yet
        self._told: Batcher[Told] = Batcher(
            "room.gaps", self._close, faults=faults, limit=WAITING, batch=TOGETHER, retry=RETRY
        )

    def open(self, session: Session, arrival: Arrival) -> None:
        """A session begins: writes what its device has missed, if anything."""
        gap = arrival.gap
        if gap is None:
            session.told = arrival.told
            return
        attachment = session.attachment
        if attachment is None:
            return
        if session.window.free() <= 0:  # it shares a connection that has no room now
            self._late[session] = arrival
            return
        outlet = attachment.outlet
        frame = _frame(gap, attachment.prefix, outlet.version)
        if outlet.particular and not outlet.takes(frame.size):
            return  # [MQTT-3.1.2-24] there is no way to tell it
        notice = GapNotice(session, gap, self._known)
        outlet.write(frame.with_id(session.window.identify(notice), False))
        self._counters.gaps_told += 1

    def waiting(self) -> int:
        return len(self._told)

    def tick(self) -> None:
        """Tells those for whom there was no room. Once a second."""
        if self._late:
            late, self._late = self._late, {}
            for session, arrival in late.items():
                self.open(session, arrival)

    async def settled(self) -> None:
        """Returns when the store knows of every acknowledgement so far."""
        await self._told.settled()

    async def run(self) -> None:
        """Tells the store who knows, for as long as the room lives."""
        await self._told.run()

    def _known(self, session: Session, gap: Gap) -> None:
        session.told = gap.told
        self._told.add(Told(session.tenant.app, session.ordinal, gap))

    async def _close(self, batch: Sequence[Told]) -> None:
        await self._store.close_gaps(batch)


def _frame(gap: Gap, prefix: str, version: int) -> PublishFrame:
    since = datetime.fromtimestamp(gap.since / 1000, UTC).isoformat(timespec="milliseconds")
    payload = msgspec.json.encode(
        {
            "dropped": gap.dropped,
            "expired": gap.expired,
            "collapsed": gap.collapsed,
            "since": since.replace("+00:00", "Z"),
        }
    )
    properties: Properties | None = None
    if version == MQTT_5_0:
        properties = {PropertyId.CONTENT_TYPE: "application/json"}
    return PublishFrame(prefix + GAP_TOPIC, payload, 1, False, properties, version)
