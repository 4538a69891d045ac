"""A device goes through a schedule: messages both ways, faults between them, and what is left of it all."""

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec

from longline import Center, Push, UpstreamEvent, errors
from longline.testing.proxy import FaultProxy
from tests.integration.fire.schedule import IN_ITS_PLACE, LIES, Fault, Schedule, Step, Way
from tests.integration.sdk_js.programs import Driven, Refusal, Sdk
from tests.waiting import until

DEVICE: Final = "d1"
WITHIN: Final = 300.0  # s: many go side by side, and what they talk to may be killed meanwhile
HANDSHAKES_PASS: Final = 50  # bytes of a chunk with which a delayed one does
AGAIN: Final = 0.05  # s before a center is asked again
SCHEMES: Final[Mapping[Way, str]] = {"tcp": "mqtt", "ws": "ws", "tls": "mqtts", "wss": "wss"}
Answer = TypeVar("Answer")


class Rooms(msgspec.Struct, frozen=True):
    """Where devices are let in, by transport, and the authority that vouches for it."""

    tcp: int
    ws: int
    tls: int
    wss: int
    ca: Path

    def port(self, way: Way) -> int:
        return {"tcp": self.tcp, "ws": self.ws, "tls": self.tls, "wss": self.wss}[way]


class Impostor:
    """Listens where the room should be, and answers with nonsense."""

    def __init__(self, says: bytes) -> None:
        self._says = says
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.read(1000)
            writer.write(self._says)
            await writer.drain()
        writer.close()


