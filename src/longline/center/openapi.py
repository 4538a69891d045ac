"""The OpenAPI 3.1 document, made from the table of operations and from msgspec's JSON Schema of their types.

Types say what a body, a query and an answer look like, docstrings what an operation does, and errors what may
go wrong. What none of them has a word for is put beside them here: what path parameters look like, headers,
rules between the fields of a type, and examples.
"""

import inspect
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec

from longline.center.errors import ErrorAnswer
from longline.center.gate import ALWAYS_ADMITTED
from longline.center.operations import Endpoint, Operation
from longline.errors import (
    AppNotFound,
    BadRequest,
    BodyTooLarge,
    Forbidden,
    LonglineError,
    Overloaded,
    RateLimited,
    Unauthorized,
    Unavailable,
    ValidationFailed,
)
from longline.model.devices import DEVICE_NAME, JsonObject
from longline.settings.dynamic import DYNAMIC
from longline.version import VERSION

_ABOUT = """Pushes messages to devices, and says of each what became of it.

Errors have one form; `error.code` is stable. Lists take `limit` and `cursor`. Times are RFC 3339 in UTC.
"""
_KEY = "key"
_SCHEMAS = "#/components/schemas/"

_PARAMETERS: dict[str, JsonObject] = {
    "app": {"description": "The app's name.", "schema": {"type": "string"}, "example": "news"},
    "device": {
        "description": "The device's name.",
        "schema": {"type": "string", "pattern": f"^{DEVICE_NAME}$"},
        "example": "d1",
    },
    "node": {"description": "A member's name.", "schema": {"type": "string"}, "example": "room-1-6f2a90c1"},
    "name": {
        "description": "A setting that can be changed at run time.",
        "schema": {"type": "string", "enum": sorted(DYNAMIC)},
        "example": "room.linger",
    },
    "id": {
        "description": "The message's id.",
        "schema": {"type": "string"},
        "example": "019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e21",
    },
}

_IDEMPOTENCY_KEY: JsonObject = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Makes the request safe to repeat for 24 h: the first answer is given again, marked with "
    "`Idempotent-Replayed: true`.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,255}$"},
}

_DURABILITY: JsonObject = {
    "description": "What the messages survive from now on: `memory` (the store's process must live), `fsync` "
    "(on its disk), `replicated;copies=N` (also in the memory of N replicas). Absent: nothing was stored.",
    "schema": {"type": "string", "pattern": "^(memory|fsync|replicated;copies=[0-9]+)$"},
    "example": "fsync",
}

# What holds between the fields of a type, which types cannot say.
_RULES: dict[str, JsonObject] = {
    "Rotation": {
        "not": {
            "properties": {"server_key": {"const": False}, "device_secret": {"const": False}},
            "required": ["server_key"],
        }
    },
}

_EXAMPLES: dict[str, JsonObject] = {
    "NewApp": {"app": "news"},
    "AppChange": {"name": "The News"},
    "Rotation": {"server_key": True, "device_secret": False},
    "NewProfile": {"tags": ["beta"], "attributes": {"plan": "pro"}, "timezone": "Europe/Berlin"},
    "ProfileChange": {"attributes": {"plan": None}},
    "DeviceBatch": {"devices": [{"device": "d1", "tags": ["beta"]}, {"device": "d2"}]},
    "StatusRequest": {"devices": ["d1", "d2"]},
    "TokenRequest": {"expires_in": 86400},
    "MessageBody": {
        "audience": {"devices": ["d1", "d2"]},
        "payload": {"title": "Goal!"},
        "options": {"ttl": 86400},
    },
    "MessageBatch": {
        "messages": [
            {"audience": {"devices": ["d1"]}, "payload": "Your parcel is here"},
            {"audience": "all", "payload_base64": "AAEC"},
        ]
    },
    "EstimateRequest": {"audience": "all"},
    "DrainRequest": {"rate": 200, "deadline": 600},
    "ConfigValue": {"value": 20},
}


def document(operations: Sequence[Operation]) -> JsonObject:
    """The OpenAPI 3.1 document of these operations."""
    paths: defaultdict[str, JsonObject] = defaultdict(dict)
    for operation in operations:
        paths[operation.path][operation.method.lower()] = _described(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Longline", "description": _ABOUT, "version": VERSION},
        "security": [],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "components": {
            "schemas": _schemas(operations),
            "securitySchemes": {
                _KEY: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The admin key, or an app's server key, which reaches only its app.",
                }
            },
        },
    }


