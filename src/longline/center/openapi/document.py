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

from longline.center.answers import EventList
from longline.center.errors.responses import ErrorAnswer
from longline.center.figures.shapes import AppFiguresView, FiguresView
from longline.center.gate.gate import ALWAYS_ADMITTED
from longline.center.gate.scopes import MISSING, rule_of
from longline.center.openapi.examples import Examples
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
from longline.model.devices import DEVICE_NAME, JsonObject
from longline.model.groups import GROUP_NAME
from longline.profiling.pprof import MEDIA_TYPE as PPROF
from longline.profiling.speedscope import MEDIA_TYPE as SPEEDSCOPE
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
    "group": {
        "description": "The group's name.",
        "schema": {"type": "string", "pattern": f"^{GROUP_NAME}$"},
        "example": "team",
    },
    "node": {"description": "A member's name.", "schema": {"type": "string"}, "example": "room-1-6f2a90c1"},
    "agent": {"description": "An agent's name.", "schema": {"type": "string"}, "example": "host-1"},
    "key": {
        "description": "The key's id.",
        "schema": {"type": "string"},
        "example": "019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e23",
    },
    "name": {
        "description": "A setting that can be changed at run time.",
        "schema": {"type": "string", "enum": sorted(DYNAMIC)},
        "example": "room.linger",
    },
    "profile": {
        "description": "The profile's id.",
        "schema": {"type": "string"},
        "example": "019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e25",
    },
    "id": {
        "description": "Its id.",
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

_IF_MATCH: JsonObject = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The version that is to be changed; 409 when there is another by now. `*`, or none: any.",
    "schema": {"type": "string", "pattern": '^("[0-9]{1,18}"|[0-9]{1,18}|[*])$'},
}

_LAST_EVENT: JsonObject = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "description": "Where a stream goes on, in the place of `cursor`, by the last id of the one before it.",
    "schema": {"type": "string"},
    "example": "NDI5NDk2NzI5Nw",
}

# draft-ietf-httpapi-ratelimit-headers, from version 8 on.
_QUOTA: JsonObject = {
    "RateLimit-Policy": {
        "description": "How many messages (`q`) the app may send in so many seconds (`w`). Absent: no limit.",
        "schema": {"type": "string", "pattern": '^"messages";q=[0-9]+;w=1$'},
        "example": '"messages";q=500;w=1',
    },
    "RateLimit": {
        "description": "How many it may send now (`r`), and in how many seconds all of them (`t`).",
        "schema": {"type": "string", "pattern": '^"messages";r=[0-9]+;t=[0-9]+$'},
        "example": '"messages";r=497;t=1',
    },
}

_DURABILITY: JsonObject = {
    "description": "What the messages survive from now on: `memory` (the store's process must live), `fsync` "
    "(on its disk), `replicated;copies=N` (also in the memory of N replicas). Absent: nothing was stored.",
    "schema": {"type": "string", "pattern": "^(memory|fsync|replicated;copies=[0-9]+)$"},
    "example": "fsync",
}

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

