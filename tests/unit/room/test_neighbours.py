"""What a room keeps of the filters of others, and what a topic may cost there."""

import itertools

from longline.room.pubsub.neighbours import LOOKS, Neighbour, Neighbours

APP = 7


def a_neighbour(table: Neighbours, name: str) -> Neighbour:
    """One that has told its whole table."""
    neighbour = table.meet(name)
    table.begin(neighbour)
    table.complete(neighbour)
    return neighbour


def test_a_topic_that_takes_too_many_looks_goes_to_every_room() -> None:
    """It is not known who wants it: too much is sent, and nothing is missed."""
    table = Neighbours(1_000_000)
    first, _ = a_neighbour(table, "a"), a_neighbour(table, "b")
    table.learn(first, [(APP, "/".join(levels)) for levels in itertools.product("a+", repeat=14)])
    assert table.takers(APP, "/".join("a" * 14)) == ["a", "b"]
    assert table.visited > LOOKS
    assert table.takers(APP, "a/b") == []
    assert table.takers(APP, "/".join("ab" * 7)) == ["a"]


def test_who_has_filters_of_more_levels_than_are_kept_is_sent_everything_until_there_is_room() -> None:
    table = Neighbours(10)
    first, other = a_neighbour(table, "a"), a_neighbour(table, "b")
    deep = [(APP, "/".join(f"{number}{level}" for level in range(9)) + "/+") for number in range(2)]
    table.learn(first, [*deep, (APP, "x/y")])
    assert table.takers(APP, "anything") == ["a"]
    assert (table.size, table.levels) == (3, 20)
    assert not table.half_empty
    table.learn(other, [(APP + 1, "t")])
    assert table.takers(APP + 1, "u") == ["b"]  # for it, too, there was no room
    table.unlearn(first, deep)
    assert table.half_empty
    assert table.takers(APP, "anything") == ["a"]  # until it has told its table anew
