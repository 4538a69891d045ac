"""What the console's pages cost the embedded database: what they show, and not what there is."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import apsw
import pytest
from benchmarks.audiences import profile
from benchmarks.pages import Call, Filled, pages
from pyroaring import BitMap

from longline.bench.push import device_name
from longline.center.messages import latest, messages
from longline.delivery import audience
from longline.model.devices import JsonObject
from longline.model.times import wall_clock
from longline.saver.port.devices import Registration
from longline.saver.sql import device_messages
from longline.settings import CenterSettings
from tests.unit.center.conftest import Api, close_api, open_api

FEW: Final = 1000  # devices, and messages: more than any page looks at here
MANY: Final = 4 * FEW
GONE: Final = 20  # devices
GROWTH: Final = 1.25  # trees get deeper
SPARE: Final = 100
STEPS: Final = "SQLITE_STMTSTATUS_VM_STEP"


@pytest.fixture
def steps() -> Iterator[Counter[str]]:
    """Steps of the databases' virtual machine and pages that were looked into, by statement."""
    found: Counter[str] = Counter()

    def traced(connection: apsw.Connection) -> None:
        def told(event: dict[str, Any]) -> None:
            found[event["sql"]] += event["stmt_status"][STEPS]
            for op in (apsw.SQLITE_DBSTATUS_CACHE_HIT, apsw.SQLITE_DBSTATUS_CACHE_MISS):
                found[event["sql"]] += connection.status(op, reset=True)[0]

        connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, told)

    apsw.connection_hooks.append(traced)
    yield found
    apsw.connection_hooks.remove(traced)


async def filled(api: Api, count: int) -> Filled:
    """So many devices, some of which are gone, and messages to all but a few of them."""
    path = await api.app("bench")
    app = await api.saver.apps.find("bench")
    assert app is not None
    await api.saver.devices.put(app.number, [Registration(device_name(7), profile(7))], api.now)
    # The tag that one in a thousand has is one device's, however many there are.
    batch = [Registration(f"d{n}", profile(n if n < FEW or n % 1000 else 1)) for n in range(count)]
    await api.saver.devices.put(app.number, batch, api.now)
    for n in range(500, 500 + GONE):
        assert await api.saver.devices.delete(app.number, f"d{n}", api.now)
    await api.http.put(f"{path}/groups/crowd", json={})
    await api.http.post(f"{path}/groups/crowd/members:add", json={"members": [f"d{n}" for n in range(20)]})
    made = Filled(away="d42")
    made.profiles = ["p1", "p2"]

    async def send(whom: object, **options: object) -> str:
        body = {"audience": whom, "payload": "x", "options": options}
        answer = await api.http.post(f"{path}/messages", json=body)
        assert answer.status_code == 202, answer.text
        id: str = answer.json()["message_id"]
        return id

    made.messages["one"] = await send({"devices": [device_name(7)]})
    made.messages["crowd"] = await send({"devices": [f"d{n}" for n in range(20)]})
    made.messages["everyone"] = await send("all", label="everyone")
    await send({"group": "crowd"})
    for first in range(0, count, 100):
        pairs = [[f"d{n}", f"d{n + 1}"] for n in range(first, first + 100)]
        some: list[JsonObject] = [{"audience": {"devices": pair}, "payload": "x"} for pair in pairs]
        answer = await api.http.post(f"{path}/messages:batch", json={"messages": some})
        assert answer.status_code == 202, answer.text
    return made


async def costs(folder: Path, count: int, steps: Counter[str]) -> dict[str, Counter[str]]:
    """Steps of each call of each page, by its statements."""
    api = await open_api(folder, CenterSettings(), 100_000)
    api.now = wall_clock()  # pages ask for the last hours
    made = await filled(api, count)
    widened(folder, count)
    found: dict[str, Counter[str]] = {}
    for page in pages(made):
        for step in page.steps:
            for call in step:
                name = f"{page.module} {page.what}: {call.method} {call.path}"
                for kind, id in made.messages.items():
                    name = name.replace(id, kind)
                found[f"{name} {len(found)}"] = await cost(api, call, steps)
    await close_api(api)
    return found


def widened(folder: Path, count: int) -> None:
    """Has the sets of broadcasts take as much room as those of 500 times as many devices."""
    every_other = BitMap(range(0, 500 * count, 2)).serialize()
    database = apsw.Connection(str(folder / "longline.db"))
    database.wal_autocheckpoint(0)  # what lies in the database itself is read past the cache, and not counted
    database.execute("UPDATE broadcast_sets SET ordinals = ?", [every_other])
    database.close()


async def cost(api: Api, call: Call, steps: Counter[str]) -> Counter[str]:
    for _ in range(2):  # the first may load what is then known
        steps.clear()
        answer = await api.http.request(call.method, call.path, params=call.parameters, json=call.body)
        assert answer.status_code in (200, 404), answer.text
    return Counter(steps)


async def test_no_page_costs_more_where_there_is_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: Counter[str]
) -> None:
    """Whatever a page asks, the work is bounded by what it shows and looks at."""
    monkeypatch.setattr(device_messages, "ROWS", 20)
    monkeypatch.setattr(latest, "MAX_MESSAGES", 20)
    monkeypatch.setattr(audience, "SAMPLE", 10)
    monkeypatch.setattr(messages, "LOOK_FOR", 0)  # nothing is on its way
    folders = tmp_path / "few", tmp_path / "many"
    for folder in folders:
        folder.mkdir()
    few, many = [await costs(*each, steps) for each in zip(folders, (FEW, MANY), strict=True)]
    assert few.keys() == many.keys()
    assert sum(1 for each in few.values() if each.total()) > 50, "the statements are not seen"
    grown = [
        _said(call, was, many[call])
        for call, was in few.items()
        if many[call].total() > GROWTH * was.total() + SPARE
    ]
    assert grown == [], "\n".join(grown)


def _said(call: str, was: Counter[str], now: Counter[str]) -> str:
    more = [f"  {was[sql]} -> {n}: {sql}" for sql, n in now.items() if n > was[sql]]
    return "\n".join([f"{call}: {was.total()} -> {now.total()}", *more])
