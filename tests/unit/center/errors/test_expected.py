"""Whoever writes a field or a word that the API does not know is told those that it does."""

import pytest

from longline.errors import ValidationFailed
from tests.unit.center.conftest import Api


@pytest.mark.parametrize(
    ("body", "field", "said"),
    [
        ({"audience": "all", "payload": "x", "ttl": 60}, "ttl", ("audience", "payload", "options")),
        (
            {"audience": {"registration_id": ["d1"]}, "payload": "x"},
            "audience.registration_id",
            ("devices", "aliases", "tag_and"),
        ),
        ({"audience": {"any": [{"tags": ["a"]}]}, "payload": "x"}, "tags", ("tag", "platform")),
        ({"audience": "al", "payload": "x"}, "audience", ("'al' is none of all",)),
        (
            {"audience": "all", "payload": "x", "options": {"priority": "urgent"}},
            "options.priority",
            ("'urgent' is none of", "normal", "high"),
        ),
    ],
)
async def test_what_is_known_in_a_message_is_said(
    api: Api, news: str, body: dict[str, object], field: str, said: tuple[str, ...]
) -> None:
    answer = await api.http.post(f"{news}/messages", json=body)
    (detail,) = answer.json()["error"]["details"]
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, ValidationFailed.code)
    assert detail["field"].endswith(field)
    for words in said:
        assert words in detail["message"]


async def test_what_is_known_elsewhere_is_said(api: Api, news: str) -> None:
    answer = await api.http.post(f"{news}/keys", json={"name": "a", "scopes": ["read", "reed"]})
    assert "'reed' is none of" in (words := answer.json()["error"]["details"][0]["message"])
    assert "manage" in words
    answer = await api.http.get(f"{news}/messages", params={"page": "2"})
    assert "known are" in (words := answer.json()["error"]["details"][0]["message"])
    assert "cursor" in words
