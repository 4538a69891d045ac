"""How fast clients may be sent elsewhere: as fast as they come back, and no faster.

Who was sent away is looked for in the session table. While nearly everybody is back on another node in good
time, the rate rises by a fixed step a second; when not, it is halved, and only those who were sent after that
count for the next decision, or one jam would be paid for many times.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from longline.register.port import Register

SOON: Final = 1.0  # s until a client is first looked for
IN_TIME: Final = 3.0  # s after which one who is not back is late
GIVE_UP: Final = 15.0  # s after which one who is not back is not looked for any more
BATCH: Final = 1000  # devices in one question

ENOUGH: Final = 5  # comebacks that a decision needs
ROUND: Final = 1.0  # s between decisions at least
GOOD: Final = 0.95  # share of clients back in time that lets the rate rise
SLOW: Final = 2.0  # s that coming back may take on average

PAST: Final = float("-inf")


class Comeback(NamedTuple):
    """Whether a client that was sent away at `sent` (s) was back in time, and after how many seconds."""

    sent: float
    in_time: bool
    took: float


class Moved:
    """A client that was sent away."""

    __slots__ = ("app", "at", "back", "device", "judged")

    def __init__(self, app: int, device: str, at: float) -> None:
        self.app = app
        self.device = device
        self.at = at
        self.back = False
        self.judged = False


class Watch:
    """Who was sent away, until they are back or given up: bounded by the rate and `GIVE_UP`.

    `node` names this node, and `slack` are the seconds by which clients were asked to come back later.
    """

    def __init__(self, register: Register, node: Callable[[], str], slack: float) -> None:
        self.returned = 0
        self.failed = 0
        self._register = register
        self._node = node
        self._slack = slack
        self._sent: deque[Moved] = deque()  # oldest first

    def __len__(self) -> int:
        return len(self._sent)

    def add(self, app: int, device: str, now: float) -> None:
        """This client was sent away."""
        self._sent.append(Moved(app, device, now))

    async def look(self, now: float) -> list[Comeback]:
        """Looks for all who could be back. Raises what the session table raises."""
        apps: dict[int, list[Moved]] = {}
        for sent in self._sent:
            if now - sent.at < SOON:
                break
            apps.setdefault(sent.app, []).append(sent)
        comebacks = []
        for app, all_sent in apps.items():
            for start in range(0, len(all_sent), BATCH):
                batch = all_sent[start : start + BATCH]
                bindings = await self._register.locate(app, [sent.device for sent in batch])
                for sent, binding in zip(batch, bindings, strict=True):
                    sent.back = binding is not None and binding.node != self._node()
                    took = max(0.0, now - sent.at - self._slack)
                    if not sent.judged and (sent.back or took > IN_TIME):
                        sent.judged = True
                        comebacks.append(Comeback(sent.at, sent.back and took <= IN_TIME, took))
        still: deque[Moved] = deque()
        for sent in self._sent:
            if sent.back:
                self.returned += 1
            elif now - sent.at > GIVE_UP + self._slack:
                self.failed += 1
            else:
                still.append(sent)
        self._sent = still
        return comebacks


class Pace:
    """The rate, in clients a second: from `start` up in steps of `start`, between `lowest` and `highest`."""

    def __init__(self, start: float, lowest: float, highest: float) -> None:
        self.rate = min(max(start, lowest), highest)
        self._step = start
        self._lowest = lowest
        self._highest = highest
        self._decided = PAST
        self._judged_from = PAST
        self._verdicts: list[Comeback] = []

    def judge(self, comebacks: list[Comeback], now: float) -> None:
        """Takes comebacks into account, when there are enough of them."""
        self._verdicts += [comeback for comeback in comebacks if comeback.sent >= self._judged_from]
        count = len(self._verdicts)
        if count < ENOUGH or now - self._decided < ROUND:
            return
        in_time = sum(comeback.in_time for comeback in self._verdicts)
        took = sum(comeback.took for comeback in self._verdicts) / count
        self._verdicts = []
        self._decided = now
        if in_time >= GOOD * count and took <= SLOW:
            self.rate = min(self._highest, self.rate + self._step)
        else:
            self.slow_down(now)

    def slow_down(self, now: float) -> None:
        """Halves the rate."""
        self.rate = max(self._lowest, self.rate / 2)
        self._judged_from = now
        self._verdicts = []

    def estimate(self, count: int) -> float:
        """How many seconds so many clients take if all goes well."""
        seconds, rate, left = 0.0, self.rate, float(count)
        while left > rate and rate < self._highest:
            left -= rate
            seconds += ROUND
            rate = min(self._highest, rate + self._step)
        return seconds + left / rate
