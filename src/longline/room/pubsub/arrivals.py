"""Messages that come from other rooms, for the subscribers here.

Whoever brings one does not wait. They are distributed in their order, as far as the turn's budget goes; what
is left waits for the next turn. When more than `limit` bytes wait, what comes is dropped, with either QoS:
its publisher has its PUBACK from another room, which had the bus take it. That is counted, and told once for
each time that it begins.
"""

from collections import deque
from typing import Final

import structlog

from longline.model.commands import Forward
from longline.model.times import wall_clock
from longline.mqtt.packets import Publish
from longline.mqtt.properties import Properties, PropertyId, get_int, unpack_message_properties
from longline.room.pubsub.fanout import Fanout
from longline.room.pubsub.relay import OVERHEAD, RouteCounters
from longline.room.pubsub.shared import Groups
from longline.room.session.sessions import Sessions
from longline.telemetry.faults import Faults

PLACE: Final = "room.arrivals"

log = structlog.get_logger()


class Arrivals:
    """Owned by the route table."""

    def __init__(
        self,
        sessions: Sessions,
        fanout: Fanout,
        shares: Groups,
        counters: RouteCounters,
        faults: Faults,
        *,
        limit: int,
    ) -> None:
        self._sessions = sessions
        self._fanout = fanout
        self._shares = shares
        self._turn = fanout.turn
        self._counters = counters
        self._faults = faults
        self._limit = limit
        self._waiting: deque[Forward] = deque()
        self._size = 0  # bytes that wait
        self._busy = False  # something is under way that the next one has to wait for
        self._told = False  # that messages are being dropped

    def add(self, message: Forward) -> None:
        """Distributes a message, or has it wait for its turn."""
        self._counters.messages_received += 1
        if not self._busy and self._turn.spent <= self._turn.budget:
            self._distribute(message)
            return
        size = size_of(message)
        if self._size + size > self._limit and self._waiting:
            self._counters.arrivals_dropped += 1
            if not self._told:
                self._told = True
                log.warning("arrivals_dropped", reason="more comes from other rooms than is distributed here")
            return
        self._size += size
        self._waiting.append(message)
        if not self._busy:
            self._busy = True
            self._turn.later(self._go_on)

    def _go_on(self) -> None:
        """Distributes what waits: one message in any case, and more while there is time."""
        over = False
        while self._waiting and not over:
            self._busy = False
            message = self._waiting.popleft()
            self._size -= size_of(message)
            try:
                self._distribute(message)
            except Exception as error:
                self._faults.note(PLACE, error)
            if self._busy:
                return
            over = self._turn.spent > self._turn.budget
        self._busy = bool(self._waiting)
        if self._busy:
            self._turn.later(self._go_on)
        else:
            self._told = False

    def _distribute(self, message: Forward) -> None:
        try:
            properties = unpack_message_properties(message.properties)
        except ValueError as error:  # the message itself is as good as ever
            log.warning("properties_unreadable", error=str(error))
            properties = None
        if message.at and properties is not None and not count_down(properties, wall_clock() - message.at):
            self._fanout.expired(1)
            return
        if message.expires_at:
            left = (message.expires_at - wall_clock() + 999) // 1000
            if left <= 0:
                self._fanout.expired(1)
                return
            properties = {**(properties or {}), PropertyId.MESSAGE_EXPIRY_INTERVAL: left}
        retain = message.id != ""
        packet = Publish(message.topic, message.payload, message.qos, retain, properties=properties)
        share = message.share
        if share is not None:
            self._shares.arrived(message.app, packet, message.id, share, message.queued)
            if share.only:
                return
        tenant = self._sessions.tenants.get(message.app)
        if tenant is not None:
            served = self._fanout.distribute(
                tenant, packet, self._served, message.id, message.queued, message.sender
            )
            self._busy = not served

    def _served(self, reached: int) -> None:
        """A message with very many subscribers has reached them."""
        self._go_on()


def count_down(properties: Properties, waited: int) -> bool:
    """Takes so many ms off the expiry interval; False when nothing is left of it [MQTT-3.3.2-5].

    Clocks of two hosts may differ: nothing is ever added.
    """
    interval = get_int(properties, PropertyId.MESSAGE_EXPIRY_INTERVAL)
    if interval is None or waited < 1000:
        return True
    properties[PropertyId.MESSAGE_EXPIRY_INTERVAL] = left = interval - waited // 1000
    return left > 0


def size_of(message: Forward) -> int:
    """What a message takes, in bytes."""
    return OVERHEAD + len(message.topic) + len(message.payload) + len(message.properties)
