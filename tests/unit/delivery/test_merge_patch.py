"""JSON Merge Patch, by the examples of RFC 7396, appendix A."""

import msgspec
import pytest

from longline.delivery.merge_patch import deeper_than, merged

EXAMPLES = [
    ('{"a":"b"}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"b"}', '{"b":"c"}', '{"a":"b","b":"c"}'),
    ('{"a":"b"}', '{"a":null}', "{}"),
    ('{"a":"b","b":"c"}', '{"a":null}', '{"b":"c"}'),
    ('{"a":["b"]}', '{"a":"c"}', '{"a":"c"}'),
    ('{"a":"c"}', '{"a":["b"]}', '{"a":["b"]}'),
    ('{"a":{"b":"c"}}', '{"a":{"b":"d","c":null}}', '{"a":{"b":"d"}}'),
    ('{"a":[{"b":"c"}]}', '{"a":[1]}', '{"a":[1]}'),
    ('["a","b"]', '["c","d"]', '["c","d"]'),
    ('{"a":"b"}', '["c"]', '["c"]'),
    ('{"a":"foo"}', "null", "null"),
    ('{"a":"foo"}', '"bar"', '"bar"'),
    ('{"e":null}', '{"a":1}', '{"e":null,"a":1}'),
    ("[1,2]", '{"a":"b","c":null}', '{"a":"b"}'),
    ("{}", '{"a":{"bb":{"ccc":null}}}', '{"a":{"bb":{}}}'),
]


@pytest.mark.parametrize(("target", "patch", "result"), EXAMPLES)
def test_documents_are_merged_as_the_standard_says(target: str, patch: str, result: str) -> None:
    """And neither of the two is changed by it."""
    before, change = msgspec.json.decode(target), msgspec.json.decode(patch)
    assert merged(before, change) == msgspec.json.decode(result)
    assert (before, change) == (msgspec.json.decode(target), msgspec.json.decode(patch))


@pytest.mark.parametrize(
    ("document", "depth"),
    [(1, 0), ({}, 1), ([], 1), ({"a": 1}, 1), ({"a": {}}, 2), ([[1], 2], 2), ({"a": [{"b": 1}]}, 3)],
)
def test_depth_is_counted_in_objects_and_lists(document: object, depth: int) -> None:
    assert not deeper_than(document, depth)
    assert deeper_than(document, depth - 1) == (depth > 0)


def test_depth_is_told_of_what_is_nested_beyond_any_stack() -> None:
    document: object = 1
    for _ in range(100_000):
        document = [document]
    assert deeper_than(document, 64)
    while isinstance(document, list):  # taken apart by hand: to forget it whole takes a stack, too
        document = document[0]
