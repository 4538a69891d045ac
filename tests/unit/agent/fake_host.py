"""An agent whose workers are small, and looks at what they did."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from longline.agent.agent import Agent, Kind
from longline.agent.warm import WarmParent
from longline.model.agents import ProcessStatus
from longline.telemetry.faults import Faults
from tests.waiting import WITHIN

TARGET = "tests.unit.agent.targets:work"


class FakeHost:
    """`kinds` name roles and counts. Virtual time is for the pauses; processes take their own."""

    def __init__(
        self,
        directory: Path,
        kinds: Sequence[tuple[str, int]] = (("room", 2),),
        *,
        status_ports: int = 0,
        patience: float = 20.0,
        ready_within: float = WITHIN,
        target: str = TARGET,
    ) -> None:
        self.directory = directory
        self.parents: list[WarmParent] = []
        self.pauses: list[float] = []
        self.told: list[Sequence[ProcessStatus]] = []
        self._target = target
        self.faults = Faults()
        self.now = 0.0
        self.agent = Agent(
            [Kind(tuple(roles.split("+")), count, self._settings) for roles, count in kinds],
            self._make_parent,
            faults=self.faults,
            patience=patience,
            status_ports=status_ports,
            post=self._post,
            ready_within=ready_within,
            monotonic=lambda: self.now,
            sleep=self._sleep,
        )

    @property
    def _settings(self) -> dict[str, str]:
        self.behave("")
        return {"diary": str(self.directory), "behaviour": str(self.directory / "behaviour")}

    def _make_parent(self) -> WarmParent:
        self.parents.append(WarmParent(self._target, "longline.toml", []))
        return self.parents[-1]

    async def _post(self, status: Sequence[ProcessStatus]) -> None:
        self.told.append(status)

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(0.001)

    def behave(self, how: str) -> None:
        """What workers that start from now on do."""
        (self.directory / "behaviour").write_text(how)

    def pids(self) -> set[int]:
        """The workers that take traffic."""
        return {child.pid for child in self.agent.status() if child.state == "ready"}

    def diary(self, pid: int) -> list[str]:
        """What a worker did, a word each."""
        path = self.directory / str(pid)
        return path.read_text().splitlines() if path.exists() else []

    def started(self) -> list[int]:
        """All workers that there have been."""
        return [int(path.name) for path in self.directory.iterdir() if path.name.isdecimal()]

    async def ready(self) -> None:
        async with asyncio.timeout(WITHIN):
            await self.agent.ready()

    async def stop(self) -> None:
        async with asyncio.timeout(WITHIN):
            await self.agent.stop()


def parent_of(pid: int) -> int:
    """The process that started a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
