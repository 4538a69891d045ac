"""How long the pages of the console wait for the API, where there are very many devices.

    python -m benchmarks.pages                                   # a million devices in SQLite, ten minutes
    python -m benchmarks.pages --redis --devices 1000000         # in a Redis that is started for it
    python -m benchmarks.pages --devices 2000 --messages 500 --rounds 3 devices messages

A page asks what its module in `console/files/pages` asks as it is opened, what it asks together together, and
what needs an answer before one after the other. Cold is a process that has just started and, with SQLite,
files that the system has let go of; warm are `--rounds` times after it. What takes longer than 200 ms is
marked, with the slowest of its calls. Devices, with labels and attributes as those of `audiences.py`, are
written into the store; messages are pushed through a node.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
from benchmarks.audiences import PART, profile
from benchmarks.cluster import cluster_settings, longline, process, ready, redis
from benchmarks.contenders import ADMIN_KEY, APP, create_app, free_port

from longline.bench.push import device_name
from longline.register.memory import MemoryRegister
from longline.saver.bundle import Saver
from longline.saver.kv.engine import RedisSaver
from longline.saver.port.devices import Registration
from longline.saver.sql.engine import SqliteSaver
from longline.settings import Settings, StoreSettings
from longline.store.redis import Store
from longline.telemetry import logs

LIMIT: Final = 200.0  # ms that a page may take
ROUNDS: Final = 2  # looks of a table while it has no row, as `apps.js` has it
CONNECTIONS: Final = 6  # of a browser
CONNECTED: Final = 500  # devices that take messages
MEMBERS: Final = 500  # of a group
CROWD: Final = 1000  # devices that a message is for, each with a row


class Call(NamedTuple):
    """One request. `rows`: the list in the answer, of which another part is asked for while it is empty."""

    method: str
    path: str
    parameters: Mapping[str, str | int] = {}
    body: object = None
    rows: str = ""
    missing: bool = False
    """404 is an answer, too."""

    def __str__(self) -> str:
        asked = "&".join(f"{name}={value}" for name, value in self.parameters.items())
        return f"{self.method} {self.path}{'?' if asked else ''}{asked}"


@dataclass
class Filled:
    """What the store has."""

    node: str = ""
    away: str = "d4242"
    """A device that never comes."""
    messages: dict[str, str] = field(default_factory=dict)
    """Ids by what they are: `one`, `crowd` and `everyone`."""
    profiles: list[str] = field(default_factory=list)


class Page(NamedTuple):
    """What a page asks as it is opened: steps, each of calls that go together. `module` is in the console."""

    module: str
    what: str
    steps: list[list[Call]]


def get(path: str, rows: str = "", /, **parameters: str | int) -> Call:
    """What a page reads."""
    return Call("GET", path, parameters, rows=rows)


def get_if_there(path: str) -> Call:
    """What may not be there."""
    return Call("GET", path, missing=True)


def post(path: str, body: object, **parameters: str | int) -> Call:
    """What a page has worked out."""
    return Call("POST", path, parameters, body)


def pages(filled: Filled) -> list[Page]:
    """Every page that shows anything of the API, and what is asked for in its forms."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0).isoformat()
    app = f"/v1/apps/{APP}"
    away, taker = filled.away, device_name(7)
    found = [
        Page(
            "overview",
            "",
            [[get("/v1/figures"), get("/v1/problems"), get(f"{app}/statistics", **{"from": hour})]],
        ),
        *(
            Page("overview", f"{hours} h", [[get("/v1/figures/history", **{"from": hours_ago(hours)})]])
            for hours in (1, 24, 168)
        ),
        Page(
            "app_overview",
            "30 days",
            [
                [
                    get(f"{app}/figures"),
                    get(f"{app}/statistics", by="day", **{"from": hours_ago(720)}),
                ]
            ],
        ),
        Page("nodes", "", [[get("/v1/nodes")], [get("/v1/problems"), get("/v1/figures")]]),
        Page(
            "node",
            "",
            [
                [get("/v1/nodes")],
                [get("/v1/problems"), get("/v1/figures"), get("/v1/figures/history", node=filled.node)],
            ],
        ),
        Page("settings", "", [[get("/v1/config")], [get("/v1/nodes")]]),
        Page("profiles", "", [[get("/v1/nodes")], [get("/v1/profiles", limit=50)]]),
        Page(
            "profile",
            "",
            [
                [get(f"/v1/profiles/{filled.profiles[0]}")],
                [get("/v1/profiles", kind="tasks", limit=100)],
            ],
        ),
        Page(
            "difference",
            "",
            [[get(f"/v1/profiles/{filled.profiles[0]}/difference", base=filled.profiles[1])]],
        ),
        Page("audit", "", [[get("/v1/audit", limit=50)]]),
        Page("audit", "of an app", [[get("/v1/audit", limit=50, app=APP)]]),
        Page("keys", "", [[get("/v1/keys", limit=100)]]),
        Page("keys", "of an app", [[get(f"{app}/keys", limit=100)]]),
        Page("capacity", "", [[get("/v1/capacity")]]),
        Page("apps", "", [[get("/v1/apps")]]),
        Page(
            "app",
            "",
            [
                [
                    get(app),
                    post(f"{app}/audiences:estimate", {"audience": "all"}),
                    get(f"{app}/statistics"),
                    get(f"{app}/messages", limit=10),
                    get(f"{app}/messages", limit=10, missed="true"),
                    get(f"{app}/limits"),
                    get(f"{app}/acl"),
                    get_if_there(f"{app}/tokens"),
                ]
            ],
        ),
        Page("groups", "", [[get(f"{app}/groups", "groups", limit=50)]]),
        Page(
            "group",
            "",
            [
                [post(f"{app}/audiences:estimate", {"audience": {"group": "crowd"}})],
                [get(f"{app}/groups/crowd")],
                [get(f"{app}/groups/crowd/messages", after=0, limit=1)],
                [get(f"{app}/groups/crowd/messages", after=0, limit=50)],
            ],
        ),
        Page("schedules", "", [[get(f"{app}/schedules", "schedules", limit=50)]]),
        Page("events", "", [[get_if_there(f"{app}/webhook")]]),
    ]
    found += [
        Page("devices", words(asked), [[get(f"{app}/devices", "devices", limit=50, **asked)]])
        for asked in DEVICES
    ]
    found += [
        Page("messages", words(asked), [[get(f"{app}/messages", "messages", limit=50, **asked)]])
        for asked in MESSAGES
    ]
    for whose, name in (("away", away), ("that takes", taker)):
        at = f"{app}/devices/{name}"
        for state in ("", "pending", "acked", "expired", "collapsed", "dropped"):
            asked: dict[str, str | int] = {"state": state} if state else {}
            found.append(
                Page(
                    "device",
                    f"{whose} {state}".strip(),
                    [
                        [get(at)],
                        [get(f"{at}/shadow"), get(f"{at}/subscriptions")],
                        [get(at), get(f"{at}/messages", "messages", limit=20, **asked)],
                    ],
                )
            )
    for what, id in filled.messages.items():
        at = f"{app}/messages/{id}"
        for state, limit in (("", 100), ("expired", 1000)):
            found.append(
                Page(
                    "message",
                    f"for {what} {state}".strip(),
                    [[get(at)], [get(f"{at}/deliveries", limit=limit)]],
                )
            )
        traced = taker if what == "one" else away
        trace = get_if_there(f"{at}/deliveries/{traced}")
        found.append(Page("message", f"for {what}, a device", [[get(at)], [trace]]))
    for what, audience in AUDIENCES.items():
        checked = post(f"{app}/messages", {"audience": audience, "payload": "x"}, validate="true")
        found.append(Page("send", f"check {what}", [[checked]]))
        if what != "devices":
            estimate = post(f"{app}/audiences:estimate", {"audience": audience})
            found.append(Page("send", f"estimate {what}", [[estimate]]))
    return found


