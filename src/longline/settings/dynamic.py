"""Settings that change at run time: one document for the cluster, on top of each node's own sources.

The document has a version that rises with every change, the settings for all nodes, perhaps others for a few
nodes on trial (*gray*), and what it said before its latest changes. It is a value: every function here makes
a new one. Where it is kept, and who may write it, is the business of others.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from longline.errors import Conflict, SettingNotFound, ValidationFailed
from longline.settings.catalogue import CATALOGUE, Setting
from longline.settings.sources import contradictions
from longline.settings.tree import Settings

KEY: Final = "settings/current"  # in the keeper
REMEMBERED: Final = 20  # former states

DYNAMIC: Final[dict[str, Setting]] = {name: entry for name, entry in CATALOGUE.items() if entry.dynamic}

Values = dict[str, object]  # by dotted name, as JSON has them


class Gray(Struct, frozen=True):
    """Settings for some nodes only, on trial. `nodes`: names of nodes or of hosts."""

    nodes: tuple[str, ...]
    settings: Values


class Past(Struct, frozen=True):
    """What a former version said; `at`: when it came into force, in ms."""

    version: int
    at: int
    settings: Values
    gray: Gray | None = None


class Document(Struct, frozen=True, kw_only=True):
    """All dynamic settings. Version 0 says nothing: every node goes by its own sources."""

    version: int = 0
    at: int = 0
    settings: Values = {}
    gray: Gray | None = None
    history: tuple[Past, ...] = ()  # latest first


_decoder = msgspec.json.Decoder(Document)


def decode(data: bytes | None) -> Document:
    """The document as it is kept; an empty one when none is. Raises `msgspec.DecodeError`."""
    return Document() if data is None else _decoder.decode(data)


def encode(document: Document) -> bytes:
    """The document as it is to be kept."""
    return msgspec.json.encode(document)


def dynamic(name: str) -> Setting:
    """The setting; `SettingNotFound`, or `ValidationFailed` for one that only a restart changes."""
    if name not in CATALOGUE:
        raise SettingNotFound(f"there is no setting {name!r}")
    if name not in DYNAMIC:
        raise ValidationFailed(
            "this setting cannot be changed at run time", details=[(name, "not a dynamic setting")]
        )
    return DYNAMIC[name]


def checked(name: str, value: object) -> object:
    """The value in its type; `SettingNotFound`, `ValidationFailed` with details."""
    entry = dynamic(name)
    try:
        converted = msgspec.convert(value, entry.annotation)
    except msgspec.ValidationError as error:
        raise ValidationFailed(
            "the value is not allowed", details=[("value", entry.refusal(error))]
        ) from None
    problems = [("value", problem) for _, problem in contradictions(_with(Settings(), {name: converted}))]
    if problems:
        raise ValidationFailed("the value is not allowed", details=problems)
    return converted


# --- changes --------------------------------------------------------------------------------------


def put(document: Document, name: str, value: object, nodes: tuple[str, ...], now: int) -> Document:
    """Sets a value for all nodes, or with `nodes` for these only until it is promoted or rolled back.

    Raises what `checked` raises, and `Conflict` while other nodes have something on trial.
    """
    checked(name, value)
    if not nodes:
        return _changed(document, {**document.settings, name: value}, document.gray, now)
    gray = document.gray
    if gray is None:
        return _changed(document, document.settings, Gray(nodes, {name: value}), now)
    if set(gray.nodes) != set(nodes):
        raise Conflict(
            f"{', '.join(gray.nodes)} have settings on trial: promote them or roll them back first"
        )
    return _changed(document, document.settings, Gray(gray.nodes, {**gray.settings, name: value}), now)


def remove(document: Document, name: str, now: int) -> Document:
    """Leaves a setting to each node's own sources again, also where it is on trial."""
    dynamic(name)
    gray = document.gray
    if gray is not None:
        rest = _without(gray.settings, name)
        gray = Gray(gray.nodes, rest) if rest else None
    return _changed(document, _without(document.settings, name), gray, now)


def promote(document: Document, now: int) -> Document:
    """Gives all nodes what some have on trial; `Conflict` when there is nothing."""
    if document.gray is None:
        raise Conflict("no settings are on trial")
    return _changed(document, {**document.settings, **document.gray.settings}, None, now)


def roll_back(document: Document, now: int) -> Document:
    """Ends the trial; without one, goes back to what was before the latest change. `Conflict`: to nothing."""
    if document.gray is not None:
        return _changed(document, document.settings, None, now)
    if not document.history:
        raise Conflict("there is no former version")
    return _changed(document, document.history[0].settings, None, now)


def roll_back_one(document: Document, name: str, now: int) -> Document:
    """Gives one setting, for all nodes, the value that it had before; `Conflict` when none is remembered."""
    dynamic(name)
    present = document.settings.get(name)
    for past in document.history:
        former = past.settings.get(name)
        if former != present:
            settings = _without(document.settings, name)
            if former is not None:
                settings[name] = former
            return _changed(document, settings, document.gray, now)
    raise Conflict(f"no former value of {name} is remembered")


def _without(values: Values, name: str) -> Values:
    return {key: value for key, value in values.items() if key != name}


def _changed(document: Document, settings: Values, gray: Gray | None, now: int) -> Document:
    past = Past(document.version, document.at, document.settings, document.gray)
    return Document(
        version=document.version + 1,
        at=now,
        settings=settings,
        gray=gray,
        history=(past, *document.history)[:REMEMBERED],
    )


# --- what is in force -----------------------------------------------------------------------------


def effective(settings: Settings, document: Document, *names: str) -> Settings:
    """A node's own settings with the document's on top; `names`: of the node, and of its host.

    What this version does not know, or does not allow, it leaves out: the document may have been written by a
    newer one.
    """
    values: Values = dict(document.settings)
    if document.gray is not None and not set(names).isdisjoint(document.gray.nodes):
        values.update(document.gray.settings)
    known: Values = {}
    for name, value in values.items():
        try:
            known[name] = checked(name, value)
        except (SettingNotFound, ValidationFailed):
            continue
    return _with(settings, known)


def _with(settings: Settings, values: Mapping[str, object]) -> Settings:
    sections: dict[str, Values] = {}
    for name, value in values.items():
        entry = CATALOGUE[name]
        sections.setdefault(entry.section, {})[entry.key] = value
    replaced = {
        section: msgspec.structs.replace(getattr(settings, section), **fields)
        for section, fields in sections.items()
    }
    return msgspec.structs.replace(settings, **replaced)
