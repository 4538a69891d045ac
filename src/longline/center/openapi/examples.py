"""Examples of answers, made from their schemas, so that no answer is without one.

A field's example is the one that its type gives; else what fields of its name mostly have; else a value that
its schema allows.
"""

from collections.abc import Mapping
from typing import Final

from longline.model.devices import JsonObject

_MESSAGE: Final = "019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e21"
_BY_NAME: Final[Mapping[str, object]] = {
    "app": "news",
    "device": "d1",
    "client_id": "d1",
    "username": "news",
    "password": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJkMSJ9.9pI",
    "server_key": "news.3q2-7wAAAAA",
    "device_secret": "c2VjcmV0",
    "aliases": ["ann"],
    "tags": ["beta"],
    "attributes": {"plan": "pro"},
    "timezone": "Europe/Berlin",
    "platform": "ios",
    "room": "room-1-6f2a90c1",
    "node": "room-1-6f2a90c1",
    "next_cursor": None,
    "cursor": "NDI5NDk2NzI5Nw",
    "message_id": _MESSAGE,
    "reason": None,
    "topic": "up/temperature",
    "filter": "home/{device}/#",
    "cron": "0 9 * * 1-5",
    "payload": "21.5",
    "payload_base64": "AAEC",
    "ledger": {
        "targeted": 3,
        "pending": 1,
        "acked": 1,
        "expired": 0,
        "collapsed": 0,
        "dropped": {"device_not_found": 1},
        "routed": 2,
        "sent": 1,
    },
    "message": {"audience": "all", "payload": "Good morning"},
    "name": "The News",
    "client_certificates": False,
    "end_at_expiry": False,
    "issuer": "https://id.example.org/",
    "audience": ["longline"],
    "algorithms": ["RS256"],
    "device_claim": "sub",
    "gap": False,
    "paused": False,
    "host": "host-1",
    "roles": ["room"],
    "addresses": {"tcp": "203.0.113.7:1883"},
    "version": 3,
    "region": "eu",
    "networks": ["dsl"],
    "pool": "default",
    "draining": False,
    "drain": None,
    "gray": None,
    "settings": {"room.linger": 20},
    "history": [],
    "value": 20,
    "default": 10,
    "meaning": "How long a device stays bound after its connection broke.",
}
_TYPES: Final[Mapping[str, type | tuple[type, ...]]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "array": list,
    "object": dict,
    "null": type(None),
}
_DEEPEST: Final = 12  # schemas in one another


class Examples:
    """Makes them. `schemas`: all of the document, by name; `prefix`: what a reference to one begins with."""

    def __init__(self, schemas: Mapping[str, JsonObject], prefix: str) -> None:
        self._schemas = schemas
        self._prefix = prefix

    def of(self, name: str) -> object:
        """An example of the schema with this name."""
        return self._value(self._schemas[name], "", 0)

    def _value(self, schema: JsonObject, name: str, depth: int) -> object:
        examples = schema.get("examples")
        if isinstance(examples, list) and examples:
            return examples[0]
        if name in _BY_NAME and self._allows(schema, _BY_NAME[name]):
            return _BY_NAME[name]
        for given in ("const", "default"):
            if given in schema:
                return schema[given]
        values = schema.get("enum")
        if isinstance(values, list):
            return values[0]
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self._value(self._schemas[reference.removeprefix(self._prefix)], name, depth + 1)
        for choice in ("anyOf", "oneOf"):
            of = schema.get(choice)
            if isinstance(of, list):
                return self._chosen(of, name, depth)
        return self._plain(schema, depth)

    @staticmethod
    def _allows(schema: JsonObject, value: object) -> bool:
        """Whether a value is of a type that a schema names; one that names none allows any."""
        choices = schema.get("anyOf", [schema])
        assert isinstance(choices, list)
        types = [each.get("type") for each in choices if "$ref" not in each]
        return not types or any(
            kind is None
            or (isinstance(value, _TYPES[kind]) and isinstance(value, bool) == (kind == "boolean"))
            for kind in types
        )

    def _chosen(self, of: list[JsonObject], name: str, depth: int) -> object:
        """One of several: the first that says something, unless it is too deep for more."""
        said = [each for each in of if each.get("type") != "null"]
        return None if depth > _DEEPEST or not said else self._value(said[0], name, depth + 1)

    def _plain(self, schema: JsonObject, depth: int) -> object:
        match schema.get("type"):
            case "object":
                return self._object(schema, depth)
            case "array":
                items = schema.get("items")
                least = schema.get("minItems", 1)
                assert isinstance(least, int)
                one = self._value(items, "", depth + 1) if isinstance(items, dict) else "value"
                return [one] * max(1, least) if depth <= _DEEPEST else []
            case "integer" | "number":
                return schema.get("minimum", 1)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                return "text"

    def _object(self, schema: JsonObject, depth: int) -> JsonObject:
        """With the fields that are always there; of one that has none of these, with its first."""
        properties, required = schema.get("properties", {}), schema.get("required", [])
        assert isinstance(properties, dict)
        assert isinstance(required, list)
        names = required or list(properties)[:1]
        return {name: self._value(properties[name], name, depth + 1) for name in names}
