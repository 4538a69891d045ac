"""Lists that come page by page, and may be longer than memory: each page is printed when it is there."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Final, Generic, TypeVar

from longline.cli.output import GrowingTable, json_text
from longline.errors import LonglineError

Item = TypeVar("Item")

PAGE: Final = 100  # items that are printed at once: what the API has in a page


async def show_pages(
    name: str,
    items: AsyncIterator[Item],
    columns: Sequence[str],
    row: Callable[[Item], Sequence[str]],
    *,
    json: bool,
    count: int | None = None,
    told: Callable[[Item], object] = lambda item: item,
) -> int:
    """A list: `{name: [...]}` as JSON, else a row each. The exit status.

    `count`: so many items at most. `told`: what is an item as JSON. Where the list breaks off, what has come
    is printed, and the JSON closed, before the error is told.
    """
    printed: _JsonList[Item] | _Rows[Item] = _JsonList(name, told) if json else _Rows(columns, row)
    page: list[Item] = []
    number = 0
    try:
        async for item in items:
            page.append(item)
            number += 1
            if len(page) == PAGE:
                printed.add(page)
                page = []
            if number == count:
                break
    except LonglineError:
        if number:
            printed.add(page)
            printed.end()
        raise
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()
    printed.add(page)
    printed.end()
    return 0


class _JsonList(Generic[Item]):
    """`{name: [...]}` on one line."""

    def __init__(self, name: str, told: Callable[[Item], object]) -> None:
        self._opening = f'{{"{name}":['
        self._told = told

    def add(self, items: Sequence[Item]) -> None:
        for item in items:
            print(self._opening or ",", json_text(self._told(item)), sep="", end="")
            self._opening = ""

    def end(self) -> None:
        print(self._opening, "]}", sep="", flush=True)


class _Rows(Generic[Item]):
    """A row each."""

    def __init__(self, columns: Sequence[str], row: Callable[[Item], Sequence[str]]) -> None:
        self._table = GrowingTable(columns)
        self._row = row
        self._empty = True

    def add(self, items: Sequence[Item]) -> None:
        if items:
            self._table.add([self._row(item) for item in items])
            self._empty = False

    def end(self) -> None:
        if self._empty:
            self._table.add([])
