"""Members, and waiting for what a keeper hears of."""

import asyncio
from collections.abc import Awaitable, Callable

from longline.keeper.port import Keeper, Load, Node
from tests.waiting import WITHIN


def a_node(name: str, **addresses: str) -> Node:
    return Node(node=name, roles=("room", "center"), addresses=addresses, since=1, version="0.1.0")


def a_detailed_node(name: str) -> Node:
    """With every field unlike its default."""
    return Node(
        node=name,
        roles=("room",),
        addresses={"mqtt": "10.0.0.1:1883", "wss": "[::1]:443"},
        since=1_800_000_000_000,
        version="1.2.3",
        host="höst-1",
        region="north",
        networks=("a", "b"),
        weight=0.25,
        pool="grey",
        draining=True,
        settings_version=7,
        load=Load(connections=10, capacity=100, cpu=0.5, lag=0.001),
    )


async def until(keeper: Keeper, holds: Callable[[], Awaitable[bool]]) -> None:
    """Looks whenever the keeper says that something has changed."""
    seen = 0
    async with asyncio.timeout(WITHIN):
        while not await holds():
            seen = await keeper.changed(seen)


async def until_members(keeper: Keeper, *names: str) -> None:
    async def there() -> bool:
        return tuple(member.node for member in await keeper.members()) == names

    await until(keeper, there)


async def leaders(keeper: Keeper, duty: str, *names: str) -> list[str]:
    return [name for name in names if await keeper.leads(duty, name)]


async def until_leads(keeper: Keeper, duty: str, name: str) -> None:
    async def leading() -> bool:
        return await keeper.leads(duty, name)

    await until(keeper, leading)
