"""Operations on whose tokens an app takes beside its own: its identity provider."""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field
from starlette.requests import Request
from starlette.responses import Response

from longline.center.apps.changes import AppChanges
from longline.center.requests.answers import answer
from longline.center.requests.operations import AppOperations, Operation
from longline.center.requests.reading import Body, Query
from longline.center.service import CenterService
from longline.center.shapes import AnyJson, Strict
from longline.errors import Conflict, TokensNotFound, ValidationFailed
from longline.flow.outbound import AddressRefused, Outbound
from longline.jose.keys import BadKey, read_key
from longline.model.access import Algorithm, TokenIssuer
from longline.model.apps import App
from longline.settings import AuthoritySettings

MAX_TOKEN_KEYS = 64
KEYS_BYTES: Final = 65_536  # of JSON, that an app's own keys may have together


class TokenIssuerInfo(Struct, frozen=True, omit_defaults=True):
    """The identity provider whose tokens an app takes; of `jwks_url` and `keys` one is there."""

    issuer: str
    audience: list[str]
    algorithms: list[str]
    device_claim: str
    device_secret: bool
    jwks_url: str | UnsetType = UNSET
    keys: list[AnyJson] | UnsetType = UNSET


class TokenIssuerBody(Strict, frozen=True):
    """An identity provider whose tokens the app takes: exactly one of `jwks_url` and `keys`."""

    jwks_url: Annotated[
        Annotated[str, Meta(min_length=1, max_length=2048)] | UnsetType,
        Meta(
            description="Where its JSON Web Key Set is: `https`, on the public internet, unless the server's "
            "settings allow others.",
            examples=["https://id.example.org/.well-known/jwks.json"],
        ),
    ] = UNSET
    keys: Annotated[
        Annotated[list[AnyJson], Meta(min_length=1, max_length=MAX_TOKEN_KEYS)] | UnsetType,
        Meta(description="Its public keys: JSON Web Keys (RFC 7517), or PEM as text."),
    ] = UNSET
    issuer: Annotated[
        str, Meta(max_length=1024, description="What `iss` has to be. Wanted with `jwks_url`.")
    ] = ""
    audience: Annotated[
        Annotated[str, Meta(min_length=1, max_length=1024)]
        | Annotated[list[Annotated[str, Meta(min_length=1, max_length=1024)]], Meta(max_length=16)],
        Meta(description="`aud` has to name one of these. Wanted with `jwks_url`."),
    ] = field(default_factory=list)
    algorithms: Annotated[
        tuple[Algorithm, ...],
        Meta(min_length=1, max_length=10, description="Which of these the tokens may be signed with."),
    ] = ("RS256", "ES256", "EdDSA")
    device_claim: Annotated[
        str, Meta(min_length=1, max_length=256, description="The claim that names the device.")
    ] = "sub"
    device_secret: Annotated[
        bool, Meta(description="Whether tokens by the app's own secret (HS256) are taken as well.")
    ] = True


class DisconnectQuery(Strict, frozen=True):
    """Whether the connections that the app's devices have end, so that they come in by what holds now."""

    disconnect: bool = False


def operations(center: CenterService) -> list[Operation]:
    """The rows of identity providers."""
    handlers = _Handlers(center.app_changes, center.authority)
    tokens = "/v1/apps/{app}/tokens"
    missing = (TokensNotFound,)
    operation = AppOperations(center.keys, "apps")
    return [
        operation("GET", tokens, handlers.issuer, {200: TokenIssuerInfo}, errors=missing, current=True),
        operation(
            "PUT",
            tokens,
            handlers.put_issuer,
            {200: TokenIssuerInfo},
            body=TokenIssuerBody,
            query=DisconnectQuery,
            errors=(Conflict,),
        ),
        operation(
            "DELETE",
            tokens,
            handlers.delete_issuer,
            {204: None},
            query=DisconnectQuery,
            errors=(Conflict, *missing),
            current=True,
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
    def __init__(self, changes: AppChanges, authority: AuthoritySettings) -> None:
        self._changes = changes
        self._outbound = reads_of(authority)
        self._issuer = Body(TokenIssuerBody)
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
