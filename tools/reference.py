"""The API's reference as a page: every call of an OpenAPI document, with its parameters, bodies and examples.

    python -m tools.reference OPENAPI.json > reference.md

What it says comes from the document alone, which `longline serve` has at `/openapi.json`.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = dict[str, Any]

_PREFIX = "#/components/schemas/"
_HEAD = """# Reference of the HTTP API

Every call, made from the OpenAPI document of this version. A running node has the same document at
`/openapi.json`, and a page of it at `/docs`; [the guide](api.md) says how the calls go together. In the
examples `$URL` is the address of the API, and `$KEY` a key with the scopes that the call names.

A `*` marks what has to be there. Types link to their fields, [below](#types).

"""


def page(document: Json) -> str:
    """The whole page, as Markdown."""
    return _HEAD + "\n".join([*_calls(document), "## Types\n", *_types(document["components"]["schemas"])])


def _calls(document: Json) -> Iterator[str]:
    for tag in document["tags"]:
        yield f"## {tag['name'][:1].upper()}{tag['name'][1:]}\n"
        for path, methods in document["paths"].items():
            for method, call in methods.items():
                if tag["name"] in call["tags"]:
                    yield from _call(method.upper(), path, call)


def _call(method: str, path: str, call: Json) -> Iterator[str]:
    yield f"### {method} {path}\n"
    yield f"{call['summary']}\n"
    if call["description"]:
        yield f"{call['description']}\n"
    elif not call["security"]:
        yield "Needs no key.\n"
    if call["parameters"]:
        yield "| parameter | in | type | |\n|---|---|---|---|"
        for given in call["parameters"]:
            name = f"`{given['name']}`{' *' if given['required'] else ''}"
            yield _row(name, given["in"], type_of(given["schema"]), given.get("description", ""))
        yield ""
    body = call.get("requestBody")
    content = body["content"]["application/json"] if body else {}
    if body:
        needed = "" if body["required"] else ", which may be left out"
        yield f"Body: {type_of(content['schema'])}{needed}.\n"
    yield f"```sh\n{curl(method, path, call)}\n```\n"
    yield "| answer | |\n|---|---|"
    for status, answer in call["responses"].items():
        kinds = answer.get("content", {})
        made = [type_of(kind["schema"]) for name, kind in kinds.items() if name == "application/json"]
        said = answer["description"] if int(status) >= 400 else ", ".join(made) or "no body"
        yield _row(f"`{status}`", said)
    yield ""
    for status, answer in call["responses"].items():
        example = answer.get("content", {}).get("application/json", {}).get("example")
        if int(status) < 300 and example is not None:
            yield f"```json\n{json.dumps(example, indent=2, ensure_ascii=False)}\n```\n"
            break


def curl(method: str, path: str, call: Json) -> str:
    """The command that makes a call, with the examples of its parameters and body."""
    examples = {given["name"]: str(given.get("example", "…")) for given in call["parameters"]}
    filled = re.sub(r"{(\w+)}", lambda found: examples[found[1]], path)
    words = ["curl -s", *([f"-X {method}"] if method not in ("GET", "POST") else []), f'"$URL{filled}"']
    if call["security"]:
        words.append('-H "Authorization: Bearer $KEY"')
    example = call.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
    if example is not None:
        words.append("-d '" + json.dumps(example, ensure_ascii=False).replace("'", r"'\''") + "'")
    elif method == "POST":
        words.insert(1, "-X POST")
    return " \\\n  ".join([" ".join(words[:-1]), words[-1]]) if example is not None else " ".join(words)


def _types(schemas: dict[str, Json]) -> Iterator[str]:
    for name, schema in sorted(schemas.items()):
        yield f"### {name}\n"
        if schema.get("description"):
            yield f"{schema['description']}\n"
        if "oneOf" in schema:
            yield "One of " + ", ".join(type_of(choice) for choice in schema["oneOf"]) + ".\n"
        if schema.get("properties"):
            required = schema.get("required", ())
            yield "| field | type | |\n|---|---|---|"
            for field, of in schema["properties"].items():
                yield _row(f"`{field}`{' *' if field in required else ''}", type_of(of), _said(of))
            yield ""


def type_of(schema: Json) -> str:
    """A schema in a few words; those that have a name are links to it."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_PREFIX)
        return f"[{name}](#{name.lower()})"
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            return " or ".join(dict.fromkeys(type_of(one) for one in schema[choice]))
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return " or ".join(f"`{json.dumps(value)}`" for value in schema["enum"][:12]) + (
            " …" if len(schema["enum"]) > 12 else ""
        )
    kind = schema.get("type", "any")
    if kind == "array":
        return f"list of {type_of(schema.get('items') or {})}"
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {type_of(schema['additionalProperties'])}"
    return str(kind)


_BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {}",
    "maxItems": "at most {}",
    "default": "`{}` unless given",
}


def _said(schema: Json) -> str:
    """The description of a field, and its bounds."""
    bounds = [
        text.format(json.dumps(schema[name]))
        for name, text in _BOUNDS.items()
        if schema.get(name) is not None
    ]
    return " ".join(part for part in (schema.get("description", ""), ", ".join(bounds)) if part)


def _row(*cells: str) -> str:
    return "| " + " | ".join(" ".join(cell.replace("|", "\\|").split()) for cell in cells) + " |"


if __name__ == "__main__":
    sys.stdout.write(page(json.loads(Path(sys.argv[1]).read_text("utf-8"))))
