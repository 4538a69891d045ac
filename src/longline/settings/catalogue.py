"""The tree flattened: one entry for each setting, under its dotted name such as `room.port`.

Everything that has to enumerate settings (the loader, `config show`, the reference page) reads this table
instead of looking into the structs itself.
"""

from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Final, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from longline.settings.secret import Secret
from longline.settings.tree import Settings

ENV_PREFIX: Final = "LONGLINE_"

_KINDS: Final = {
    bool: "true or false",
    int: "integer",
    float: "number",
    str: "text",
    Path: "path",
    Secret: "secret",
}


class Setting(Struct, frozen=True):
    """One setting: where it sits in the tree and what its annotation says of it."""

    name: str
    section: str
    key: str
    annotation: object
    base: object
    meta: Meta
    default: object
    computed: bool
    """The default depends on the machine, so the reference page describes it instead of showing it."""

    @property
    def env(self) -> str:
        """Its environment variable: `LONGLINE_ROOM__PORT`, or `LONGLINE_DATA_DIR` at the top level."""
        return ENV_PREFIX + self.name.replace(".", "__").upper()

    @property
    def optional(self) -> bool:
        return NoneType in get_args(self.base)

    @property
    def secret(self) -> bool:
        return Secret in (self.base, *get_args(self.base))

    @property
    def repeated(self) -> bool:
        return get_origin(self.base) is tuple

    @property
    def doc(self) -> str:
        return self.meta.description or ""

    @property
    def unit(self) -> str:
        return str((self.meta.extra or {}).get("unit", ""))

    @property
    def dynamic(self) -> bool:
        """Whether it can be changed while nodes run."""
        return bool((self.meta.extra or {}).get("dynamic", False))

    @property
    def awaited(self) -> bool:
        """Whether nothing acts on it in this version."""
        return bool((self.meta.extra or {}).get("awaited", False))

    @property
    def kind(self) -> str:
        """The type in words."""
        if get_origin(self.base) is Literal:
            return " or ".join(f"`{choice}`" for choice in get_args(self.base))
        if self.repeated:
            return "list of texts"
        members = get_args(self.base) if get_origin(self.base) in (Union, UnionType) else (self.base,)
        return " or ".join(_KINDS[member] for member in members if member is not NoneType)

    @property
    def bounds(self) -> str:
        """The inclusive range in words, or nothing where there is none."""
        low, high = self.meta.ge, self.meta.le
        if low is None and high is None:
            return ""
        return f"{'' if low is None else f'{low:,}'} to {'' if high is None else f'{high:,}'}"

    @property
    def rule(self) -> str:
        """What its text has to be like, where that is more than its type says."""
        return str((self.meta.extra or {}).get("rule", ""))

    @property
    def shape(self) -> str:
        """Type, bounds and unit in words: `integer from 1 to 300 s`."""
        return " ".join(filter(None, (self.kind, self.bounds and f"from {self.bounds}", self.unit)))

    def refusal(self, error: msgspec.ValidationError) -> str:
        """Why a value is refused, in words: of a pattern, `error` has nothing but the pattern."""
        return f"{self.shape} wanted: {self.rule or error}"


def _entries(section: str, tree: type[Struct]) -> Iterator[Setting]:
    for found in msgspec.structs.fields(tree):
        if isinstance(found.type, type) and issubclass(found.type, Struct):
            yield from _entries(found.name, found.type)
            continue
        if get_origin(found.type) is not Annotated:
            raise TypeError(f"{tree.__name__}.{found.name} has no doc; annotate it with about(…)")
        base, *metas = get_args(found.type)
        computed = found.default is msgspec.NODEFAULT
        yield Setting(
            name=f"{section}.{found.name}" if section else found.name,
            section=section,
            key=found.name,
            annotation=found.type,
            base=base,
            meta=next(meta for meta in metas if isinstance(meta, Meta)),
            default=None if computed else found.default,
            computed=computed,
        )


CATALOGUE: Final[dict[str, Setting]] = {entry.name: entry for entry in _entries("", Settings)}

SECTIONS: Final[dict[str, type[Struct]]] = {
    found.name: found.type
    for found in msgspec.structs.fields(Settings)
    if isinstance(found.type, type) and issubclass(found.type, Struct)
}
