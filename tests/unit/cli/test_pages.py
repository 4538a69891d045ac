"""Lists that come page by page: what is printed, and when."""

import io
import json
from collections.abc import AsyncIterator, Callable
from contextlib import redirect_stdout

import pytest

from longline.cli.pages import PAGE, show_pages
from longline.errors import Unavailable


class Screen(io.StringIO):
    """Standard output, a terminal if it is told so."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


@pytest.fixture(params=[False, True], ids=["pipe", "terminal"])
def screen(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Screen:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "dumb")
    return Screen(terminal=request.param)


async def names(number: int, look: Callable[[int], None], *, broken: bool = False) -> AsyncIterator[str]:
    """So many names, the second page's wider; `look` is told how many were given before each."""
    for index in range(number):
        look(index)
        yield f"d{index}" if index < PAGE else f"a-wide-device-{index}"
    if broken:
        raise Unavailable("away")


def row(name: str) -> tuple[str, str]:
    return name, "ok"


async def test_a_page_is_printed_before_the_next_is_asked_for(screen: Screen) -> None:
    printed: dict[int, int] = {}

    def look(given: int) -> None:
        printed[given] = sum(line.startswith(("d", "a-wide")) for line in screen.getvalue().splitlines())

    shown = show_pages("devices", names(PAGE + 50, look), ("name", "state"), row, json=False)
    with redirect_stdout(screen):
        assert await shown == 0
    heads = int(screen.isatty())
    assert (printed[PAGE - 1], printed[PAGE], printed[PAGE + 49]) == (0, PAGE, PAGE)
    lines = screen.getvalue().splitlines()
    assert len(lines) == PAGE + 50 + heads
    assert [line.split()[0] for line in lines[heads:]] == [
        *(f"d{index}" for index in range(PAGE)),
        *(f"a-wide-device-{index}" for index in range(PAGE, PAGE + 50)),
    ]
    assert [line.split()[1] for line in lines[heads:]] == ["ok"] * (PAGE + 50)


async def test_json_is_written_as_it_comes_and_is_one_object(screen: Screen) -> None:
    begun: list[bool] = []
    shown = show_pages(
        "devices",
        names(PAGE + 1, lambda _: begun.append(bool(screen.getvalue()))),
        ("name", "state"),
        row,
        json=True,
        told=lambda name: {"device": name},
    )
    with redirect_stdout(screen):
        assert await shown == 0
    assert begun == [False] * PAGE + [True]
    [line] = screen.getvalue().splitlines()
    assert [each["device"] for each in json.loads(line)["devices"]][-2:] == ["d99", "a-wide-device-100"]


@pytest.mark.parametrize("count", [1, PAGE, PAGE + 1])
async def test_no_more_is_asked_for_than_is_wanted(count: int, screen: Screen) -> None:
    asked: list[int] = []
    with redirect_stdout(screen):
        await show_pages("devices", names(500, asked.append), ("name", "state"), row, json=True, count=count)
    assert len(json.loads(screen.getvalue())["devices"]) == len(asked) == count


async def test_an_empty_list_is_one(screen: Screen) -> None:
    with redirect_stdout(screen):
        await show_pages("devices", names(0, lambda _: None), ("name", "state"), row, json=True)
    assert screen.getvalue() == '{"devices":[]}\n'
    with redirect_stdout(screen):
        await show_pages("devices", names(0, lambda _: None), ("name", "state"), row, json=False)
    told = screen.getvalue().splitlines()[1:]
    assert [line.split() for line in told] == ([["name", "state"]] if screen.isatty() else [])


async def test_what_came_before_a_failure_is_printed_and_its_json_closed(screen: Screen) -> None:
    with pytest.raises(Unavailable), redirect_stdout(screen):
        await show_pages("devices", names(3, lambda _: None, broken=True), ("name", "state"), row, json=True)
    assert json.loads(screen.getvalue()) == {"devices": ["d0", "d1", "d2"]}
    with pytest.raises(Unavailable), redirect_stdout(screen):
        await show_pages("devices", names(0, lambda _: None, broken=True), ("name", "state"), row, json=True)
    assert len(screen.getvalue().splitlines()) == 1, "where nothing came, nothing is said but the error"