_EXAMPLES: dict[str, JsonObject] = {
    "NewApp": {"app": "news"},
    "AppChange": {"name": "The News"},
    "Rotation": {"server_key": True, "device_secret": False},
    "TokenIssuerBody": {
        "jwks_url": "https://id.example.org/.well-known/jwks.json",
        "issuer": "https://id.example.org/",
        "audience": "longline",
        "algorithms": ["RS256", "ES256"],
    },
    "AclBody": {
        "rules": [
            {"allow": "both", "filter": "home/{device}/#"},
            {"allow": "subscribe", "filter": "news/+"},
        ]
    },
    "LimitsBody": {"messages_per_second": 500, "devices": 100000, "inbox_messages": None},
    "NewProfile": {"tags": ["beta"], "attributes": {"plan": "pro"}, "timezone": "Europe/Berlin"},
    "ProfileChange": {"attributes": {"plan": None}},
    "DeviceBatch": {"devices": [{"device": "d1", "tags": ["beta"]}, {"device": "d2"}]},
    "CallBody": {"payload": {"open": "valve"}, "timeout": 10},
    "ShadowBody": {"desired": {"light": {"on": True, "colour": None}}},
    "GroupBody": {"members": ["d1", "d2"]},
    "MembersBody": {"members": ["d1", "d2"]},
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
            {"audience": {"aliases": ["ann"]}, "payload": {"title": "Hello, Ann"}},
            {"audience": {"tag": ["beta"], "tag_not": ["berlin"]}, "payload": {"title": "Try this"}},
            {"audience": "all", "payload_base64": "AAEC"},
        ]
    },
    "NewSchedule": {
        "message": {"audience": "all", "payload": "Good morning"},
        "cron": "0 9 * * 1-5",
        "timezone": "Europe/Berlin",
    },
    "WebhookBody": {
        "url": "https://app.example.org/longline",
        "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "events": ["upstream", "presence", "receipt"],
    },
    "ReplayRequest": {"cursors": ["NDI5NDk2NzI5Nw"]},
    "EstimateRequest": {
        "audience": {
            "tag": ["beta"],
            "attributes": {"age": {"gte": 18}, "plan": {"in": ["pro", "team"]}},
            "not": {"any": [{"platform": ["web"]}, {"attributes": {"muted": {"eq": True}}}]},
        }
    },
    "NewKey": {"name": "monitoring", "scopes": ["read", "operate"]},
    "NewAppKey": {"name": "billing", "scopes": ["send", "read"], "expires_at": "2099-12-24T18:00:00Z"},
    "DrainRequest": {"rate": 200, "deadline": 600},
    "RestartRequest": {"processes": ["host-1-6f2a90c1"]},
    "ConfigValue": {"value": 20},
}

_STREAMED = (
    "id: NDI5NDk2NzI5Nw\nevent: presence\n"
    'data: {"cursor": "NDI5NDk2NzI5Nw", "type": "presence", "device": "d1", '
    '"at": "2026-01-31T12:00:00.250Z"}\n\n'
)
_FIGURES_STREAMED = (
    'event: figures\ndata: {"at": "2026-01-31T12:00:00.250Z", "nodes": [{"node": "room-1-6f2a90c1", '
    '"host": "room-1", "roles": ["room"], "version": "1", "since": "2026-01-31T11:00:00.000Z", '
    '"at": "2026-01-31T12:00:00.210Z", "figures": {"room_connections": 5000}, "tasks": []}]}\n\n'
)
_APP_STREAMED = (
    'event: figures\ndata: {"at": "2026-01-31T12:00:00.250Z", "connected": 5000, '
    '"messages_per_second": 10.5, "deliveries_per_second": 980.2, "messages": 3600, "deliveries": 352872, '
    '"waiting": {"deliveries": 120, "messages": 100}}\n\n'
)
# Answers that also come as server-sent events, with an example of one.
_STREAMS: Mapping[type[msgspec.Struct], str] = {
    EventList: _STREAMED,
    FiguresView: _FIGURES_STREAMED,
    AppFiguresView: _APP_STREAMED,
}
_MEASURED = "longline_room_connections 5000\n"


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
        example = _EXAMPLES.get(operation.body.__name__)
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
    if operation.conditional:
        parameters.append(_IF_MATCH)
    if EventList in operation.answers.values():
        parameters.append(_LAST_EVENT)
    return parameters


def _responses(operation: Operation, examples: Examples) -> dict[str, JsonObject]:
    responses: dict[str, JsonObject] = {}
    for status, model in operation.answers.items():
        response: JsonObject = {"description": HTTPStatus(status).phrase}
        if model is not None:
            content = _json(model)
            content["application/json"]["example"] = examples.of(model.__name__)
            if model in _STREAMS:
                content[STREAM] = {"schema": {"type": "string"}, "example": _STREAMS[model]}
            if operation.query is FormatQuery:
                content[SPEEDSCOPE] = {"schema": {"type": "object"}, "example": {"profiles": []}}
                content[PPROF] = {"schema": {"type": "string", "format": "binary"}, "example": ""}
            response["content"] = content
        elif operation.path == "/metrics":
            response["content"] = {"text/plain": {"schema": {"type": "string"}, "example": _MEASURED}}
        if operation.idempotent:
            quota = _QUOTA if MessageRateExceeded in operation.errors else {}
            response["headers"] = {"Longline-Durability": _DURABILITY, **quota}
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
            refusal["headers"] = _QUOTA
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
