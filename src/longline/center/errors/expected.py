"""What a body or query of a type would have taken at some place of it, for the errors that people read."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from msgspec import inspect


def fields_at(model: Any, path: str) -> tuple[str, ...]:
    """Names of the fields that an object has there; `path` as errors tell it: `messages.3.options`."""
    return tuple(
        field.encode_name
        for kind in _kinds_at(model, path)
        if isinstance(kind, inspect.StructType)
        for field in kind.fields
    )


def words_at(model: Any, path: str) -> tuple[str, ...]:
    """The words that a text may be there, where only some are taken."""
    found: list[str] = []
    for kind in _kinds_at(model, path):
        if isinstance(kind, inspect.LiteralType):
            found += map(str, kind.values)
        elif isinstance(kind, inspect.EnumType):
            found += [str(member.value) for member in kind.cls]
    return tuple(found)


_described = cache(inspect.type_info)  # of the types of the API, which are few; to describe one takes a while


def _kinds_at(model: Any, path: str) -> list[inspect.Type]:
    kinds = [*_alternatives(_described(model))]
    for part in path.split(".") if path else ():
        kinds = [inner for kind in kinds for below in _below(kind, part) for inner in _alternatives(below)]
    return kinds


def _alternatives(kind: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.Metadata):
        yield from _alternatives(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for each in kind.types:
            yield from _alternatives(each)
    else:
        yield kind


def _below(kind: inspect.Type, part: str) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.StructType):
        yield from (field.type for field in kind.fields if field.encode_name == part)
    elif isinstance(kind, inspect.CollectionType):
        yield kind.item_type
    elif isinstance(kind, inspect.DictType):
        yield kind.value_type
