"""What ran when the event loop was late.

The loop beats: a timer of it notes when the next beat is due. A thread wakes up a moment after that and,
where the beat has not come, looks at what the loop's thread is doing, and again ever later, until it comes.
When the loop is well, that costs the loop a timer and the thread a wake-up for each beat, and nothing else. A
stall is noticed when it lasts beyond a beat by more than the threshold: for short ones it is a matter of
luck, which more frequent beats buy.
"""

import asyncio
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, final

import structlog

from longline.profiling.content import Stall, bounded_frames
from longline.profiling.frames import stack_of

EVERY: Final = 0.25  # s between beats, all the time
THRESHOLD: Final = 0.1  # s
LONG: Final = 5.0  # s, after which the log says it while the loop still stands: nobody else could
REMEMBERED: Final = 64
_LOOKS: Final = 20  # at one stall

log = structlog.get_logger("longline.profiling")


@final
class StallWatch:
    """Of the loop on which `start` is called. `found`: the latest stalls, `forgotten`: how many more there
    were.

    `paused`: seconds that the garbage collector has taken so far.
    """

    def __init__(
        self,
        *,
        every: float = EVERY,
        threshold: float = THRESHOLD,
        paused: Callable[[], float] = lambda: 0.0,
        beaten: Callable[[float], None] = lambda late: None,
    ) -> None:
        self._every = every
        self._threshold = threshold
        self._paused = paused
        self._beaten = beaten
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._beat = 0  # how many there were
        self._came = 0.0  # when the last one did
        self._paused_before = 0.0
        self.found: deque[Stall] = deque(maxlen=REMEMBERED)
        self.forgotten = 0

    def start(self) -> None:
        """Watches the running loop until `stop`."""
        self._loop = asyncio.get_running_loop()
        self._ident = threading.get_ident()
        self._due = time.monotonic()
        self._beats()
        self._thread = threading.Thread(target=self._watch, name="loop-stalls", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the watch. To be called on the loop."""
        self._ended.set()
        if self._timer is not None:
            self._timer.cancel()

    def _beats(self) -> None:
        now = time.monotonic()
        self._beaten(max(0.0, now - self._due))
        self._paused_before = self._paused()
        self._came = now
        self._due = now + self._every
        self._beat += 1
        self._timer = self._loop.call_later(self._every, self._beats)

    # --- in the thread ------------------------------------------------------------------------------

    def _watch(self) -> None:
        while not self._ended.is_set():
            beat, due = self._beat, self._due
            late_at = due + self._threshold
            if self._ended.wait(max(0.001, late_at - time.monotonic())):
                return
            if self._beat == beat and time.monotonic() >= late_at:
                self._note(beat, due)

    def _note(self, beat: int, due: float) -> None:
        """The beat that was due is late: what goes on is looked at until it comes."""
        at = datetime.now(UTC)
        stacks: Counter[tuple[str, ...]] = Counter()
        paused, pause, told = self._paused_before, self._threshold / 2, False
        while self._beat == beat:
            if stacks.total() < _LOOKS:
                stacks[stack_of(sys._current_frames().get(self._ident))] += 1
            late = time.monotonic() - due
            if late >= LONG and not told:
                told = True
                # Not `stack`, by which structlog means a text.
                log.warning("loop_stalled", seconds=round(late, 1), frames=stacks.most_common(1)[0][0][-8:])
            if self._ended.wait(pause):
                return
            pause = min(2 * pause, 1.0)
        stack = stacks.most_common(1)[0][0] if stacks else ()
        if not stack:  # it came while we looked
            return
        if len(self.found) == REMEMBERED:
            self.forgotten += 1
        seconds = self._came - due
        collected = max(0.0, self._paused() - paused)
        self.found.append(
            Stall(
                at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
                round(seconds, 3),
                bounded_frames(stack),
                round(min(collected, seconds), 3),
            )
        )
