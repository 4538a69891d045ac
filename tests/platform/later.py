"""What the machine sends for later, what ends soon, the node's end. Only `slow` sequences wait for these."""

import time
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.platform.asked import audiences, options
from tests.platform.base import Base

SHORT: Final = 1  # s: the ttl of what is to end in a test
LATER: Final = 0.4  # s until a `send_at`
DAY: Final = 86_400  # s


class Later(Base):
    @rule(audience=audiences, asked=options)
    def plan(self, audience: Any, asked: dict[str, Any]) -> None:
        """A message for tomorrow, which is taken back at the end."""
        self.send(self.message(audience, {**asked, "send_at": moment(DAY)}), later=True)
        self.check()

    @rule(pause=st.booleans())
    def schedule(self, pause: bool) -> None:
        """One that comes round every New Year, and goes again."""
        body = {"message": self.message("all", {}), "cron": "0 0 1 1 *", "timezone": "UTC"}
        answer = self.call("POST", "/schedules", body)
        assert answer.status_code == 201, answer.text
        path = f"/schedules/{answer.json()['schedule_id']}"
        if pause:
            assert self.call("POST", f"{path}:pause").status_code == 200
        self.check()
        assert self.call("DELETE", path).status_code == 204

    @rule(audience=audiences, asked=options)
    def plan_for_soon(self, audience: Any, asked: dict[str, Any]) -> None:
        """Who waits sees it come; in other sequences it comes among what follows."""
        self.send(self.message(audience, {**asked, "send_at": moment(LATER)}), later=True)
        if self.slow:
            self.take(2 * LATER)
        self.check()

    @rule(audience=audiences, asked=options)
    def expire(self, audience: Any, asked: dict[str, Any]) -> None:
        self.send(self.message(audience, {**asked, "ttl": SHORT}))
        if self.slow:
            self.take(1.2 * SHORT)
        self.check()

    @precondition(lambda self: self.slow)
    @rule(gracefully=st.booleans())
    def restart(self, gracefully: bool) -> None:
        """SIGKILL to the node, whatever is under way, or SIGTERM: what was answered is there."""
        self.take()
        self.stand.restart(gracefully=gracefully)
        for name in list(self.peers):
            self.until_gone(name)
        self.check()

    def settle(self) -> None:
        """What would still come is taken back; and what is for now, unless there is time until it ends."""
        super().settle()
        for side in self.sides():
            for sent in side.expected.sent.values():
                if sent.later or (sent.fleeting and not self.slow):
                    self.call("DELETE", f"/messages/{sent.id}", side=side)
                    sent.cancelled = True


def moment(seconds: float) -> str:
    """So far from now, as RFC 3339 has it."""
    at = time.time() + seconds
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03}Z"
