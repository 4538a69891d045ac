"""Settings written down for people: the reference page, and one value as text."""

from itertools import groupby
from pathlib import Path

from longline.settings.catalogue import CATALOGUE, SECTIONS, Setting
from longline.settings.secret import Secret

_HEAD = """# Settings

This page is written by `longline config docs` from the files in `src/longline/settings/sections`.

A setting is read from a TOML file (`--config FILE`), overridden by its environment variable, overridden by
its flag. Names are strict everywhere: an unknown one is an error. In an environment variable a list is
separated by commas, and an empty variable counts as not set. `longline config show` prints what is in force
and where each value came from; `longline config check FILE` checks a file without starting anything.

Settings marked *Dynamic* can also be changed while nodes run, for all or for some of them, through the HTTP
API (`PUT /v1/config/NAME`, [api.md](api.md)); such a value overrides all the others.

```toml
data_dir = "/var/lib/longline"

[room]
host = "0.0.0.0"
port = 1883
```

The same port from the environment is `LONGLINE_ROOM__PORT=1883`, and as a flag `--room.port 1883`.
"""


def text(value: object) -> str:
    """A value as a person reads it; what is secret stays so."""
    match value:
        case None | ():
            return "not set"
        case Secret():
            return "hidden"
        case bool():
            return "true" if value else "false"
        case tuple():
            return ", ".join(str(item) for item in value)
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def plain(value: object) -> object:
    """A value as JSON can carry it; what is secret stays so."""
    if isinstance(value, (Secret, Path)):
        return text(value)
    return list(value) if isinstance(value, tuple) else value


def reference_page() -> str:
    """The whole of `docs/settings.md`, Markdown."""
    parts = [_HEAD]
    for section, entries in groupby(CATALOGUE.values(), key=lambda entry: entry.section):
        if section:
            parts.append(f"\n## `[{section}]`\n\n{(SECTIONS[section].__doc__ or '').strip()}\n")
        else:
            parts.append("\n## Top level\n")
        parts.append("\n| setting | type | default | bounds | meaning |\n|---|---|---|---|---|\n")
        parts.extend(_row(entry) for entry in entries)
    return "".join(parts)


def _row(entry: Setting) -> str:
    default = "the host's name" if entry.computed else f"`{text(entry.default)}`"
    if entry.default in (None, ()) and not entry.computed:
        default = "not set"
    unit = f" {entry.unit}" if entry.unit else ""
    doc = f"{entry.doc} *Dynamic.*" if entry.dynamic else entry.doc
    if entry.awaited:
        doc += " *Nothing acts on it in this version: to set it is an error, but for 0.*"
    cells = (f"`{entry.name}`<br>`{entry.env}`", entry.kind, f"{default}{unit}", entry.bounds, doc)
    return "| " + " | ".join(cells) + " |\n"
