"""Sets of labels in SQLite: what a change rewrites, and transactions that fail half-way."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import apsw
import pytest

from longline.model.apps import App
from longline.model.audience import AllOf, Ordered, Tagged
from longline.model.devices import Profile
from longline.register.memory import MemoryRegister
from longline.saver.port.devices import Registration
from longline.saver.sql import audiences, labels
from longline.saver.sql.engine import SqliteSaver

NOW = 1_800_000_000_000
ROW = 8500  # bytes that one row may have: 65,536 ordinals, and what is around them


@pytest.fixture
async def saver(tmp_path: Path) -> AsyncIterator[SqliteSaver]:
    saver = await SqliteSaver.open(tmp_path / "longline.db", locate=MemoryRegister().locate_now)
    yield saver
    await saver.close()


@pytest.fixture
async def app(saver: SqliteSaver) -> int:
    made = App(
        app="news",
        number=0,
        name="news",
        server_key_hash=b"k" * 32,
        device_secret="secret",
        pubsub=False,
        created_at=NOW,
    )
    return (await saver.apps.create(made)).number


@pytest.mark.parametrize("patience", [0.0, 60.0])
async def test_a_sample_has_fewer_where_reading_takes_too_long(
    saver: SqliteSaver, app: int, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is spread over all of them as evenly, and who is to be told of all is told of all."""
    monkeypatch.setattr(audiences, "PATIENCE", patience)
    red = Tagged(("red",))
    await put(saver, app, {f"d{n}": Profile(tags=("red",)) for n in range(10_000)})
    found = await saver.audiences.describe(app, red, 1000)
    assert found.devices == 10_000
    assert len(found.some) == (1000 if patience else audiences.PART)
    tenths = Counter(int(name[1:]) // 1000 for name in found.some)
    assert set(tenths.values()) == {len(found.some) // 10}
    assert len((await saver.audiences.describe(app, red, 10_000)).some) == 10_000


async def put(saver: SqliteSaver, app: int, profiles: Mapping[str, Profile]) -> None:
    await saver.devices.put(app, [Registration(name, who) for name, who in profiles.items()], NOW)


def sizes(folder: Path) -> dict[tuple[int, str, int], int]:
    """The bytes of each row, by kind, label and block."""
    database = apsw.Connection(str(folder / "longline.db"))
    found = list(database.execute("SELECT kind, label, block, length(ordinals) FROM labels"))
    database.close()
    return {(int(kind), str(label), int(block)): int(size) for kind, label, block, size in found}


async def test_a_set_of_many_is_in_rows_of_bounded_size(saver: SqliteSaver, app: int, tmp_path: Path) -> None:
    for first in range(0, 140_000, 10_000):
        numbers = range(first, first + 10_000)
        await put(saver, app, {f"d{n}": Profile(tags=("odd",)) if n % 2 else Profile() for n in numbers})
    rows = sizes(tmp_path)
    assert {block for _, label, block in rows if label == "odd"} == {0, 1, 2}
    assert max(rows.values()) < ROW
    assert (await saver.audiences.describe(app, Tagged(("odd",)), 0)).devices == 70_000


async def test_a_set_that_everybody_is_in_costs_next_to_nothing(
    saver: SqliteSaver, app: int, tmp_path: Path
) -> None:
    await put(saver, app, {f"d{n}": Profile(tags=("all",)) for n in range(20_000)})
    assert sizes(tmp_path)[0, "all", 0] < 100


async def test_what_was_not_committed_is_in_no_set(
    saver: SqliteSaver, app: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    await put(saver, app, {"d1": Profile(tags=("red",))})
    write = labels.Labels.flush

    def failing(self: labels.Labels) -> None:
        write(self)
        raise RuntimeError("half-way")

    monkeypatch.setattr(labels.Labels, "flush", failing)
    with pytest.raises(Exception, match="could not"):
        await put(saver, app, {"d1": Profile(tags=("blue",)), "d2": Profile(tags=("red",))})
    monkeypatch.undo()
    await put(saver, app, {"d3": Profile(tags=("red",))})
    for tag, names in (("red", ["d1", "d3"]), ("blue", [])):
        page = await saver.devices.list(app, tag=tag, alias=None, after=-1, limit=10)
        assert [device.device for device in page] == names


async def test_many_changes_of_one_transaction_are_written_as_they_gather(
    saver: SqliteSaver, app: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labels, "GATHERED", 20)
    known = {f"d{n}": Profile(tags=("red", f"t{n % 7}"), attributes={"n": n}) for n in range(200)}
    await put(saver, app, known)
    await put(saver, app, {f"d{n}": Profile(tags=("blue",), attributes={"n": -n}) for n in range(0, 200, 2)})
    both = AllOf((Tagged(("red", "blue")), Ordered("n", "lte", 0)))
    assert (await saver.audiences.describe(app, both, 0)).devices == 100
    assert (await saver.audiences.describe(app, Tagged(("red",)), 0)).devices == 100
