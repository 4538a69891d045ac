"""One worker as the agent sees it."""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress

from longline.agent.warm import ForkedWorker

LONGEST_NAME = 4096  # bytes


class Child:
    """A worker from its start to its end. `name` is its node's once it takes traffic.

    `changed` is called when it does, when it goes on under another name, and when it has ended. Signals go
    to the process that was forked and to no other that may have got its number later.
    """

    def __init__(self, worker: ForkedWorker, changed: Callable[[], None]) -> None:
        self.pid = worker.pid
        self.name: str | None = None
        self.ready = False
        self.ended = asyncio.Event()
        self._process = worker.process
        self._pipe = worker.pipe
        self._changed = changed
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
        if not self.ended.is_set():
            with suppress(ProcessLookupError):  # it has ended, and the loop is about to hear of it
                signal.pidfd_send_signal(self._process, number)

    def _heard(self) -> None:
        """Its name, when it is ready or has another one; or the socket's end: it is about to end itself."""
        try:
            said = os.read(self._pipe, LONGEST_NAME)
        except OSError:
            said = b""
        if said:
            self.name = said.split()[-1].decode()
            self.ready = True
            self._changed()
        else:
            self._loop.remove_reader(self._pipe)

    def _gone(self) -> None:
        self._loop.remove_reader(self._process)
        self._loop.remove_reader(self._pipe)
        os.close(self._process)
        os.close(self._pipe)
        self.ready = False
        self.ended.set()
        self._changed()
