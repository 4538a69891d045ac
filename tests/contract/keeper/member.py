"""A process that is a member, to be killed or paused.

    python -m tests.contract.keeper.member ENGINE PLACE SESSION NAME DUTY

It says `joined`, then `leads` once it leads the duty. After each line that it gets it says in one line,
without waiting for anything, whether it is in touch and whether it leads. When it gets `join` it joins again
under its name instead, as often as it takes to be answered, and says `fenced` or `joined`.
"""

import asyncio
import sys
from typing import TextIO

from longline.errors import Fenced, Unavailable
from longline.keeper.port import Keeper
from tests.contract.engines import KEEPERS
from tests.contract.keeper.nodes import a_node, until_leads


async def lines(source: TextIO) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), source)
    return reader


async def rejoin(keeper: Keeper, name: str) -> str:
    while True:
        try:
            await keeper.join(a_node(name))
        except Unavailable:
            continue
        except Fenced:
            return "fenced"
        return "joined"


async def main(engine: str, place: str, session: float, name: str, duty: str) -> None:
    async with KEEPERS[engine].open(place, session) as keeper:
        orders = await lines(sys.stdin)
        await keeper.join(a_node(name))
        print("joined", flush=True)
        await until_leads(keeper, duty, name)
        print("leads", flush=True)
        while order := await orders.readline():
            if order.strip() == b"join":
                print(await rejoin(keeper, name), flush=True)
            else:
                print(keeper.in_touch(), await keeper.leads(duty, name), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4], sys.argv[5]))
