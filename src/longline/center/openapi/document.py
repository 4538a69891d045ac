"""The OpenAPI 3.1 document, made from the table of operations and from msgspec's JSON Schema of their types.

Types say what a body, a query and an answer look like, docstrings what an operation does, and errors what may
go wrong. What none of them has a word for is put beside them: rules between the fields of a type here, path
parameters and headers from `parameters.py`, and examples from `written_examples.py`.
"""

import inspect
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec

from longline.center.errors.responses import ErrorAnswer
from longline.center.events.stream import EventList
from longline.center.gate.gate import ALWAYS_ADMITTED
from longline.center.gate.scopes import MISSING, rule_of
from longline.center.openapi.examples import Examples
from longline.center.openapi.parameters import (
    DURABILITY,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    LAST_EVENT,
    PATH_PARAMETERS,
    QUOTA,
)
from longline.center.openapi.written_examples import BODY_EXAMPLES, METRICS_EXAMPLE, STREAM_EXAMPLES
from longline.center.operators.profile_shapes import FormatQuery
from longline.center.requests.operations import Operation
from longline.center.requests.streams import MEDIA_TYPE as STREAM
from longline.errors import (
    AppNotFound,
    BadRequest,
    BodyTooLarge,
    Forbidden,
    LonglineError,
    MessageRateExceeded,
    Overloaded,
    RateLimited,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    ValidationFailed,
)
from longline.model.devices import JsonObject
from longline.profiling.pprof import MEDIA_TYPE as PPROF
from longline.profiling.speedscope import MEDIA_TYPE as SPEEDSCOPE
from longline.version import VERSION

_ABOUT = """Pushes messages to devices, and says of each what became of it.

Errors have one form; `error.code` is stable. Lists take `limit` and `cursor`. Times are RFC 3339 in UTC.
"""
_KEY = "key"
_SCHEMAS = "#/components/schemas/"

# What holds between the fields of a type, which types cannot say.
_RULES: dict[str, JsonObject] = {
    "AudienceObject": {
        "minProperties": 1,
        "if": {"anyOf": [{"required": ["devices"]}, {"required": ["aliases"]}, {"required": ["group"]}]},
        "then": {"maxProperties": 1},
    },
    "DeviceMatch": {"minProperties": 1},
    "Comparison": {"minProperties": 1},
    "Rotation": {
        "not": {
            "properties": {"server_key": {"const": False}, "device_secret": {"const": False}},
            "required": ["server_key"],
        }
    },
}


def document(operations: Sequence[Operation]) -> JsonObject:
    """The OpenAPI 3.1 document of these operations."""
    paths: defaultdict[str, JsonObject] = defaultdict(dict)
    schemas = _schemas(operations)
    examples = Examples(schemas, _SCHEMAS)
    for operation in operations:
        paths[operation.path][operation.method.lower()] = _described(operation, examples)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Longline", "description": _ABOUT, "version": VERSION},
        "security": [],
        "tags": [{"name": tag} for tag in dict.fromkeys(operation.tag for operation in operations)],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                _KEY: {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The admin key; an app's server key, which reaches only its app and may "
                    "`send`, `read` and `manage` there; or a named key, which may do what its scopes say.",
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
    _tell_apart(schemas, "CallBody", {"JsonCall": "payload", "BytesCall": "payload_base64"})
    _tell_apart(schemas, "TokenIssuerBody", {"JwksIssuer": "jwks_url", "KeysIssuer": "keys"})
    jwks = schemas["JwksIssuer"]
    properties, required = jwks["properties"], jwks["required"]
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    jwks["required"] = [*required, "issuer", "audience"]
    for name, least in (("issuer", {"minLength": 1}), ("audience", {"minLength": 1, "minItems": 1})):
        properties[name] = {**properties[name], **least}
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


def _described(operation: Operation, examples: Examples) -> JsonObject:
    summary, _, rest = inspect.cleandoc(operation.endpoint.__doc__ or "").partition("\n\n")
    scopes = rule_of(operation.method, operation.path).scopes
    entry: JsonObject = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": _unwrapped(summary),
        "description": _unwrapped(rest if operation.public else f"{rest}\n\n{_needed(scopes)}".strip()),
        "security": [] if operation.public else [{_KEY: list(scopes)}],
        "parameters": _parameters(operation),
        "responses": _responses(operation, examples),
    }
    if operation.body is not None:
        content = _json(operation.body)
        example = BODY_EXAMPLES.get(operation.body.__name__)
        if example is not None:
            content["application/json"]["example"] = example
        entry["requestBody"] = {"content": content, "required": operation.body_required}
    return entry


