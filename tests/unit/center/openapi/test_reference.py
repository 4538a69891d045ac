"""The page that `tools/reference.py` makes of the API's document."""

import json
import re
import shlex
from typing import Any

import jsonschema_rs
import pytest
from tools.reference import curl, page, type_of

from tests.unit.center.conftest import Api


async def document(api: Api) -> dict[str, Any]:
    spec: dict[str, Any] = (await api.http.get("/openapi.json")).json()
    return spec


async def test_every_call_and_every_type_has_its_place(api: Api) -> None:
    spec = await document(api)
    made = page(spec)
    headings = re.findall(r"^### (.+)$", made, re.MULTILINE)
    calls = [f"{method.upper()} {path}" for path, methods in spec["paths"].items() for method in methods]
    assert sorted(headings) == sorted([*calls, *spec["components"]["schemas"]])
    assert len(headings) == len({heading.lower() for heading in headings})


async def test_every_type_that_is_linked_to_is_there(api: Api) -> None:
    made = page(await document(api))
    types = {"types", *(heading.lower() for heading in re.findall(r"^### (\w+)$", made, re.MULTILINE))}
    assert set(re.findall(r"\]\(#(\w+)\)", made)) <= types


async def test_every_call_has_a_command_with_a_body_that_it_takes(api: Api) -> None:
    spec = await document(api)
    for path, methods in spec["paths"].items():
        for method, call in methods.items():
            words = shlex.split(curl(method.upper(), path, call).replace("\\\n", " "))
            assert words[:2] == ["curl", "-s"]
            assert not re.search(r"[{}…]", next(word for word in words if word.startswith("$URL")))
            asks = words[words.index("-X") + 1] if "-X" in words else "POST" if "-d" in words else "GET"
            assert asks == method.upper()
            if "-d" in words:
                of = call["requestBody"]["content"]["application/json"]["schema"]
                schema = {**of, "components": spec["components"]}
                jsonschema_rs.validator_for(schema).validate(json.loads(words[words.index("-d") + 1]))
            elif "requestBody" in call:
                assert not call["requestBody"]["required"]


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"$ref": "#/components/schemas/Ledger"}, "[Ledger](#ledger)"),
        ({"type": "array", "items": {"type": "string"}}, "list of string"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "integer or null"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "object of integer"),
        ({"enum": ["normal", "high"]}, '`"normal"` or `"high"`'),
        ({"const": "all"}, '`"all"`'),
        ({}, "any"),
    ],
)
def test_a_schema_is_said_in_words(schema: dict[str, Any], words: str) -> None:
    assert type_of(schema) == words
