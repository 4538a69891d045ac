"""Identity providers and rules of an app, by the API: what is taken, told again, and refused."""

from typing import Any

import pytest

from longline.center.apps.token_issuers import reads_of
from longline.model.access import AclRule
from longline.model.commands import AppChanged
from longline.settings import AuthoritySettings, CenterSettings
from tests.unit.center.conftest import Api
from tests.unit.jose.identity_provider import jwk_of, pem, private_key, public_jwk

JWKS = {
    "jwks_url": "https://id.example.org/keys",
    "issuer": "https://id.example.org/",
    "audience": "longline",
    "algorithms": ["RS256", "ES256"],
}


# --- tokens ---


async def test_an_identity_provider_is_named_shown_and_taken_away(api: Api, news: str) -> None:
    path = f"{news}/tokens"
    assert (await api.http.get(path)).json()["error"]["code"] == "tokens_not_found"
    assert (await api.http.delete(path)).status_code == 404
    answer = await api.http.put(path, json=JWKS)
    shown = {**JWKS, "audience": ["longline"], "device_claim": "sub", "device_secret": True}
    assert (answer.status_code, answer.json()) == (200, shown)
    assert await api.commands() == [AppChanged(1, "news", None)]
    assert (await api.http.get(path)).json() == shown
    assert (await api.http.delete(path)).status_code == 204
    assert (await api.http.get(path)).status_code == 404