class Course:
    """See above. It adds to `counted` what it does, and how often a fault meets a connection (`… bit`)."""

    def __init__(
        self,
        schedule: Schedule,
        rooms: Rooms,
        center: Center,
        sdk: Sdk,
        store: Path,
        counted: Counter[str],
    ) -> None:
        self.app = f"app{schedule.number}"
        self._counted = counted
        self._schedule = schedule
        self._rooms = rooms
        self._center = center
        self._sdk = sdk
        self._store = store
        self._network = FaultProxy("127.0.0.1", self._port)
        self._stalled = False
        self._token = ""
        self._device: Driven
        self._consuming: asyncio.Task[None]
        self._closing = False
        self._handling = asyncio.Lock()
        self._numbers = itertools.count()
        self._pushed: list[str] = []
        self._at_most_once: set[str] = set()
        self._handled: list[str] = []
        self._posted: list[str] = []
        self._said: list[str] = []
        self._saying: set[asyncio.Task[None]] = set()
        self._given_up: set[str] = set()

    async def run(self) -> None:
        """Goes through it; AssertionError where something was lost, doubled, or came in another order."""
        with suppress(errors.AppExists):  # asked for twice, as the first answer was lost
            await asked(lambda: self._center.create_app(self.app))
        await self._make_token()
        await asked(lambda: self._center.put_device(self.app, DEVICE))
        async with self._network:
            await self._start()
            for step in self._schedule.steps:
                await self._go(step)
            await self._come_to_an_end()
            await self._stop()
            await until(lambda: self._network.connections == 0, WITHIN)
            self._count_network()
        await self._judge()

    # --- the device -------------------------------------------------------------------------------

    @property
    def _port(self) -> int:
        return self._rooms.port(self._schedule.way)

    async def _start(self) -> None:
        schedule = self._schedule
        scheme = SCHEMES[schedule.way]
        path = "/mqtt" if scheme.startswith("ws") else ""
        vouched: dict[str, Any] = {"ca": str(self._rooms.ca)} if schedule.way in ("tls", "wss") else {}
        self._closing = False
        self._device = await self._sdk.device(
            f"{scheme}://127.0.0.1:{self._network.port}{path}",
            self.app,
            DEVICE,
            [self._token, self._token],  # a source, and no token for good
            store=self._store,
            **vouched,
            protocol=schedule.protocol,
            session_expiry=schedule.session_expiry,
            backoff_base=0.01,
            backoff_cap=0.1,
            connect_timeout=10,
        )
        self._consuming = asyncio.create_task(self._consume(self._device), name="consuming")

    async def _stop(self) -> None:
        """Closes it between two messages: what was handled is acknowledged, and what is not is not begun."""
        self._closing = True
        async with self._handling:
            found = await self._device.statistics()
        await self._device.ask("close")
        await self._consuming
        await asyncio.gather(*self._saying)
        await self._device.forget()
        self._counted.update({name: found[name] for name in ("connects", "duplicates", "failures")})

    async def _consume(self, device: Driven) -> None:
        while not self._closing:
            try:
                message = await device.receive()
            except Refusal:
                assert self._closing
                return
            async with self._handling:
                if not self._closing:
                    self._handled.append(message.text)
                    await device.ack(message)

    async def _say(self, device: Driven, text: str) -> None:
        try:
            await device.ask("send", name="said", payload=text)
        except Refusal as refusal:  # it is closed, or five connections went without an answer
            if refusal.code != "unavailable":
                raise
            self._given_up.add(text)

    # --- a step -----------------------------------------------------------------------------------

    async def _go(self, step: Step) -> None:
        await self._push(step.pushes)
        for _ in range(step.posts):
            self._posted.append(text := str(next(self._numbers)))
            await self._device.ask("post", name="posted", payload=text)
        for _ in range(step.sends):
            self._said.append(text := str(next(self._numbers)))
            task = asyncio.create_task(self._say(self._device, text), name="saying")
            self._saying.add(task)
            task.add_done_callback(self._saying.discard)
        name = step.fault.name.lower()
        self._counted[name] += 1
        self._counted[f"{name} bit"] += self._network.connections > 0
        await self._suffer(step)
        self._counted["steps"] += 1
        if step.settles and not self._stalled:
            await self._device.ask("connected")

    async def _push(self, qualities: tuple[Literal[0, 1, 2], ...]) -> None:
        if not qualities:
            return
        texts = [str(next(self._numbers)) for _ in qualities]
        pushes = [
            Push(payload=text, devices=[DEVICE], qos=qos) for text, qos in zip(texts, qualities, strict=True)
        ]
        key = f"{self.app}-{texts[0]}"
        for found in await asked(lambda: self._center.send_batch(self.app, pushes, idempotency_key=key)):
            assert not isinstance(found, errors.LonglineError), found
        self._pushed += texts
        self._at_most_once |= {text for text, qos in zip(texts, qualities, strict=True) if qos == 0}

    async def _suffer(self, step: Step) -> None:
        network = self._network
        match step.fault:
            case Fault.CUT:
                network.cut()
            case Fault.CLOSE_UPWARD:
                network.close_upward()
            case Fault.CLOSE_DOWNWARD:
                network.close_downward()
            case Fault.DELAY | Fault.CHUNK:
                self._slow_down(step)
            case Fault.STALL:
                network.stall()
                self._stalled = True
            case Fault.RESUME:
                self._resume()
            case Fault.REFUSE:
                await self._refuse(step)
            case Fault.LIE:
                network.lie(LIES[step.lie % len(LIES)])
            case Fault.IMPOSTOR:
                await self._be_impostor(step)
            case Fault.KICK:
                await asked(lambda: self._center.kick(self.app, DEVICE))
            case Fault.NEW_SECRET:
                await self._change_secret(step)
            case Fault.RESTART | Fault.CRASH:
                if step.fault is Fault.CRASH:
                    network.cut()
                await self._stop()
                await self._start()

    def _slow_down(self, step: Step) -> None:
        """Never so much that a handshake of some thousand bytes takes longer than the device waits for it."""
        network = self._network
        if step.fault is Fault.DELAY:
            network.delay = step.delay
        else:
            network.split = step.chunk
        if 0 < network.split < HANDSHAKES_PASS:
            network.delay = 0.0 if self._schedule.way in ("tls", "wss") else min(network.delay, 0.001)

    async def _refuse(self, step: Step) -> None:
        self._network.refusing = True
        self._network.cut()
        await asyncio.sleep(step.lasts)
        self._network.refusing = False

    async def _be_impostor(self, step: Step) -> None:
        impostor = Impostor(IN_ITS_PLACE[step.lie])
        await impostor.start()
        self._network.target_port = impostor.port
        self._network.cut()
        await asyncio.sleep(step.lasts)
        self._network.target_port = self._port
        self._network.cut()
        await impostor.stop()

    async def _change_secret(self, step: Step) -> None:
        """One that is refused twice stops for good: so it is connected before, and has no token meanwhile."""
        self._resume()
        await self._device.ask("connected")
        await self._device.ask("retoken", tokens=["!its secret is being changed"])
        await asked(
            lambda: self._center.rotate_keys(
                self.app, server_key=False, device_secret=True, disconnect=step.disconnects
            )
        )
        await self._make_token()
        await self._device.ask("retoken", tokens=[self._token])
        if not step.disconnects:
            self._network.cut()

    async def _make_token(self) -> None:
        self._token = (await asked(lambda: self._center.token(self.app, DEVICE))).password

    def _resume(self) -> None:
        self._network.resume()
        self._stalled = False

    # --- the end ----------------------------------------------------------------------------------

    async def _come_to_an_end(self) -> None:
        """The network is well again; returns when nothing is under way any more."""
        network = self._network
        network.delay, network.split = 0.0, 0
        self._resume()
        network.cut()  # what was stalled for good is over
        wanted = set(self._pushed) - self._at_most_once
        await until(lambda: wanted <= set(self._handled), WITHIN, tell=lambda: self._told(wanted))
        await asyncio.gather(*self._saying)
        await until(self._all_sent, WITHIN)
        await until(self._none_pending, WITHIN)

    async def _all_sent(self) -> bool:
        return bool(await self._device.ask("unsent") == 0)

    async def _none_pending(self) -> bool:
        return (await asked(lambda: self._center.device(self.app, DEVICE))).pending == 0

    def _told(self, wanted: set[str]) -> str:
        missing = sorted(wanted - set(self._handled), key=int)
        return f"schedule {self._schedule.number}: {missing} of {self._pushed} are not there"

    def _count_network(self) -> None:
        passed = self._network.statistics
        self._counted.update(
            connections=passed.accepted,
            upward=passed.upward,
            downward=passed.downward,
            pushes=len(self._pushed),
            posts=len(self._posted),
            sends=len(self._said),
            given_up=len(self._given_up),
            schedules=1,
        )
        self._counted["not come, with QoS 0"] += len(self._at_most_once - set(self._handled))

    async def _judge(self) -> None:
        came = set(self._handled) | (set(self._pushed) - self._at_most_once)
        self._compare("handled", self._handled, [text for text in self._pushed if text in came])
        events = await asked(self._upstream)
        self._compare("posted", self._heard(events, "posted"), self._posted)
        said = [text for text in self._heard(events, "said") if text not in self._given_up]
        self._compare("said", said, [text for text in self._said if text not in self._given_up])
        if self._schedule.protocol == 5:
            names = Counter(event.data.decode() for event in {e.send_id: e for e in events}.values())
            self._compare("named", [text for text, count in names.items() if count > 1], [])

    def _heard(self, events: list[UpstreamEvent], name: str) -> list[str]:
        """What the server has of the device, in its order; a copy is no second message."""
        heard = [event.data.decode() for event in events if event.topic == f"up/{name}"]
        self._counted["copies heard"] += len(heard) - len(set(heard))
        return list(dict.fromkeys(heard))

    def _compare(self, what: str, found: list[str], wanted: list[str]) -> None:
        """Says which, as many go side by side."""
        assert found == wanted, f"{self._schedule}: {what} {found} instead of {wanted}"

    async def _upstream(self) -> list[UpstreamEvent]:
        found = self._center.upstream(self.app, follow=False)
        return [event async for event in found if event.type == "upstream"]


async def asked(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """What a center answers, asked again while it is not there."""
    while True:
        try:
            return await call()
        except errors.LonglineError as error:
            if not error.retryable:
                raise
            await asyncio.sleep(error.retry_after or AGAIN)
