"""Operations on the settings that change at run time."""

import asyncio
from collections.abc import Callable
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from longline.center.requests.answers import answer
from longline.center.requests.audit_entries import note
from longline.center.requests.operations import Operation, for_admin
from longline.center.requests.reading import Body
from longline.center.requests.times import rfc3339
from longline.center.service import CenterService
from longline.center.shapes import AnyJson, Strict
from longline.delivery.event_views import Time
from longline.errors import Conflict, SettingNotFound, Unavailable, ValidationFailed
from longline.keeper.port import Keeper, nodes_among
from longline.model.audience import MAX_NAMES
from longline.settings import dynamic
from longline.settings.dynamic import Document, Gray
from longline.settings.reference import plain

ATTEMPTS = 5  # to change what others change too
NEWS = 0.1  # s, and twice as long each time: until the keeper has heard of what they wrote

Change = Callable[[Document], Document]


class GrayView(Struct, frozen=True):
    """Settings on trial, and the members they are for."""

    nodes: tuple[str, ...]
    settings: dict[str, AnyJson]


class FormerConfig(Struct, frozen=True):
    """What a former version of the dynamic settings said."""

    version: int
    at: Time | None
    settings: dict[str, AnyJson]
    gray: GrayView | None


class NodeVersion(Struct, frozen=True):
    """Which version of the dynamic settings is in force on a member."""

    node: str
    settings_version: int


class DynamicSetting(Struct, frozen=True):
    """What a setting that can be changed at run time is for, and what it may be."""

    name: str
    default: AnyJson
    type: Annotated[str, Meta(description="Type, bounds and unit in words.")]
    meaning: str


class ConfigView(Struct, frozen=True):
    """The dynamic settings of the cluster; what is not among them, each node has from its own sources."""

    version: Annotated[int, Meta(description="Rises with every change; 0 when there was none.")]
    at: Time | None
    settings: dict[str, AnyJson]
    gray: GrayView | None
    history: Annotated[list[FormerConfig], Meta(description="The latest former versions, latest first.")]
    nodes: list[NodeVersion]
    available: Annotated[list[DynamicSetting], Meta(description="All that can be changed at run time.")]


class SettingView(Struct, frozen=True):
    """A setting that can be changed at run time."""

    name: str
    value: Annotated[AnyJson, Meta(description="For all nodes; null: each has its own.")]
    gray: Annotated[AnyJson, Meta(description="For the nodes on trial; null: none.")]
    default: AnyJson
    type: Annotated[str, Meta(description="Type, bounds and unit in words.")]
    meaning: str
    version: Annotated[int, Meta(description="Of all dynamic settings.")]


class ConfigValue(Strict, frozen=True):
    """A value for a setting."""

    value: AnyJson
    nodes: (
        Annotated[
            list[Annotated[str, Meta(min_length=1, max_length=255)]],
            Meta(
                min_length=1,
                max_length=MAX_NAMES,
                description="Only for these members, by name or host, until it is promoted or rolled back.",
            ),
        ]
        | UnsetType
    ) = UNSET
    version: (
        Annotated[
            int, Meta(ge=0, description="Change it only if the settings have this version; otherwise 409.")
        ]
        | UnsetType
    ) = UNSET


_AVAILABLE = [
    DynamicSetting(name, plain(entry.default), entry.shape, entry.doc)
    for name, entry in dynamic.DYNAMIC.items()
]


def operations(center: CenterService) -> list[Operation]:
    """The rows of settings."""
    keys, handlers = center.keys, _Handlers(center.keeper, center.clock)
    every, one = "/v1/config", "/v1/config/{name}"
    missing, conflict = (SettingNotFound, ValidationFailed), (Conflict,)
    return [
        Operation("GET", every, for_admin(keys, handlers.show), "config", {200: ConfigView}),
        Operation(
            "POST",
            f"{every}:promote",
            for_admin(keys, handlers.promote),
            "config",
            {200: ConfigView},
            errors=conflict,
        ),
        Operation(
            "POST",
            f"{every}:rollback",
            for_admin(keys, handlers.roll_back),
            "config",
            {200: ConfigView},
            errors=conflict,
        ),
        Operation("GET", one, for_admin(keys, handlers.get), "config", {200: SettingView}, errors=missing),
        Operation(
            "PUT",
            one,
            for_admin(keys, handlers.put),
            "config",
            {200: ConfigView},
            body=ConfigValue,
            errors=(*missing, *conflict),
        ),
        Operation(
            "DELETE",
            one,
            for_admin(keys, handlers.remove),
            "config",
            {200: ConfigView},
            errors=(*missing, *conflict),
        ),
        Operation(
            "POST",
            f"{one}:rollback",
            for_admin(keys, handlers.roll_back_one),
            "config",
            {200: ConfigView},
            errors=(*missing, *conflict),
        ),
    ]


