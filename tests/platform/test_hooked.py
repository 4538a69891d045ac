"""What the machine says of webhooks holds however quick they are."""

import time
from pathlib import Path

from tests.platform.machine import Platform
from tests.platform.stand import standing
from tests.waiting import WITHIN


def test_a_webhook_may_have_taken_what_is_told_to_nobody_else_of_a_device_that_is_deleted_then(
    tmp_path: Path,
) -> None:
    """It is told within a quarter of a second; a reader who comes after the deletion finds nothing of it."""
    with standing("sqlite", tmp_path) as stand:
        Platform.stand = stand
        machine = Platform()
        machine.begin(found=[(name, [], [], 0) for name in ("d0", "d1", "d2")], coming={})
        machine.hook()
        machine.connect("d1", 5)
        deadline = time.monotonic() + WITHIN
        while not any(event["type"] == "presence" for event in stand.target.of_app[machine.side.app]):
            assert time.monotonic() < deadline
            machine.take(0.01)
        machine.delete("d1")
        machine.teardown()
