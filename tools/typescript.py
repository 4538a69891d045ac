"""The part of the TypeScript SDK that is made from the API: types, shapes, operations and codes of errors.

    python -m tools.typescript http://127.0.0.1:8080 > sdks/js/src/generated.ts

The address is that of a node of this version. Names become those that TypeScript is used to (`message_id` is
`messageId`), and times become `Date`. What the application wrote itself, such as attributes and payloads,
stays as it is: the shapes say where names and times are the API's.
"""

import json
import re
import sys
import urllib.request
from collections.abc import Iterable, Iterator
from typing import Any, Final

from longline import errors

Schema = dict[str, Any]

METHODS: Final = ("get", "post", "put", "patch", "delete")
PRIMITIVES: Final = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}
HEAD: Final = """\
// Made from the API by `python -m tools.typescript URL`; not to be edited.

"""


def source(spec: Schema) -> str:
    """The file, for an OpenAPI document."""
    schemas: dict[str, Schema] = spec["components"]["schemas"]
    operations = [
        (path, method, entry)
        for path, methods in spec["paths"].items()
        for method, entry in methods.items()
        if method in METHODS
    ]
    asked = _reached(schemas, (_body(entry) for _, _, entry in operations))
    parts = [HEAD, *_errors(), *(_type(name, schema, name in asked) for name, schema in schemas.items())]
    parts += _shapes(schemas)
    parts += _operations(operations)
    return "".join(parts)


def _errors() -> Iterator[str]:
    base = errors.LonglineError
    kinds = sorted(
        {
            kind.code: kind.retryable
            for kind in vars(errors).values()
            if isinstance(kind, type)
            and issubclass(kind, base)
            # The others are told to no peer: a command says them, or Python's SDK to its caller.
            and (
                kind in (base, errors.ServerRefused)
                or (kind.status, kind.reason) != (base.status, base.reason)
            )
        }.items()
    )
    yield "/** The codes of docs/api.md, those that a device is told, and any word of a newer server. */\n"
    yield "export type ErrorCode =\n"
    yield "".join(f"  | {json.dumps(code)}\n" for code, _ in kinds) + "  | (string & {});\n\n"
    yield "/** What may succeed later without change. */\n"
    yield "export const RETRYABLE: ReadonlySet<string> = new Set([\n"
    yield "".join(f"  {json.dumps(code)},\n" for code, retryable in kinds if retryable) + "]);\n\n"


def _type(name: str, schema: Schema, asked: bool) -> str:
    comment = _comment(schema.get("description"), "")
    if "properties" not in schema:
        return f"{comment}export type {name} = {_text(schema, asked)};\n\n"
    return f"{comment}export interface {name} {_fields(schema, asked)}\n\n"


def _fields(schema: Schema, asked: bool) -> str:
    required = schema.get("required", ())
    lines = []
    for field, inner in schema["properties"].items():
        kind = _text(inner, asked)
        typed = f": {kind}" if field in required else f"?: {kind} | undefined"
        lines.append(f"{_comment(inner.get('description'), '  ')}  {camel(field)}{typed};\n")
    return "{\n" + "".join(lines) + "}"


