import re
from collections.abc import Callable
from typing import cast

import pytest

from longline.center.api import operations
from longline.center.openapi import document
from longline.model.apps import APP_NAME, valid_app_name
from longline.model.devices import DEVICE_NAME, JsonObject, valid_device_name
from tests.unit.center.conftest import House


async def test_every_operation_is_described(house: House) -> None:
    spec = (await house.http.get("/openapi.json")).json()
    described = {(method.upper(), path) for path, methods in spec["paths"].items() for method in methods}
    assert described == {(row.method, row.path) for row in operations(house.center)}
    for methods in spec["paths"].values():
        for entry in methods.values():
            assert entry["summary"].endswith(".")
            assert entry["operationId"]


async def test_each_operation_has_an_id_of_its_own(house: House) -> None:
    spec = (await house.http.get("/openapi.json")).json()
    ids = [entry["operationId"] for methods in spec["paths"].values() for entry in methods.values()]
    assert len(ids) == len(set(ids))


async def test_every_reference_leads_somewhere(house: House) -> None:
    spec = document(operations(house.center))
    schemas = cast(dict[str, JsonObject], cast(JsonObject, spec["components"])["schemas"])

    def references(value: object) -> set[str]:
        if isinstance(value, dict):
            found = {value["$ref"].removeprefix("#/components/schemas/")} if "$ref" in value else set()
            return found.union(*(references(inner) for inner in value.values()))
        if isinstance(value, list):
            return set().union(*(references(inner) for inner in value))
        return set()

    assert references(spec) <= schemas.keys()


async def test_a_schema_is_of_one_type_only(house: House) -> None:
    """The schemas are named as the types are, so two types of one name would overwrite each other."""
    named: dict[str, object] = {}
    for row in operations(house.center):
        for model in (row.body, row.query, *row.answers.values()):
            if model is not None:
                assert named.setdefault(model.__name__, model) is model


async def test_the_page_needs_nothing_from_elsewhere(house: House) -> None:
    page = await house.http.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    needed = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert {"docs.js", "docs.css"} <= set(needed)
    for path in needed:
        assert path == "data:," or (await house.http.get(f"/{path}")).status_code == 200
    for path in ("/docs", "/docs.js", "/docs.css"):
        assert "://" not in (await house.http.get(path)).text
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
