"""The API does what its OpenAPI document says: requests made from the document, right and wrong ones.

Schemathesis generates them, and checks of each answer that its status, content type and body are documented,
that wrong requests are refused, right ones accepted, and nothing ends in a 5xx of ours.
"""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.core.jsonschema.types import JsonValue
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import negative_data_rejection

from longline.bus.local import LocalBus
from longline.center.api import application
from longline.center.gate.auth import digest
from longline.center.http.connection import HttpConnections
from longline.center.http.server import HttpServer
from longline.center.requests.paging import cursor_after
from longline.center.service import CenterService, Metrics
from longline.delivery.ids import least_id
from longline.keeper.local import LocalKeeper
from longline.register.memory import MemoryRegister
from longline.saver.sql.engine import SqliteSaver
from longline.settings import CenterSettings
from longline.telemetry.faults import Faults
from longline.telemetry.logs import OncePerPeer
from tests.unit.jose.identity_provider import public_jwk

if TYPE_CHECKING:
    from schemathesis.specs.openapi.schemas import OpenApiCase

ADMIN = "the-admin-key"
SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
HEADERS = {"Authorization": f"Bearer {ADMIN}"}


class Served:
    """A center on a free port of the loopback, in a thread and an event loop of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listening = threading.Event()
        self._stop = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._serve()])
        self.url = ""

    def __enter__(self) -> "Served":
        self._thread.start()
        assert self._listening.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> None:
        async def nothing() -> str:
            return ""

        register, bus = MemoryRegister(), LocalBus(100_000)
        saver = await SqliteSaver.open(self._folder / "longline.db", locate=register.locate_now)
        center = CenterService(
            saver=saver,
            register=register,
            bus=bus,
            keeper=LocalKeeper(),
            settings=CenterSettings(),
            admin_key_hash=digest(ADMIN),
            ready=lambda: True,
            obstacle=nothing,
            metrics=lambda: Metrics(b"longline_up 1\n", "text/plain; version=0.0.4; charset=utf-8"),
            refusals=OncePerPeer(100, 60.0),
            faults=Faults(),
        )
        connections = HttpConnections(100, lambda *_: None, Faults())
        server = HttpServer(
            application(center), "127.0.0.1", 0, connections=connections, faults=Faults(), grace=2.0
        )
        host, port = await server.start()
        self.url = f"http://{host}:{port}"
        self._listening.set()
        await self._stop.wait()
        await server.stop()
        await center.close()
        await saver.close()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("api")) as server:
        with httpx.Client(base_url=server.url, headers=HEADERS) as client:
            for app in ("news", "doomed"):
                assert client.post("/v1/apps", json={"app": app}).status_code == 201
                client.put(f"/v1/apps/{app}/devices/d1", json={}).raise_for_status()
        yield server


@pytest.fixture(scope="module")
def described(served: Served) -> schemathesis.BaseSchema:
    """The document, with names that exist, since an app by a random name leads no further than a 404."""
    document = httpx.get(f"{served.url}/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, entry in methods.items():
            # A generator repeats its values, and a repeated key with another body is a mistake.
            entry["parameters"] = [one for one in entry["parameters"] if one["name"] != "Idempotency-Key"]
            for parameter in entry["parameters"]:
                if parameter["in"] == "path" and parameter["name"] == "app":
                    doomed = (method, path) == ("delete", "/v1/apps/{app}")
                    parameter["schema"] = {"enum": ["doomed" if doomed else "news"]}
                if parameter["name"] == "cursor":  # opaque: only one that a list gave is right
                    by_id = path.endswith(("/messages", "/keys", "/audit"))
                    parameter["schema"] = {"enum": [cursor_after(least_id(0) if by_id else 0)]}
                if parameter["name"] == "name":  # what its value may be depends on the setting
                    parameter["schema"] = {"enum": ["room.linger"]}
                if path.endswith(("/statistics", "/history")) and parameter["name"] in ("from", "to"):
                    parameter["schema"] = {"enum": [f"2026-01-0{1 + (parameter['name'] == 'to')}T00:00:00Z"]}
                if parameter["name"] == "wait":  # nothing happens here, however long one waits
                    parameter["schema"]["maximum"] = 0
    options = document["components"]["schemas"]["Options"]["properties"]
    options["spread_over"]["maximum"] = 0  # at most the ttl, which a schema cannot say
    options["send_at"]["enum"] = [None]  # what is a time that is not too far away, neither
    times = document["components"]["schemas"]["NewSchedule"]["properties"]
    times["cron"]["enum"], times["timezone"]["enum"] = ["0 9 * * 1-5", "*/5 * * * *"], ["UTC", "device"]
    webhook = document["components"]["schemas"]["WebhookBody"]
    webhook["required"] = ["url", "secret"]  # as it is for one that is new
    webhook["properties"]["url"] = {"enum": ["https://example.org/hook"]}
    webhook["properties"]["secret"] = {"enum": [SECRET]}
    audience = document["components"]["schemas"]["AudienceObject"]["properties"]
    for audience_of in (audience, document["components"]["schemas"]["DeviceMatch"]["properties"]):
        for name in ("tag", "tag_and", "tag_not", "any", "every"):
            audience_of[name]["maxItems"] = 3  # all that it asks together has a bound, too
    document["components"]["schemas"]["ReplayRequest"]["properties"]["cursors"]["maxItems"] = 0
    del audience["reply"]  # only one that an upstream message had is right
    del audience["group"]  # what is said in one may not have all options
    for new in ("NewKey", "NewAppKey"):  # nothing that is over already
        document["components"]["schemas"][new]["properties"]["expires_at"]["enum"] = ["2099-12-24T18:00:00Z"]
    value = document["components"]["schemas"]["ConfigValue"]["properties"]
    value["value"] = {"type": "number", "minimum": 0, "maximum": 3600}
    del value["nodes"]  # there is none
    schemas = document["components"]["schemas"]
    schemas["JwksIssuer"]["properties"]["jwks_url"] = {"enum": ["https://id.example.org/keys"]}
    schemas["KeysIssuer"]["properties"]["keys"] = {"enum": [[public_jwk("ES256", kid="a")]]}
    schema = schemathesis.openapi.from_dict(document)
    schema.config.update(base_url=served.url)
    return schema


def whole(value: JsonValue) -> JsonValue:
    """The same without 1.0 for 1: in a query it is a text, and none of a number; in a body it has a type."""
    if isinstance(value, dict):
        return {key: whole(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def only_meant_to_be_wrong(case: "OpenApiCase") -> bool:
    """Whether a request is right whose body was to be its only fault.

    What is made wrong below `anyOf` may come out right, and which does changes with the order of a set.
    """
    document = case.operation.schema.raw_schema
    body = document["paths"][case.operation.path][case.operation.method].get("requestBody")
    if case.meta is None or body is None or not isinstance(case.body, dict):
        return False
    wrong = [place for place, found in case.meta.components.items() if found.mode.is_negative]
    schema = {**body["content"]["application/json"]["schema"], "components": document["components"]}
    return wrong == [ParameterLocation.BODY] and jsonschema_rs.is_valid(schema, case.body)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_every_operation_does_what_the_document_says(
    described: schemathesis.BaseSchema, mode: GenerationMode
) -> None:
    wrong: dict[str, str] = {}
    for found in described.get_all_operations():
        assert isinstance(found, Ok)

        @settings(
            max_examples=12,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(found.ok().as_strategy(generation_mode=mode))
        def check(case: "OpenApiCase") -> None:
            # A batch is answered item by item, so a wrong item is not a refused request.
            lenient: list[schemathesis.CheckFunction] = []
            if case.operation.path.endswith(":batch"):
                lenient.append(negative_data_rejection)
            case.query = {name: whole(value) for name, value in case.query.items()}
            if isinstance(case.body, dict | list):
                case.body = whole(case.body)
            if only_meant_to_be_wrong(case):
                lenient.append(negative_data_rejection)
            case.call_and_validate(headers=HEADERS, excluded_checks=lenient)

        operation = found.ok()
        try:
            check()
        except Unsatisfiable:  # what takes nothing can be asked nothing wrong
            pass
        except FailureGroup as failures:
            wrong[f"{operation.method} {operation.path}"] = str(failures)
    assert not wrong, "\n\n".join(f"{operation}:\n{told}" for operation, told in wrong.items())
