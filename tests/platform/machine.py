"""Random sequences of what app servers and devices do, an app each, against what may become of a message.

After each step the ledger of every message balances, an audit of the app finds no difference, what devices
have got was in order, was meant for them, and was not told to have been acknowledged before, and what they
have sent is read once, in their order. At the end all devices come and acknowledge everything: nothing is
lost.

A subject is a class of rules on top of `Base`, in a file of its own: it has in `hears` what its topics bring,
notes by `accept` what it sends, and may do more in `check`, `settle` and `finish`. `Platform` is all of them.
"""

import time

from hypothesis import note

from tests.platform.attached import Attached
from tests.platform.base import Side
from tests.platform.devices import Devices
from tests.platform.groups import Groups
from tests.platform.hardware import Hardware
from tests.platform.hooked import Hooked
from tests.platform.later import Later
from tests.platform.patience import Patience
from tests.platform.sending import Sending
from tests.waiting import WITHIN


class Platform(Devices, Sending, Later, Groups, Hooked, Hardware, Attached, Patience):
    """All subjects. One more is one more class here."""

    def teardown(self) -> None:
        try:
            self.settle()
            self.come_all()
            self._bring_all()
            for side in self.sides():
                self._judge(side)
            self.finish()
        finally:
            for line in self.peers.values():
                line.socket.close()
            for side in self.sides():
                self.call("DELETE", "", side=side)

    def _bring_all(self) -> None:
        """All devices acknowledge everything, until nothing is pending."""
        deadline = time.monotonic() + WITHIN
        while any(ledger["pending"] for side in self.sides() for ledger in self.ledgers(side).values()):
            if time.monotonic() > deadline:
                pending = {id: each for side in self.sides() for id, each in self.ledgers(side).items()}
                for side in self.sides():
                    self._judge(side)
                raise AssertionError(f"still pending: {pending} {self.stand.node.tail()}")
            self.take(0.01)
            self.acknowledge_all()
        self.check()

    def _judge(self, side: Side) -> None:
        """Each target got its message and acknowledged it, or there is a reason why not."""
        for sent in side.expected.sent.values():
            rows = self.rows(sent, side)
            note(f"{sent.id} {sent.options} {rows}")
            lives = {name: phone.life for name, phone in side.expected.phones.items()}
            for row in rows:
                state, reason = row["state"], row["reason"]
                who = (row["device"], lives[row["device"]])
                if state == "acked":
                    taken = {name for name, _ in sent.acked}
                    assert row["device"] in taken or sent.options.get("qos") == 0, f"{who} never took {sent}"
                elif state == "collapsed":
                    assert any(side.expected.newer(sent, each) for each in sent.targets) or sent.later, (
                        sent,
                        row,
                    )
                elif state == "expired":
                    assert sent.short or sent.fleeting, (sent, row)
                elif state == "dropped":
                    assert sent.may_be_dropped(row["device"], reason), (sent, row)
                else:
                    raise AssertionError(f"{who} is to get {sent}, and does not")
