"""Operations on who may be a device of an app, and on what its devices may do."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET
from starlette.requests import Request
from starlette.responses import Response

from longline.center.answers import AclInfo, AclRuleInfo, TokenIssuerInfo, answer
from longline.center.apps.changes import AppChanges
from longline.center.requests.operations import Operation, for_app
from longline.center.requests.reading import Body, Query
from longline.center.schemas import AclBody, AclRuleBody, DisconnectQuery, TokenIssuerBody
from longline.center.service import CenterService
from longline.errors import Conflict, TokensNotFound, ValidationFailed
from longline.flow.outbound import AddressRefused, Outbound
from longline.jose.keys import BadKey, read_key
from longline.model.access import AclRule, TokenIssuer, wrong_with_filter
from longline.model.apps import App
from longline.settings import AuthoritySettings

KEYS_BYTES: Final = 65_536  # of JSON, that an app's own keys may have together


def operations(center: CenterService) -> list[Operation]:
    """The rows of tokens and rules."""
    keys = center.keys
    handlers = _Handlers(center)
    tokens, acl = "/v1/apps/{app}/tokens", "/v1/apps/{app}/acl"
    missing = (TokensNotFound,)
    return [
        Operation(
            "GET", tokens, for_app(keys, handlers.issuer), "apps", {200: TokenIssuerInfo}, errors=missing
        ),
        Operation(
            "PUT",
            tokens,
            for_app(keys, handlers.put_issuer, query=True),
            "apps",
            {200: TokenIssuerInfo},
            body=TokenIssuerBody,
            query=DisconnectQuery,
            errors=(Conflict,),
        ),
        Operation(
            "DELETE",
            tokens,
            for_app(keys, handlers.delete_issuer, query=True),
            "apps",
            {204: None},
            query=DisconnectQuery,
            errors=(Conflict, *missing),
        ),
        Operation("GET", acl, for_app(keys, handlers.rules), "apps", {200: AclInfo}),
        Operation(
            "PUT",
            acl,
            for_app(keys, handlers.put_rules),
            "apps",
            {200: AclInfo},
            body=AclBody,
            errors=(Conflict,),
        ),
    ]


def reads_of(authority: AuthoritySettings) -> Outbound:
    """What says which addresses rooms will read from; nothing is read here."""
    return Outbound(
        plain=authority.jwks_http,
        private=authority.jwks_private_addresses,
        most=authority.jwks_size,
        timeout=authority.jwks_timeout,
    )


class _Handlers:
    def __init__(self, center: CenterService) -> None:
        self._changes: AppChanges = center.app_changes
        self._settings = center.settings
        self._outbound = reads_of(center.authority)
        self._issuer = Body(TokenIssuerBody)
        self._rules = Body(AclBody)
        self._disconnect = Query(DisconnectQuery)

    async def issuer(self, request: Request, app: App) -> Response:
        """Show whose tokens an app takes beside its own."""
        found = app.access.tokens
        if found is None:
            raise TokensNotFound
        return answer(_issuer_view(found))

    async def put_issuer(self, request: Request, app: App) -> Response:
        """Let an identity provider make device tokens.

        Signature, `iss`, `aud`, `exp` and `nbf` are checked, and the algorithm is one of those that are named
        here. With `disconnect`, all connections of the app's devices end, and those come back that have a
        token which is good now.
        """
        query = self._disconnect.read(request)
        issuer = self._read_issuer(await self._issuer.read(request))

        def change(current: App) -> App:
            access = msgspec.structs.replace(current.access, tokens=issuer)
            return msgspec.structs.replace(current, access=access)

        await self._changes.make(app, change, disconnect=query.disconnect)
        return answer(_issuer_view(issuer))

    async def delete_issuer(self, request: Request, app: App) -> Response:
        """Take no tokens but those by the app's secret any more.

        Connections that exist stay, unless `disconnect` ends them and those of all other devices of the app.
        """
        query = self._disconnect.read(request)
        if app.access.tokens is None:
            raise TokensNotFound

        def change(current: App) -> App:
            access = msgspec.structs.replace(current.access, tokens=None)
            return msgspec.structs.replace(current, access=access)

        await self._changes.make(app, change, disconnect=query.disconnect)
        return Response(status_code=204)

    async def rules(self, request: Request, app: App) -> Response:
        """Show an app's rules for plain topics."""
        return answer(_rules_view(app.access.rules))

    async def put_rules(self, request: Request, app: App) -> Response:
        """Replace an app's rules for plain topics.

        With rules, what none of them allows is denied. They take effect on connections that exist, too:
        subscriptions that are not allowed any more are taken away.
        """
        asked = await self._rules.read(request)
        rules = self._read_rules(asked.rules)

        def change(current: App) -> App:
            access = msgspec.structs.replace(current.access, rules=rules)
            return msgspec.structs.replace(current, access=access)

        await self._changes.make(app, change)
        return answer(_rules_view(rules))

    def _read_issuer(self, asked: TokenIssuerBody) -> TokenIssuer:
        url = "" if asked.jwks_url is UNSET else asked.jwks_url
        given = [] if asked.keys is UNSET else asked.keys
        if bool(url) == bool(given):
            raise _wrong("jwks_url", "exactly one of jwks_url and keys is wanted")
        audience = (asked.audience,) if isinstance(asked.audience, str) else tuple(asked.audience)
        if url:
            try:
                self._outbound.checked(url)
            except AddressRefused as error:
                raise _wrong("jwks_url", error.message) from None
            for field, value in (("issuer", asked.issuer), ("audience", audience)):
                if not value:  # many others get tokens by the same keys
                    raise _wrong(field, "wanted where the keys are those of jwks_url")
        return TokenIssuer(
            jwks_url=url,
            keys=_read_keys(given) if given else "",
            issuer=asked.issuer,
            audience=audience,
            algorithms=tuple(dict.fromkeys(asked.algorithms)),
            device_claim=asked.device_claim,
            device_secret=asked.device_secret,
        )

    def _read_rules(self, asked: Sequence[AclRuleBody]) -> tuple[AclRule, ...]:
        if len(asked) > self._settings.acl_rules:
            raise _wrong("rules", f"an app may have {self._settings.acl_rules} rules")
        if sum(len(rule.filter.encode(errors="replace")) for rule in asked) > self._settings.acl_bytes:
            raise _wrong("rules", f"their filters may have {self._settings.acl_bytes} bytes together")
        wrong = [
            (f"rules.{number}.filter", said)
            for number, rule in enumerate(asked)
            if (said := wrong_with_filter(rule.filter))
        ]
        if wrong:
            raise ValidationFailed("a rule's filter is not one", details=wrong)
        return tuple(dict.fromkeys(AclRule(rule.allow, rule.filter) for rule in asked))


def _read_keys(given: Sequence[object]) -> str:
    """The keys as they are stored, once each was looked at."""
    for number, key in enumerate(given):
        try:
            read_key(key)
        except BadKey as error:
            raise _wrong(f"keys.{number}", str(error)) from None
    text = msgspec.json.encode(given)
    if len(text) > KEYS_BYTES:
        raise _wrong("keys", f"they may have {KEYS_BYTES} bytes together")
    return text.decode()


def _wrong(field: str, message: str) -> ValidationFailed:
    return ValidationFailed("a field's value is not allowed", details=[(field, message)])


def _issuer_view(issuer: TokenIssuer) -> TokenIssuerInfo:
    return TokenIssuerInfo(
        jwks_url=issuer.jwks_url or UNSET,
        keys=msgspec.json.decode(issuer.keys, type=list[object]) if issuer.keys else UNSET,
        issuer=issuer.issuer,
        audience=list(issuer.audience),
        algorithms=list(issuer.algorithms),
        device_claim=issuer.device_claim,
        device_secret=issuer.device_secret,
    )


def _rules_view(rules: Sequence[AclRule]) -> AclInfo:
    return AclInfo([AclRuleInfo(rule.allow, rule.filter) for rule in rules])