def _needed(scopes: Sequence[str]) -> str:
    """The scopes that a key needs, in words."""
    if not scopes:
        return "Any key may ask."
    return "The key needs " + " and ".join(f"`{scope}`" for scope in scopes) + "."


def _parameters(operation: Operation) -> list[JsonObject]:
    parameters: list[JsonObject] = [
        {"name": name, "in": "path", "required": True, **PATH_PARAMETERS[name]}
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
        parameters.append(IDEMPOTENCY_KEY)
    if operation.conditional:
        parameters.append(IF_MATCH)
    if EventList in operation.answers.values():
        parameters.append(LAST_EVENT)
    return parameters


def _responses(operation: Operation, examples: Examples) -> dict[str, JsonObject]:
    responses: dict[str, JsonObject] = {}
    for status, model in operation.answers.items():
        response: JsonObject = {"description": HTTPStatus(status).phrase}
        if model is not None:
            content = _json(model)
            content["application/json"]["example"] = examples.of(model.__name__)
            if model in STREAM_EXAMPLES:
                content[STREAM] = {"schema": {"type": "string"}, "example": STREAM_EXAMPLES[model]}
            if operation.query is FormatQuery:
                content[SPEEDSCOPE] = {"schema": {"type": "object"}, "example": {"profiles": []}}
                content[PPROF] = {"schema": {"type": "string", "format": "binary"}, "example": ""}
            response["content"] = content
        elif operation.path == "/metrics":
            response["content"] = {"text/plain": {"schema": {"type": "string"}, "example": METRICS_EXAMPLE}}
        if operation.idempotent:
            quota = QUOTA if MessageRateExceeded in operation.errors else {}
            response["headers"] = {"Longline-Durability": DURABILITY, **quota}
        responses[str(status)] = response
    by_status: defaultdict[int, list[type[LonglineError]]] = defaultdict(list)
    for error in _errors(operation):
        by_status[error.status].append(error)
    for status, errors in sorted(by_status.items()):
        content = _json(ErrorAnswer)
        content["application/json"]["example"] = _error_example(errors[0])
        texts = [f"`{error.code}`: {_said(error)}" for error in errors]
        refusal: JsonObject = {"description": "\n\n".join(texts), "content": content}
        if MessageRateExceeded in errors:
            refusal["headers"] = QUOTA
        responses[str(status)] = refusal
    return responses


def _said(error: type[LonglineError]) -> str:
    return (error.__doc__ or "").splitlines()[0]


def _error_example(error: type[LonglineError]) -> JsonObject:
    return {"error": {"code": error.code, "message": _said(error), "details": []}}


def _json(model: type[msgspec.Struct]) -> dict[str, JsonObject]:
    return {"application/json": {"schema": {"$ref": _SCHEMAS + model.__name__}}}


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
        scopes = rule_of(operation.method, operation.path).scopes
        errors += [Unauthorized, Forbidden, *(MISSING[scope] for scope in scopes)]
    if "{app}" in operation.path:
        errors += [AppNotFound, TooManyRequests]
    if operation.path not in ALWAYS_ADMITTED:
        errors += [RateLimited, Overloaded, Unavailable]
    return list(dict.fromkeys((*errors, *operation.errors)))
