import re
from collections.abc import Callable
from typing import cast

import jsonschema_rs
import pytest

from longline.center.api import operations
from longline.center.openapi.document import document
from longline.model.apps import APP_NAME, valid_app_name
from longline.model.devices import DEVICE_NAME, JsonObject, valid_device_name
from tests.unit.center.conftest import Api


async def test_every_operation_is_described(api: Api) -> None:
    spec = (await api.http.get("/openapi.json")).json()
    described = {(method.upper(), path) for path, methods in spec["paths"].items() for method in methods}
    assert described == {(row.method, row.path) for row in operations(api.center)}
    for methods in spec["paths"].values():
        for entry in methods.values():
            assert entry["summary"].endswith(".")
            assert entry["operationId"]


async def test_each_operation_has_an_id_of_its_own(api: Api) -> None:
    spec = (await api.http.get("/openapi.json")).json()
    ids = [entry["operationId"] for methods in spec["paths"].values() for entry in methods.values()]
    assert len(ids) == len(set(ids))


async def test_every_reference_leads_somewhere(api: Api) -> None:
    spec = document(operations(api.center))
    schemas = cast(dict[str, JsonObject], cast(JsonObject, spec["components"])["schemas"])

    def references(value: object) -> set[str]:
        if isinstance(value, dict):
            found = {value["$ref"].removeprefix("#/components/schemas/")} if "$ref" in value else set()
            return found.union(*(references(inner) for inner in value.values()))
        if isinstance(value, list):
            return set().union(*(references(inner) for inner in value))
        return set()

    assert references(spec) <= schemas.keys()


async def test_a_schema_is_of_one_type_only(api: Api) -> None:
    """The schemas are named as the types are, so two types of one name would overwrite each other."""
    named: dict[str, object] = {}
    for row in operations(api.center):
        for model in (row.body, row.query, *row.answers.values()):
            if model is not None:
                assert named.setdefault(model.__name__, model) is model


async def test_the_schemas_have_whole_numbers_where_whole_numbers_are_meant(api: Api) -> None:
    def numbers(value: object) -> set[float]:
        if isinstance(value, float):
            return {value}
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return set().union(*map(numbers, inner))

    spec = (await api.http.get("/openapi.json")).json()
    assert {number for number in numbers(spec) if number.is_integer()} == set()


async def test_a_document_says_what_the_types_and_the_table_say(api: Api) -> None:
    paths = (await api.http.get("/openapi.json")).json()["paths"]
    page = paths["/v1/apps/{app}/devices"]["get"]
    assert [(one["name"], one["in"], one["required"]) for one in page["parameters"]] == [
        ("app", "path", True),
        ("limit", "query", False),
        ("cursor", "query", False),
        ("tag", "query", False),
        ("alias", "query", False),
        ("online", "query", False),
        ("parked", "query", False),
        ("prefix", "query", False),
    ]
    assert page["parameters"][1]["schema"]["maximum"] == 1000
    send = paths["/v1/apps/{app}/messages"]["post"]
    assert send["requestBody"]["required"]
    assert "example" in send["requestBody"]["content"]["application/json"]
    assert send["parameters"][-1]["name"] == "Idempotency-Key"
    codes = ["202", "200", "400", "401", "403", "404", "409", "413", "422", "429", "503"]
    assert list(send["responses"]) == codes
    assert "Longline-Durability" in send["responses"]["202"]["headers"]
    assert "`no_target`" in send["responses"]["404"]["description"]
    assert send["security"] == [{"key": ["send"]}]
    probe = paths["/healthz"]["get"]
    assert (probe["security"], probe["parameters"], list(probe["responses"])) == ([], [], ["200"])
    assert not paths["/v1/apps/{app}/keys:rotate"]["post"]["requestBody"]["required"]


async def test_a_generator_finds_types_for_messages_and_events(api: Api) -> None:
    """A rule between fields says nothing to it: a message is one of two types, and an event has one."""
    schemas = (await api.http.get("/openapi.json")).json()["components"]["schemas"]
    kinds = [choice["$ref"].rpartition("/")[2] for choice in schemas["MessageBody"]["oneOf"]]
    assert kinds == ["JsonMessage", "BytesMessage"]
    bodies = {"payload", "payload_base64"}
    for kind, has in zip(kinds, ("payload", "payload_base64"), strict=True):
        schema = schemas[kind]
        assert schema["type"] == "object"
        assert schema["required"] == ["audience", has]
        assert bodies & schema["properties"].keys() == {has}
        assert not schema["additionalProperties"]
    assert schemas["EventList"]["properties"]["events"]["items"] == {"$ref": "#/components/schemas/EventView"}
    assert set(schemas["EventView"]["required"]) == {"cursor", "type", "device", "at"}


async def test_every_body_has_an_example(api: Api) -> None:
    paths = (await api.http.get("/openapi.json")).json()["paths"]
    bare = [
        f"{method} {path}"
        for path, methods in paths.items()
        for method, entry in methods.items()
        if "requestBody" in entry and "example" not in entry["requestBody"]["content"]["application/json"]
    ]
    assert bare == []


async def test_every_answer_has_an_example_that_its_schema_allows(api: Api) -> None:
    spec = (await api.http.get("/openapi.json")).json()
    looked = 0
    for path, methods in spec["paths"].items():
        for method, entry in methods.items():
            for status, answer in entry["responses"].items():
                for media_type, content in answer.get("content", {}).items():
                    schema = {**content["schema"], "components": spec["components"]}
                    validator = jsonschema_rs.validator_for(schema)
                    validator.validate(content["example"])
                    looked += 1
                    assert media_type != "application/json" or content["example"], f"{method} {path} {status}"
    assert looked > 300


async def test_a_ledger_in_an_example_balances(api: Api) -> None:
    spec = (await api.http.get("/openapi.json")).json()
    shown = spec["paths"]["/v1/apps/{app}/messages/{id}"]["get"]["responses"]["200"]["content"]
    ledger = shown["application/json"]["example"]["ledger"]
    outcomes = ledger["pending"] + ledger["acked"] + ledger["expired"] + ledger["collapsed"]
    assert ledger["targeted"] == outcomes + sum(ledger["dropped"].values())


async def test_the_page_needs_nothing_from_elsewhere(api: Api) -> None:
    page = await api.http.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    needed = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {"docs.js", "docs.css"} <= set(needed)
    for path in needed:
        assert path == "data:," or (await api.http.get(f"/{path}")).status_code == 200
    for path in ("/docs", "/docs.js", "/docs.css"):
        assert "://" not in (await api.http.get(path)).text
    assert "default-src 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize(
    ("pattern", "valid", "names"),
    [
        (APP_NAME, valid_app_name, ["news", "a" * 64, "a" * 65, "", "-a", "A", "a\n", "a-b_c9"]),
        (
            DEVICE_NAME,
            valid_device_name,
            ["d", "..", ".", ".a", "...", "$a", "a$", "@", "a/b", "a\n", "ü", "", "d" * 128, "d" * 129],
        ),
    ],
)
def test_the_documented_patterns_are_the_rules(
    pattern: str, valid: Callable[[str], bool], names: list[str]
) -> None:
    """Anchored as JSON Schema has it (ECMA-262), where `$` is the very end."""
    for name in names:
        assert (re.search(f"^(?:{pattern})$(?!\\n)", name) is not None) == valid(name)
