"""Slots and the map of a Cluster."""

import pytest

from longline.store.addresses import Address
from longline.store.calls import Reply
from longline.store.slots import read_map, read_target, slot_of

HERE = Address("10.0.0.9", 6379)


@pytest.mark.parametrize(("tag", "slot"), [(b"123456789", 12739), (b"foo", 12182), (b"bar", 5061)])
def test_slots_are_those_of_the_cluster_specification(tag: bytes, slot: int) -> None:
    assert slot_of(tag) == slot


def test_a_map_names_the_master_of_each_slot_and_all_replicas() -> None:
    reply: Reply = [
        [0, 1, [b"10.0.0.1", 7000, b"id1", []], [b"10.0.0.2", 7001, b"id2"]],
        [5, 5, [b"", 7002, b"id3"]],
        [6, 6, [None, 7003, b"id4"]],
    ]

    masters, replicas = read_map(reply, HERE)

    assert masters == {
        0: Address("10.0.0.1", 7000),
        1: Address("10.0.0.1", 7000),
        5: Address("10.0.0.9", 7002),
        6: Address("10.0.0.9", 7003),
    }
    assert replicas == [Address("10.0.0.2", 7001)]


@pytest.mark.parametrize(
    "reply", [None, b"", [], [7], [[]], [[0]], [[0, b"1", [b"h", 1]]], [[0, 1, [b"?", 1]]], [[0, 1, b"h"]]]
)
def test_a_map_that_is_none_says_nothing(reply: Reply) -> None:
    assert read_map(reply, HERE) == ({}, [])


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("3999 127.0.0.1:6381", (3999, Address("127.0.0.1", 6381))),
        ("3999 ::1:6381", (3999, Address("::1", 6381))),
        ("3999 :6381", (3999, Address("10.0.0.9", 6381))),
        ("3999", None),
        ("x y:1", None),
        ("16384 h:1", None),
        ("1 h:x", None),
    ],
)
def test_a_moved_reply_names_a_slot_and_a_server(text: str, target: tuple[int, Address] | None) -> None:
    assert read_target(text, HERE) == target