DEVICES: Final[tuple[dict[str, str | int], ...]] = (
    {},
    {"prefix": "d4242"},
    {"prefix": "nobody"},
    {"tag": "even"},
    {"tag": "rare"},
    {"tag": "nobody"},
    {"alias": "user2121"},
    {"alias": "nobody"},
    {"online": "true"},
    {"online": "false"},
    {"parked": "true"},
    {"prefix": "d9", "tag": "rare"},
    {"tag": "even", "online": "true"},
    {"tag": "rare", "online": "true"},
)
MESSAGES: Final[tuple[dict[str, str | int], ...]] = (
    {},
    {"missed": "true"},
    {"missed": "false"},
    {"status": "accepted"},
    {"status": "delivering"},
    {"status": "done"},
    {"label": "everyone"},
    {"label": "nobody"},
    {"missed": "true", "label": "nobody"},
)
AUDIENCES: Final[dict[str, object]] = {
    "everyone": "all",
    "devices": {"devices": ["d1", "d2", "d3"]},
    "aliases": {"aliases": ["user1", "user2"]},
    "a tag": {"tag": ["even"]},
    "a rare tag": {"tag": ["rare"]},
    "a comparison": {"attributes": {"age": {"gte": 18}}},
}


def words(asked: Mapping[str, str | int]) -> str:
    """What is asked for, as an address has it."""
    return "&".join(f"{name}={value}" for name, value in asked.items())


