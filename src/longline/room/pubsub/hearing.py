"""Who waits until the other rooms have heard of something.

That the bus has a command for a room does not mean that the room has acted on it: a client that was answered
by then, and has another publish there, would find that nobody is subscribed. So what a room tells the others
has an inquiry with it, a number, which each of them tells back once it has carried out what came with it.

A room that does not answer within `PATIENCE` holds up nobody any longer, and is not waited for again until it
answers. So one that is stuck costs every other room that time once.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from longline.telemetry.faults import Faults

PATIENCE: Final = 1.0  # s that other rooms may take to hear of something
PLACE: Final = "room.hearing"
SENT: Final = ""  # stands among the rooms that have not answered for as long as they are being asked

Told = Callable[[], None]


class Inquiry:
    """Asked of `rooms`, of which these have not answered yet. `until` in seconds, rising."""

    __slots__ = ("rooms", "until", "waiting")

    def __init__(self, until: float, waiting: list[Told]) -> None:
        self.rooms: set[str] = set()
        self.until = until
        self.waiting = waiting


class Hearing:
    """One for a room, which runs `run` as a task. `now` and `sleep` in seconds."""

    def __init__(
        self,
        faults: Faults,
        *,
        now: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._faults = faults
        self._now = now
        self._sleep = sleep
        self._numbers = itertools.count(1)
        self._asked: dict[int, Inquiry] = {}
        self._next: Inquiry | None = None  # not asked yet
        self._silent: set[str] = set()
        self._waiting = 0
        self._answers: dict[str, list[int]] = {}  # that this room owes others
        self._work = asyncio.Event()

    # --- who waits --------------------------------------------------------------------------------

    def __len__(self) -> int:
        """How many wait, those included of whose inquiry no room was asked yet."""
        return self._waiting

    def wait(self, told: Told) -> None:
        """Has somebody told when the next inquiry is answered, or `PATIENCE` is over."""
        if self._next is None:
            self._next = self._inquiry([])
        self._next.waiting.append(told)
        self._waiting += 1

    def wanted(self) -> bool:
        """Whether anybody waits for the next inquiry."""
        return self._next is not None

    def unheard(self) -> bool:
        """Whether something was told that not all rooms have heard."""
        return bool(self._asked)

    # --- asking -----------------------------------------------------------------------------------

    def ask(self, rooms: Iterable[str]) -> int:
        """Asks what those wait for who wait; the number that is to be sent to `rooms`.

        `sent` is to follow, or `withdraw`.
        """
        inquiry, self._next = self._next, None
        return self._begin(inquiry or self._inquiry([]), rooms)

    def ask_for(self, rooms: Iterable[str]) -> tuple[int, asyncio.Future[None]]:
        """The same for one that waits by itself."""
        told: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting += 1

        def heard() -> None:
            if not told.done():
                told.set_result(None)

        return self._begin(self._inquiry([heard]), rooms), told

    def sent(self, number: int) -> None:
        """All rooms were sent it, those that can be."""
        self.heard(SENT, (number,))

    def withdraw(self, number: int) -> None:
        """It could not be sent: who waits is told at once, and no room is to blame."""
        if number in self._asked:
            self._over(number)

    def heard(self, room: str, numbers: Iterable[int]) -> None:
        """A room has answered."""
        self._silent.discard(room)
        for number in numbers:
            inquiry = self._asked.get(number)
            if inquiry is not None:
                inquiry.rooms.discard(room)
                if not inquiry.rooms:
                    self._over(number)

    def excuse(self, room: str) -> None:
        """A room is gone, or cannot be told."""
        self.heard(room, list(self._asked))

    # --- answering --------------------------------------------------------------------------------

    def owe(self, room: str, number: int) -> None:
        """What a room has asked about is carried out here."""
        self._answers.setdefault(room, []).append(number)

    def answers(self) -> dict[str, list[int]]:
        """What is owed, which the caller sends."""
        answers, self._answers = self._answers, {}
        return answers

    # --- time -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Ends the patience of who waits, for as long as the room lives."""
        while True:
            self._work.clear()
            ends = [inquiry.until for inquiry in self._asked.values()]
            if self._next is not None:
                ends.append(self._next.until)
            if ends:
                await self._sleep(max(0.0, min(ends) - self._now()))
                self._expire()
            else:
                await self._work.wait()

    def _expire(self) -> None:
        now = self._now()
        for number, inquiry in list(self._asked.items()):
            if inquiry.until <= now:
                if SENT not in inquiry.rooms:
                    self._silent |= inquiry.rooms
                self._over(number)
        if self._next is not None and self._next.until <= now:
            inquiry, self._next = self._next, None
            self._tell(inquiry)

    # --- inquiries --------------------------------------------------------------------------------

    def _inquiry(self, waiting: list[Told]) -> Inquiry:
        self._work.set()
        return Inquiry(self._now() + PATIENCE, waiting)

    def _begin(self, inquiry: Inquiry, rooms: Iterable[str]) -> int:
        number = next(self._numbers)
        inquiry.rooms.update(rooms)
        inquiry.rooms -= self._silent
        inquiry.rooms.add(SENT)
        self._asked[number] = inquiry
        return number

    def _over(self, number: int) -> None:
        self._tell(self._asked.pop(number))

    def _tell(self, inquiry: Inquiry) -> None:
        self._waiting -= len(inquiry.waiting)
        for told in inquiry.waiting:
            try:
                told()
            except Exception as error:
                self._faults.note(PLACE, error)
