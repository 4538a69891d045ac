"""JSON documents that are changed by other documents (RFC 7396, JSON Merge Patch)."""

from longline.model.devices import JsonObject


def merged(target: object, patch: object) -> object:
    """What becomes of a document: an object's fields are merged, null removes one, all else replaces.

    Neither of the two is changed. It goes as deep as `patch` does.
    """
    if not isinstance(patch, dict):
        return patch
    result: JsonObject = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def deeper_than(value: object, depth: int) -> bool:
    """Whether objects and lists are nested more than `depth` times."""
    level = [value]
    for _ in range(depth):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return False
    return any(isinstance(each, dict | list) for each in level)
