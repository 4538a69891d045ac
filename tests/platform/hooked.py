"""An app's webhook in the machine: it is told what the reader of events reads, each device's in order."""

import time
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.integration.web_target import SECRET, Mode
from tests.platform.upstream import Upstream
from tests.waiting import WITHIN

TROUBLE: Final[tuple[Mode, ...]] = ("ok", "error", "slow")


class Hooked(Upstream):
    """`hooked`: how many events the reader had read before and after the webhook was made, if there is one.

    Those in between, such as what a cluster tells of a device a little later, may be told or not.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hooked: tuple[int, int] | None = None

    @rule()
    def hook(self) -> None:
        """Made, or made anew, which changes nothing."""
        self.read_events()
        before = len(self.cursors)
        answer = self.call("PUT", "/webhook", {"url": self.stand.target.url, "secret": SECRET})
        assert answer.status_code == 200, answer.text
        self.check()
        if self.hooked is None:
            self.hooked = (before, len(self.cursors))

    @precondition(lambda self: self.slow and self.hooked is not None)
    @rule(mode=st.sampled_from(TROUBLE))
    def trouble(self, mode: Mode) -> None:
        """The target answers as it should, with errors, or late."""
        self.stand.target.mode = mode

    def settle(self) -> None:
        super().settle()
        self.stand.target.mode = "ok"

    def finish(self) -> None:
        if self.hooked is not None:
            self._all_taken(*self.hooked)
            self.stand.target.forget(self.side.app)
        super().finish()

    def _all_taken(self, before: int, after: int) -> None:
        """Of devices that were not deleted everything was taken, of others what could be.

        What it took of one before that was deleted is told to no reader who comes later.
        """
        deadline = time.monotonic() + WITHIN
        while True:
            taken = list(self.stand.target.of_app[self.side.app])
            self.read_events()
            cursors = list(self.cursors)
            allowed, surely = set(cursors[before:]), set(cursors[after:])
            missing: dict[str, Any] = {}
            for name, events in self.heard.items():
                told = [event["cursor"] for event in events if event["cursor"] in allowed]
                came = list(dict.fromkeys(each["cursor"] for each in taken if each["device"] == name))
                was_deleted = self.expected.phones[name].life > 0
                if was_deleted:
                    came = [each for each in came if each in told]
                assert came == [each for each in told if each in came], f"{name}: {came} for {told}"
                left = surely.intersection(told).difference(came)
                if left and not was_deleted:
                    missing[name] = left
            if not missing:
                assert not self.stand.target.strangers
                return
            assert time.monotonic() < deadline, f"the webhook was not told: {missing}"
            self.take(0.02)