def _schemas(operations: Sequence[Operation]) -> dict[str, JsonObject]:
    """The schemas of all bodies and answers, and of what they are made of, by the names of their types."""
    types: dict[type[msgspec.Struct], None] = {ErrorAnswer: None}
    for operation in operations:
        for model in (operation.body, *operation.answers.values()):
            if model is not None:
                types[model] = None
    _, schemas = msgspec.json.schema_components(types, ref_template=f"{_SCHEMAS}{{name}}")
    for schema in schemas.values():
        schema["description"] = inspect.cleandoc(schema["description"])
    for name, rule in _RULES.items():
        schemas[name].update(rule)
    _tell_apart(schemas, "MessageBody", {"JsonMessage": "payload", "BytesMessage": "payload_base64"})
    return schemas


def _tell_apart(schemas: dict[str, JsonObject], name: str, kinds: Mapping[str, str]) -> None:
    """Makes of a type that has exactly one of several fields a choice of types that each have theirs.

    A rule between fields says the same to a validator, and nothing to who generates a client from this.
    """
    whole = schemas[name]
    properties, required = whole["properties"], whole["required"]
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    for kind, field in kinds.items():
        others = set(kinds.values()) - {field}
        schemas[kind] = {
            **whole,
            "title": kind,
            "properties": {key: value for key, value in properties.items() if key not in others},
            "required": [*required, field],
        }
    schemas[name] = {
        "title": name,
        "description": whole["description"],
        "oneOf": [{"$ref": _SCHEMAS + kind} for kind in kinds],
    }


def _described(operation: Operation) -> JsonObject:
    summary, _, rest = inspect.cleandoc(operation.endpoint.__doc__ or "").partition("\n\n")
    entry: JsonObject = {
        "operationId": _operation_id(operation.endpoint),
        "tags": [operation.tag],
        "summary": _unwrapped(summary),
        "description": _unwrapped(rest),
        "security": [] if operation.public else [{_KEY: []}],
        "parameters": _parameters(operation),
        "responses": _responses(operation),
    }
    if operation.body is not None:
        content = _json(operation.body)
        example = _EXAMPLES.get(operation.body.__name__)
        if example is not None:
            content["application/json"]["example"] = example
        entry["requestBody"] = {"content": content, "required": operation.body_required}
    return entry


def _parameters(operation: Operation) -> list[JsonObject]:
    parameters: list[JsonObject] = [
        {"name": name, "in": "path", "required": True, **_PARAMETERS[name]}
        for name in re.findall(r"{(\w+)}", operation.path)
    ]
    if operation.query is not None:
        schema = msgspec.json.schema_components([operation.query])[1][operation.query.__name__]
        parameters += [
            {
                "name": name,
                "in": "query",
                "required": name in schema["required"],
                "description": field.get("description", ""),
                "schema": field,
            }
            for name, field in schema["properties"].items()
        ]
    if operation.idempotent:
        parameters.append(_IDEMPOTENCY_KEY)
    return parameters


def _responses(operation: Operation) -> dict[str, JsonObject]:
    responses: dict[str, JsonObject] = {}
    for status, model in operation.answers.items():
        response: JsonObject = {"description": HTTPStatus(status).phrase}
        if model is not None:
            response["content"] = _json(model)
        elif operation.path == "/metrics":
            response["content"] = {"text/plain": {"schema": {"type": "string"}}}
        if operation.idempotent:
            response["headers"] = {"Longline-Durability": _DURABILITY}
        responses[str(status)] = response
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for error in _errors(operation):
        by_status[error.status].append(f"`{error.code}`: {(error.__doc__ or '').splitlines()[0]}")
    for status, texts in sorted(by_status.items()):
        responses[str(status)] = {"description": "\n\n".join(texts), "content": _json(ErrorAnswer)}
    return responses


def _json(model: type[msgspec.Struct]) -> dict[str, JsonObject]:
    return {"application/json": {"schema": {"$ref": _SCHEMAS + model.__name__}}}


def _operation_id(endpoint: Endpoint) -> str:
    """Its file and its name: `devices_register`."""
    return f"{endpoint.__module__.rpartition('.')[2]}_{endpoint.__name__}"


def _unwrapped(text: str) -> str:
    """Paragraphs without the line breaks of the source."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))


def _errors(operation: Operation) -> list[type[LonglineError]]:
    errors: list[type[LonglineError]] = []
    if not operation.public:  # whose query is read, or refused
        errors += [BadRequest, ValidationFailed]
    if operation.body is not None:
        errors.append(BodyTooLarge)
    if not operation.public:
        errors += [Unauthorized, Forbidden]
    if "{app}" in operation.path:
        errors.append(AppNotFound)
    if operation.path not in ALWAYS_ADMITTED:
        errors += [RateLimited, Overloaded, Unavailable]
    return list(dict.fromkeys((*errors, *operation.errors)))
