import re
from pathlib import Path
from typing import cast

import msgspec
import pytest

from longline import errors
from longline.center.api import operations
from longline.center.errors.responses import error_response
from longline.center.errors.validation import from_validation
from longline.center.messages.message_shapes import MessageBatch
from longline.center.openapi.document import document
from longline.errors import LonglineError, Overloaded, RateLimited, Unavailable
from tests.unit.center.conftest import Api

GUIDE = Path(__file__).parents[4] / "docs" / "api.md"


async def test_the_guide_lists_every_error_that_the_api_answers(api: Api) -> None:
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \| (.+) \|$", GUIDE.read_text(), re.MULTILINE)
    assert rows == sorted(rows)
    tree = {
        value.code: value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, LonglineError)
    }
    for status, code, meaning in rows:
        if code != "internal":  # which any operation may answer, as it may `store_refused`
            assert tree[code].status == int(status)
            assert (tree[code].__doc__ or "").splitlines()[0] == meaning
    # What the server, and any operation, may answer.
    answered = {"not_found", "method_not_allowed", "head_too_large", "internal", "store_refused"}
    answered.add("wrong_origin")  # to a session of the console
    for methods in cast(dict[str, dict[str, object]], document(operations(api.center))["paths"]).values():
        answered |= set(re.findall(r"`(\w+)`: ", msgspec.json.encode(methods).decode()))
    assert {code for _, code, _ in rows} == answered


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"[]", "body"),
        (b'{"messages":7}', "messages"),
        (b'{"messages":[7]}', "messages.0"),
        (b'{"messages":[{"audience":"all","options":{"ttl":null}}]}', "messages.0.options.ttl"),
        (b'{"messages":[{"audience":{"devices":["a",1]}}]}', "messages.0.audience.devices.1"),
        (b'{"messages":[{}]}', "messages.0.audience"),
        (b'{"messages":[{"audience":{"tag":[]}}]}', "messages.0.audience.tag"),
        (b'{"messages":[],"x` - at `$.y":1}', "messages"),
    ],
)
def test_a_wrong_field_is_named_by_its_path(body: bytes, field: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(body, type=MessageBatch)
    assert [name for name, _ in from_validation(caught.value, MessageBatch).details] == [field]


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (Overloaded(), "1"),
        (Unavailable(retry_after=2.2), "3"),
        (RateLimited(retry_after=0.0), "1"),
        (RateLimited(retry_after=60), "60"),
    ],
)
def test_retry_after_is_whole_seconds(error: LonglineError, seconds: str) -> None:
    assert error_response(error).headers["retry-after"] == seconds


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/apps", {"app": "Bad Name"}, "app"),
        ("/v1/apps", {"app": "good", "name": "two\nlines"}, "name"),
        ("/v1/apps/news/devices/d1", {"tags": ["two\nlines"]}, "tags.0"),
        ("/v1/apps/news/devices/d1", {"platform": "two\nlines"}, "platform"),
    ],
)
async def test_what_a_text_has_to_be_like_is_said_in_words(
    api: Api, news: str, path: str, body: dict[str, object], field: str
) -> None:
    method = "POST" if path == "/v1/apps" else "PUT"
    answer = await api.http.request(method, path, json=body)
    assert answer.status_code == 422
    [detail] = answer.json()["error"]["details"]
    assert detail["field"] == field
    assert "wanted" in detail["message"]
    assert "regex" not in answer.text
