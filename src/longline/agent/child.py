"""One worker as the agent sees it."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress

from longline.agent.warm import ENDED, ForkedWorker

LONGEST_NAME = 4096  # bytes
LAST_WORD = 1.0  # s from its end until its parent has said how it ended


class Child:
    """A worker from its start to its end.

    `name` is its node's once it takes traffic; `exit` says how it ended. `changed` is called when it takes
    traffic, when it goes on under another name, and when it has ended. Signals go to the process that was
    forked and to no other that may have got its number later.
    """

    def __init__(self, worker: ForkedWorker, changed: Callable[[], None]) -> None:
        self.pid = worker.pid
        self.name: str | None = None
        self.ready = False
        self.exit = "unknown"
        self.ended = asyncio.Event()
        self._process = worker.process
        self._pipe = worker.pipe
        self._changed = changed
        self._alive = True
        self._heard_all = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._pipe, self._heard)
        self._loop.add_reader(self._process, self._gone)

    def retire(self) -> None:
        """Lets it take no new clients."""
        # Before it is ready it does not know the signal, and would die of it.
        if self.ready:
            self._signal(signal.SIGUSR1)

    def terminate(self) -> None:
        """Asks it to drain and end."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._alive:
            with suppress(ProcessLookupError):  # it has ended, and the loop is about to hear of it
                signal.pidfd_send_signal(self._process, number)

    def _heard(self) -> None:
        """Its name, when it is ready or has another one; how it ended, from its parent; the socket's end."""
        try:
            said = os.read(self._pipe, LONGEST_NAME)
        except OSError:
            said = b""
        if not said:
            self._loop.remove_reader(self._pipe)
            self._heard_all = True
            if not self._alive:
                self._end()
            return
        for word in said.split():
            if word.startswith(ENDED):
                self.exit = exit_in_words(int(word.removeprefix(ENDED)))
            else:
                self.name = word.decode()
                self.ready = self._alive
        self._changed()

    def _gone(self) -> None:
        self._loop.remove_reader(self._process)
        os.close(self._process)
        self._alive = self.ready = False
        if self._heard_all:
            self._end()
        else:
            self._loop.call_later(LAST_WORD, self._end)

    def _end(self) -> None:
        if not self.ended.is_set():
            self._loop.remove_reader(self._pipe)
            os.close(self._pipe)
            self.ended.set()
            self._changed()


def exit_in_words(status: int) -> str:
    """A signal's name, or `status 1`: of an exit status, or of a signal's number below zero."""
    if status >= 0:
        return f"status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:  # those of real time but the first and the last
        return f"signal {-status}"