def _text(schema: Schema, asked: bool) -> str:
    """A type, in TypeScript. `asked`: it is a part of a request, in which a time may be given as text."""
    if "$ref" in schema:
        return _named(schema)
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return " | ".join(dict.fromkeys(_text(inner, asked) for inner in schema[choice]))
    if "enum" in schema:
        return " | ".join(json.dumps(word) for word in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"])
    kind = schema.get("type")
    if schema.get("format") == "date-time":
        return "Date | string" if asked else "Date"
    if kind == "array":
        item = _text(schema.get("items", {}), asked)
        inner = f"({item})" if " " in item else item
        return f"readonly {inner}[]" if asked else f"{inner}[]"
    if kind == "object":
        more = schema.get("additionalProperties", True)
        return f"Record<string, {_text(more, asked) if isinstance(more, dict) and more else 'unknown'}>"
    if isinstance(kind, list):
        return " | ".join(PRIMITIVES[word] for word in kind)
    return "unknown" if kind is None else PRIMITIVES[kind]


def _shapes(schemas: dict[str, Schema]) -> Iterator[str]:
    yield "/**\n * Of each type, the fields that are more than a value: `d` a time, `@Type` one of a type, "
    yield "`[` a list of,\n * `{` an object of. What is not named here is handed through as it is.\n */\n"
    yield "export const SHAPES: Readonly<Record<string, Readonly<Record<string, string>>>> = {\n"
    for name, schema in schemas.items():
        marks = dict(_marks(schema, schemas))
        inner = ", ".join(f"{field}: {json.dumps(mark)}" for field, mark in marks.items())
        yield f"  {name}: {{ {inner} }},\n" if inner else f"  {name}: {{}},\n"
    yield "};\n\n"


def _marks(schema: Schema, schemas: dict[str, Schema]) -> Iterator[tuple[str, str]]:
    for alternative in (*schema.get("oneOf", ()), *schema.get("anyOf", ())):
        if "$ref" in alternative:
            yield from _marks(schemas[_named(alternative)], schemas)
    for field, inner in schema.get("properties", {}).items():
        mark = _mark(inner)
        if mark:
            yield field, mark


def _mark(schema: Schema) -> str:
    if "$ref" in schema:
        return f"@{_named(schema)}"
    if schema.get("format") == "date-time":
        return "d"
    for choice in ("anyOf", "oneOf"):
        for inner in schema.get(choice, ()):
            if mark := _mark(inner):
                return mark
    if schema.get("type") == "array" and (mark := _mark(schema.get("items", {}))):
        return f"[{mark}"
    more = schema.get("additionalProperties")
    if schema.get("type") == "object" and isinstance(more, dict) and (mark := _mark(more)):
        return f"{{{mark}"
    return ""


def _operations(operations: list[tuple[str, str, Schema]]) -> Iterator[str]:
    yield "/** Each call of the API: what goes into its path and query, its body, and its answer. */\n"
    yield "export interface Operations {\n"
    for path, _, entry in operations:
        names = " ".join(f"{name}: string;" for name in re.findall(r"{(\w+)}", path))
        query = [row for row in entry.get("parameters", ()) if row["in"] == "query"]
        body = _body(entry)
        yield _comment(entry.get("summary"), "  ")
        yield f"  {entry['operationId']}: {{\n    path: {{ {names} }};\n"
        told = " ".join(f"{camel(row['name'])}?: {_text(row['schema'], True)} | undefined;" for row in query)
        yield f"    query: {{ {told} }};\n    body: {_text(body, True) if body else 'undefined'};\n"
        answers = [_text(one, False) if one else "undefined" for one in _answers(entry)]
        yield f"    answer: {' | '.join(dict.fromkeys(answers))};\n  }};\n"
    yield "}\n\n"
    yield "/** Method, path, and the types of body and answer where they have one. */\n"
    yield "export const OPERATIONS: {\n  readonly [Name in keyof Operations]: "
    yield "readonly [method: string, path: string, body: string, answer: string];\n} = {\n"
    for path, method, entry in operations:
        body = _body(entry)
        named = [_named(one) for one in _answers(entry) if one and "$ref" in one]
        row = [
            method.upper(),
            path,
            _named(body) if body and "$ref" in body else "",
            named[0] if named else "",
        ]
        yield f"  {entry['operationId']}: {json.dumps(row)},\n"
    yield "};\n"


def _body(entry: Schema) -> Schema | None:
    content = entry.get("requestBody", {}).get("content", {})
    schema: Schema | None = content.get("application/json", {}).get("schema")
    return schema


def _answers(entry: Schema) -> list[Schema | None]:
    found = []
    for status, answer in sorted(entry["responses"].items(), key=lambda row: (row[0] == "200", row[0])):
        if status.startswith("2"):
            found.append(next((one["schema"] for one in answer.get("content", {}).values()), None))
    return found


def _reached(schemas: dict[str, Schema], roots: Iterable[Schema | None]) -> set[str]:
    found: set[str] = set()

    def walk(value: object) -> None:
        if isinstance(value, dict):
            if "$ref" in value and (name := _named(value)) not in found:
                found.add(name)
                walk(schemas[name])
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    for root in roots:
        walk(root)
    return found


def _named(schema: Schema) -> str:
    name: str = schema["$ref"].rpartition("/")[2]
    return name


def _comment(text: str | None, indent: str) -> str:
    if not text:
        return ""
    lines = text.replace("*/", "* /").splitlines()
    if len(lines) == 1:
        return f"{indent}/** {lines[0]} */\n"
    return (
        f"{indent}/**\n" + "".join(f"{indent} * {line}".rstrip() + "\n" for line in lines) + f"{indent} */\n"
    )


def camel(name: str) -> str:
    """A name of the API, as TypeScript writes it."""
    return re.sub(r"_([a-z0-9])", lambda found: found[1].upper(), name)


def main() -> None:
    """Prints the file for the node whose address is given."""
    with urllib.request.urlopen(f"{sys.argv[1].rstrip('/')}/openapi.json") as answer:
        sys.stdout.write(source(json.load(answer)))


if __name__ == "__main__":
    main()
