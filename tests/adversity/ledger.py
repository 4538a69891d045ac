"""The ledger client as tests use it: started on a cluster, asked, and held against what the cluster says."""

import asyncio
import random
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Self

import httpx
import msgspec

from longline import Center
from tests.adversity.ledger_books import DEVICE, Books, Plan, Summary, presence_faults
from tests.cluster.cluster import Cluster
from tests.cluster.role_process import RoleProcess
from tests.waiting import eventually, until

READY_WITHIN = 60.0  # s
QUIET_WITHIN = 90.0
AGREED_WITHIN = 30.0
CHECKED_AT_ONCE = 16  # questions to the API
ROOT = Path(__file__).parents[2]
SESSIONS = re.compile(rb"^longline_room_sessions(?:\{[^}]*\})? (\d+)", re.MULTILINE)


class Ledger:
    """A ledger client that runs, for the time of an `async with`, on an app of its own."""

    def __init__(self, cluster: Cluster, app: str, directory: Path, **plan: object) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.app = app
        self.cluster = cluster
        self._directory = directory
        self._plan = plan
        self._process: asyncio.subprocess.Process | None = None
        self._ended = False

    async def __aenter__(self) -> Self:
        async with self.cluster.center() as center:
            self.secret = (await center.create_app(self.app)).device_secret
        plan = msgspec.convert(
            {
                "centers": [center.status for center in self.cluster.centers],
                "dispatchers": [dispatcher.status for dispatcher in self.cluster.dispatchers],
                "rooms": self.cluster.room_addresses,
                "app": self.app,
                "admin_key": self.cluster.admin_key,
                "device_secret": self.secret,
                **self._plan,
            },
            Plan,
        )
        self.devices = plan.devices
        self.books = Books(self._directory, plan.devices)
        with (self._directory / "log").open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.adversity.ledger_client", str(self._directory)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
            )
        self._tell(msgspec.json.encode(plan).decode())
        async with asyncio.timeout(READY_WITHIN):
            await self._answer()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    # --- asking the client ----------------------------------------------------------------------------

    async def quiet(self, since: int = 0) -> None:
        """Returns when every device gets promptly what it is sent after `since` (ms); fails when that takes
        too long."""

        def quiet() -> bool:
            self.books.read()
            return self.books.quiet(since)

        await until(
            quiet,
            QUIET_WITHIN,
            tell=lambda: f"pushes do not arrive as they should:\n{self.cluster.tail()}",
        )

    async def heard(self, since: int) -> None:
        """Returns when a presence event was heard that happened after `since` (ms)."""

        def heard() -> bool:
            self.books.read()
            return any(event.at > since for event in self.books.heard.entries)

        await until(heard, QUIET_WITHIN, tell=lambda: f"no presence event is heard:\n{self.cluster.tail()}")

    def stay(self) -> None:
        """From now on devices stay where they are."""
        self._tell("stay")

    def wander(self) -> None:
        """From now on devices move about, as in the beginning."""
        self._tell("wander")

    async def finish(self) -> Summary:
        """Has the client stop pushing and close its books."""
        process = self._running()
        assert process.stdin is not None
        process.stdin.close()
        status = await process.wait()
        assert status == 0, f"the ledger client failed:\n{(self._directory / 'log').read_text()[-4000:]}"
        self.books.read()
        return msgspec.json.decode((self._directory / "summary").read_bytes(), type=Summary)

    async def _where(self) -> dict[str, tuple[str, int] | None]:
        self._tell("where")
        return msgspec.json.decode(await self._answer(), type=dict[str, tuple[str, int] | None])

    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None
        return self._process

    def _tell(self, line: str) -> None:
        stdin = self._running().stdin
        assert stdin is not None
        stdin.write(f"{line}\n".encode())

    async def _answer(self) -> bytes:
        stdout = self._running().stdout
        assert stdout is not None
        line = await stdout.readline()
        assert line, f"the ledger client ended:\n{(self._directory / 'log').read_text()[-4000:]}"
        return line

    # --- holding it against the cluster ---------------------------------------------------------------

    async def expect_one_owner_each(self) -> None:
        """The devices, the rooms and the session table agree on who is where, once nobody moves any more."""
        self.stay()
        async with httpx.AsyncClient(trust_env=False) as client:
            await eventually(lambda: self._differences(client), [], AGREED_WITHIN, tell=self.cluster.tail)
        self.wander()

    async def _differences(self, client: httpx.AsyncClient) -> list[str]:
        where = await self._where()
        differences = [f"{device} is not connected" for device, at in where.items() if at is None]
        held = Counter(at for at in where.values() if at is not None)
        for room, address in zip(self.cluster.rooms, self.cluster.room_addresses, strict=True):
            sessions = await sessions_of(client, room)
            if sessions != held[address]:
                differences.append(
                    f"{room.name} has {sessions} sessions, {held[address]} are connected to it"
                )
        addresses = await self._addresses(client)
        async with self.cluster.center() as center:
            for device, at in where.items():
                info = await center.device(self.app, device)
                owner = addresses.get(info.room or "")
                if not info.online or owner != at:
                    differences.append(
                        f"{device} is connected to {at}, the table says {info.room} at {owner}"
                    )
        return differences

    async def _addresses(self, client: httpx.AsyncClient) -> dict[str, tuple[str, int]]:
        """The address of each room by the name of its node."""
        answer = await client.get(
            f"{self.cluster.url}/v1/nodes", headers={"Authorization": f"Bearer {self.cluster.admin_key}"}
        )
        nodes = {node["node"]: node["host"] for node in answer.raise_for_status().json()["nodes"]}
        hosts = {
            room.name: address
            for room, address in zip(self.cluster.rooms, self.cluster.room_addresses, strict=True)
        }
        return {node: hosts[host] for node, host in nodes.items() if host in hosts}

    async def expect_balanced(self, chance: random.Random, most: int) -> int:
        """Of the messages promised, `most` at most, each was meant for one device and acknowledged once.
        Returns how many were looked at."""
        ids = [push.message_id for push in self.books.promised.entries]
        chosen = chance.sample(ids, min(most, len(ids)))
        limit = asyncio.Semaphore(CHECKED_AT_ONCE)

        async def check(center: Center, message_id: str) -> None:
            async with limit:
                ledger = (await center.wait(self.app, message_id, within=AGREED_WITHIN)).ledger
            assert ledger.targeted == ledger.acked == 1, f"{message_id}: {ledger}"
            assert ledger.pending == ledger.expired == ledger.collapsed == 0, f"{message_id}: {ledger}"
            assert not ledger.dropped, f"{message_id}: {ledger}"

        async with self.cluster.center() as center, asyncio.TaskGroup() as group:
            for message_id in chosen:
                group.create_task(check(center, message_id))
        return len(chosen)

    def expect_kept(self, summary: Summary) -> None:
        """Nothing lost, doubled or out of order, and nobody counted as away who was there."""
        assert not summary.lost, f"promised and never arrived: {summary.lost[:20]}"
        assert not summary.out_of_order, summary.out_of_order[:20]
        assert not summary.doubled, summary.doubled[:20]
        ours = [event for event in self.books.heard.entries if event.device.startswith(DEVICE)]
        assert not (faults := presence_faults(ours)), faults[:20]


async def sessions_of(client: httpx.AsyncClient, room: RoleProcess) -> int:
    """How many sessions a room says that it has."""
    answer = await client.get(f"{room.status}/metrics", timeout=5)
    found = SESSIONS.search(answer.raise_for_status().content)
    assert found is not None, "longline_room_sessions is not exported"
    return int(found[1])
