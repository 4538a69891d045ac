"""Thousands of devices in processes of their own (`crowd`), what they were promised, and what they got."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests.adversity.child import Child
from tests.adversity.crowd import KEEP_ALIVE, Address, Plan, Summary, name_of
from tests.adversity.ledger_books import now
from tests.waiting import until

PROMPT = 1000  # ms within which a push arrives where all is well


class Promise(NamedTuple):
    """A delivery that was answered 202: when it was asked for and answered, in ms of the wall clock."""

    message: str
    device: str
    asked: int
    answered: int


class Crowds:
    """`count` devices, evenly on the `addresses`, a process for each; they go to the next when one fails."""

    def __init__(
        self,
        directory: Path,
        addresses: Sequence[Address],
        app: str,
        secret: str,
        count: int,
        *,
        keep_alive: int = KEEP_ALIVE,
        ping_every: float = 0.0,
    ) -> None:
        each = count // len(addresses)
        self._plans = [
            Plan([*addresses[at:], *addresses[:at]], app, secret, at * each, each, keep_alive, ping_every)
            for at in range(len(addresses))
        ]
        self.names = [name_of(number) for number in range(len(addresses) * each)]
        # Message and device → when (ms). What one device got is in its order.
        self.arrived: dict[tuple[str, str], int] = {}
        self._books = [directory / f"crowd-{at}" for at in range(len(addresses))]
        self._read = [0] * len(addresses)
        self._children: list[Child] = []

    async def connect(self, stack: AsyncExitStack) -> None:
        for plan, book in zip(self._plans, self._books, strict=True):
            child = Child("tests.adversity.crowd", plan, str(book))
            self._children.append(await stack.enter_async_context(child))
        for child in self._children:
            await child.ready()

    def read(self) -> None:
        """Takes in what has arrived since."""
        for at, path in enumerate(self._books):
            with path.open("rb") as file:
                file.seek(self._read[at])
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._read[at] += len(whole)
            for line in whole.decode().splitlines():
                message, device, moment = line.split()
                self.arrived[message, device] = int(moment)

    def missing(self, promised: Sequence[Promise]) -> set[tuple[str, str]]:
        """Of the promised deliveries, those that have not arrived so far."""
        self.read()
        return {(each.message, each.device) for each in promised} - self.arrived.keys()

    async def lost(self, promised: Sequence[Promise], within: float) -> set[tuple[str, str]]:
        """Of the promised deliveries, those that do not arrive within so many seconds."""
        with suppress(AssertionError):
            await until(lambda: not self.missing(promised), within)
        return self.missing(promised)

    def out_of_order(self, promised: Sequence[Promise]) -> list[str]:
        """Devices that got what was promised one after the other in another order, and what."""
        self.read()
        places = {(each.message, each.device): place for place, each in enumerate(promised)}
        latest: dict[str, int] = {}
        wrong = []
        for message, device in self.arrived:
            place = places.get((message, device))
            if place is None:  # nobody knows whether it was asked for in time
                continue
            if place < latest.get(device, -1):
                wrong.append(f"{device} got {promised[place]} behind {promised[latest[device]]}")
            latest[device] = max(place, latest.get(device, -1))
        return wrong

    def recovery(self, promised: Sequence[Promise], since: int) -> float:
        """Seconds from `since` (ms) until the last push that was slow had arrived; 0: none arrived after."""
        self.read()
        arrivals = [(each, self.arrived.get((each.message, each.device), now())) for each in promised]
        return max((at - since for each, at in arrivals if at - each.asked > PROMPT), default=0) / 1000

    async def summary(self) -> Summary:
        """How it went so far."""
        return _added([await child.ask(Summary) for child in self._children])

    async def end(self) -> Summary:
        """How it went."""
        return _added([await child.end(Summary) for child in self._children])


class Pusher:
    """Pushes to names without pause, one request after the other; `to_all` to all of them, in between.

    `promised` is what was answered 202, in the order in which it was asked for.
    """

    def __init__(
        self,
        url: Callable[[], str],
        key: str,
        app: str,
        names: Sequence[str],
        chance: random.Random,
        *,
        batch: int = 50,
        every: float = 0.1,
    ) -> None:
        self.promised: list[Promise] = []
        self.unanswered = 0
        self.broadcasts = 0
        self._url = url
        self._headers = {"Authorization": f"Bearer {key}"}
        self._app = app
        self._names = names
        self._chance = chance
        self._batch = batch
        self._every = every
        self._more = asyncio.Event()
        self._turn = asyncio.Lock()

    async def promises(self, count: int) -> None:
        """Waits until so many more are promised."""
        goal = len(self.promised) + count
        while len(self.promised) < goal:
            self._more.clear()
            await self._more.wait()

    async def push_on(self) -> None:
        """Pushes until it is cancelled."""
        async with httpx.AsyncClient(headers=self._headers, timeout=30, trust_env=False) as client:
            while True:
                async with self._turn:
                    await self._to_some(client)
                await asyncio.sleep(self._every)

    async def to_all(self) -> None:
        """A push to everybody."""
        asked = now()
        async with (
            self._turn,
            httpx.AsyncClient(headers=self._headers, timeout=30, trust_env=False) as client,
        ):
            answer = await self._ask(client, "messages", {"audience": "all", "payload": "crowd"})
        if answer is not None:
            self.broadcasts += 1
            self._promise(((answer["message_id"], device) for device in self._names), asked)

    async def _to_some(self, client: httpx.AsyncClient) -> None:
        devices = self._chance.sample(self._names, self._batch)
        messages = [{"audience": {"devices": [device]}, "payload": "crowd"} for device in devices]
        asked = now()
        answer = await self._ask(client, "messages:batch", {"messages": messages})
        if answer is not None:
            ids = [result["message_id"] for result in answer["results"]]
            self._promise(zip(ids, devices, strict=True), asked)

    async def _ask(self, client: httpx.AsyncClient, path: str, body: object) -> dict[str, Any] | None:
        try:
            answer = await client.post(f"{self._url()}/v1/apps/{self._app}/{path}", json=body)
        except httpx.TransportError:
            self.unanswered += 1  # no answer, no promise
            return None
        if answer.status_code != 202:
            assert answer.status_code in (429, 503), answer.text
            self.unanswered += 1
            return None
        found: dict[str, Any] = answer.json()
        return found

    def _promise(self, pushes: Iterable[tuple[str, str]], asked: int) -> None:
        answered = now()
        self.promised += [Promise(message, device, asked, answered) for message, device in pushes]
        self._more.set()


def _added(summaries: Sequence[Summary]) -> Summary:
    cut_off: Counter[int] = Counter()
    ports: Counter[int] = Counter()
    for summary in summaries:
        cut_off.update(summary.cut_off)
        ports.update(summary.ports)
    return Summary(
        dict(sorted(cut_off.items())),
        [seconds for summary in summaries for seconds in summary.away],
        sum(summary.refused for summary in summaries),
        sum(summary.duplicates for summary in summaries),
        dict(ports),
        max(summary.slowest_ping for summary in summaries),
    )
