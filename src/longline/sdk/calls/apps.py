"""Apps, their keys, rules and limits, and the audit log."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime

import msgspec

from longline.model.devices import JsonObject
from longline.model.limits import AppLimits
from longline.sdk.access import TokenIssuerOfApp, TopicRule
from longline.sdk.answers import AppInfo, AppKeys
from longline.sdk.calls.http import Http
from longline.sdk.keys import Change, CreatedKey, NamedKey, OwnKey
from longline.sdk.limits import LimitsOfApp
from longline.sdk.paths import app_path, given, keys_path, quoted, told
from longline.sdk.times import Duration, whole_seconds


class _AppList(msgspec.Struct):
    apps: list[AppInfo]
    next_cursor: str | None = None


class _KeyList(msgspec.Struct):
    keys: list[NamedKey]
    next_cursor: str | None = None


class _ChangeList(msgspec.Struct):
    changes: list[Change]
    next_cursor: str | None = None


class _Rules(msgspec.Struct):
    rules: list[TopicRule]


class AppCalls:
    """A part of `Center`."""

    _http: Http

    async def create_app(
        self,
        app: str,
        *,
        name: str | None = None,
        pubsub: bool | None = None,
        client_certificates: bool | None = None,
    ) -> AppKeys:
        """Makes an app. `pubsub` lets its devices use plain MQTT topics; `client_certificates` lets them show
        a certificate of TLS instead of a token. Raises `AppExists`.
        """
        body = given(app=app, name=name, pubsub=pubsub, client_certificates=client_certificates)
        return await self._http.call("POST", "/v1/apps", AppKeys, body=body, safe=False)

    async def apps(self) -> AsyncIterator[AppInfo]:
        """All apps, page by page."""
        async for page in self._http.pages("/v1/apps", _AppList):
            for app in page.apps:
                yield app

    async def app(self, app: str) -> AppInfo:
        return await self._http.call("GET", app_path(app), AppInfo, safe=True)

    async def update_app(
        self,
        app: str,
        *,
        name: str | None = None,
        pubsub: bool | None = None,
        client_certificates: bool | None = None,
        end_at_expiry: bool | None = None,
    ) -> AppInfo:
        """Changes what is given and leaves the rest. `end_at_expiry`: connections end with their tokens."""
        body = given(
            name=name, pubsub=pubsub, client_certificates=client_certificates, end_at_expiry=end_at_expiry
        )
        return await self._http.call("PATCH", app_path(app), AppInfo, body=body, safe=False)

    async def delete_app(self, app: str) -> None:
        """Deletes the app with its devices and messages."""
        await self._http.call("DELETE", app_path(app), object, safe=False)

    async def rotate_keys(
        self,
        app: str,
        *,
        server_key: bool = True,
        device_secret: bool = False,
        disconnect: bool = False,
        grace: Duration | None = None,
    ) -> AppKeys:
        """Replaces the server key, the secret that device tokens are signed with, or both.

        What is replaced stops working at once: without the old secret no device gets in with an old token.
        With `grace`, the old secret is good as well for so long. Connections that exist stay, unless
        `disconnect` ends them.
        """
        body: JsonObject = {
            "server_key": server_key,
            "device_secret": device_secret,
            "disconnect": disconnect,
            **given(grace_seconds=None if grace is None else whole_seconds(grace)),
        }
        return await self._http.call("POST", f"{app_path(app)}/keys:rotate", AppKeys, body=body, safe=False)

    async def create_key(
        self,
        name: str,
        scopes: Sequence[str],
        *,
        app: str | None = None,
        expires_at: datetime | None = None,
    ) -> CreatedKey:
        """Makes a key that may do what its `scopes` say: `send`, `read`, `manage`, `operate`.

        `expires_at` is an aware datetime; without it the key ends when the one does that makes it. Raises
        `Forbidden` where it was to do more than that, or to live longer, and `QuotaExceeded`.
        """
        body: JsonObject = {"name": name, "scopes": list(scopes)}
        if expires_at is not None:
            body["expires_at"] = told(expires_at)
        return await self._http.call("POST", keys_path(app), CreatedKey, body=body, safe=False)

    async def own_key(self) -> OwnKey:
        """What the key of these calls may do, and where."""
        return await self._http.call("GET", "/v1/session", OwnKey, safe=True)

    async def named_keys(self, app: str | None = None) -> AsyncIterator[NamedKey]:
        """Named keys, in the order in which they were made."""
        async for page in self._http.pages(keys_path(app), _KeyList):
            for key in page.keys:
                yield key

    async def delete_key(self, key_id: str, *, app: str | None = None) -> None:
        """Deletes a named key: it stops working at once, in other processes within a second.

        Raises `KeyNotFound`.
        """
        await self._http.call("DELETE", f"{keys_path(app)}/{quoted(key_id)}", object, safe=False)

    async def changes(
        self, app: str | None = None, *, since: datetime | None = None, until: datetime | None = None
    ) -> AsyncIterator[Change]:
        """The audit log, the latest change first; of one app where that is given. Times are aware."""
        asked = {"app": app} if app is not None else {}
        asked |= {name: told(at) for name, at in (("from", since), ("to", until)) if at is not None}
        async for page in self._http.pages("/v1/audit", _ChangeList, asked):
            for change in page.changes:
                yield change

    async def topic_rules(self, app: str) -> list[TopicRule]:
        """What the app's devices may do with plain topics; without any rule, everything."""
        return (await self._http.call("GET", f"{app_path(app)}/acl", _Rules, safe=True)).rules

    async def put_topic_rules(self, app: str, rules: Sequence[TopicRule]) -> list[TopicRule]:
        """Replaces all of them: with any, nothing else is allowed."""
        body = {"rules": [{"allow": rule.allow, "filter": rule.filter} for rule in rules]}
        return (await self._http.call("PUT", f"{app_path(app)}/acl", _Rules, body=body, safe=True)).rules

    async def token_issuer(self, app: str) -> TokenIssuerOfApp:
        """The identity provider whose tokens the app takes. Raises `TokensNotFound`."""
        return await self._http.call("GET", f"{app_path(app)}/tokens", TokenIssuerOfApp, safe=True)

    async def put_token_issuer(
        self,
        app: str,
        *,
        jwks_url: str | None = None,
        keys: Sequence[Mapping[str, object] | str] | None = None,
        issuer: str | None = None,
        audience: str | Sequence[str] | None = None,
        algorithms: Sequence[str] | None = None,
        device_claim: str | None = None,
        device_secret: bool | None = None,
        disconnect: bool = False,
    ) -> TokenIssuerOfApp:
        """Has an app take the tokens of an identity provider, by exactly one of `jwks_url` and `keys`.

        `keys`: JSON Web Keys, or PEM. What is None is left to the server's default. With `disconnect`, who
        has come in another way is thrown out. Raises `ValidationFailed`.
        """
        body: JsonObject = given(
            jwks_url=jwks_url,
            keys=None if keys is None else [*keys],
            issuer=issuer,
            audience=audience if audience is None or isinstance(audience, str) else [*audience],
            algorithms=None if algorithms is None else [*algorithms],
            device_claim=device_claim,
            device_secret=device_secret,
        )
        return await self._http.call(
            "PUT",
            f"{app_path(app)}/tokens",
            TokenIssuerOfApp,
            body=body,
            params={"disconnect": str(disconnect).lower()},
            safe=True,
        )

    async def delete_token_issuer(self, app: str, *, disconnect: bool = False) -> None:
        """Has an app take nobody's tokens but its own."""
        params = {"disconnect": str(disconnect).lower()}
        await self._http.call("DELETE", f"{app_path(app)}/tokens", object, params=params, safe=False)

    async def limits(self, app: str) -> LimitsOfApp:
        """The limits of an app."""
        return await self._http.call("GET", f"{app_path(app)}/limits", LimitsOfApp, safe=True)

    async def put_limits(self, app: str, limits: AppLimits) -> LimitsOfApp:
        """Replaces them; the default holds for what is None. For keys with `operate`."""
        body = {name: getattr(limits, name) for name in AppLimits.__struct_fields__}
        return await self._http.call("PUT", f"{app_path(app)}/limits", LimitsOfApp, body=body, safe=True)
