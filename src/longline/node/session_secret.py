"""What seals the console's sessions: random bytes that all centers share, so each opens those of others."""

import asyncio
import secrets
from typing import Final

from longline.errors import Conflict
from longline.keeper.port import Keeper

SHARED: Final = "console/session-secret"
BYTES: Final = 32
NEWS: Final = 0.1  # s


async def session_secret(keeper: Keeper) -> bytes:
    """The secret of the first center that came.

    It is of no key's making: whoever gets a cookie could otherwise try out weak keys on it.
    """
    while (shared := await keeper.read(SHARED)) is None:
        mine = secrets.token_bytes(BYTES)
        try:
            await keeper.write(SHARED, mine, version=0)
        except Conflict:
            await asyncio.sleep(NEWS)  # until the news of the other one's is here
        else:
            return mine
    return shared.value