class _Handlers:
    def __init__(self, keeper: Keeper, clock: Callable[[], int]) -> None:
        self._keeper = keeper
        self._clock = clock
        self._value = Body(ConfigValue)

    async def show(self, request: Request) -> Response:
        """Show the settings that were changed at run time, and which version each node has."""
        document, _ = await self._read()
        return await self._shown(document)

    async def get(self, request: Request) -> Response:
        """Show one setting that can be changed at run time."""
        name = request.path_params["name"]
        entry = dynamic.dynamic(name)
        document, _ = await self._read()
        return answer(
            SettingView(
                name=name,
                value=document.settings.get(name),
                gray=None if document.gray is None else document.gray.settings.get(name),
                default=plain(entry.default),
                type=entry.shape,
                meaning=entry.doc,
                version=document.version,
            )
        )

    async def put(self, request: Request) -> Response:
        """Change a setting on all nodes, or with `nodes` on these only, until it is promoted or rolled back.

        It overrides what the nodes have from their own sources. While some nodes have settings on trial,
        others cannot have different ones: 409.
        """
        name = request.path_params["name"]
        asked = await self._value.read(request)
        nodes = () if asked.nodes is UNSET else tuple(dict.fromkeys(asked.nodes))
        await self._check_members(nodes)
        note(request, detail=msgspec.json.encode(asked.value).decode())

        def change(document: Document) -> Document:
            if asked.version is not UNSET and asked.version != document.version:
                raise Conflict(f"the settings have version {document.version} by now")
            return dynamic.put(document, name, asked.value, nodes, self._clock())

        return await self._change(change)

    async def remove(self, request: Request) -> Response:
        """Leave a setting to each node's own sources again, also where it is on trial."""
        name = request.path_params["name"]
        return await self._change(lambda document: dynamic.remove(document, name, self._clock()))

    async def promote(self, request: Request) -> Response:
        """Give all nodes the settings that some have on trial.

        409 when there are none.
        """
        return await self._change(lambda document: dynamic.promote(document, self._clock()))

    async def roll_back(self, request: Request) -> Response:
        """End the trial; without one, go back to what was before the latest change of the settings.

        Two in a row bring the change back.
        """
        return await self._change(lambda document: dynamic.roll_back(document, self._clock()))

    async def roll_back_one(self, request: Request) -> Response:
        """Give one setting, for all nodes, the value that it had before.

        409 when no former value is remembered.
        """
        name = request.path_params["name"]
        return await self._change(lambda document: dynamic.roll_back_one(document, name, self._clock()))

    # --- the document ---

    async def _read(self) -> tuple[Document, int]:
        """The document and the keeper's version of it, as far as this process has heard."""
        kept = await self._keeper.read(dynamic.KEY)
        if kept is None:
            return dynamic.decode(None), 0
        try:
            return dynamic.decode(kept.value), kept.version
        except msgspec.DecodeError as error:
            raise Unavailable(f"the settings that are kept cannot be read: {error}") from None

    async def _change(self, change: Change) -> Response:
        """Writes a changed document; others who write at the same moment are not overwritten."""
        for attempt in range(ATTEMPTS):
            document, version = await self._read()
            changed = change(document)
            try:
                await self._keeper.write(dynamic.KEY, dynamic.encode(changed), version)
            except Conflict:
                await asyncio.sleep(NEWS * 2**attempt)
                continue
            return await self._shown(changed)
        raise Conflict(retry_after=1.0)

    async def _check_members(self, nodes: tuple[str, ...]) -> None:
        members = nodes_among(await self._keeper.members())
        known = {name for member in members for name in (member.node, member.host)}
        wrong = [(f"nodes.{n}", "no such member") for n, name in enumerate(nodes) if name not in known]
        if wrong:
            raise ValidationFailed("a node is not a member of the cluster", details=wrong)

    async def _shown(self, document: Document) -> Response:
        return answer(
            ConfigView(
                version=document.version,
                at=_time(document.at),
                settings=document.settings,
                gray=_gray(document.gray),
                history=[
                    FormerConfig(past.version, _time(past.at), past.settings, _gray(past.gray))
                    for past in document.history
                ],
                nodes=[
                    NodeVersion(member.node, member.settings_version)
                    for member in nodes_among(await self._keeper.members())
                ],
                available=_AVAILABLE,
            )
        )


def _gray(gray: Gray | None) -> GrayView | None:
    return None if gray is None else GrayView(gray.nodes, gray.settings)


def _time(at: int) -> str | None:
    return rfc3339(at) if at else None