async def test_keys_of_its_own_are_kept_as_they_were_given(api: Api, news: str) -> None:
    given = [public_jwk("ES256", kid="a"), pem("RS256")]
    body = {"keys": given, "algorithms": ["ES256"], "device_claim": "device_id", "device_secret": False}
    answer = await api.http.put(f"{news}/tokens", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {**body, "issuer": "", "audience": []}


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_change_may_end_the_connections_made_before_it(api: Api, news: str, method: str) -> None:
    await api.http.put(f"{news}/tokens", json=JWKS)
    await api.commands()
    body = JWKS if method == "PUT" else None
    answer = await api.http.request(method, f"{news}/tokens?disconnect=true", json=body)
    assert answer.status_code in (200, 204)
    assert await api.commands() == [AppChanged(1, "news", None, 1)]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"jwks_url": None}, "jwks_url"),
        ({"keys": [public_jwk("RS256")]}, "jwks_url"),
        ({"jwks_url": "http://id.example.org/keys"}, "jwks_url"),
        ({"jwks_url": "https://user:password@id.example.org/keys"}, "jwks_url"),
        ({"jwks_url": "https://127.0.0.1/keys"}, "jwks_url"),
        ({"jwks_url": "https://[::1]/keys"}, "jwks_url"),
        ({"jwks_url": "keys"}, "jwks_url"),
        ({"jwks_url": "https://" + "a" * 2048}, "jwks_url"),
        ({"issuer": ""}, "issuer"),
        ({"audience": []}, "audience"),
        ({"audience": ["a"] * 17}, "audience"),
        ({"algorithms": []}, "algorithms"),
        ({"algorithms": ["HS256"]}, "algorithms.0"),
        ({"algorithms": ["RS256", "none"]}, "algorithms.1"),
        ({"device_claim": ""}, "device_claim"),
        ({"jwks_url": None, "keys": []}, "keys"),
        ({"jwks_url": None, "keys": [7]}, "keys.0"),
        ({"jwks_url": None, "keys": [public_jwk("RS256"), {"kty": "oct", "k": "AA"}]}, "keys.1"),
        ({"jwks_url": None, "keys": [jwk_of(private_key("ES256"))]}, "keys.0"),
        ({"jwks_url": None, "keys": [public_jwk("ES256", x5c="A" * 70_000)]}, "keys"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_an_identity_provider_that_cannot_be_is_refused(
    api: Api, news: str, change: dict[str, Any], field: str
) -> None:
    body = {name: value for name, value in {**JWKS, **change}.items() if value is not None}
    answer = await api.http.put(f"{news}/tokens", json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["details"][0]["field"] == field
    assert (await api.http.get(f"{news}/tokens")).status_code == 404


def test_an_address_in_a_private_network_is_taken_where_the_settings_allow_it() -> None:
    outbound = reads_of(AuthoritySettings(jwks_http=True, jwks_private_addresses=True))
    assert str(outbound.checked("http://127.0.0.1:8080/keys")) == "http://127.0.0.1:8080/keys"


async def test_only_those_who_may_reach_the_app_see_whose_tokens_it_takes(api: Api, news: str) -> None:
    await api.app("sport")
    theirs = {"Authorization": f"Bearer {api.keys['sport']}"}
    for method, path in (
        ("GET", "tokens"),
        ("PUT", "tokens"),
        ("DELETE", "tokens"),
        ("GET", "acl"),
        ("PUT", "acl"),
    ):
        answer = await api.http.request(method, f"{news}/{path}", headers=theirs, json={})
        assert answer.status_code == 403


# --- rules ---


async def test_rules_are_named_shown_and_taken_away(api: Api, news: str) -> None:
    path = f"{news}/acl"
    assert (await api.http.get(path)).json() == {"rules": []}
    rules = [{"allow": "both", "filter": "home/{device}/#"}, {"allow": "subscribe", "filter": "news/+"}]
    answer = await api.http.put(path, json={"rules": rules})
    assert (answer.status_code, answer.json()) == (200, {"rules": rules})
    assert await api.commands() == [AppChanged(1, "news", None)]
    assert (await api.http.get(path)).json() == {"rules": rules}
    app = await api.saver.apps.find("news")
    assert app is not None
    assert app.access.rules == (AclRule("both", "home/{device}/#"), AclRule("subscribe", "news/+"))
    assert (await api.http.put(path, json={"rules": []})).json() == {"rules": []}


async def test_a_rule_that_stands_twice_counts_once(api: Api, news: str) -> None:
    rule = {"allow": "both", "filter": "a"}
    assert (await api.http.put(f"{news}/acl", json={"rules": [rule, rule]})).json() == {"rules": [rule]}


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        ({"allow": "both", "filter": ""}, "rules.0.filter"),
        ({"allow": "both", "filter": "a/#/b"}, "rules.0.filter"),
        ({"allow": "both", "filter": "a/{client}"}, "rules.0.filter"),
        ({"allow": "both", "filter": "$SYS/#"}, "rules.0.filter"),
        ({"allow": "deny", "filter": "a"}, "rules.0.allow"),
        ({"filter": "a"}, "rules.0.allow"),
        ({"allow": "both"}, "rules.0.filter"),
        ({"allow": "both", "filter": "a", "device": "d1"}, "rules.0.device"),
    ],
)
async def test_a_rule_that_cannot_be_is_refused(
    api: Api, news: str, rule: dict[str, str], field: str
) -> None:
    answer = await api.http.put(f"{news}/acl", json={"rules": [rule]})
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["field"] == field
    assert (await api.http.get(f"{news}/acl")).json() == {"rules": []}


class TestFewRules:
    @pytest.fixture
    def settings(self) -> CenterSettings:
        return CenterSettings(acl_rules=3, acl_bytes=10)

    @pytest.mark.parametrize("filters", [["a", "b", "c", "d"], ["12345", "678901"], ["ééé", "ééé"]])
    async def test_an_app_has_no_more_rules_than_the_settings_say(
        self, api: Api, news: str, filters: list[str]
    ) -> None:
        rules = [{"allow": "both", "filter": filter} for filter in filters]
        answer = await api.http.put(f"{news}/acl", json={"rules": rules})
        assert answer.status_code == 422
        assert answer.json()["error"]["details"][0]["field"] == "rules"
        assert (await api.http.put(f"{news}/acl", json={"rules": rules[:1]})).status_code == 200
