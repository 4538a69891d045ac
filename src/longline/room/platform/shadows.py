"""Shadows of the devices that are here: `shadow/reported` from them, `shadow/desired` to them.

What is desired is in the store, and so is what a device has acknowledged. A device whose CONNECT, or whom a
command, says that there is something new is read for, in batches, and is sent the whole of it with QoS 1: the
latest, however often it has changed meanwhile. What it does not acknowledge it gets again on its next
connection.

What devices report goes to the store in batches, and is acknowledged after the commit. While too much waits,
who reports with QoS 1 or 2 is not read from, and what comes with QoS 0 is dropped.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import msgspec

from longline.delivery.shadows import ShadowPatch, Shadows
from longline.errors import LonglineError
from longline.flow.batcher import Batcher, Retry
from longline.model.devices import JsonObject
from longline.model.topics import SHADOW_DESIRED
from longline.mqtt.codec import PublishFrame
from longline.mqtt.packets import MQTT_5_0, Publish
from longline.mqtt.properties import Properties, PropertyId
from longline.mqtt.reasons import ReasonCode
from longline.room.counters import RoomCounters
from longline.room.intake import Intake
from longline.room.pubsub.rooms import Publisher
from longline.room.pubsub.rules import Refusal
from longline.room.push.pace import BulkPace
from longline.room.push.pushes import REFUSED
from longline.room.session.inflight import Notice
from longline.room.session.session import UNKNOWN, Session
from longline.room.turn import Turn
from longline.room.wire.answers import SUCCESS, Answer
from longline.saver.port.shadows import Shadow, ShadowSeen, ShadowStore
from longline.telemetry.faults import Faults

BATCH: Final = 500  # devices in one read, or reports in one step
RETRY: Final = Retry(0.1, 2.0)  # s, while the store cannot be reached
MANY: Final = 1 << 30  # bounded by the number of sessions, and by what is in flight
OVERHEAD: Final = 400  # bytes that a report takes besides its payload
PLACE: Final = "room.shadows"

MALFORMED: Final = "the payload is no JSON object"

_decode = msgspec.json.Decoder(JsonObject).decode


class DesiredStates:
    """Owned by the room, which runs `run` and `run_seen` as tasks, and calls `tick` once a second."""

    def __init__(
        self,
        store: ShadowStore,
        counters: RoomCounters,
        faults: Faults,
        pace: BulkPace,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._counters = counters
        self._faults = faults
        self._pace = pace
        self._asked: Batcher[Session] = Batcher(
            PLACE, self._read, faults=faults, limit=MANY, batch=BATCH, retry=RETRY, sleep=sleep
        )
        self._seen: Batcher[tuple[Session, ShadowSeen]] = Batcher(
            PLACE, self._note, faults=faults, limit=MANY, batch=BATCH, retry=RETRY, sleep=sleep
        )
        self._asking: set[Session] = set()
        self._early: set[Session] = set()  # told of something new before the store has told who they are
        self._late: set[Session] = set()  # that had no room
        self._written: dict[Session, int] = {}  # the version in flight, or acknowledged and not noted yet

    def waiting(self) -> int:
        """How many are to be read for, or have acknowledged something that is not in the store yet."""
        return len(self._asked) + len(self._seen)

    def arrived(self, session: Session, news: bool) -> None:
        """A session has begun; `news`: something is desired that its device has not acknowledged."""
        if self._early and session in self._early:
            self._early.discard(session)
            news = True
        if news and not session.guest:
            self.ask(session)

    def ask(self, session: Session) -> None:
        """There may be something new for a device that is here."""
        if session.ordinal == UNKNOWN:
            self._early.add(session)
        elif not session.guest and session not in self._asking:
            self._asking.add(session)
            self._asked.add(session)

    def tick(self) -> None:
        """Has those tried again that had no room, and forgets who has gone."""
        late, self._late = self._late, set()
        for session in late:
            self.ask(session)
        if self._early or self._written:
            self._early = {session for session in self._early if session.attachment is not None}
            gone = [session for session in self._written if session.attachment is None]
            for session in gone:
                del self._written[session]

    async def run(self) -> None:
        """Reads for as long as the room lives."""
        await self._asked.run()

    async def run_seen(self) -> None:
        """Notes what was acknowledged, for as long as the room lives."""
        await self._seen.run()

    async def finished(self) -> None:
        """Returns when everything acknowledged so far is in the store."""
        await self._seen.settled()

    async def _read(self, batch: Sequence[Session]) -> None:
        sessions: defaultdict[int, list[Session]] = defaultdict(list)
        for session in batch:
            if session.attachment is not None:
                sessions[session.tenant.app].append(session)
        self._asking.difference_update(batch)  # what comes from now on is read for again
        try:
            for app, some in sessions.items():
                with self._pace.asking():
                    found = await self._store.find(app, [session.ordinal for session in some])
                for session, shadow in zip(some, found, strict=True):
                    if shadow is not None and shadow.unseen:
                        self._give(session, shadow)
        except LonglineError as error:
            if error.retryable:
                self._asking.update(batch)  # they are tried again
            raise

    def _give(self, session: Session, shadow: Shadow) -> None:
        attachment = session.attachment
        if attachment is None or self._written.get(session) == shadow.wanted:
            return
        outlet = attachment.outlet
        if not outlet.ready() or session.window.free() <= 0:
            self._late.add(session)
            return
        properties: Properties | None = None
        if outlet.version == MQTT_5_0:
            properties = {
                PropertyId.CONTENT_TYPE: "application/json",
                PropertyId.USER_PROPERTY: [("version", str(shadow.version))],
            }
        topic = attachment.prefix + SHADOW_DESIRED
        frame = PublishFrame(topic, shadow.desired, 1, False, properties, outlet.version)
        if outlet.particular and not outlet.takes(frame.size):
            self._counters.shadows_too_large += 1  # [MQTT-3.1.2-24]: until it wants it smaller, or takes more
            return
        version = shadow.wanted
        told = Notice(lambda reason: self._taken(session, version, reason))
        outlet.write(frame.with_id(session.window.identify(told), False))
        self._written[session] = version
        self._counters.shadows_sent += 1

    def _taken(self, session: Session, version: int, reason: int) -> None:
        if reason < REFUSED:
            self._seen.add((session, ShadowSeen(session.tenant.app, session.ordinal, version)))
        else:
            self._settled(session, version)

    async def _note(self, batch: Sequence[tuple[Session, ShadowSeen]]) -> None:
        with self._pace.asking():
            await self._store.seen([seen for _, seen in batch])
        for session, seen in batch:
            self._settled(session, seen.version)

    def _settled(self, session: Session, version: int) -> None:
        if self._written.get(session) == version:
            del self._written[session]


class ShadowReport:
    """What a device has reported, and who is told what became of it: nobody, when it came with QoS 0."""

    __slots__ = ("answer", "patch", "publisher", "size")

    def __init__(self, publisher: Publisher, patch: ShadowPatch, size: int, answer: Answer | None) -> None:
        self.publisher = publisher
        self.patch = patch
        self.answer = answer
        self.size = OVERHEAD + size


class ReportedStates(Intake[ShadowReport]):
    """Fulfils `Handler`. Owned by the room, which runs `run` as a task.

    `limit` reports may wait, and `limit_bytes` of them.
    """

    def __init__(
        self,
        shadows: Shadows,
        counters: RoomCounters,
        turn: Turn,
        faults: Faults,
        pace: BulkPace,
        *,
        limit: int,
        limit_bytes: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(
            PLACE,
            turn,
            faults,
            limit=limit,
            limit_bytes=limit_bytes,
            batch=BATCH,
            retry=RETRY,
            sleep=sleep,
        )
        self._shadows = shadows
        self._counters = counters
        self._pace = pace

    def refusal(self, session: Session, packet: Publish) -> Refusal | None:
        most = self._shadows.bounds.bytes
        if len(packet.payload) > most:
            return Refusal(
                ReasonCode.QUOTA_EXCEEDED, "shadow_too_large", f"a shadow has at most {most} bytes of JSON"
            )
        return None

    def take(self, publisher: Publisher, session: Session, packet: Publish, answer: Answer | None) -> None:
        if answer is None and self.full():
            self._counters.reports_lost += 1
            return
        try:
            reported = _decode(packet.payload)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            publisher.report("payload_format_invalid", MALFORMED)
            if answer is not None:
                publisher.settle(answer, ReasonCode.PAYLOAD_FORMAT_INVALID, MALFORMED)
            return
        patch = ShadowPatch(session.tenant.app, session.device, session.ordinal, {"reported": reported})
        self._take_in(ShadowReport(publisher, patch, len(packet.payload), answer))

    async def _carry_out(self, batch: Sequence[ShadowReport]) -> Sequence[ShadowReport]:
        """Returns those at whose shadows others were faster, again and again."""
        results = await self._ask(self._change, batch, _failure)
        again = []
        for report, result in zip(batch, results, strict=True):
            if isinstance(result, LonglineError) and result.retryable:
                again.append(report)
                continue
            self._over(report)
            try:
                self._tell(report, result)
            except Exception as error:
                self._faults.note(PLACE, error)
        return again

    async def _change(self, batch: Sequence[ShadowReport]) -> Sequence[Shadow | LonglineError]:
        with self._pace.asking():
            return await self._shadows.change([report.patch for report in batch])

    def _tell(self, report: ShadowReport, result: Shadow | LonglineError) -> None:
        reason, message = int(SUCCESS), ""
        if isinstance(result, LonglineError):
            self._counters.reports_refused += 1
            reason, message = result.reason, str(result)
            report.publisher.report(result.code, message)
        else:
            self._counters.reports_taken += 1
        if report.answer is not None:
            report.publisher.settle(report.answer, reason, message)


def _failure(error: Exception) -> Shadow | LonglineError:
    return error if isinstance(error, LonglineError) else LonglineError()
