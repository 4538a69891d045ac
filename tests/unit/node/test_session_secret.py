import asyncio

from longline.keeper.local import LocalKeeper
from longline.node.session_secret import BYTES, session_secret


async def test_all_centers_have_the_secret_of_the_first() -> None:
    keeper = LocalKeeper()
    found = await asyncio.gather(*(session_secret(keeper) for _ in range(5)))
    assert len(set(found)) == 1
    assert len(found[0]) == BYTES
    assert await session_secret(keeper) == found[0]
    assert await session_secret(LocalKeeper()) != found[0]
