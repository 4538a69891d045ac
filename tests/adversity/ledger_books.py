"""What a ledger client writes down, each kind of entry in a file of its own, one JSON array a line.

Times are ms of the wall clock, which the processes of one machine share.
"""

import itertools
import math
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

DEVICE = "ledger-"  # the beginning of the names of the client's devices
PROMPT = 1000  # ms from asking until arrival: what is slower has felt a fault
QUIET = (2500, 1000)  # ms ago: pushes asked for between these tell whether things go well again


class Plan(msgspec.Struct, frozen=True):
    """What a ledger client is to do.

    Centers and dispatchers by URL, rooms by (host, port). Each of the `pushers` waits `pause` seconds between
    messages; every `wander` seconds one of the devices loses its connection and comes back elsewhere (0:
    never). `keep_alive` in seconds.
    """

    centers: list[str]
    dispatchers: list[str]
    rooms: list[tuple[str, int]]
    app: str
    admin_key: str
    device_secret: str
    devices: int = 24
    pushers: int = 4
    pause: float = 0.03
    keep_alive: int = 3
    wander: float = 0.25


class Promised(msgspec.Struct, frozen=True, array_like=True):
    """A message that was answered 202: for whom, its place in the order, when it was first asked for, after
    how many tries, and how durable the answer said it was."""

    message_id: str
    device: str
    number: int
    asked: int
    answered: int
    tries: int
    durability: str


class Arrived(msgspec.Struct, frozen=True, array_like=True):
    """The first delivery of a message."""

    message_id: str
    device: str
    number: int
    at: int


class Looked(msgspec.Struct, frozen=True, array_like=True):
    """A question to the dispatchers, answered after so many tries."""

    device: str
    asked: int
    answered: int
    tries: int


class Heard(msgspec.Struct, frozen=True, array_like=True):
    """A presence event: when it happened, and when the app's event queue gave it to us."""

    device: str
    state: str
    epoch: int
    sequence: int
    room: str
    at: int
    heard: int


class Summary(msgspec.Struct, frozen=True):
    """The end of the books. `doubled` came twice, as two messages. `refusals`: answers other than 202, by
    status; 0 is no answer at all."""

    promised: int
    arrived: int
    lost: list[str]
    out_of_order: list[str]
    doubled: list[str]
    unpromised: int
    duplicates: int
    reconnects: int
    refusals: dict[str, int]


def now() -> int:
    return time.time_ns() // 1_000_000


Entry = TypeVar("Entry", bound=msgspec.Struct)


class Book(Generic[Entry]):
    """One of the files, read as it grows."""

    def __init__(self, path: Path, kind: type[Entry]) -> None:
        self.entries: list[Entry] = []
        self._path = path
        self._decoder = msgspec.json.Decoder(kind)
        self._offset = 0

    def read(self) -> None:
        """Takes in what was written since."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        self.entries += map(self._decoder.decode, whole.splitlines())


class Books:
    """All of them, and what they say."""

    def __init__(self, directory: Path, devices: int) -> None:
        self.promised = Book(directory / "promised", Promised)
        self.arrived = Book(directory / "arrived", Arrived)
        self.looked = Book(directory / "looked", Looked)
        self.heard = Book(directory / "heard", Heard)
        self._devices = devices

    def read(self) -> None:
        for book in (self.promised, self.arrived, self.looked, self.heard):
            book.read()

    def quiet(self, since: int) -> bool:
        """Whether of late, and after `since`, every device got all that it was sent, and got it promptly."""
        oldest, latest = (now() - ago for ago in QUIET)
        if oldest < since:
            return False
        arrivals = self._arrivals()
        prompt = set()
        for push in reversed(self.promised.entries):
            if push.answered < oldest:
                break
            if oldest <= push.asked <= latest:
                if arrivals.get(push.message_id, math.inf) - push.asked > PROMPT:
                    return False
                prompt.add(push.device)
        return len(prompt) == self._devices

    def recovery(self, since: int, until: int) -> float:
        """Seconds from `since` until the last push that was slow had arrived; 0: no push was slow.

        A push is slow when it arrives more than `PROMPT` after it was first asked for. Those asked for until
        `until` count, those that were under way at `since` among them.
        """
        arrivals = self._arrivals()
        ends = [
            arrivals.get(push.message_id, now())
            for push in self.promised.entries
            if push.asked < until and arrivals.get(push.message_id, now()) - push.asked > PROMPT
        ]
        return _seconds(since, ends)

    def lookup_recovery(self, since: int, until: int) -> float:
        """The same of questions to the dispatchers."""
        return _seconds(
            since,
            [
                look.answered
                for look in self.looked.entries
                if look.asked < until and look.answered - look.asked > PROMPT
            ],
        )

    def presence_recovery(self, since: int, until: int) -> float:
        """The same of presence events: from when they happened until they could be read."""
        return _seconds(
            since,
            [
                event.heard
                for event in self.heard.entries
                if event.at < until and event.heard - event.at > PROMPT
            ],
        )

    def availability(self, since: int, until: int) -> tuple[float, float]:
        """The share of pushes that were answered at the first try, and the longest time without any answer,
        in seconds."""
        pushes = [push for push in self.promised.entries if since <= push.asked and push.answered <= until]
        answers = sorted([since, until, *(push.answered for push in pushes)])
        gap = max(after - before for before, after in itertools.pairwise(answers))
        return sum(push.tries == 1 for push in pushes) / max(1, len(pushes)), gap / 1000

    def _arrivals(self) -> Mapping[str, int]:
        return {arrival.message_id: arrival.at for arrival in self.arrived.entries}


def presence_faults(events: Iterable[Heard]) -> list[str]:
    """What presence events tell that never happened to devices that always came back at once: they were away,
    they moved to where they were, or they went back in time."""
    faults = []
    last: dict[str, Heard] = {}
    for event in events:
        before = last.get(event.device)
        if event.state != ("online" if before is None else "moved"):
            faults.append(f"{event.device} is {event.state} after {before}")
        elif before is not None and event.room == before.room:
            faults.append(f"{event.device} moved to where it was: {event}")
        elif before is not None and not (event.epoch > before.epoch and event.sequence > before.sequence):
            faults.append(f"{event.device} went back: {event} after {before}")
        last[event.device] = event
    return faults


def _seconds(since: int, ends: Iterable[int]) -> float:
    return max(0, max(ends, default=0) - since) / 1000
