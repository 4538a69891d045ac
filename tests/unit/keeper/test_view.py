"""Keys, and the bell."""

import asyncio

import pytest

from longline.errors import Unavailable, ValidationFailed
from longline.keeper.port import Kept
from longline.keeper.view import Lead, View, check_key
from longline.testing.clock import settle


@pytest.mark.parametrize("key", ["a", "drains/node-1.2_3", "...", "a/..b", "-"])
def test_letters_digits_dots_lines_and_levels_make_a_key(key: str) -> None:
    check_key(key)


@pytest.mark.parametrize("key", ["", "/", "a/", "/a", "a//b", ".", "a/..", "../a", "a b", "a\n", "é", "a:b"])
def test_nothing_else_is_a_key(key: str) -> None:
    with pytest.raises(ValidationFailed):
        check_key(key)


async def test_what_is_the_same_as_before_is_no_news() -> None:
    view = View()
    view.put_values({"a": Kept(b"x", 1)})
    view.put_leader("expiry", Lead("a", 1))
    seen = await view.changed(0)
    view.put_values({"a": Kept(b"x", 1)})
    view.put_leader("expiry", Lead("a", 1))
    view.put_leader("sweep", None)
    waiting = asyncio.create_task(view.changed(seen))
    await settle()
    assert not waiting.done()
    view.ring()
    assert await waiting > seen


async def test_a_term_never_falls() -> None:
    view = View()
    view.put_leader("expiry", Lead("a", 5))
    view.put_leader("expiry", None)
    assert view.term("expiry") == 5
    view.put_term("expiry", 3)
    assert view.term("expiry") == 5
    assert view.term("sweep") == 0


async def test_closing_wakes_everybody() -> None:
    view = View()
    seen = await view.changed(0)
    waiting = [asyncio.create_task(view.changed(seen)) for _ in range(3)]
    await asyncio.sleep(0)
    view.close()
    assert all(isinstance(end, Unavailable) for end in await asyncio.gather(*waiting, return_exceptions=True))
