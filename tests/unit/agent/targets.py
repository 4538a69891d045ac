"""What workers of these tests do. Their settings say how they behave, and where they keep a diary."""

import os
import select
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType


def work(config: str | None, roles: Sequence[str], settings: Mapping[str, str], pipe: int) -> int:
    """Says that it is ready, and ends when it is told to or its agent is gone.

    `behaviour`: a file with a word, read at the start. `fail`: it ends at once. `silent`: it never gets
    ready. `deaf`: it does not end when it is told to. `slow`: it ends when it is told to a second time.
    """
    diary = Path(settings["diary"]) / f"{os.getpid()}"
    behaviour = Path(settings["behaviour"]).read_text() if "behaviour" in settings else ""

    def note(word: str) -> None:
        with diary.open("a") as file:
            file.write(word + "\n")

    note(f"began {'+'.join(roles)} {config} {settings.get('node.status_port', '')}")
    if behaviour == "fail":
        return 1
    told: list[str] = []

    def hear(number: int, _: FrameType | None) -> None:
        note(signal.Signals(number).name)
        told.append(signal.Signals(number).name)

    signal.signal(signal.SIGTERM, hear)
    signal.signal(signal.SIGUSR1, hear)
    if behaviour != "silent":
        os.write(pipe, f"node-{os.getpid()}\n".encode())
    wanted = {"slow": 2, "deaf": 1000}.get(behaviour, 1)
    while told.count("SIGTERM") < wanted:
        if select.select([pipe], [], [], 0.02)[0]:
            note("orphaned")
            break
    return 0


def broken(config: str | None, roles: Sequence[str], settings: Mapping[str, str], pipe: int) -> int:
    """Fails in a way that nobody foresaw."""
    raise RuntimeError("what nobody foresaw")