def hours_ago(hours: int) -> str:
    """A moment, as the API takes it."""
    return (datetime.now(UTC) - timedelta(hours=hours)).isoformat(timespec="seconds")


# --- the node and its store -----------------------------------------------------------------------------


class Engine:
    """A node that can be stopped and started on one store: a Redis of that port, or SQLite in `folder`."""

    def __init__(self, folder: str, store: int, server_cpu: str) -> None:
        self._folder = folder
        self._store = store
        self._pinned = ["taskset", "-c", server_cpu] if server_cpu else []
        self._data = Path(folder, "data")
        self.room, self.center = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.center}"

    @contextlib.contextmanager
    def started(self) -> Iterator[None]:
        """A process that takes traffic."""
        settings = cluster_settings(self._store) if self._store else {}
        settings |= {
            "LONGLINE_ADMIN_KEY": ADMIN_KEY,
            "LONGLINE_ROOM__PORT": str(self.room),
            "LONGLINE_ROOM__WS_PORT": "0",
            "LONGLINE_CENTER__PORT": str(self.center),
            "LONGLINE_NODE__SHUTDOWN_GRACE": "1",
        }
        roles = ("run", "center", "room", "coordinator") if self._store else ("serve", "--quiet")
        command = [*self._pinned, *longline(*roles, "--data", str(self._data))]
        with process(command, self._folder, "node", settings):
            ready(self.center, self._folder)
            yield

    @contextlib.asynccontextmanager
    async def saver(self) -> Any:
        """The store itself, while no process is on it."""
        if self._store:
            store = await Store.open(StoreSettings(url=f"redis://127.0.0.1:{self._store}"))
            try:
                yield await RedisSaver.open(store)
            finally:
                await store.close()
            return
        path = Settings(data_dir=self._data).database
        saver = await SqliteSaver.open(path, locate=MemoryRegister().locate_now)
        try:
            yield saver
        finally:
            await saver.close()

    def chill(self) -> None:
        """Has the system let go of what it has read of the store's files. Those of Redis are its memory."""
        for path in self._data.glob("*.db*"):
            with path.open("rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


async def register(saver: Saver, count: int) -> None:
    """So many devices."""
    app = await saver.apps.find(APP)
    assert app is not None
    now = int(time.time() * 1000)
    for first in range(0, count, PART):
        batch = [Registration(f"d{n}", profile(n)) for n in range(first, min(first + PART, count))]
        await saver.devices.put(app.number, batch, now)
        if first % 100_000 == 0:
            print(f"{first:,} devices", file=sys.stderr, flush=True)


def traffic(engine: Engine, app: Mapping[str, str], options: argparse.Namespace) -> Filled:
    """Messages that are taken, that wait, that expire, and to everyone; and all else that pages show."""
    account = ["--url", engine.url, "--port", str(engine.room), "--app", APP]
    account += ["--secret", app["device_secret"], "--key", app["server_key"]]
    flags = ["--devices", str(CONNECTED), "--messages", str(options.messages), "--stall", "60"]
    subprocess.run(longline("bench", "unicast", *flags, *account), check=True, stdout=subprocess.DEVNULL)
    filled = Filled(away=f"d{min(4242, options.devices - 1)}")
    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    with httpx.Client(base_url=engine.url, headers=headers, timeout=120) as client:

        def ask(method: str, path: str, body: object = None) -> Any:
            answer = client.request(method, path, json=body)
            answer.raise_for_status()
            return answer.json() if answer.content else None

        def send(audience: object, **options: object) -> str:
            body = {"audience": audience, "payload": "x" * 128, "options": options}
            id: str = ask("POST", f"/v1/apps/{APP}/messages", body)["message_id"]
            return id

        (node,) = ask("GET", "/v1/nodes")["nodes"]
        filled.node = node["node"]
        for _ in range(2):
            taken = ask("GET", f"/v1/nodes/{filled.node}/profile?kind=tasks&seconds=1")
            filled.profiles.append(taken["profile"])
        ask("PUT", f"/v1/apps/{APP}/groups/crowd", {})
        members = [f"d{n}" for n in range(min(MEMBERS, options.devices))]
        ask("POST", f"/v1/apps/{APP}/groups/crowd/members:add", {"members": members})
        schedule = {"message": {"audience": "all", "payload": "x"}, "cron": "0 9 * * 1", "timezone": "UTC"}
        ask("POST", f"/v1/apps/{APP}/schedules", schedule)
        filled.messages["everyone"] = send("all", label="everyone")
        send({"tag": ["even"]})
        send({"group": "crowd"})
        crowd = [f"d{n * options.devices // CROWD}" for n in range(CROWD)]
        filled.messages["crowd"] = send({"devices": sorted(set(crowd))})
        send({"devices": [filled.away]}, ttl=1)
        for number in range(20):
            filled.messages["one"] = send({"devices": [device_name(number)]})
    return filled


# --- measuring ------------------------------------------------------------------------------------------


@dataclass
class Times:
    """ms of a page, and of each of its calls, as often as it was opened."""

    cold: float = 0.0
    warm: list[float] = field(default_factory=list)
    calls: dict[str, list[float]] = field(default_factory=dict)

    def slowest(self) -> str:
        """The call that takes longest, with its median."""
        middle = {call: statistics.median(times) for call, times in self.calls.items()}
        call = max(middle, key=middle.__getitem__)
        return f"`{call}` {middle[call]:.0f}"


async def opened(client: httpx.AsyncClient, page: Page, told: Callable[[Call, float], None]) -> float:
    """Asks what the page asks; ms until it has all of it."""

    async def ask(call: Call) -> None:
        began = time.perf_counter()
        cursor: dict[str, str] = {}
        for _ in range(ROUNDS):
            asked = {**call.parameters, **cursor}
            answer = await client.request(call.method, call.path, params=asked, json=call.body)
            if not (call.missing and answer.status_code == 404):
                answer.raise_for_status()
            after = answer.json().get("next_cursor") if call.rows else None
            if not after or answer.json()[call.rows]:
                break
            cursor = {"cursor": after}
        told(call, 1000 * (time.perf_counter() - began))

    began = time.perf_counter()
    for step in page.steps:
        await asyncio.gather(*map(ask, step))
    return 1000 * (time.perf_counter() - began)


async def measure(engine: Engine, page: Page, rounds: int) -> Times:
    """The page of a process that has just started, and again."""
    times = Times()

    def told(call: Call, took: float) -> None:
        times.calls.setdefault(str(call), []).append(took)

    headers = {"Authorization": f"Bearer {ADMIN_KEY}"}
    limits = httpx.Limits(max_connections=CONNECTIONS)
    async with httpx.AsyncClient(base_url=engine.url, headers=headers, limits=limits, timeout=120) as client:
        times.cold = await opened(client, page, lambda call, took: None)
        for _ in range(rounds):
            times.warm.append(await opened(client, page, told))
    return times


def line(page: Page, times: Times) -> str:
    """A row of the table. Marked: a page that takes too long, in one word what of it does."""
    middle, most = statistics.median(times.warm), max(times.warm)
    over = "warm" if middle > LIMIT else "at most" if most > LIMIT else "cold" if times.cold > LIMIT else ""
    mark = f"**{over}** {times.slowest()}" if over else ""
    name = f"{page.module} {page.what}".strip()
    return f"| {name} | {times.cold:,.0f} | {middle:,.1f} | {most:,.1f} | {mark} |"


def main() -> None:
    """Parses the arguments, fills a store, opens the pages, prints a table in Markdown."""
    parser = argparse.ArgumentParser(description="How long the pages of the console wait for the API.")
    parser.add_argument("modules", nargs="*", metavar="PAGE", help="such as devices; default all")
    parser.add_argument("--devices", type=int, default=1_000_000)
    parser.add_argument("--messages", type=int, default=100_000, help="to devices that take them")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--redis", action="store_true", help="in place of SQLite")
    parser.add_argument("--server-cpu", default="", help="core of the node")
    options = parser.parse_args()
    logs.configure("warning", "console")
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        store = free_port() if options.redis else 0
        if store:
            stack.enter_context(redis(store, folder, "everysec"))
        engine = Engine(folder, store, options.server_cpu)
        with engine.started():
            app = create_app(engine.url)

        async def fill() -> None:
            async with engine.saver() as saver:
                await register(saver, options.devices)

        asyncio.run(fill())
        with engine.started():
            filled = traffic(engine, app, options)
        known = pages(filled)
        if unknown := set(options.modules) - {page.module for page in known}:
            parser.error(f"no such page: {', '.join(sorted(unknown))}")
        wanted = [page for page in known if not options.modules or page.module in options.modules]
        where = "Redis" if store else "SQLite"
        print(f"{options.devices:,} devices, {options.messages:,} messages, {where}; ms.\n")
        print(f"| page | cold | p50 | max | over {LIMIT:g} ms |\n|---|---:|---:|---:|---|", flush=True)
        for page in wanted:
            engine.chill()
            with engine.started():
                print(line(page, asyncio.run(measure(engine, page, options.rounds))), flush=True)


if __name__ == "__main__":
    main()
