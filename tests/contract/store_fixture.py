"""A store with an app and devices, in the words of the suites; time stands still until a test moves it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import count
from uuid import UUID

from longline.model.apps import App
from longline.model.audience import Audience, Devices, Everyone
from longline.model.devices import Binding, Profile
from longline.model.ledger import Ledger, State
from longline.model.messages import Envelope, Message
from longline.register.port import Bind, Register, Unbind
from longline.saver.auditing import StoreAudit
from longline.saver.bundle import Saver
from longline.saver.port.audits import Difference
from longline.saver.port.devices import Registration
from longline.saver.port.inboxes import Arrival, Arrive, Fetch, Page, PendingPush, Receipt
from longline.saver.port.messages import Accepted, IdempotencyConflict, Outcome, Refused, Submission
from tests.contract.engines import EVENT_BYTES, EVENTS, Opened, SaverEngine

START = 1_800_000_000_000
MINUTE = 60_000


def an_app(name: str) -> App:
    return App(
        app=name,
        number=0,
        name=name.title(),
        server_key_hash=name.encode().ljust(32, b"."),
        device_secret="secret of " + name,
        pubsub=False,
        created_at=START,
    )


@dataclass
class StoreFixture:
    """One engine in use. Every ledger that it is asked for is checked to balance."""

    engine: SaverEngine
    place: str
    now: int = START
    _messages: int = 0
    _opened: Opened | None = None
    _app: App | None = None

    @property
    def saver(self) -> Saver:
        assert self._opened is not None
        return self._opened.saver

    @property
    def app(self) -> int:
        assert self._app is not None
        return self._app.number

    async def open(self) -> None:
        self._opened = await self.engine.open(self.place)

    async def close(self) -> None:
        assert self._opened is not None
        await self._opened.close()

    async def begin(self) -> None:
        self._app = await self.saver.apps.create(an_app("news"))

    async def differences(self) -> list[Difference]:
        """What an audit of the whole store finds."""
        async with self.engine.audits(self.place) as audits:
            numbers = [number for number, _ in await audits.apps()]
            report = await StoreAudit(audits, pause=0).run(numbers, whole=True)
        return list(report.differences)

    async def reopen(self) -> None:
        await self.close()
        await self.open()

    # --- devices ---

    async def register(self, *names: str, profile: Profile | None = None) -> list[int]:
        """Registers devices; their ordinals."""
        batch = [Registration(name, profile or Profile()) for name in names]
        return [device.ordinal for device in await self.saver.devices.put(self.app, batch, self.now)]

    async def ordinal(self, name: str) -> int:
        (device,) = await self.saver.devices.find(self.app, [name])
        assert device is not None, f"{name} is not registered"
        return device.ordinal

    async def arrive(self, name: str) -> Arrival:
        (arrival,) = await self.saver.inboxes.arrive([Arrive(self.app, name, self.now)])
        assert arrival is not None
        return arrival

    async def pending(self, name: str) -> int:
        (count,) = await self.saver.inboxes.count(self.app, [await self.ordinal(name)], self.now)
        return count

    # --- sessions ---

    @property
    def sessions(self) -> Register:
        assert self._opened is not None
        return self._opened.register

    async def bind(self, name: str, node: str = "node-1") -> Binding:
        """The device connects to a node."""
        (bound,) = await self.sessions.bind([Bind(self.app, name, node, self.now)])
        return bound.binding

    async def unbind(self, name: str, binding: Binding) -> None:
        """The device's session is over."""
        assert await self.sessions.unbind([Unbind(self.app, name, binding.epoch, self.now)]) == [True]

    # --- events ---

    @property
    def lane_events(self) -> int:
        """How many are kept of a lane."""
        return EVENTS // self.engine.lanes

    @property
    def lane_bytes(self) -> int:
        return EVENT_BYTES // self.engine.lanes

    def neighbours(self, stem: str = "d") -> Callable[[int], str]:
        """Names of devices by number, whose events are all in one lane: the same one, whatever they begin
        with."""

        @cache
        def name(number: int) -> str:
            names = (f"{stem}{number}{'-' * n}" for n in count())
            return next(name for name in names if self.engine.lane(self.app, name) == 0)

        return name

    # --- sending ---

    def message(
        self,
        text: str = "hello",
        *,
        ttl: int = MINUTE,
        collapse: str | None = None,
        online_only: bool = False,
        qos: int = 1,
        priority: str = "normal",
    ) -> Message:
        self._messages += 1
        return Message(
            id=str(UUID(int=(START << 80) | (7 << 76) | (2 << 62) | self._messages)),
            app="news",
            payload=text.encode(),
            content_type="text/plain",
            created_at=self.now,
            expires_at=self.now + ttl,
            qos=qos,
            priority=priority,
            collapse_key=collapse,
            online_only=online_only,
        )

    async def submit(self, *submissions: Submission) -> list[Outcome | IdempotencyConflict]:
        return await self.saver.messages.enqueue(submissions)

    def submission(self, *envelopes: Envelope, key: str | None = None, digest: bytes = b"") -> Submission:
        return Submission(self.app, envelopes, self.now, key, digest)

    async def send(self, message: Message, audience: Audience) -> tuple[Accepted | Refused, Outcome]:
        (outcome,) = await self.submit(self.submission(Envelope(message, audience)))
        assert isinstance(outcome, Outcome)
        (result,) = outcome.results
        return result, outcome

    async def push(
        self,
        text: str,
        *devices: str,
        ttl: int = MINUTE,
        collapse: str | None = None,
        online_only: bool = False,
        priority: str = "normal",
    ) -> str:
        """Sends to devices, or to everyone when none is named; the message's id."""
        message = self.message(text, ttl=ttl, collapse=collapse, online_only=online_only, priority=priority)
        result, _ = await self.send(message, Devices(devices) if devices else Everyone())
        assert isinstance(result, Accepted)
        return result.message_id

    # --- receiving ---

    async def page(
        self,
        name: str,
        *,
        inbox_after: int = 0,
        log_after: int | None = None,
        limit: int = 1000,
        urgent: int = 0,
    ) -> Page:
        if log_after is None:
            log_after = (await self.arrive(name)).log_after
        ordinal = await self.ordinal(name)
        fetch = Fetch(self.app, ordinal, inbox_after, log_after, limit, self.now, 64 * 1024 * 1024, urgent)
        (page,) = await self.saver.inboxes.fetch([fetch])
        return page

    async def waiting(self, name: str) -> list[str]:
        """The texts that wait for a device."""
        return [push.message.payload.decode() for push in (await self.page(name)).pushes]

    async def receipt(
        self, name: str, push: PendingPush, state: State, *, reason: str | None = None, sent_at: int = 0
    ) -> Receipt:
        ordinal = await self.ordinal(name)
        return Receipt(
            self.app,
            ordinal,
            push.position,
            push.broadcast,
            state,
            self.now,
            sent_at,
            reason,
            message_id=push.message.id,
        )

    async def settle(
        self, name: str, push: PendingPush, state: State, *, reason: str | None = None, sent_at: int = 0
    ) -> None:
        await self.saver.inboxes.settle(
            [await self.receipt(name, push, state, reason=reason, sent_at=sent_at)]
        )

    async def ack_all(self, *names: str) -> None:
        for name in names:
            for push in (await self.page(name)).pushes:
                await self.settle(name, push, State.ACKED, sent_at=self.now)

    # --- ledgers ---

    async def ledger(self, message_id: str) -> Ledger:
        status = await self.saver.ledgers.status(self.app, message_id)
        assert status is not None
        ledger = status.ledger
        assert ledger.targeted == (
            ledger.pending + ledger.acked + ledger.expired + ledger.collapsed + sum(ledger.dropped.values())
        ), f"{ledger} does not balance"
        return ledger

    async def is_open(self, message_id: str) -> bool:
        status = await self.saver.ledgers.status(self.app, message_id)
        assert status is not None
        return status.open

    async def pass_time(self, ms: int) -> int:
        """Lets time pass, and ends what is over; how much that was."""
        self.now += ms
        return await self.saver.expiry.end(self.now, 1_000_000)
