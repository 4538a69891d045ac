"""The OpenAPI document, made from the operations and their types by SpecTree.

SpecTree reads the msgspec types; what it has no word for is put in afterwards: the one form of all errors
with their codes, the Idempotency-Key, bodies that may be absent, what path parameters look like, and answers
that are not JSON. It only describes: no request passes through it (`reading.py` says why).
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import cast

from spectree import Response as Described
from spectree import SecurityScheme, SpecTree
from spectree.model_adapter import get_msgspec_model_adapter
from spectree.models import SecureType, SecuritySchemeData
from starlette.routing import Route, Router

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

_PARAMETERS: dict[str, JsonObject] = {
    "app": {"description": "The app's name.", "example": "news"},
    "device": {
        "description": "The device's name.",
        "schema": {"type": "string", "pattern": f"^{DEVICE_NAME}$"},
        "example": "d1",
    },
    "node": {"description": "A member's name.", "example": "room-1-6f2a90c1"},
    "name": {
        "description": "A setting that can be changed at run time.",
        "schema": {"type": "string", "enum": sorted(DYNAMIC)},
        "example": "room.linger",
    },
    "id": {"description": "The message's id.", "example": "019c2b3e-8f00-7c11-9d3e-5a1f0c6b7e21"},
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
    "MessageBody": {"oneOf": [{"required": ["payload"]}, {"required": ["payload_base64"]}]},
    "Rotation": {
        "not": {
            "properties": {"server_key": {"const": False}, "device_secret": {"const": False}},
            "required": ["server_key"],
        }
    },
}

_EXAMPLES: dict[str, JsonObject] = {
    "NewApp": {"app": "news"},
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
    "ConfigValue": {"value": 20, "nodes": ["host-3"]},
}


def document(operations: Sequence[Operation]) -> JsonObject:
    """The OpenAPI 3.1 document of these operations."""
    tree = SpecTree(
        "starlette",
        model_adapter=get_msgspec_model_adapter(),
        mode="strict",
        annotations=False,
        naming_strategy=_schema_name,
        nested_naming_strategy=lambda _, child: child,
        validation_error_model=ErrorAnswer,
        page_templates={},
        title="Longline",
        description=_ABOUT,
        version=VERSION,
        openapi_version="3.1.0",
        path="openapi",
        security_schemes=[
            SecurityScheme(
                name=_KEY,
                data=SecuritySchemeData(
                    type=SecureType.HTTP,
                    scheme="bearer",
                    description="The admin key, or an app's server key, which reaches only its app.",
                ),
            )
        ],
    )
    tree.app = Router([_described(tree, operation) for operation in operations])
    spec: JsonObject = tree.spec
    paths = cast(dict[str, dict[str, JsonObject]], spec["paths"])
    for operation in operations:
        _complete(paths[operation.path][operation.method.lower()], operation)
    schemas = cast(dict[str, JsonObject], cast(JsonObject, spec["components"])["schemas"])
    for name, rule in _RULES.items():
        schemas[name].update(rule)
    return spec


def _schema_name(model: object) -> str:
    return cast(type, model).__name__


def _described(tree: SpecTree, operation: Operation) -> Route:
    answers = {f"HTTP_{status}": model for status, model in operation.answers.items()}
    describe = tree.validate(
        query=operation.query,
        json=operation.body,
        resp=Described(**answers),
        tags=[operation.tag],
        security=[] if operation.public else [{_KEY: []}],
        operation_id=_operation_id(operation.endpoint),
        skip_validation=True,
    )
    return Route(operation.path, describe(operation.endpoint), methods=[operation.method])


def _operation_id(endpoint: Endpoint) -> str:
    """`_Devices.register` as `devices_register`."""
    return endpoint.__qualname__.lstrip("_").replace(".", "_").lower()


def _complete(entry: JsonObject, operation: Operation) -> None:
    parameters = cast(list[JsonObject], entry["parameters"])
    for parameter in parameters:
        if parameter["in"] == "path":
            parameter.update(_PARAMETERS[str(parameter["name"])])
    if operation.idempotent:
        parameters.append(_IDEMPOTENCY_KEY)
        accepted = cast(JsonObject, cast(JsonObject, entry["responses"])["202"])
        accepted["headers"] = {"Longline-Durability": _DURABILITY}
    if operation.body is not None:
        body = cast(JsonObject, entry["requestBody"])
        body["required"] = operation.body_required
        content = cast(dict[str, JsonObject], body["content"])["application/json"]
        example = _EXAMPLES.get(operation.body.__name__)
        if example is not None:
            content["example"] = example
    responses = cast(dict[str, JsonObject], entry["responses"])
    # SpecTree adds its validation error to everything; `_errors` knows what can really happen.
    responses.pop("422", None)
    by_status: defaultdict[int, list[str]] = defaultdict(list)
    for error in _errors(operation):
        by_status[error.status].append(f"`{error.code}`: {(error.__doc__ or '').splitlines()[0]}")
    for status, texts in sorted(by_status.items()):
        responses[str(status)] = {
            "description": "\n\n".join(texts),
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ErrorAnswer"}}},
        }
    if operation.path == "/metrics":
        responses["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}


def _errors(operation: Operation) -> list[type[LonglineError]]:
    errors: list[type[LonglineError]] = []
    if operation.body is not None or operation.query is not None:
        errors += [BadRequest, ValidationFailed]
    if operation.body is not None:
        errors.append(BodyTooLarge)
    if not operation.public:
        errors += [Unauthorized, Forbidden]
    if "{app}" in operation.path:
        errors.append(AppNotFound)
    if operation.path not in ALWAYS_ADMITTED:
        errors += [Overloaded, Unavailable]
    return list(dict.fromkeys((*errors, *operation.errors)))
