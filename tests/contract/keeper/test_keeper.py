"""Membership and leadership: who is there, and exactly one who leads."""

from longline.keeper.port import Keeper, Node


def a_node(name: str, **addresses: str) -> Node:
    return Node(node=name, roles=("room", "center"), addresses=addresses, since=1, version="0.1.0")


async def test_members_are_listed_by_name_with_what_they_said_of_themselves(keeper: Keeper) -> None:
    nodes = [a_node("b", mqtt="127.0.0.1:1883"), a_node("a")]
    for node in nodes:
        await keeper.join(node)
    assert await keeper.members() == [nodes[1], nodes[0]]


async def test_joining_again_replaces_what_is_known(keeper: Keeper) -> None:
    await keeper.join(a_node("a"))
    await keeper.join(a_node("a", mqtt="127.0.0.1:1884"))
    assert await keeper.members() == [a_node("a", mqtt="127.0.0.1:1884")]


async def test_who_leaves_is_no_member(keeper: Keeper) -> None:
    await keeper.join(a_node("a"))
    await keeper.leave("a")
    await keeper.leave("a")
    assert await keeper.members() == []


async def test_exactly_one_member_leads_a_duty(keeper: Keeper) -> None:
    for name in "abc":
        await keeper.join(a_node(name))
    leaders = [name for name in "abc" if await keeper.leads("expiry", name)]
    assert len(leaders) == 1
    assert [name for name in "abc" if await keeper.leads("expiry", name)] == leaders, "it stays the same one"


async def test_another_leads_when_the_leader_leaves(keeper: Keeper) -> None:
    for name in "abc":
        await keeper.join(a_node(name))
    (leader,) = [name for name in "abc" if await keeper.leads("expiry", name)]
    await keeper.leave(leader)
    (next_leader,) = [name for name in "abc" if await keeper.leads("expiry", name)]
    assert next_leader != leader


async def test_who_is_no_member_does_not_lead(keeper: Keeper) -> None:
    assert not await keeper.leads("expiry", "a")
    await keeper.join(a_node("b"))
    assert not await keeper.leads("expiry", "a")
    assert await keeper.leads("expiry", "b")
