"""What was used least lately goes first, and never more is kept than there is room for."""

from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from longline.flow.lru import LruCache


def test_the_least_lately_used_goes_first() -> None:
    cache: LruCache[str, int] = LruCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == (1, None, 3)
    assert len(cache) == 2


def test_looking_whether_a_key_is_there_is_no_use() -> None:
    cache: LruCache[str, int] = LruCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert "a" in cache
    cache.put("c", 3)
    assert "a" not in cache


def test_add_says_whether_a_key_is_new_and_changes_nothing_that_is_not() -> None:
    cache: LruCache[str, int] = LruCache(2)
    assert cache.add("a", 1)
    assert cache.add("b", 2)
    assert not cache.add("a", 9)
    assert cache.add("c", 3)
    assert cache.get("a") is None  # it was not used by being offered again


def test_weights_are_those_of_when_a_value_was_put() -> None:
    cache: LruCache[str, list[int]] = LruCache(5, len)
    value = [1, 2]
    cache.put("a", value)
    value += [3, 4, 5, 6]
    cache.put("b", [1])
    assert cache.weight == 3
    cache.put("a", [1])
    assert cache.weight == 2
    cache.forget("a")
    cache.forget("a")
    assert cache.weight == 1
    cache.clear()
    assert (cache.weight, len(cache)) == (0, 0)


def test_one_entry_is_kept_whatever_it_weighs() -> None:
    cache: LruCache[str, list[int]] = LruCache(2, len)
    cache.put("a", [1])
    cache.put("b", [1, 2, 3])
    assert ("a" in cache, "b" in cache, cache.weight) == (False, True, 3)
    cache.put("c", [1])
    assert ("b" in cache, "c" in cache, cache.weight) == (False, True, 1)


KEYS = st.integers(0, 5)
MOVES = st.lists(st.tuples(st.sampled_from(["get", "put", "add", "forget"]), KEYS, st.integers(0, 4)))


@given(limit=st.integers(1, 8), moves=MOVES)
def test_it_does_what_a_list_by_last_use_does(limit: int, moves: list[tuple[str, int, int]]) -> None:
    cache: LruCache[int, int] = LruCache(limit, lambda value: value)
    model: OrderedDict[int, int] = OrderedDict()
    for move, key, value in moves:
        if move == "get":
            assert cache.get(key) == model.get(key)
            if key in model:
                model.move_to_end(key)
        elif move == "forget":
            cache.forget(key)
            model.pop(key, None)
        elif move == "add" and key in model:
            assert not cache.add(key, value)
        else:
            if move == "add":
                assert cache.add(key, value)
            else:
                cache.put(key, value)
            model[key] = value
            model.move_to_end(key)
            while sum(model.values()) > limit and len(model) > 1:
                model.popitem(last=False)
        assert len(cache) == len(model)
        assert cache.weight == sum(model.values())
